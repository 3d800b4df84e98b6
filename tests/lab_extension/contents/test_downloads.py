"""Large files, slow clients, clients that go, and stores that break off in between."""

from __future__ import annotations

import hashlib
import os
import socket
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from lab_extension.contents import files
from lab_extension.contents.entries import Entry, Opened
from lab_extension.contents.faults import Changed, StoreDown
from lab_extension.contents.files import Source
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


# What a store does only when it fails: these stand in for it.


@dataclass
class Fragile:
    """A store whose answers break off after some bytes, as often as it is told."""

    data: bytes
    breaks_after: list[int]
    etag: str = "one"
    opened: list[tuple[int, int | None, str | None]] = field(default_factory=list)
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
        self.opened.append((start, end, if_match))
        if if_match != self.etag:
            raise Changed("It has changed.")
        entry = await self.head(key)
        return Opened(entry, "", self._chunks(start, end), start, end)

    async def _chunks(self, start: int, end: int) -> AsyncGenerator[bytes]:
        try:
            stop = self.breaks_after.pop(0) if self.breaks_after else end
            for at in range(start, min(end, start + stop), 3):
                yield self.data[at : min(at + 3, end, start + stop)]
            if start + stop < end:
                raise StoreDown("It does not answer.")
        finally:
            self.ended += 1


async def source(store: Fragile) -> Source:
    made = Source(store)
    await made.find()
    return made


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    async def at_once(seconds: float) -> None:
        pass

    monkeypatch.setattr(files.asyncio, "sleep", at_once)  # type: ignore[attr-defined]


async def collect(made: Source, start: int, end: int) -> bytes:
    return b"".join([piece async for piece in made.pieces(start, end)])


async def test_what_breaks_off_is_taken_up_where_it_ended() -> None:
    store = Fragile(bytes(range(100)), breaks_after=[10, 1, 0, 0, 20, 0])
    assert await collect(await source(store), 5, 90) == bytes(range(5, 90))
    assert [start for start, _, _ in store.opened] == [5, 15, 16, 16, 16, 36, 36]
    assert {etag for _, _, etag in store.opened} == {"one"}


async def test_a_store_that_does_not_come_back_is_given_up() -> None:
    store = Fragile(bytes(100), breaks_after=[10] + [0] * 20)
    with pytest.raises(StoreDown):
        await collect(await source(store), 0, 100)
    assert len(store.opened) == 1 + files.AGAIN


async def test_the_rest_of_another_file_is_never_sent() -> None:
    store = Fragile(bytes(100), breaks_after=[10])
    made = await source(store)
    pieces = made.pieces(0, 100)
    assert await anext(pieces) == bytes(3)
    store.etag = "two"
    with pytest.raises(Changed):
        async for _ in pieces:
            pass


async def test_who_stops_reading_ends_the_stream() -> None:
    store = Fragile(bytes(100), breaks_after=[])
    pieces: Any = (await source(store)).pieces(0, 100)
    await anext(pieces)
    await pieces.aclose()
    assert store.ended == 1


async def test_pieces_are_small_whatever_the_store_hands_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(files, "PIECE", 2)
    store = Fragile(bytes(range(9)), breaks_after=[])
    pieces = [piece async for piece in (await source(store)).pieces(0, 9)]
    assert max(map(len, pieces)) == 2
    assert b"".join(pieces) == bytes(range(9))
