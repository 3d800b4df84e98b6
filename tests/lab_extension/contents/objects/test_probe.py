from __future__ import annotations

import logging
import re
from dataclasses import replace
from typing import Any

import pytest
from fake_stores import Answer, FakeStore, Request, error, found, listing
from stores import RunningStore

from hub_ext.storage.credentials import CredentialsBroker
from lab_extension.contents.objects import probe
from lab_extension.contents.objects.credentials import StaticKeys
from lab_extension.contents.objects.entries import Capabilities
from lab_extension.contents.objects.faults import AlreadyThere, Changed, Refused, StoreDown
from lab_extension.contents.objects.store import Store

EVERYTHING = Capabilities(
    copy_if_absent=True, versions=True, list_versions=True, ranges=True, writable=True
)


@pytest.fixture(autouse=True)
def _anew() -> Any:
    probe.forget()
    yield
    probe.forget()


async def everything_below(store: Store) -> list[Any]:
    left = [entry async for page in store.walk("") for entry in page]
    left += [item async for page in store._api.versions(store.prefix + "/") for item in page]
    return left + await store._api.uploads(store.prefix + "/")


async def test_finds_out_what_real_stores_do_and_leaves_nothing(
    any_store: RunningStore, store: Store
) -> None:
    able = await store.capabilities()
    assert able == replace(
        EVERYTHING,
        copy_if_absent=any_store.kind == "seaweedfs",
        match_passes_gone=any_store.kind == "versitygw",
    )
    assert able.conditional_put
    assert await everything_below(store) == []


async def test_finds_out_that_there_are_no_versions(any_store: RunningStore, connect: Any) -> None:
    store = connect(any_store, "p", bucket=any_store.new_bucket())
    assert not (await store.capabilities()).versions
    assert await everything_below(store) == []


async def test_needs_no_more_than_the_rights_on_the_prefix(
    seaweedfs: RunningStore, connect: Any, place: str
) -> None:
    broker = CredentialsBroker(
        seaweedfs.endpoint, seaweedfs.bucket, seaweedfs.region, **seaweedfs.keys
    )
    given = broker.issue(write=[place], name="test")
    keys = StaticKeys(given.access_key, given.secret_key, given.session_token)
    able = await connect(seaweedfs, place, credentials=keys).capabilities()
    assert replace(able, list_versions=True) == EVERYTHING
    whole = connect(seaweedfs, place)
    if able.list_versions:
        assert await everything_below(whole) == []
    assert [entry async for page in whole.walk("") for entry in page] == []


async def test_asks_once_for_each_endpoint_and_bucket(
    seaweedfs: RunningStore, connect: Any, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = connect(seaweedfs, place + "a")
    assert await first.capabilities() is await first.capabilities()
    asked = 0
    whole = probe.probe

    async def counted(*given: Any) -> Capabilities:
        nonlocal asked
        asked += 1
        return await whole(*given)

    monkeypatch.setattr(probe, "probe", counted)
    second = connect(seaweedfs, place + "b")
    assert await second.capabilities() == await first.capabilities()
    assert asked == 0
    assert await everything_below(second) == []


class Careless:
    """A store that takes conditions and writes all the same, as some do; keeps one object."""

    def __init__(self, *, refuses: str = "", code: str = ""):
        self.objects: dict[str, bytes] = {}
        self.refuses = refuses
        self.code = code
        self.bodies: list[str] = []

    def __call__(self, request: Request) -> Answer:
        path = request.path.partition("?")[0]
        if self.refuses and self.refuses in request.headers:
            return error(501 if self.code == "NotImplemented" else 400, self.code)
        if "versions=" in request.path:
            return error(501, "NotImplemented")
        if "uploads=" in request.path:
            return Answer(
                200,
                b"<InitiateMultipartUploadResult><UploadId>u</UploadId>"
                b"</InitiateMultipartUploadResult>",
            )
        if request.method == "POST":
            self.objects[path] = b"parts"
            return Answer(
                200,
                b"<CompleteMultipartUploadResult><ETag>e1</ETag></CompleteMultipartUploadResult>",
            )
        if request.method == "PUT" and "x-amz-copy-source" in request.headers:
            self.objects[path] = b"copy"
            return Answer(200, b"<CopyObjectResult><ETag>e1</ETag></CopyObjectResult>")
        if request.method == "PUT":
            if "uploadId" not in request.path:
                self.objects[path] = request.body
            return found(etag=_etag(request.body))
        if request.method == "DELETE":
            if "uploadId" not in request.path:
                self.objects.pop(path, None)
            return Answer(204)
        if "list-type" in request.path:
            return listing()
        if path not in self.objects:
            return error(404, "NoSuchKey")
        body = self.objects[path]
        return found(body, etag=_etag(body))


def _etag(body: bytes) -> str:
    return f"etag-{body.hex()}"


async def test_tells_once_that_conditions_are_ignored(
    fake: FakeStore, told: Store, connect: Any, caplog: pytest.LogCaptureFixture
) -> None:
    fake.answer = careless = Careless()
    with caplog.at_level(logging.WARNING):
        able = await told.capabilities()
        running = RunningStore("fake", fake.endpoint, "k", "s", folder=None, bucket="bucket")  # type: ignore[arg-type]
        await connect(running, "other").capabilities()
    assert able == Capabilities(
        put_if_match=False,
        put_if_absent=False,
        complete_if_match=False,
        complete_if_absent=False,
        ranges=False,
    )
    assert len(re.findall("ignores the conditions of a write", caplog.text)) == 1
    assert fake.endpoint in caplog.text
    assert careless.objects == {}


@pytest.mark.parametrize("code", ["NotImplemented", "InvalidArgument"])
async def test_a_store_may_refuse_conditions_altogether(
    fake: FakeStore, told: Store, code: str
) -> None:
    fake.answer = careless = Careless(refuses="if-match", code=code)
    assert not (await told.capabilities()).put_if_match
    assert careless.objects == {}


async def test_compares_before_it_writes_where_conditions_are_ignored(
    fake: FakeStore, told: Store
) -> None:
    fake.answer = careless = Careless()
    first = await told.write("x", b"one", if_absent=True)
    with pytest.raises(AlreadyThere):
        await told.write("x", b"two", if_absent=True)
    second = await told.write("x", b"two", if_match=first.etag)
    with pytest.raises(Changed):
        await told.write("x", b"three", if_match=first.etag)
    with pytest.raises(AlreadyThere):
        await told.copy("x", "x", if_absent=True)
    upload = await told.begin_upload("x")
    with pytest.raises(Changed):
        await told.finish_upload("x", upload, ["e"], if_match=first.etag)
    assert careless.objects == {"/bucket/p/x": b"two"}
    await told.finish_upload("x", upload, ["e"], if_match=second.etag)
    assert careless.objects == {"/bucket/p/x": b"parts"}


async def test_a_store_that_is_down_is_asked_another_time(fake: FakeStore, told: Store) -> None:
    fake.answer = lambda _: error(503, "SlowDown", Retry_After="600")
    with pytest.raises(StoreDown):
        await told.capabilities()
    fake.answer = Careless()
    assert not (await told.capabilities()).versions


async def test_a_wrong_key_is_no_missing_right(fake: FakeStore, told: Store) -> None:
    fake.answer = lambda _: error(403, "InvalidAccessKeyId")
    with pytest.raises(Refused):
        await told.capabilities()


async def test_the_right_to_read_says_nothing_of_conditions(fake: FakeStore, told: Store) -> None:
    def answer(request: Request) -> Answer:
        if request.method != "GET":
            return error(403, "AccessDenied")
        return listing() if "list-type" in request.path else error(403, "AccessDenied")

    fake.answer = answer
    able = await told.capabilities()
    assert not able.writable
    assert not able.list_versions
    assert probe._known == {}
