"""Large files, slow clients, clients that go, and stores that break off in between."""

from __future__ import annotations

import hashlib
import os
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx
import jinja2
import pytest
from jupyter_server import DEFAULT_TEMPLATE_PATH_LIST
from jupyter_server.auth import AllowAllAuthorizer, PasswordIdentityProvider
from jupyter_server.services.contents.manager import AsyncContentsManager
from tornado import web
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets

from lab_extension.contents import files
from lab_extension.contents.files import FilesHandler, Source
from lab_extension.contents.objects.entries import Entry, Opened
from lab_extension.contents.objects.faults import Changed, StoreDown
from tests.lab_extension.conftest import eventually
from tests.support.object_labs import ObjectLab, object_lab
from tests.support.stores import RunningStore

MB = 1 << 20
LARGE = 400 * MB
ALLOWED = 100 * MB


@pytest.fixture(scope="module")
def lab(
    tmp_path_factory: pytest.TempPathFactory, kernel_python: Path, seaweedfs: RunningStore
) -> Iterator[ObjectLab]:
    folder = tmp_path_factory.mktemp("downloads")
    with object_lab(folder, kernel_python, seaweedfs, "home/downloads") as running:
        yield running


@pytest.fixture(scope="module")
def large(lab: ObjectLab) -> str:
    """A file of `LARGE` bytes; its sha256."""
    block = os.urandom(MB)
    made = hashlib.sha256()
    for _ in range(LARGE // MB):
        made.update(block)
    lab.put_pieces("large.bin", (block for _ in range(LARGE // MB)))
    return made.hexdigest()


def test_a_large_file_does_not_go_through_memory(lab: ObjectLab, large: str) -> None:
    lab.file("large.bin", headers={"Range": "bytes=0-9"}).raise_for_status()
    idle = lab.memory()
    most, got, seen = 0, hashlib.sha256(), 0
    with lab.client.stream("GET", "files/large.bin") as answer:
        assert answer.headers["content-length"] == str(LARGE)
        for number, piece in enumerate(answer.iter_raw(MB)):
            got.update(piece)
            seen += len(piece)
            if number % 20 == 0:
                most = max(most, lab.memory())
    assert (seen, got.hexdigest()) == (LARGE, large)
    assert most - idle < ALLOWED


def test_clients_that_read_nothing_fill_no_memory_and_hold_nobody_up(
    lab: ObjectLab, large: str
) -> None:
    idle = lab.memory()
    url = httpx.URL(lab.lab.url)
    assert url.port is not None
    waiting = []
    try:
        for _ in range(8):
            client = socket.create_connection((url.host, url.port), timeout=30)
            client.sendall(
                f"GET {url.path}files/large.bin HTTP/1.1\r\nHost: {url.host}:{url.port}\r\n"
                f"Authorization: token {lab.lab.token}\r\n\r\n".encode()
            )
            waiting.append(client)
        for client in waiting:
            assert client.recv(12) == b"HTTP/1.1 200"
        for _ in range(20):
            lab.client.get("api/status").raise_for_status()
        assert lab.memory() - idle < ALLOWED
    finally:
        for client in waiting:
            client.close()
    # Each of them was let go of: connections to the store do not stay behind.
    eventually(lambda: lab.connections_to_store() <= 8)
    assert lab.file("large.bin", headers={"Range": "bytes=-5"}).status_code == 206
    assert "Traceback" not in lab.lab.log.read_text()


def test_a_client_that_goes_away_ends_its_download(lab: ObjectLab, large: str) -> None:
    for _ in range(5):
        with lab.client.stream("GET", "files/large.bin") as answer:
            next(answer.iter_raw(MB))
    lab.client.get("api/status").raise_for_status()
    log = lab.lab.log.read_text()
    assert "Traceback" not in log
    assert "StreamClosedError" not in log


# What a store does only when it fails: this stands in for it.


@dataclass
class Fragile:
    """A store that breaks off after some bytes, if told to."""

    data: bytes
    breaks_after: int | None = None
    etag: str = "one"
    ended: int = 0

    @property
    def store(self) -> Fragile:
        return self

    key = "a.bin"
    version = None

    async def head(self, key: str, *, version: str | None = None) -> Entry:
        return Entry(key, len(self.data), datetime(2031, 3, 3, tzinfo=UTC), self.etag)

    async def open(
        self, key: str, *, start: int, end: int, version: str | None, if_match: str | None
    ) -> Opened:
        if if_match != self.etag:
            raise Changed("It has changed.")
        return Opened(await self.head(key), "", self._chunks(start, end), start, end)

    async def _chunks(self, start: int, end: int) -> AsyncGenerator[memoryview]:
        try:
            for at in range(start, end, 3):
                if self.breaks_after is not None and at - start >= self.breaks_after:
                    raise StoreDown("It does not answer.")
                yield memoryview(self.data)[at : min(at + 3, end)]
        finally:
            self.ended += 1


async def source(store: Fragile) -> Source:
    made = Source(store)
    await made.find()
    return made


async def test_a_part_is_read_in_small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "PIECE", 2)
    store = Fragile(bytes(range(20)))
    pieces = [piece async for piece in (await source(store)).pieces(4, 18)]
    assert max(map(len, pieces)) == 2
    assert b"".join(pieces) == bytes(range(4, 18))
    assert store.ended == 1


async def test_who_stops_reading_ends_the_stream() -> None:
    store = Fragile(bytes(100))
    pieces = (await source(store)).pieces(0, 100)
    await anext(pieces)
    await pieces.aclose()
    assert store.ended == 1


async def test_a_file_that_was_written_over_meanwhile_is_not_sent() -> None:
    store = Fragile(bytes(100))
    made = await source(store)
    store.etag = "two"
    with pytest.raises(Changed):
        await anext(made.pieces(0, 100))


async def test_of_an_empty_part_the_store_is_not_asked() -> None:
    store = Fragile(b"")
    assert [piece async for piece in (await source(store)).pieces(0, 0)] == []
    assert store.ended == 0


class Failing(AsyncContentsManager):  # type: ignore[misc]
    """Holds one file, which breaks off after as many bytes as its name says."""

    async def locate(self, path: str) -> Fragile:
        return Fragile(b"x" * 9000, breaks_after=int(path.partition(".")[0]))

    async def is_hidden(self, path: str) -> bool:
        return False


@pytest.fixture
async def failing() -> AsyncIterator[str]:
    """The address of the files of a `Failing`."""
    templates = jinja2.Environment(
        loader=jinja2.FileSystemLoader(DEFAULT_TEMPLATE_PATH_LIST),
        extensions=["jinja2.ext.i18n"],
        autoescape=True,
    )
    templates.install_null_translations()  # type: ignore[attr-defined]
    application = web.Application(
        [("/files/(.*)", FilesHandler)],
        contents_manager=Failing(),
        identity_provider=PasswordIdentityProvider(token=""),
        authorizer=AllowAllAuthorizer(),
        base_url="/",
        cookie_secret="of this test alone",
        disable_check_xsrf=True,
        jinja2_env=templates,
        static_path="static",
    )
    server = HTTPServer(application)
    (listener,) = bind_sockets(0, "127.0.0.1")
    server.add_sockets([listener])
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/files/"
    finally:
        server.stop()
        await server.close_all_connections()


async def test_a_store_that_fails_before_the_first_byte_has_a_page(failing: str) -> None:
    async with httpx.AsyncClient() as client:
        answer = await client.get(f"{failing}0.bin")
    assert answer.status_code == 503
    assert "It does not answer." in answer.text
    assert "etag" not in answer.headers


async def test_a_store_that_fails_later_breaks_the_connection(
    failing: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with httpx.AsyncClient() as client:
        with pytest.raises(httpx.RemoteProtocolError):
            await client.get(f"{failing}300.bin")
        # And no other.
        whole = await client.get(f"{failing}300.bin", headers={"Range": "bytes=0-99"})
    assert (whole.status_code, whole.content) == (206, b"x" * 100)
    assert "broke off" in caplog.text
    assert "Traceback" not in caplog.text
