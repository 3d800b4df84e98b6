"""A drop-in for s3contents: its settings, and buckets that it has written."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from contents import text
from stores import RunningStore
from traitlets import TraitError
from traitlets.config import Config

from lab_extension.contents import S3Checkpoints, S3ContentsManager
from lab_extension.contents.objects.credentials import StaticKeys
from lab_extension.contents.traits import SessionKeys, bucket_name

VARIABLES = (
    "JPY_S3_BUCKET",
    "JPY_S3_PREFIX",
    "JPY_S3_ENDPOINT_URL",
    "JPY_S3_ACCESS_KEY_ID",
    "JPY_S3_SECRET_ACCESS_KEY",
    "JPY_S3_SESSION_TOKEN",
    "JPY_S3_REGION_NAME",
    "JPY_S3_SSE",
    "JPY_S3_KMS_KEY_ID",
    "JPY_S3_ANON",
    "JPYNB_S3_SKIP_TLS_VERIFY",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_S3",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
)
KEYS = {"access_key_id": "a", "secret_access_key": "s"}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def made(**settings: Any) -> S3ContentsManager:
    """As a configuration file has it."""
    return S3ContentsManager(config=Config({"S3ContentsManager": {**KEYS, **settings}}))


def test_every_setting_of_s3contents_is_known() -> None:
    known = {
        "access_key_id",
        "anon",
        "boto3_session",
        "bucket",
        "delimiter",
        "endpoint_url",
        "skip_tls_verify",
        "kms_key_id",
        "init_s3_hook",
        "prefix",
        "region_name",
        "secret_access_key",
        "session_token",
        "signature_version",
        "sse",
        "s3fs_additional_kwargs",
        "s3fs_config_kwargs",
        "root_dir",
        "post_save_hook",
        "pre_save_hook",
        "checkpoints_class",
    }
    traits = S3ContentsManager.class_traits()
    assert known <= set(traits)
    own = known - {"root_dir", "checkpoints_class"}
    assert [name for name in own if not traits[name].help] == []


def test_settings_become_a_store() -> None:
    manager = made(
        bucket="b",
        prefix="/p/q/",
        endpoint_url="https://s3.example.org/",
        region_name="eu-west-1",
        session_token="t",
        sse="aws:kms",
        kms_key_id="k",
        skip_tls_verify=True,
        delimiter="/",
        signature_version="s3v4",
    )
    settings = manager.store.settings
    assert (settings.bucket, settings.prefix, settings.region) == ("b", "p/q", "eu-west-1")
    assert settings.endpoint_url == "https://s3.example.org"
    assert (settings.sse, settings.kms_key_id, settings.verify_tls) == ("aws:kms", "k", False)
    assert isinstance(settings.credentials, StaticKeys)
    assert manager.store.uri("a") == "s3://b/p/q/a"
    assert isinstance(manager.checkpoints, S3Checkpoints)


def test_defaults() -> None:
    settings = S3ContentsManager().store_settings()
    assert (settings.bucket, settings.prefix, settings.region) == ("notebooks", "", "us-east-1")
    assert settings.endpoint_url is None  # AWS's own
    assert settings.credentials is None  # found as the AWS SDKs find them
    assert settings.verify_tls
    assert made(endpoint_url="https://s3.amazonaws.com").store_settings().endpoint_url is None
    assert made(anon=True).store_settings().anonymous


def test_the_environment(environment: pytest.MonkeyPatch) -> None:
    for name, value in {
        "JPY_S3_BUCKET": "b",
        "JPY_S3_PREFIX": "p",
        "JPY_S3_ENDPOINT_URL": "http://127.0.0.1:9",
        "JPY_S3_ACCESS_KEY_ID": "a",
        "JPY_S3_SECRET_ACCESS_KEY": "s",
        "AWS_REGION": "eu-north-1",
        "JPYNB_S3_SKIP_TLS_VERIFY": "true",
    }.items():
        environment.setenv(name, value)
    settings = S3ContentsManager().store_settings()
    assert (settings.bucket, settings.prefix) == ("b", "p")
    assert settings.endpoint_url == "http://127.0.0.1:9"
    assert (settings.region, settings.verify_tls) == ("eu-north-1", False)
    assert isinstance(settings.credentials, StaticKeys)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"delimiter": ":"}, "delimiter is ':'.*Leave it out"),
        ({"signature_version": "s3"}, "signature_version is 's3'.*version 4"),
        ({"s3fs_additional_kwargs": {"ACL": "x"}}, "ACL.*have no meaning. Set sse"),
        ({"s3fs_config_kwargs": {"retries": 1}}, "retries.*Set endpoint_url"),
        ({"sse": "rot13"}, "sse is 'rot13': it must be 'AES256' or 'aws:kms'"),
        ({"kms_key_id": "k"}, "set sse = 'aws:kms'"),
        ({"bucket": ""}, "bucket is ''"),
        ({"bucket": "arn:aws:s3:eu:1:accesspoint/a"}, "Access points"),
        ({"bucket": "s3://arn:aws:s3:eu:1:accesspoint/a"}, "Access points"),
        ({"prefix": "a//b"}, "prefix is 'a//b'"),
        ({"prefix": "a/../b"}, "prefix is 'a/../b'"),
        ({"endpoint_url": "localhost:9000"}, "must begin with https://"),
        ({"secret_access_key": None}, "secret_access_key is missing"),
        ({"access_key_id": None}, "access_key_id is missing"),
    ],
)
def test_what_has_no_meaning_is_refused_at_the_start(settings: Any, words: str) -> None:
    with pytest.raises(TraitError, match=words):
        made(**settings)


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("b", "b"),
        ("s3://b", "b"),
        ("s3://b/p/q", "b"),
        ("b/p", "b"),
        ("b.example.org", "b.example.org"),
    ],
)
def test_buckets_as_people_write_them(given: str, name: str) -> None:
    assert bucket_name(given) == name


def test_a_bucket_with_a_path_is_told_of(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        manager = S3ContentsManager(log=logging.getLogger("contents"), bucket="s3://b/p", **KEYS)
    assert manager.store.bucket == "b"
    assert "Set bucket = 'b', and a path in it as prefix" in caplog.text


async def test_hooks_and_sessions_give_keys() -> None:
    class Session:
        def get_credentials(self) -> Any:
            return self

        def get_frozen_credentials(self) -> Any:
            return type("Frozen", (), {"access_key": "A", "secret_key": "S", "token": "T"})()

    def hook(manager: Any) -> None:
        manager.bucket = "of-the-hook"
        manager.boto3_session = Session()

    manager = made(init_s3_hook=hook)
    assert manager.store.bucket == "of-the-hook"
    provider = manager.store.settings.credentials
    assert isinstance(provider, SessionKeys)
    keys = await provider.keys()
    assert (keys.access_key, keys.secret_key, keys.session_token) == ("A", "S", "T")


# What s3contents 0.11.2 wrote, seen in a bucket: an empty .s3keep in the folder
# at the top and in each that was made, notebooks in one line.
NOTEBOOK = b'{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}'
WRITTEN = {
    ".s3keep": b"",
    "empty/.s3keep": b"",
    "d/.s3keep": b"",
    "d/a.ipynb": NOTEBOOK,
    "d/e/.s3keep": b"",
    "d/e/b.txt": b"text",
}


async def test_a_bucket_that_s3contents_wrote_opens_unchanged(
    manager: S3ContentsManager, seaweedfs: RunningStore
) -> None:
    for key, data in WRITTEN.items():
        await manager.store.write(key, data)
    # Other tools mark folders so, and s3contents reads that too.
    assert seaweedfs.send("PUT", f"{seaweedfs.bucket}/{manager.store.prefix}/f/").status_code == 200

    async def names(path: str) -> list[str]:
        return sorted(entry["name"] for entry in (await manager.get(path))["content"])

    manager.allow_hidden = True  # markers are not shown even then
    assert await names("") == ["d", "empty", "f"]
    assert await names("d") == ["a.ipynb", "e"]
    assert await names("empty") == []
    assert await names("f") == []
    assert (await manager.get("d/a.ipynb"))["content"]["nbformat_minor"] == 5
    assert (await manager.get("d/e/b.txt"))["content"] == "text"
    await manager.rename("d", "g")
    await manager.delete("f")
    await manager.save(text("new"), "empty/c.txt")
    assert await names("") == ["empty", "g"]
    assert await names("g/e") == ["b.txt"]
    await manager.delete("empty/c.txt")
    assert await names("empty") == []
