"""The brokers of credentials: what holds of each, and what of the one without a key."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import identity_provider
import pytest
from brokers import AUDIENCE, Brokered, Federated

from hub_ext.errors import Forbidden, Invalid, Unavailable
from hub_ext.storage.credentials import CredentialsBroker, WebIdentityBroker
from hub_ext.storage.objects import ObjectStore

pytestmark = pytest.mark.stores

MANY = [f"projects/a-project-with-a-name-{number:02}/" for number in range(30)]


def test_they_are_good_for_an_hour(brokered: Brokered) -> None:
    document = brokered.broker(write=["home/ana/"], name="user:ana")
    assert set(document) == {"AccessKeyId", "SecretAccessKey", "Token", "Expiration"}
    left = datetime.fromisoformat(document["Expiration"]) - datetime.now(UTC)
    assert timedelta(minutes=58) < left <= timedelta(minutes=59, seconds=1)


def test_a_client_works_with_them(brokered: Brokered, place: str) -> None:
    store = brokered.store
    issued = brokered.broker.issue(
        read=[f"{place}read/"], write=[f"{place}write/"], delete=[f"{place}full/"], name="run:1"
    )
    platform = ObjectStore.connect(store.endpoint, store.bucket, store.region, **store.keys)
    for name in ("read", "full"):
        platform.put(f"{place}{name}/a", b"1")
    client = ObjectStore.connect(
        store.endpoint,
        store.bucket,
        store.region,
        issued.access_key,
        issued.secret_key,
        issued.session_token,
    )
    client.put(f"{place}write/a", client.get(f"{place}read/a"))
    assert client.delete_prefix(f"{place}write/") == 1
    assert client.delete_prefix(f"{place}full/") == 1
    for name in ("read", "full"):
        with pytest.raises(Forbidden):
            client.put(f"{place}{name}/b", b"x")
    with pytest.raises(Forbidden):
        client.delete(f"{place}read/a")


def test_any_name_of_somebody_will_do(brokered: Brokered) -> None:
    for name in ("", "x", "user:ana müller/" * 10):
        assert brokered.broker.issue(write=["home/ana/"], name=name)


def test_more_projects_than_fit_are_refused_in_words_and_as_many_as_fit_are_not(
    brokered: Brokered,
) -> None:
    with pytest.raises(Invalid, match="30 projects") as caught:
        brokered.broker.issue(write=MANY, name="user:ana")
    assert caught.value.code == "too-many-projects"
    fitting = brokered.broker.fitting(MANY)
    assert fitting == MANY[: len(fitting)]
    assert len(fitting) >= 12
    assert brokered.broker.issue(write=fitting, name="user:ana")
    assert brokered.broker.issue(
        read=fitting[:4], delete=fitting[4:8], write=fitting[8:-1], name="user:ana"
    )


def test_no_place_no_credentials(brokered: Brokered) -> None:
    with pytest.raises(Forbidden):
        brokered.broker.issue(name="user:ana")


# -- the platform's own token in place of a key


def test_a_renewed_token_is_taken_up(federated: Federated) -> None:
    broker = federated.brokered.broker
    federated.token_file.write_text("expired")
    with pytest.raises(Forbidden, match="does not take the platform's own token"):
        broker.issue(write=["home/ana/"], name="user:ana")
    federated.token_file.write_text(federated.provider.token(audience=AUDIENCE))
    assert broker.issue(write=["home/ana/"], name="user:ana")


def test_a_token_that_the_store_does_not_trust_is_said_and_not_shown(
    federated: Federated, tmp_path: Path
) -> None:
    provider = federated.provider
    for token in (
        provider.token(audience="another"),
        provider.token(audience=AUDIENCE, seconds=-600),
        provider.token(audience=AUDIENCE, key=identity_provider.new_key()),
        "no token at all",
    ):
        with pytest.raises(Forbidden) as caught:
            federated.broker(token, tmp_path).issue(write=["home/ana/"], name="user:ana")
        assert token not in str(caught.value)
        assert re.search(federated.role, str(caught.value))


def test_no_token_no_store(federated: Federated, tmp_path: Path) -> None:
    broker = federated.broker("", tmp_path)
    broker.token_file.unlink()
    with pytest.raises(Unavailable, match=str(tmp_path)):
        broker.issue(write=["home/ana/"], name="user:ana")
    broker.token_file.write_text("token")
    nowhere = WebIdentityBroker(
        "http://127.0.0.1:9", "almanac", role=federated.role, token_file=broker.token_file
    )
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1:9"):
        nowhere.issue(write=["home/ana/"], name="user:ana")


def test_the_variables_of_the_sdks_describe_it() -> None:
    variables = {"AWS_ROLE_ARN": "arn:aws:iam::1:role/x", "AWS_WEB_IDENTITY_TOKEN_FILE": "/t"}
    made = WebIdentityBroker.from_environment(variables, bucket="b", region="eu-west-3")
    assert made is not None
    assert (made.endpoint, made.role, made.token_file, made.bucket) == (
        "https://sts.eu-west-3.amazonaws.com",
        "arn:aws:iam::1:role/x",
        Path("/t"),
        "b",
    )
    elsewhere = WebIdentityBroker.from_environment(
        variables | {"AWS_ENDPOINT_URL_STS": "https://minio/"}, bucket="b", region="eu-west-3"
    )
    assert elsewhere is not None
    assert elsewhere.endpoint == "https://minio"
    for missing in variables:
        rest = {name: value for name, value in variables.items() if name != missing}
        assert WebIdentityBroker.from_environment(rest, bucket="b", region="r") is None


def test_the_token_goes_into_the_body_and_nowhere_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Addresses end in logs."""
    sent: list[httpx.Request] = []

    def post(url: str, *, data: dict[str, str], **_: object) -> httpx.Response:
        sent.append(httpx.Request("POST", url, data=data))
        return httpx.Response(500)

    monkeypatch.setattr(httpx, "post", post)
    (tmp_path / "token").write_text("the-token\n")
    broker = WebIdentityBroker("http://h", "b", role="r", token_file=tmp_path / "token")
    with pytest.raises(Unavailable, match="500"):
        broker.issue(write=["home/ana/"], name="user:ana")
    assert "the-token" not in str(sent[0].url)
    assert b"WebIdentityToken=the-token&" in sent[0].content


def test_an_answer_of_another_kind_is_no_crash(tmp_path: Path) -> None:
    broker = CredentialsBroker("http://127.0.0.1:9", "b", "r", "a", "k")
    broker.assume = lambda form: httpx.Response(400, text="<html>not XML")  # type: ignore[method-assign]
    with pytest.raises(Unavailable, match="400"):
        broker.issue(write=["home/ana/"], name="user:ana")
