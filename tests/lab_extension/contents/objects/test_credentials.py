from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fake_stores import Answer, FakeStore, Request

from lab_extension.contents.objects import credentials
from lab_extension.contents.objects.credentials import (
    ContainerKeys,
    Keys,
    StaticKeys,
    from_environment,
)
from lab_extension.contents.objects.faults import Refused, StoreDown

SECRET = "very-secret"


def document(key: str = "key", minutes: float | None = 60) -> dict[str, str]:
    found = {"AccessKeyId": key, "SecretAccessKey": SECRET, "Token": "session"}
    if minutes is not None:
        end = datetime.now(UTC) + timedelta(minutes=minutes)
        found["Expiration"] = end.strftime("%Y-%m-%dT%H:%M:%SZ")
    return found


def hands_out(*documents: dict[str, str]) -> Callable[[Request], Answer]:
    """One document after the other, the last one for ever."""
    left = list(documents)

    def answer(_: Request) -> Answer:
        return Answer(200, json.dumps(left.pop(0) if len(left) > 1 else left[0]).encode())

    return answer


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text("token abc\n")
    return path


@pytest.fixture
def container(fake: FakeStore, token_file: Path) -> ContainerKeys:
    return ContainerKeys(f"{fake.endpoint}/credentials", token_file=token_file)


async def test_fetches_keys_with_the_token(fake: FakeStore, container: ContainerKeys) -> None:
    fake.answer = hands_out(document())
    keys = await container.keys()
    assert (keys.access_key, keys.secret_key, keys.session_token) == ("key", SECRET, "session")
    assert keys.expires
    assert keys.expires > datetime.now(UTC)
    assert fake.asked[0].headers["authorization"] == "token abc"
    assert await container.keys() is keys
    assert len(fake.asked) == 1


async def test_many_who_ask_at_once_fetch_once(fake: FakeStore, container: ContainerKeys) -> None:
    fake.answer = hands_out(document())
    await asyncio.gather(*(container.keys() for _ in range(20)))
    assert len(fake.asked) == 1


@pytest.mark.parametrize(
    ("given", "left", "fetched"),
    [
        (60, 6, 1),  # minutes: more than five are left
        (60, 4, 2),
        (6, 4, 1),  # given for a short time: half of it
        (6, 2, 2),
        (None, 0, 1),
    ],
)
async def test_renews_keys_before_they_end(
    fake: FakeStore,
    container: ContainerKeys,
    monkeypatch: pytest.MonkeyPatch,
    given: float | None,
    left: float,
    fetched: int,
) -> None:
    fake.answer = hands_out(document("old", given), document("new"))
    await container.keys()
    now = datetime.now(UTC) + timedelta(minutes=(given or 1) - left)

    class Later(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
            return now

    monkeypatch.setattr(credentials, "datetime", Later)
    keys = await container.keys()
    assert (keys.access_key, len(fake.asked)) == ("new" if fetched == 2 else "old", fetched)


async def test_reads_the_token_each_time(
    fake: FakeStore, container: ContainerKeys, token_file: Path
) -> None:
    fake.answer = hands_out(document())
    await container.keys()
    token_file.write_text("token def")
    container.forget()
    await container.keys()
    assert [request.headers["authorization"] for request in fake.asked] == [
        "token abc",
        "token def",
    ]


async def test_keeps_good_keys_while_there_are_no_new_ones(
    fake: FakeStore, container: ContainerKeys, caplog: pytest.LogCaptureFixture
) -> None:
    # Seconds, as whole as the document has them: half of them have gone at once.
    fake.answer = hands_out({**document(), "Expiration": _in(seconds=30)})
    old = await container.keys()
    container._fetched = datetime.now(UTC) - timedelta(hours=1)
    fake.answer = lambda _: Answer(503)
    with caplog.at_level(logging.WARNING):
        assert await container.keys() is old
    assert "good until" in caplog.text
    assert SECRET not in caplog.text
    container._keys = Keys("key", SECRET, None, datetime.now(UTC) - timedelta(seconds=1))
    with pytest.raises(StoreDown, match="503"):
        await container.keys()


def _in(**span: float) -> str:
    return (datetime.now(UTC) + timedelta(**span)).strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.mark.parametrize(
    ("answer", "fault", "says"),
    [
        (Answer(401), Refused, "401"),
        (Answer(500), StoreDown, "500"),
        (Answer(200, b"<html>"), Refused, "no credentials"),
        (Answer(200, b"[]"), Refused, "no credentials"),
        (Answer(200, b'{"AccessKeyId": "k"}'), Refused, "no credentials"),
        (Answer(200, json.dumps({**document(), "AccessKeyId": ""}).encode()), Refused, "no cred"),
        (Answer(302, b"", {"location": "http://elsewhere.example/"}), Refused, "302"),
        (None, StoreDown, "Nothing answers"),
    ],
)
async def test_says_why_there_are_no_keys(
    fake: FakeStore,
    container: ContainerKeys,
    answer: Answer | None,
    fault: type[Exception],
    says: str,
) -> None:
    fake.answer = lambda _: answer
    with pytest.raises(fault, match=says) as caught:
        await container.keys()
    assert SECRET not in str(caught.value)
    assert caught.value.mend  # type: ignore[attr-defined]


async def test_says_that_there_is_no_token_file(fake: FakeStore, tmp_path: Path) -> None:
    provider = ContainerKeys(fake.endpoint, token_file=tmp_path / "none")
    with pytest.raises(Refused, match="No such file"):
        await provider.keys()
    assert fake.asked == []


@pytest.mark.parametrize(
    "url", ["http://10.0.0.1/x", "http://example.org/x", "ftp://127.0.0.1.example/x", "file:///x"]
)
async def test_sends_no_token_in_the_clear_to_another_machine(url: str) -> None:
    with pytest.raises(Refused, match="neither https nor this machine"):
        await ContainerKeys(url, token="t").keys()


def test_keys_are_in_no_repr() -> None:
    keys = Keys("key", SECRET, "session")
    provider = StaticKeys("key", SECRET, "session")
    for shown in (repr(keys), repr(provider), repr(ContainerKeys("http://x", token=SECRET))):
        assert SECRET not in shown
        assert "session" not in shown


async def test_takes_what_the_environment_has(tmp_path: Path) -> None:
    given = {
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_SESSION_TOKEN": "session",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:1/",
    }
    assert await from_environment(given).keys() == Keys("key", SECRET, "session")
    provider = from_environment(
        {
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:1/x",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "/t",
        }
    )
    assert repr(provider) == "ContainerKeys('http://127.0.0.1:1/x')"
    relative = from_environment({"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/v2/x"})
    assert repr(relative) == "ContainerKeys('http://169.254.170.2/v2/x')"
    shared = tmp_path / ".aws" / "credentials"
    shared.parent.mkdir()
    shared.write_text(f"[work]\naws_access_key_id = k2\naws_secret_access_key = {SECRET}\n")
    home = {"HOME": str(tmp_path), "AWS_EC2_METADATA_DISABLED": "true"}
    assert await from_environment({**home, "AWS_PROFILE": "work"}).keys() == Keys("k2", SECRET)
    with pytest.raises(Refused, match="no access key") as caught:
        await from_environment(home).keys()
    assert "AWS_ACCESS_KEY_ID" in caught.value.mend


async def test_a_spoilt_shared_file_is_no_crash(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "c"
    path.write_text(f"aws_secret_access_key = {SECRET}\n")
    with pytest.raises(Refused):
        await from_environment(
            {"AWS_SHARED_CREDENTIALS_FILE": str(path), "AWS_EC2_METADATA_DISABLED": "true"}
        ).keys()
    assert SECRET not in caplog.text
