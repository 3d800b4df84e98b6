"""Writing objects so that no save is lost: on condition, in parts, and certain of how it ended.

Keys are whole. What is returned describes what was written here, whoever wrote
next: were another's etag to pass for ours, the next save would go over his.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from lab_extension.contents.objects.entries import Buffer, Capabilities, Entry
from lab_extension.contents.objects.faults import AlreadyThere, Changed, Missing, StoreDown
from lab_extension.contents.objects.keys import regular
from lab_extension.contents.objects.plain import PART, Objects
from lab_extension.contents.objects.s3api import S3Api

LARGEST_PUT = 64 * 1024 * 1024
"""Bytes that a write on condition sends in one piece; in parts above."""
_PARTS_AT_ONCE = 4


@dataclass(frozen=True)
class Condition:
    """What must hold for a write to take place; nothing, by default.

    Attributes:
        if_match: the etag of what is there.
        if_absent: there is nothing.
    """

    if_match: str | None = None
    if_absent: bool = False

    def __bool__(self) -> bool:
        return bool(self.if_match or self.if_absent)

    def heeded(self, able: Capabilities, *, in_parts: bool) -> bool:
        """Whether the store itself sees to it."""
        if self.if_match:
            return able.complete_if_match if in_parts else able.put_if_match
        return able.complete_if_absent if in_parts else able.put_if_absent

    def doubtful(self, able: Capabilities) -> bool:
        """Whether the store may heed it and still take a deleted object for what is there."""
        return bool(self.if_match) and able.match_passes_gone

    def holds(self, found: Entry | None) -> bool:
        if self.if_match:
            return found is not None and found.etag == self.if_match
        return found is None or not self.if_absent


ALWAYS = Condition()


class Saving:
    """Raises the faults of `faults`, and Changed or AlreadyThere where a condition fails."""

    def __init__(
        self, objects: Objects, api: S3Api, capabilities: Callable[[], Awaitable[Capabilities]]
    ):
        self._objects = objects
        self._api = api
        self._where = api.where
        self._capabilities = capabilities

    async def write(
        self, key: str, data: Buffer, media_type: str, condition: Condition = ALWAYS
    ) -> Entry:
        if not condition:
            return await self._put(key, data, media_type, ALWAYS)
        able = await self._capabilities()
        if condition.doubtful(able):
            await self.compare(key, condition)
        if len(data) > LARGEST_PUT and regular(key):
            return await self._in_parts(key, data, media_type, condition)
        if not condition.heeded(able, in_parts=False):
            await self.compare(key, condition)
            return await self._put(key, data, media_type, ALWAYS)
        return await self._surely(key, data, media_type, condition)

    async def finish(
        self, key: str, upload: str, parts: Sequence[str], condition: Condition = ALWAYS
    ) -> Entry:
        """End an upload in parts; where the condition fails, the upload is still there.

        Raises:
            Missing: there is no such upload.
        """
        asked = condition
        if condition:
            able = await self._capabilities()
            heeded = condition.heeded(able, in_parts=True)
            if not heeded or condition.doubtful(able):
                await self.compare(key, condition)
            asked = condition if heeded else ALWAYS
        try:
            done = await self._api.complete(
                key, upload, parts, if_match=asked.if_match, if_absent=asked.if_absent
            )
        except Changed:
            raise self._failed(key, condition) from None
        except (StoreDown, Missing) as fault:
            # The answer may have been lost, or this be a repetition of what succeeded.
            found = await self.there(key)
            if found is not None and found.etag == _etag_of_parts(parts):
                return found
            if condition.if_match and found is None and isinstance(fault, Missing):
                raise self._where.changed(key) from fault
            raise
        return await self._written(key, None, done.etag, done.version)

    async def compare(self, key: str, condition: Condition) -> None:
        """Look whether the condition holds, for a store that does not heed it itself."""
        if not condition.holds(await self.there(key)):
            raise self._failed(key, condition)

    async def there(self, key: str) -> Entry | None:
        try:
            if regular(key):
                return await self._objects.head(key)
            return (await self._api.head(key))[0]
        except Missing:
            return None

    def _failed(self, key: str, condition: Condition) -> Changed | AlreadyThere:
        if condition.if_absent:
            return self._where.already_there(key)
        return self._where.changed(key)

    async def _put(self, key: str, data: Buffer, media_type: str, condition: Condition) -> Entry:
        asked = {"if_match": condition.if_match, "if_absent": condition.if_absent}
        if not regular(key):
            return await self._api.put(key, data, media_type=media_type, **asked)  # type: ignore[arg-type]
        etag, version = await self._objects.put(key, data, media_type=media_type, **asked)  # type: ignore[arg-type]
        return await self._written(key, len(data), etag, version)

    async def _written(
        self, key: str, size: int | None, etag: str | None, version: str | None
    ) -> Entry:
        """What was written just now, with the store's time of it, as far as it still knows.

        Args:
            size: None where only the store knows.
        """
        with contextlib.suppress(Missing):
            found = await self._objects.head(key)
            if found.etag == etag:
                return found
            if size is None and version is not None:
                found, _ = await self._api.head(key, version=version)
                return found
        now = datetime.now(UTC).replace(microsecond=0)
        return Entry(key, size or 0, now, etag, version)

    async def _surely(self, key: str, data: Buffer, media_type: str, condition: Condition) -> Entry:
        """A write on condition, of which it is known in the end whether it took place.

        Where the answer was lost, what is there now tells: the same content means
        that it did; what was there before that it did not, and may be repeated.
        """
        lost = False
        while True:
            try:
                return await self._put(key, data, media_type, condition)
            except StoreDown as fault:
                if fault.untouched or lost or not (fault.silent or fault.busy):
                    raise
                lost = True
                found = await self.there(key)
                if found is not None and found.etag == await _md5(data):
                    return found
                if not condition.holds(found):
                    raise self._failed(key, condition) from fault
            except (Changed, AlreadyThere):
                # After a lost answer, this may be what the first try left.
                found = await self.there(key) if lost else None
                if found is None or found.etag != await _md5(data):
                    raise
                return found

    async def _in_parts(
        self, key: str, data: Buffer, media_type: str, condition: Condition
    ) -> Entry:
        view = memoryview(data).cast("B")
        upload = await self._api.begin(key, media_type)
        gate = asyncio.Semaphore(_PARTS_AT_ONCE)

        async def send(number: int, start: int) -> str:
            async with gate:
                return await self._api.part(key, upload, number, view[start : start + PART])

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(send(number, start))
                    for number, start in enumerate(range(0, len(view), PART), 1)
                ]
            return await self.finish(key, upload, [task.result() for task in tasks], condition)
        except BaseException as error:
            with contextlib.suppress(Exception):
                await asyncio.shield(self._api.abort(key, upload))
            if isinstance(error, BaseExceptionGroup):
                raise error.exceptions[0] from None
            raise


async def _md5(data: Buffer) -> str:
    """What stores give as the etag of an object that went up in one piece."""
    digest = await asyncio.to_thread(hashlib.md5, data, usedforsecurity=False)
    return digest.hexdigest()


def _etag_of_parts(parts: Sequence[str]) -> str | None:
    """What stores give as the etag of an object made of these parts; None if not known."""
    try:
        joined = b"".join(bytes.fromhex(part) for part in parts)
    except ValueError:
        return None
    return f"{hashlib.md5(joined, usedforsecurity=False).hexdigest()}-{len(parts)}"
