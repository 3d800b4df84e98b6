"""What a person reads when something is wrong with the store, real where that can be had."""

from __future__ import annotations

import asyncio
import hashlib
import json
import socket
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fake_stores import Answer, FakeStore, Request, error, fake_store, found, listing
from stores import RunningStore

from hub_ext import sigv4
from hub_ext.errors import PublicError
from hub_ext.storage.credentials import CredentialsBroker
from lab_extension.contents.objects import faults, patience
from lab_extension.contents.objects.credentials import Keys, StaticKeys
from lab_extension.contents.objects.entries import Capabilities
from lab_extension.contents.objects.faults import (
    AlreadyThere,
    BadName,
    Changed,
    ClockSkew,
    Full,
    Missing,
    NoBucket,
    Refused,
    Rejected,
    StoreDown,
    Unsupported,
)
from lab_extension.contents.objects.store import Store, StoreSettings

WHERE = faults.Where("http://store:1", "bucket")


CALLS: dict[str, Callable[[Store], Awaitable[Any]]] = {
    "head": lambda store: store.head("x"),
    "read": lambda store: store.read("x"),
    "open": lambda store: store.open("x"),
    "write": lambda store: store.write("x", b"1"),
    "copy": lambda store: store.copy("x", "y"),
    "delete": lambda store: store.delete(["x", "y"]),
    "folder": lambda store: store.folder("f"),
    "exists": lambda store: store.folder_exists("f"),
    "make": lambda store: store.make_folder("f"),
    "usage": lambda store: store.usage("f"),
    "begin": lambda store: store.begin_upload("x"),
    "versions": lambda store: store.versions("x"),
    "uploads": lambda store: store.pending_uploads("f"),
    "probe": lambda store: store.capabilities(),
}


async def failures(store: Store) -> dict[str, PublicError]:
    """How each call fails, all at once; each says what is wrong, and who can mend it."""
    ended = await asyncio.gather(*(call(store) for call in CALLS.values()), return_exceptions=True)
    failed = dict(zip(CALLS, ended, strict=True))
    for name, fault in failed.items():
        assert isinstance(fault, PublicError), (name, fault)
        assert fault.message, name
        assert fault.mend, (name, fault)
        assert "s3cr3t" not in str(fault), name
    return failed  # type: ignore[return-value]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "BRIDGE", 0.15)
    monkeypatch.setattr(patience, "FIRST_PAUSE", 0.01)


# With real stores


@pytest.mark.parametrize("wrong", ["key", "secret"])
async def test_wrong_keys(any_store: RunningStore, connect: Any, wrong: str) -> None:
    access = any_store.access_key if wrong == "secret" else "nobody"
    store = connect(any_store, "p", credentials=StaticKeys(access, "wrong"))
    for name, fault in (await failures(store)).items():
        assert isinstance(fault, Refused), (name, fault)
        assert any_store.endpoint in fault.message, name
        assert "access key" in fault.message, name
        assert "Who runs this platform" in fault.mend, name


async def test_no_bucket(any_store: RunningStore, connect: Any) -> None:
    for name, fault in (await failures(connect(any_store, "p", bucket="none-such"))).items():
        if any_store.kind == "minio" and name == "delete":
            continue
        assert isinstance(fault, NoBucket), (name, fault)
        assert "none-such" in fault.message


async def test_a_clock_twenty_minutes_off(
    any_store: RunningStore, connect: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = (datetime.now(UTC) - timedelta(minutes=20)).strftime("%Y%m%dT%H%M%SZ")
    monkeypatch.setattr(sigv4, "_moment", lambda now: late)
    store = connect(any_store, "p")
    # What obstore signs has this machine's clock; the requests of our own show it.
    for call in (store.folder_exists("f"), store.versions("x"), store.pending_uploads("f")):
        with pytest.raises(ClockSkew, match="15 minutes") as caught:
            await call
        assert "NTP" in caught.value.mend


@pytest.fixture
def keys_for(seaweedfs: RunningStore) -> Any:
    """Keys of the embedded store that reach some prefixes alone, as users' servers get them."""
    broker = CredentialsBroker(
        seaweedfs.endpoint, seaweedfs.bucket, seaweedfs.region, **seaweedfs.keys
    )

    def issue(*, read: list[str] = (), write: list[str] = ()) -> StaticKeys:  # type: ignore[assignment]
        given = broker.issue(read=read, write=write, name="test")
        return StaticKeys(given.access_key, given.secret_key, given.session_token)

    return issue


async def test_a_place_of_others(
    seaweedfs: RunningStore, connect: Any, place: str, keys_for: Any
) -> None:
    await connect(seaweedfs, place + "theirs").write("x", b"1")
    keys = keys_for(write=[place + "mine/"])
    own = connect(seaweedfs, place + "mine", credentials=keys)
    await own.write("x", b"1")
    assert [entry.key for entry in (await own.folder("")).files] == ["x"]
    theirs = connect(seaweedfs, place + "theirs", credentials=keys)
    calls = {name: call(theirs) for name, call in CALLS.items() if name != "probe"}
    ended = dict(
        zip(calls, await asyncio.gather(*calls.values(), return_exceptions=True), strict=True)
    )
    for name, fault in ended.items():
        assert isinstance(fault, Refused), (name, fault)
        assert "no right" in fault.message, name
        assert "owners of the project" in fault.mend, name


async def test_a_place_that_may_be_read_alone(
    seaweedfs: RunningStore, connect: Any, place: str, keys_for: Any
) -> None:
    await connect(seaweedfs, place).write("x", b"one")
    store = connect(seaweedfs, place, credentials=keys_for(read=[place]))
    able = await store.capabilities()
    assert not able.writable
    assert able.ranges
    assert bytes((await store.read("x"))[1]) == b"one"
    for call in (
        store.write("x", b"2"),
        store.write("x", b"2", if_absent=True),
        store.delete(["x"]),
        store.copy("x", "y"),
        store.make_folder("f"),
        store.begin_upload("x"),
    ):
        with pytest.raises(Refused, match="no right"):
            await call
    assert bytes((await store.read("x"))[1]) == b"one"


@pytest.mark.usefixtures("impatient")
async def test_nothing_answers(connect: Any) -> None:
    running = RunningStore("none", "http://127.0.0.1:9", "k", "s3cr3t", folder=None)  # type: ignore[arg-type]
    for name, fault in (await failures(connect(running, "p"))).items():
        assert isinstance(fault, StoreDown), (name, fault)
        assert "http://127.0.0.1:9 does not answer" in fault.message, name
        assert fault.status == 503


async def test_no_such_host(connect: Any) -> None:
    running = RunningStore("none", "http://none.invalid", "k", "s3cr3t", folder=None)  # type: ignore[arg-type]
    begun = time.monotonic()
    for name, fault in (await failures(connect(running, "p"))).items():
        assert isinstance(fault, StoreDown), (name, fault)
        assert "no host by the name in http://none.invalid" in fault.message, name
    assert time.monotonic() - begun < 60


async def test_a_restart_of_the_store_is_bridged(connect: Any) -> None:
    """Nothing listens when it is asked; soon after, something does."""
    with socket.socket() as kept:
        kept.bind(("127.0.0.1", 0))
        port = kept.getsockname()[1]
    running = RunningStore("late", f"http://127.0.0.1:{port}", "k", "s", folder=None)  # type: ignore[arg-type]
    store = connect(running, "p")
    store._capabilities = Capabilities()
    asked = [
        asyncio.create_task(call)
        for call in (
            store.head("x"),
            store.folder_exists("f"),
            store.write("x", b"1", if_match="e"),
        )
    ]
    await asyncio.sleep(0.3)
    assert not any(task.done() for task in asked)
    with fake_store(port) as fake:
        fake.answer = lambda request: listing("p/f/x") if "list" in request.path else found(b"1")
        head, there, written = await asyncio.gather(*asked)
    assert (head.etag, there, written.etag) == ("e1", True, "e1")


# With a store that says what it is told


async def test_heeds_retry_after(fake: FakeStore, told: Store) -> None:
    at: list[float] = []

    def answer(request: Request) -> Answer:
        at.append(time.monotonic())
        return error(503, "SlowDown", Retry_After="1") if len(at) == 1 else listing("p/f/x")

    fake.answer = answer
    assert await told.folder_exists("f")
    assert len(at) == 2
    assert at[1] - at[0] >= 1


async def test_heeds_retry_after_where_obstore_asks(fake: FakeStore, told: Store) -> None:
    """obstore hides the header, so the store is asked once more when it wants to be asked."""
    at: list[float] = []

    def answer(request: Request) -> Answer:
        at.append(time.monotonic())
        return error(503, "SlowDown", Retry_After="1") if len(at) <= 2 else found(b"x")

    fake.answer = answer
    assert (await told.head("x")).etag == "e1"
    assert len(at) == 3
    assert at[2] - at[1] >= 1


@pytest.mark.parametrize("call", ["head", "write", "folder", "exists", "versions"])
async def test_waits_no_longer_than_is_bearable(fake: FakeStore, told: Store, call: str) -> None:
    fake.answer = lambda _: error(503, "SlowDown", Retry_After="3600")
    with pytest.raises(StoreDown, match="503") as caught:
        await CALLS[call](told)
    assert "nothing was lost" in caught.value.mend
    assert len(fake.asked) <= 2


@pytest.mark.usefixtures("impatient")
async def test_tries_again_after_a_hiccup(fake: FakeStore, told: Store) -> None:
    answers = {
        "head": found(b"x"),
        "read": found(b"x"),
        "write": found(),
        "exists": listing("p/f/x"),
    }
    for name, good in answers.items():
        for bad in (error(500, "InternalError"), None, error(429, "TooManyRequests")):
            left = [bad, *([listing()] if bad else []), good]
            if name == "exists":
                left = [bad, good]
            fake.answer = lambda _, left=left: left.pop(0) if len(left) > 1 else left[0]  # type: ignore[misc]
            await CALLS[name](told)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("lost", [None, error(500, "InternalError")])
@pytest.mark.parametrize("arrived", [True, False])
async def test_a_save_whose_answer_is_lost_is_neither_lost_nor_a_false_alarm(
    fake: FakeStore, told: Store, lost: Answer | None, arrived: bool
) -> None:
    """A write on condition may not be repeated blindly: what is there tells how it ended."""
    state = {"etag": "old"}
    puts = 0
    new = hashlib.md5(b"new").hexdigest()

    def answer(request: Request) -> Answer | None:
        nonlocal puts
        if "list-type" in request.path:
            return listing()
        if request.method == "HEAD":
            return found(etag=state["etag"], content_length="3")
        assert request.method == "PUT"
        puts += 1
        if request.headers["if-match"] != f'"{state["etag"]}"':
            return error(412, "PreconditionFailed")
        if puts == 1:
            if arrived:
                state["etag"] = new
            return lost
        state["etag"] = new
        return found(etag=new)

    fake.answer = answer
    told._capabilities = Capabilities()
    entry = await told.write("x", b"new", if_match="old")
    assert entry.etag == new
    assert state["etag"] == new
    assert puts == (1 if arrived else 2)


@pytest.mark.usefixtures("impatient")
async def test_another_write_in_between_is_still_a_conflict(fake: FakeStore, told: Store) -> None:
    def answer(request: Request) -> Answer | None:
        if request.method == "HEAD":
            return found(etag="theirs", content_length="3")
        return None

    fake.answer = answer
    told._capabilities = Capabilities()
    with pytest.raises(Changed):
        await told.write("x", b"new", if_match="old")


async def test_something_that_is_no_store(fake: FakeStore, told: Store) -> None:
    fake.answer = lambda _: Answer(200, b"<html>Hello</html>", {"content-type": "text/html"})
    for name, fault in (await failures(told)).items():
        assert isinstance(fault, StoreDown), (name, fault)
        assert "not an object store" in fault.message, name


async def test_something_that_is_no_store_and_finds_nothing(fake: FakeStore, told: Store) -> None:
    fake.answer = lambda _: Answer(404, b"<html>Not here</html>", {"content-type": "text/html"})
    for name in ("write", "folder", "exists"):
        with pytest.raises(PublicError) as caught:
            await CALLS[name](told)
        assert isinstance(caught.value, (StoreDown, Missing)), name


async def test_keys_that_ended_are_fetched_anew(fake: FakeStore) -> None:
    class Renewed:
        fetched = 0
        forgotten = 0

        async def keys(self) -> Keys:
            return Keys(f"key-{self.forgotten}", "s", None)

        def forget(self) -> None:
            self.forgotten += 1

    def answer(request: Request) -> Answer:
        if "Credential=key-0/" in request.headers.get("authorization", ""):
            return error(403, "ExpiredToken")
        return listing("p/f/x") if "list-type" in request.path else found(b"x")

    fake.answer = answer
    for name in ("head", "read", "exists", "folder"):
        keys = Renewed()
        store = Store(StoreSettings(fake.endpoint, "b", "p", credentials=keys))
        await CALLS[name](store)
        assert keys.forgotten == 1, name
        await store.close()


async def test_faults_of_the_keys_come_through(fake: FakeStore) -> None:
    class Without:
        async def keys(self) -> Keys:
            raise Refused("There are no keys.", mend="Get some.")

        def forget(self) -> None:
            pass

    store = Store(StoreSettings(fake.endpoint, "b", "p", credentials=Without()))
    for name, fault in (await failures(store)).items():
        assert (fault.message, fault.mend) == ("There are no keys.", "Get some."), name
    assert fake.asked == []


async def test_a_download_that_breaks_off_is_taken_up_again(fake: FakeStore, told: Store) -> None:
    whole = bytes(range(256)) * 40_000  # 10 MB

    def answer(request: Request) -> Answer:
        spans = request.headers.get("range")
        if spans is None:
            return Answer(**{**vars(found(whole)), "cut": True})
        start = int(spans.removeprefix("bytes=").partition("-")[0])
        assert request.headers["if-match"] == '"e1"'
        rest = whole[start:]
        headers = found().headers | {
            "content-range": f"bytes {start}-{len(whole) - 1}/{len(whole)}"
        }
        return Answer(206, rest, headers, cut=len(rest) > 3_000_000)

    fake.answer = answer
    opened = await told.open("x")
    assert b"".join([bytes(chunk) async for chunk in opened.chunks]) == whole
    assert len(fake.asked) > 2


@pytest.mark.usefixtures("impatient")
async def test_a_download_of_what_changes_meanwhile_does_not_mix(
    fake: FakeStore, told: Store
) -> None:
    def answer(request: Request) -> Answer:
        if "range" in request.headers:
            return error(412, "PreconditionFailed")
        return Answer(**{**vars(found(b"x" * 3_000_000)), "cut": True})

    fake.answer = answer
    opened = await told.open("x")
    with pytest.raises(Changed):
        [chunk async for chunk in opened.chunks]


@pytest.mark.parametrize(("start", "end"), [(3, None), (3, 5), (0, 4), (9, 99)])
async def test_a_store_that_ignores_ranges_is_read_from_the_beginning(
    fake: FakeStore, told: Store, start: int, end: int | None
) -> None:
    fake.answer = lambda _: found(b"0123456789")
    opened = await told.open("x", start=start, end=end)
    assert b"".join([bytes(chunk) async for chunk in opened.chunks]) == b"0123456789"[start:end]
    assert (opened.start, opened.end) == (start, min(10, end or 10))


async def test_odd_keys_are_left_out_and_told_of(
    fake: FakeStore, told: Store, caplog: pytest.LogCaptureFixture
) -> None:
    fake.answer = lambda _: listing(
        "p/f/good.txt", "p/f/", "p/f/tab%09bed", "p/f/..", prefixes=("p/f/sub/", "p/f//")
    )
    for _ in range(2):
        found_there = await told.folder("f")
        assert [entry.key for entry in found_there.files] == ["f/good.txt"]
        assert found_there.folders == ["sub"]
        assert found_there.marked
        assert sorted(found_there.left_out) == ["f/..", "f//", "f/tab\tbed"]
    assert caplog.text.count("Left out of the folder s3://bucket/p/f: 3 objects") == 1


async def test_odd_keys_can_be_deleted(fake: FakeStore, told: Store) -> None:
    fake.answer = lambda request: (
        Answer(204) if request.method == "DELETE" else Answer(200, b"<DeleteResult></DeleteResult>")
    )
    await told.delete(["a//b", "a/", "tab\tbed"])
    assert [(request.method, request.path) for request in fake.asked] == [
        ("POST", "/bucket?delete="),
        ("DELETE", "/bucket/p/tab%09bed"),
    ]
    assert b"<Key>p/a//b</Key>" in fake.asked[0].body
    with pytest.raises(BadName):
        await told.delete(["a/../b"])


async def test_a_deletion_that_fails_half_way_says_so(fake: FakeStore, told: Store) -> None:
    body = (
        b"<DeleteResult><Error><Key>p/a//b</Key><Code>AccessDenied</Code>"
        b"<Message>no</Message></Error></DeleteResult>"
    )
    fake.answer = lambda _: Answer(200, body)
    with pytest.raises(Refused, match="a//b"):
        await told.delete(["a//b"])
    fake.answer = lambda _: Answer(200, body.replace(b"a//b", b"x"))
    with pytest.raises(Refused):
        await told.delete(["x"])


@pytest.mark.parametrize(
    ("status", "code", "fault"),
    [
        (404, "NoSuchBucket", NoBucket),
        (404, "NoSuchKey", Missing),
        (404, "", Missing),
        (412, "PreconditionFailed", Changed),
        (409, "ConditionalRequestConflict", Changed),
        (403, "AccessDenied", Refused),
        (403, "", Refused),
        (403, "SignatureDoesNotMatch", Refused),
        (400, "ExpiredToken", Refused),
        (403, "RequestTimeTooSkewed", ClockSkew),
        (400, "KeyTooLongError", BadName),
        (409, "ObjectParentIsFile", AlreadyThere),
        (403, "QuotaExceeded", Full),
        (507, "XMinioStorageFull", Full),
        (501, "NotImplemented", Unsupported),
        (500, "InternalError", StoreDown),
        (503, "", StoreDown),
        (429, "", StoreDown),
        (301, "PermanentRedirect", StoreDown),
        (400, "", StoreDown),
        (400, "InvalidRequest", Rejected),
    ],
)
def test_each_answer_has_its_fault(status: int, code: str, fault: type[PublicError]) -> None:
    made = faults.from_answer(WHERE, "a\nb", status, code, "words")
    assert type(made) is fault
    assert "\n" not in str(made)
    assert json.dumps(made.problem())


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("3", 3.0),
        (" 10 ", 10.0),
        ("Wed, 25 Nov 2026 03:00:30 GMT", 30.0),
        ("Wed, 25 Nov 2026 02:00:00 GMT", 0.0),
        ("soon", None),
        ("", None),
        (None, None),
    ],
)
def test_reads_retry_after(header: str | None, seconds: float | None) -> None:
    now = datetime(2026, 11, 25, 3, tzinfo=UTC)
    assert patience.seconds_of(header, now) == seconds
