"""Large files arrive in chunks of 1 MiB; object storage takes them in parts of 8 MiB.

Jupyter's clients send chunks 1, 2, … and at last -1, each a request of its own,
with no id of the upload. So an upload is known by its path (and by the id that
our own frontend adds). Chunk 1 begins again. At most three parts of an upload
are in memory. One that is given up is aborted after a quarter of an hour; one
whose server died is found by its record, and aborted when a server starts.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from logging import Logger
from typing import Any

from hub_ext.errors import Invalid, PublicError, Unavailable
from lab_extension.contents import absent
from lab_extension.contents.apart import apart
from lab_extension.contents.objects.entries import Entry
from lab_extension.contents.objects.faults import Missing
from lab_extension.contents.objects.store import Store
from lab_extension.contents.paths import OURS

PART = 8 * 1024 * 1024
ABANDONED = timedelta(minutes=15)
"""Without a chunk for so long, an upload is given up."""
REFRESH = timedelta(minutes=5)
"""How often a living upload renews its record, so that no other server aborts it."""
MOST = 64
"""Uploads of one server at the same time."""
_SENDING = 2
_RECORDS = f"{OURS}/uploads"


class WrongChunk(Invalid):
    """A chunk that does not follow the one before it."""

    code, status = "wrong-chunk", 400


class TooMany(Unavailable):
    code = "too-many-uploads"


Key = tuple[str, str]
"""Path, and the client's id of the upload (empty if it has none)."""


@dataclass
class Upload:
    """One upload on its way.

    Attributes:
        condition: of the write at its end, as `Store.write` takes it.
        chunk: number of the last chunk that arrived.
        size: bytes so far.
        id: of the upload in parts; empty while all fits into one.
    """

    key: str
    media_type: str | None
    condition: dict[str, Any]
    chunk: int = 0
    size: int = 0
    last: bytes = b""
    id: str = ""
    record: str = field(default_factory=lambda: f"{_RECORDS}/{uuid.uuid4().hex}")
    buffer: bytearray = field(default_factory=bytearray)
    parts: list[asyncio.Task[str]] = field(default_factory=list)
    touched: float = 0.0
    renewed: float = 0.0
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)


class Uploads:
    """The uploads of one manager.

    Args:
        step: called with the name of each step that is done, for tests.
        now: a clock in seconds.
    """

    def __init__(
        self,
        store: Store,
        log: Logger,
        step: Callable[[str], None],
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ):
        self._store = store
        self._log = log
        self._step = step
        self._now = now
        self._sleep = sleep
        self._open: dict[Key, Upload] = {}
        self._sweeper: asyncio.Task[None] | None = None

    async def begin(
        self, key: Key, target: str, *, media_type: str | None, condition: dict[str, Any]
    ) -> None:
        """Begin, or begin again.

        Raises:
            TooMany
        """
        if key not in self._open and len(self._open) >= MOST:
            raise TooMany(
                f"{len(self._open)} uploads are under way.", mend="Wait until some have ended."
            )
        await self.drop(key)
        self._open[key] = Upload(target, media_type, condition, touched=self._now())
        self._watch()

    async def add(self, key: Key, chunk: int, data: bytes) -> int:
        """Take the next chunk; the bytes so far.

        Raises:
            WrongChunk: out of order, or of no upload that is known.
        """
        upload = self._known(key, chunk)
        async with upload.turn:
            self._in_order(upload, chunk, data)
            if chunk == upload.chunk:
                return upload.size  # the answer to it was lost, and it came again
            # With each chunk, not with each part: on a slow line a part takes long.
            if upload.id and self._now() - upload.renewed > REFRESH.total_seconds():
                await self._renew(upload)
            await self._take(key, upload, data)
            upload.chunk = chunk
            upload.last = hashlib.sha256(data).digest()
            return upload.size

    async def end(self, key: Key, data: bytes) -> Entry:
        """Take the last chunk and make the object.

        Raises:
            WrongChunk: of no upload that is known.
            Changed, AlreadyThere: the condition does not hold; the upload is gone.
        """
        upload = self._known(key, -1)
        async with upload.turn:
            if self._open.get(key) is not upload:
                raise _unknown(key, -1)
            upload.size += len(data)
            upload.buffer += data
            try:
                entry = await self._finish(upload)
            except BaseException:
                await self.drop(key)
                raise
            self._open.pop(key, None)
            return entry

    def size(self, key: Key) -> int:
        """Bytes that an upload has so far; 0 if there is none."""
        upload = self._open.get(key)
        return upload.size if upload else 0

    async def drop(self, key: Key) -> None:
        """Give an upload up; harmless if there is none."""
        upload = self._open.pop(key, None)
        if upload is None:
            return
        for part in upload.parts:
            part.cancel()
        await asyncio.gather(*upload.parts, return_exceptions=True)
        if upload.id:
            await self._abort(upload.key, upload.id, upload.record)

    async def close(self) -> None:
        """Give up all that is under way."""
        if self._sweeper:
            self._sweeper.cancel()
        for key in list(self._open):
            await self.drop(key)

    async def sweep(self) -> int:
        """Abort what earlier servers left behind; how many.

        Only uploads with a record of ours: those of jobs and of other clients
        below the same prefix may take hours, and are theirs.
        """
        aborted = 0
        limit = datetime.now(UTC) - ABANDONED
        async for batch in self._store.walk(_RECORDS):
            for entry in batch:
                if entry.modified < limit and await self._sweep(entry):
                    aborted += 1
        return aborted

    async def _sweep(self, record: Entry) -> bool:
        try:
            _, data, _ = await self._store.read(record.key)
            told = json.loads(bytes(data))
            await self._abort(told["key"], told["upload"], record.key)
        except (PublicError, ValueError, KeyError, TypeError) as error:
            self._log.warning("The upload of %s could not be aborted: %s", record.key, error)
            return False
        self._log.info("Aborted the upload of %s, begun and never ended", told["key"])
        return True

    def _known(self, key: Key, chunk: int) -> Upload:
        if key not in self._open:
            raise _unknown(key, chunk)
        upload = self._open[key]
        upload.touched = self._now()
        return upload

    def _in_order(self, upload: Upload, chunk: int, data: bytes) -> None:
        again = chunk == upload.chunk and hashlib.sha256(data).digest() == upload.last
        if chunk != upload.chunk + 1 and not again:
            raise WrongChunk(
                f"Chunk {chunk} of {upload.key} came where chunk {upload.chunk + 1} should be.",
                mend="Upload the file again.",
            )

    async def _take(self, key: Key, upload: Upload, data: bytes) -> None:
        upload.size += len(data)
        upload.buffer += data
        try:
            while len(upload.buffer) >= PART:
                part = bytes(memoryview(upload.buffer)[:PART])
                del upload.buffer[:PART]
                await self._send(upload, part)
        except BaseException:
            await self.drop(key)
            raise

    async def _send(self, upload: Upload, part: bytes) -> None:
        """Send a part while the next chunks arrive; wait if too many are on their way."""
        if not upload.id:
            upload.id = await self._store.begin_upload(upload.key, upload.media_type)
            await self._renew(upload)
            self._step("upload: begun")
        number = len(upload.parts) + 1
        sending = self._store.upload_part(upload.key, upload.id, number, part)
        upload.parts.append(apart(sending))
        if number > _SENDING:
            await upload.parts[number - _SENDING - 1]
        for earlier in upload.parts:
            if earlier.done():
                earlier.result()  # what went wrong is told at once
        self._step("upload: part")

    async def _renew(self, upload: Upload) -> None:
        told = json.dumps({"key": upload.key, "upload": upload.id}).encode()
        await self._store.write(upload.record, told)
        upload.renewed = self._now()

    async def _finish(self, upload: Upload) -> Entry:
        rest = bytes(upload.buffer)
        upload.buffer.clear()
        if not upload.id:
            write = partial(self._store.write, upload.key, rest, media_type=upload.media_type)
            return await absent.make(self._store, upload.key, write, **upload.condition)
        if rest:
            await self._send(upload, rest)
        etags = await asyncio.gather(*upload.parts)
        self._step("upload: parts sent")
        finish = partial(self._store.finish_upload, upload.key, upload.id, etags)
        entry = await absent.make(self._store, upload.key, finish, **upload.condition)
        self._step("upload: finished")
        await self._store.delete([upload.record])
        return entry

    async def _abort(self, key: str, upload: str, record: str) -> None:
        with contextlib.suppress(Missing):
            await self._store.abort_upload(key, upload)
        await self._store.delete([record])

    def _watch(self) -> None:
        if self._sweeper is None or self._sweeper.done():
            self._sweeper = apart(self._give_up())

    async def _give_up(self) -> None:
        """Drop uploads without a chunk for long, as long as there are any."""
        while self._open:
            oldest = min(upload.touched for upload in self._open.values())
            await self._sleep(max(1.0, oldest + ABANDONED.total_seconds() - self._now()))
            for key, upload in list(self._open.items()):
                if self._now() - upload.touched >= ABANDONED.total_seconds():
                    self._log.warning("The upload of %s was given up: no chunk came", upload.key)
                    with contextlib.suppress(PublicError):
                        await self.drop(key)


def _unknown(key: Key, chunk: int) -> WrongChunk:
    return WrongChunk(
        f"Chunk {chunk} of {key[0]} came, and no upload of it is under way.",
        mend="Upload the file again.",
    )
