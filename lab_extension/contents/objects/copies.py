"""Copying objects within a bucket, of any size and on condition. Keys are whole."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

from lab_extension.contents.objects.entries import Capabilities, Entry
from lab_extension.contents.objects.faults import Changed, Rejected
from lab_extension.contents.objects.keys import regular
from lab_extension.contents.objects.plain import Objects
from lab_extension.contents.objects.s3api import S3Api
from lab_extension.contents.objects.saving import Condition, Saving


class Copying:
    """Every method raises the faults of `faults`."""

    def __init__(
        self,
        objects: Objects,
        api: S3Api,
        saving: Saving,
        capabilities: Callable[[], Awaitable[Capabilities]],
    ):
        self._objects = objects
        self._api = api
        self._saving = saving
        self._capabilities = capabilities

    async def copy(
        self,
        source: str,
        target: str,
        *,
        version: str | None = None,
        if_match: str | None = None,
        if_absent: bool = False,
    ) -> Entry:
        """See `Store.copy`.

        Where the store does not heed a condition on the target of a copy, it may
        do so at the end of an upload in parts, which may be made of copies.
        """
        asked: dict[str, Any] = {"version": version, "if_match": if_match}
        in_parts = False
        if if_absent:
            able = await self._capabilities()
            asked["if_absent"] = able.copy_if_absent
            if not able.copy_if_absent and able.complete_if_absent and regular(target):
                asked["if_absent"] = in_parts = True
            if not asked["if_absent"]:
                await self._saving.compare(target, Condition(if_absent=True))
        try:
            written = await self._copied(source, target, asked, in_parts)
        except Changed:
            # The same answer for either condition: what is there tells which.
            if if_absent and await self._saving.there(target) is not None:
                raise self._api.where.already_there(target) from None
            if not if_absent or if_match:
                raise self._api.where.changed(source) from None
            # VersityGW takes a deleted object for one that is there.
            written = await self._copied(source, target, {**asked, "if_absent": False}, False)
        found = await self._saving.there(target)
        if found is not None and (written is None or found.etag == written.etag):
            return found
        if written is None:
            raise self._api.where.missing(target)
        return written

    async def copy_new(self, source: str, target: str) -> None:
        """See `Store.copy_new`."""
        if regular(source) and regular(target) and (await self._capabilities()).copy_if_absent:
            with contextlib.suppress(Rejected):  # it is too large for one request
                await self._objects.copy(source, target, if_absent=True)
                return
        await self.copy(source, target, if_absent=True)

    async def _copied(
        self, source: str, target: str, asked: dict[str, Any], in_parts: bool
    ) -> Entry | None:
        """What was written, as far as the answer says; None where it says nothing."""
        if source.endswith("/") or target.endswith("/"):  # not every store copies markers
            _, data, media_type = await self._api.get(source)
            return await self._api.put(target, data, media_type=media_type)
        if in_parts:
            return await self._api.copy_in_parts(source, target, **asked)
        try:
            if not any(asked.values()) and regular(source) and regular(target):
                await self._objects.copy(source, target)
                return None
            return await self._api.copy(source, target, **asked)
        except Rejected:
            found, _ = await self._api.head(source, version=asked["version"])
            if found.size <= self._api.largest_copy:
                raise
            return await self._api.copy_in_parts(source, target, **asked)
