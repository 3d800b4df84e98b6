from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote, urlencode

import httpx
import obstore
import pytest

from hub_ext import toolchain
from hub_ext.errors import Forbidden, Invalid, NotFound, Unavailable
from hub_ext.state import StateFolder
from hub_ext.storage import signing
from hub_ext.storage.alone import store_alone, wait_until_readable
from hub_ext.storage.credentials import Credentials, CredentialsBroker
from hub_ext.storage.embedded import ensure_bucket
from hub_ext.storage.embedded_files import PROJECT_ROLE
from hub_ext.storage.objects import ObjectStore
from hub_ext.storage.policies import session_policy


def keys_of(credentials: Credentials) -> dict[str, str]:
    return {
        "access_key": credentials.access_key,
        "secret_key": credentials.secret_key,
        "session_token": credentials.session_token,
    }


@pytest.fixture
def own(place: str) -> str:
    return f"{place}own/"


@pytest.fixture
def other(place: str, objects: ObjectStore) -> str:
    """A place next to the own one, whose name begins with it, with one object."""
    objects.put(f"{place}own2/secret.txt", b"secret")
    return f"{place}own2/"


@pytest.fixture
def credentials(store, own: str, other: str) -> Credentials:
    return store.broker().issue(write=[own], name="user:ana")


@pytest.fixture
def limited(store, credentials: Credentials) -> ObjectStore:
    return store.connect(**keys_of(credentials))


@pytest.fixture
def raw(store, credentials: Credentials) -> Callable[..., httpx.Response]:
    """Signed requests with the limited credentials that no client would make."""

    def send(
        method: str, path: str, body: bytes = b"", service: str = "s3", **headers: str
    ) -> httpx.Response:
        url = store.endpoint + path
        signed = signing.signed_headers(
            method,
            url,
            body,
            access_key=credentials.access_key,
            secret_key=credentials.secret_key,
            region=store.region,
            service=service,
            headers={
                "x-amz-security-token": credentials.session_token,
                **{name.replace("_", "-"): value for name, value in headers.items()},
            },
        )
        return httpx.request(method, url, content=body, headers=signed, trust_env=False)

    return send


def test_the_own_place_is_read_written_listed_and_cleared(
    limited: ObjectStore, own: str, tmp_path: Path
) -> None:
    limited.put(f"{own}a/b.txt", b"mine")
    (tmp_path / "large").write_bytes(bytes(20_000_000))
    limited.put_file(f"{own}large", tmp_path / "large")
    assert limited.get(f"{own}a/b.txt") == b"mine"
    assert {info.key for info in limited.list(own)} == {f"{own}a/b.txt", f"{own}large"}
    assert limited.delete_prefix(own) == 2
    assert list(limited.list(own)) == []


def test_another_place_is_refused_in_every_way(
    limited: ObjectStore, objects: ObjectStore, own: str, other: str, place: str
) -> None:
    secret = f"{other}secret.txt"
    limited.put(f"{own}a", b"mine")
    for refused in (
        lambda: limited.get(secret),
        lambda: limited.head(secret),
        lambda: limited.put(secret, b"planted"),
        lambda: limited.put(f"{other}new", b"planted"),
        lambda: limited.delete(secret),
        lambda: list(limited.list(other)),
        lambda: list(limited.list(place)),
        lambda: list(limited.list("")),
        lambda: limited.put("runs/1/1/notebook.html", b"planted"),
    ):
        with pytest.raises(Forbidden):
            refused()
    for source, target in ((secret, f"{own}stolen"), (f"{own}a", f"{other}planted")):
        with pytest.raises(obstore.exceptions.PermissionDeniedError):
            obstore.copy(limited._store, source, target)
    with pytest.raises(obstore.exceptions.BaseError, match="Access"):
        obstore.delete(limited._store, [f"{own}a", secret])
    assert [info.key for info in objects.list(other)] == [secret]
    assert objects.get(secret) == b"secret"


def test_requests_that_no_client_makes_are_refused_too(
    raw: Callable[..., httpx.Response], store, objects: ObjectStore, own: str, other: str
) -> None:
    bucket = store.bucket
    objects.put(f"{own}a", b"mine")
    up = f"/{bucket}/{own}a/../../{other.rsplit('/', 2)[1]}/secret.txt"
    for method, path in (
        ("GET", f"/{bucket}"),
        ("HEAD", f"/{bucket}"),
        ("GET", f"/{bucket}?prefix={quote(own.rstrip('/'), safe='')}"),  # would show own2 as well
        ("GET", f"/{bucket}?prefix={quote(other, safe='')}"),
        ("GET", f"/{bucket}?versions="),
        ("GET", f"/{bucket}?uploads="),
        ("GET", f"/{bucket}?policy="),
        ("PUT", f"/{bucket}?policy="),
        ("PUT", f"/{bucket}?acl="),
        ("PUT", f"/{bucket}?versioning="),
        ("DELETE", f"/{bucket}"),
        ("PUT", "/another-bucket"),
        ("PUT", "/another-bucket/key"),
        ("GET", "/.uploads/"),
        ("PUT", f"/{bucket}/{own}a?acl="),
        ("GET", f"/{bucket}/{other}secret.txt?acl="),
        ("GET", f"/{bucket}/{other}secret.txt?tagging="),
        ("POST", f"/{bucket}/{other}part?uploads="),
        ("GET", quote(up)),
        ("PUT", up.replace("..", "%2E%2E")),
        ("GET", f"/{bucket}/{own}a?versionId=..%2F..%2Fown2%2Fsecret.txt"),
    ):
        answer = raw(method, path)
        assert answer.status_code in (400, 403), (method, path, answer.text)
        assert "secret" not in answer.text.replace("secret.txt", "")
    for source in (
        f"/{bucket}/{other}secret.txt",
        f"{bucket}/{own}../{other.rsplit('/', 2)[1]}/secret.txt",
        f"/{bucket}/{own}%2e%2e/own2/secret.txt",
    ):
        answer = raw("PUT", f"/{bucket}/{own}stolen", x_amz_copy_source=source)
        assert answer.status_code in (400, 403), source
    assert not objects.exists(f"{own}stolen")
    assert objects.get(f"{other}secret.txt") == b"secret"


def test_parts_are_not_copied_from_elsewhere_nor_uploads_finished_there(
    raw: Callable[..., httpx.Response], store, objects: ObjectStore, own: str, other: str
) -> None:
    begun = raw("POST", f"/{store.bucket}/{own}part?uploads=")
    upload = begun.text.partition("<UploadId>")[2].partition("<")[0]
    assert upload
    stolen = raw(
        "PUT",
        f"/{store.bucket}/{own}part?partNumber=1&uploadId={upload}",
        x_amz_copy_source=f"/{store.bucket}/{other}secret.txt",
    )
    assert stolen.status_code == 403
    for evil in (f"{upload}/../../{other}", f"../{other}"):
        planted = raw(
            "PUT",
            f"/{store.bucket}/{own}part?partNumber=1&uploadId={quote(evil, safe='')}",
            b"planted",
        )
        assert planted.status_code in (400, 403, 404)
    finished = raw("POST", f"/{store.bucket}/{other}part?uploadId={upload}", b"<a/>")
    assert finished.status_code == 403
    assert [info.key for info in objects.list(other)] == [f"{other}secret.txt"]


@pytest.mark.parametrize(
    "form",
    [
        {"Action": "AssumeRole", "RoleSessionName": "evil"},
        {"Action": "AssumeRole", "RoleArn": PROJECT_ROLE, "RoleSessionName": "evil"},
        {"Action": "GetFederationToken", "Name": "evil"},
        {"Action": "CreateUser", "UserName": "evil"},
        {"Action": "CreateAccessKey", "UserName": "almanac"},
        {"Action": "ListUsers"},
    ],
)
def test_credentials_do_not_beget_others(
    raw: Callable[..., httpx.Response], form: dict[str, str]
) -> None:
    body = urlencode({"Version": "2011-06-15", **form}).encode()
    for service in ("sts", "iam"):
        answer = raw("POST", "/", body, service, content_type="application/x-www-form-urlencoded")
        assert answer.status_code in (400, 403), answer.text


def test_what_may_be_read_may_not_be_written(store, objects: ObjectStore, place: str) -> None:
    objects.put(f"{place}shared/a", b"theirs")
    issued = store.broker().issue(read=[f"{place}shared/"], write=[f"{place}own/"], name="run:1")
    both = store.connect(**keys_of(issued))
    both.put(f"{place}own/a", both.get(f"{place}shared/a"))
    assert [info.key for info in both.list(f"{place}shared")] == [f"{place}shared/a"]
    for refused in (
        lambda: both.put(f"{place}shared/a", b"x"),
        lambda: both.put(f"{place}shared/b", b"x"),
        lambda: both.delete(f"{place}shared/a"),
    ):
        with pytest.raises(Forbidden):
            refused()
    assert objects.get(f"{place}shared/a") == b"theirs"


def test_a_changed_token_is_worth_nothing(store, credentials: Credentials, own: str) -> None:
    head, claims, signature = credentials.session_token.split(".")
    for token in (f"{head}.{claims}.{signature[::-1]}", "", None):
        stranger = store.connect(
            access_key=credentials.access_key,
            secret_key=credentials.secret_key,
            session_token=token,
        )
        with pytest.raises(Forbidden):
            stranger.put(f"{own}a", b"x")


def test_they_outlive_a_restart_of_the_store(tmp_path: Path) -> None:
    state = StateFolder(tmp_path).create()
    weed = toolchain.weed()
    keys = [state.secret("store-admin-access-key"), state.secret("store-admin-secret-key")]
    with store_alone(state, weed) as endpoint:
        ensure_bucket(endpoint, "almanac", "us-east-1", *keys)
        broker = CredentialsBroker(endpoint, "almanac", "us-east-1", *keys)
        issued = keys_of(broker.issue(write=["home/ana/"], name="user:ana"))
        before = ObjectStore.connect(endpoint, "almanac", "us-east-1", **issued)
        before.put("home/ana/a", b"mine")
    with store_alone(state, weed) as endpoint:
        wait_until_readable(ObjectStore.connect(endpoint, "almanac", "us-east-1", *keys))
        after = ObjectStore.connect(endpoint, "almanac", "us-east-1", **issued)
        assert after.get("home/ana/a") == b"mine"
        with pytest.raises(Forbidden):
            after.get("home/bob/a")
        with pytest.raises(NotFound):
            after.get("home/ana/b")


def test_the_document_is_that_of_the_container_protocol(store) -> None:
    document = store.broker()(read=[], write=["home/ana/"], name="user:ana")
    assert set(document) == {"AccessKeyId", "SecretAccessKey", "Token", "Expiration"}
    expires = datetime.fromisoformat(document["Expiration"])
    left = expires - datetime.now(UTC)
    assert timedelta(minutes=58) < left <= timedelta(minutes=59, seconds=1)
    assert document["Expiration"].endswith("Z")


def test_secrets_are_not_in_what_is_printed(credentials: Credentials) -> None:
    assert credentials.secret_key not in repr(credentials)
    assert credentials.session_token not in repr(credentials)


def test_names_that_the_store_does_not_take_are_mended(store) -> None:
    for name in ("", "x", "user:ana müller/" * 10):
        assert store.broker().issue(write=["home/ana/"], name=name)


def test_no_place_no_credentials(store) -> None:
    with pytest.raises(Forbidden):
        store.broker().issue(name="user:ana")


def test_a_wrong_platform_key_is_said(store) -> None:
    broker = CredentialsBroker(store.endpoint, store.bucket, store.region, "a", "b")
    with pytest.raises(Forbidden, match=store.endpoint):
        broker.issue(write=["home/ana/"], name="user:ana")


def test_a_store_that_is_down_is_said() -> None:
    broker = CredentialsBroker("http://127.0.0.1:9", "almanac", "us-east-1", "a", "b")
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1:9"):
        broker.issue(write=["home/ana/"], name="user:ana")


def test_the_policy_names_prefixes_and_no_more() -> None:
    policy = json.loads(session_policy("almanac", ["projects/gdp/"], ["home/ana/"]))
    read, write, listed, located = policy["Statement"]
    assert read["Resource"] == ["arn:aws:s3:::almanac/projects/gdp/*"]
    assert read["Action"] == ["s3:GetObject*"]
    assert write["Resource"] == ["arn:aws:s3:::almanac/home/ana/*"]
    assert "s3:PutObject" in write["Action"]
    assert listed["Resource"] == ["arn:aws:s3:::almanac"]
    assert listed["Condition"] == {
        "Null": {"s3:prefix": "false"},
        "ForAllValues:StringLike": {"s3:prefix": ["home/ana/*", "projects/gdp/*"]},
    }
    assert located["Action"] == ["s3:GetBucketLocation"]
    assert located["Resource"] == ["arn:aws:s3:::almanac"]


@pytest.mark.parametrize(
    "prefix",
    ["", "/", "home", "home/ana", "home/*/", "home/a?a/", "/home/", "a/../b/", "a//b/", "${x}/"],
)
def test_what_is_no_plain_prefix_gets_no_policy(prefix: str) -> None:
    with pytest.raises(ValueError, match="not a prefix"):
        session_policy("almanac", [], [prefix])


def test_some_fifteen_projects_fit_and_more_are_refused_in_words() -> None:
    projects = [f"projects/a-project-with-a-name-{number:02}/" for number in range(30)]
    assert session_policy("almanac", projects[5:15], projects[:5])
    with pytest.raises(Invalid, match="30 projects"):
        session_policy("almanac", projects[5:], projects[:5])
