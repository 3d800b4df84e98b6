"""One bucket and a prefix in it, asynchronous: obstore where it can, our own requests elsewhere.

Every key is relative to the prefix, without a slash at either end; a folder is
named likewise, and the top one is the empty string. Where raw keys come out
(`Store.walk`), they may go in again: to copy, read and delete them.
"""

from __future__ import annotations

import asyncio
import logging
import mimetypes
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from lab_extension.contents.objects import bygone, folders, streams
from lab_extension.contents.objects.copies import Copying
from lab_extension.contents.objects.credentials import from_environment
from lab_extension.contents.objects.entries import (
    Buffer,
    Capabilities,
    Entry,
    Listing,
    Opened,
    PendingUpload,
    Usage,
    Version,
)
from lab_extension.contents.objects.faults import (
    BadName,
    Unsupported,
    Where,
    show,
)
from lab_extension.contents.objects.keys import (
    LONGEST_KEY,
    MARKER,
    join,
    new_key,
    regular,
)
from lab_extension.contents.objects.plain import PART, NotFlat, Objects, entry_of
from lab_extension.contents.objects.probe import capabilities_of
from lab_extension.contents.objects.s3api import PAGE, UNKNOWN_TYPE, Encryption, S3Api
from lab_extension.contents.objects.s3client import S3Client, Signing
from lab_extension.contents.objects.saving import Condition, Saving
from lab_extension.contents.objects.settings import StoreSettings
from lab_extension.contents.objects.trust import Trust

__all__ = [
    "PART",
    "Buffer",
    "Capabilities",
    "Entry",
    "Listing",
    "Opened",
    "PendingUpload",
    "Store",
    "StoreSettings",
    "Usage",
    "Version",
]

log = logging.getLogger(__name__)

LARGE_FOLDER = 2000
"""Files of a folder that is worth being given as it comes."""
REMEMBERED = 1000
"""Large folders without subfolders that are known again."""


class Store:
    """Files and folders of one prefix. Sends nothing before the first call.

    Every method raises:
        Refused: the credentials do not reach that far.
        StoreDown, ClockSkew, NoBucket, Rejected: see `faults`.
        BadName: a key that no object can have.
    """

    def __init__(self, settings: StoreSettings):
        self.settings = settings
        self.bucket = settings.bucket
        self.prefix = settings.prefix.strip("/")
        self.endpoint = (
            settings.endpoint_url or f"https://s3.{settings.region}.amazonaws.com"
        ).rstrip("/")
        self.where = Where(self.endpoint, self.bucket)
        credentials = None
        if not settings.anonymous:
            credentials = settings.credentials or from_environment()
        encryption = Encryption(settings.sse, settings.kms_key_id)
        trust = Trust.of(verify=settings.verify_tls, bundle=settings.ca_bundle)
        client = S3Client(self.where, Signing(settings.region, credentials), trust)
        self._api = S3Api(client, encryption)
        self._objects = Objects(
            self.where,
            region=settings.region,
            credentials=credentials,
            trust=trust,
            encryption=encryption,
            ask_busy=client.busy_for,
            ask_reason=self._api.reason,
        )
        self._saving = Saving(self._objects, self._api, self.capabilities)
        self._copying = Copying(self._objects, self._api, self._saving, self.capabilities)
        self._cut = len(self.prefix) + 1 if self.prefix else 0
        self._capabilities: Capabilities | None = None
        self._probing = asyncio.Lock()
        self._told: set[str] = set()
        self._flat: dict[str, str] = {}

    async def capabilities(self) -> Capabilities:
        """What this store does; found out once, at the first call."""
        if self._capabilities is None:
            async with self._probing:
                if self._capabilities is None:
                    self._capabilities = await capabilities_of(self._api, self.prefix)
        return self._capabilities

    def uri(self, key: str) -> str:
        return f"s3://{self.bucket}/{self._full(key)}"

    # Reading

    async def head(self, key: str, *, version: str | None = None) -> Entry:
        """What is known of an object, or of an old version of it. Raises Missing."""
        full = self._full(key)
        if regular(full) and version is None:
            return self._entry(await self._objects.head(full))
        return self._entry((await self._api.head(full, version=version))[0])

    async def read(
        self, key: str, *, version: str | None = None, if_match: str | None = None
    ) -> tuple[Entry, Buffer, str]:
        """The whole object: what it is, its bytes, its media type. Raises Missing, Changed."""
        full = self._full(key)
        if not regular(full):
            entry, content, media_type = await self._api.get(full, version=version)
            return self._entry(entry), content, media_type
        answer, data = await self._objects.content(
            full, version=version, if_match=_quoted(if_match)
        )
        return self._described(answer, version), data, _media_type(answer)

    async def open(
        self,
        key: str,
        *,
        start: int = 0,
        end: int | None = None,
        version: str | None = None,
        if_match: str | None = None,
    ) -> Opened:
        """The bytes from ``start`` to ``end`` (exclusive) as they are read.

        Raises:
            Missing, Changed
            BadRange: ``start`` lies behind the last byte.
        """
        full = self._full(key)
        if not regular(full):
            raise BadName(f"{show(key)} can be copied and deleted, but not opened.")
        wanted: dict[str, Any] = {"version": version, "if_match": _quoted(if_match)}
        whole = False
        try:
            answer = await self._objects.get(full, **wanted, range=_range(start, end))
        except Unsupported:
            answer = await self._objects.get(full, **wanted)
            whole = True
        entry = self._described(answer, version)
        first, last = answer.range
        if whole:
            first, last = min(start, entry.size), min(entry.size, end or entry.size)

        async def again(begin: int, stop: int) -> Any:
            same: dict[str, Any] = {"version": version, "if_match": _quoted(entry.etag)}
            return await self._objects.get(full, **same, range=(begin, stop))

        skip = first if whole else 0
        chunks = streams.chunks(answer, first, last, skip=skip, again=again, where=self.where)
        return Opened(entry, _media_type(answer), chunks, first, last)

    # Writing

    async def write(
        self,
        key: str,
        data: Buffer,
        *,
        media_type: str | None = None,
        if_match: str | None = None,
        if_absent: bool = False,
    ) -> Entry:
        """Write over what is there, or only if the condition holds.

        Where the store ignores conditions (`capabilities`), what is there is
        compared before it is written over.

        Returns:
            What was written: its etag is that of ``data``, whoever wrote next.

        Raises:
            Changed: the object's etag is not ``if_match``, or it is gone.
            AlreadyThere: there is one, and ``if_absent`` was asked.
        """
        chosen = media_type or mimetypes.guess_type(key)[0] or UNKNOWN_TYPE
        condition = Condition(if_match, if_absent)
        return self._entry(await self._saving.write(self._target(key), data, chosen, condition))

    # Folders

    async def folder(self, folder: str) -> Listing:
        """All that lies directly in the folder; empty and unmarked if there is no such folder."""
        full = self._full(folder)
        if not full or regular(full):
            level = await self._objects.level(full)
            if level is not None:
                found = await folders.of_level(full, self._cut, *level)
                if len(found.files) > LARGE_FOLDER and not found.folders:
                    self._flat[folder] = self._full(found.files[len(found.files) // 2].key)
                    if len(self._flat) > REMEMBERED:
                        del self._flat[next(iter(self._flat))]
                return found
        whole = folders.together([page async for page in self.pages(folder)])
        if whole.left_out and folder not in self._told:
            self._told.add(folder)
            log.warning(
                "Left out of the folder %s: %d objects whose names no file can have, such as %s.",
                self.uri(folder),
                len(whole.left_out),
                show(whole.left_out[0]),
            )
        return whole

    async def parts(self, folder: str) -> AsyncIterator[Listing]:
        """`folder`, in parts where that is faster: of large folders without subfolders.

        Which those are is known from the last time: the file browser looks
        again and again.
        """
        given: set[str] = set()
        if middle := self._flat.get(folder):
            full = self._full(folder)
            try:
                async for metas in self._objects.flat(full, middle):
                    part = await folders.of_level(full, self._cut, (), metas)
                    # Twice where the middle is no more: the first half is all then.
                    files = [entry for entry in part.files if entry.key not in given]
                    given.update(entry.key for entry in files)
                    yield replace(part, files=files)
                if given:
                    return
            except NotFlat:
                pass
            self._flat.pop(folder, None)
        whole = await self.folder(folder)
        files = [entry for entry in whole.files if entry.key not in given]
        yield replace(whole, files=files) if given else whole

    async def pages(self, folder: str) -> AsyncIterator[Listing]:
        """`folder`, as the store gives it, some 1,000 at a time."""
        begin = self._below(folder)
        async for page in self._api.pages(begin, delimiter="/"):
            yield folders.of_page(begin, self._cut, page)

    async def walk(self, folder: str) -> AsyncIterator[list[Entry]]:
        """Everything below the folder, markers included; keys are raw (``a/`` is a marker)."""
        async for page in self._api.pages(self._below(folder)):
            if page.entries:
                yield [self._entry(entry) for entry in page.entries]

    async def folder_exists(self, folder: str) -> bool:
        """Whether anything lies below it, or a marker; the top folder always is."""
        if not folder:
            return True
        page = await self._api.page(self._below(folder), size=1)
        return bool(page.entries or page.prefixes)

    async def make_folder(self, folder: str) -> None:
        """Write the folder's marker; harmless if it is there."""
        await self.write(join(folder, MARKER), b"", media_type=UNKNOWN_TYPE)

    async def remove_marker(self, folder: str) -> None:
        """Remove the folder's markers of both kinds; harmless if there is none."""
        markers = [join(folder, MARKER)]
        await self.delete([*markers, f"{folder}/"] if folder else markers)

    # Copies and deletions

    async def copy(
        self,
        source: str,
        target: str,
        *,
        version: str | None = None,
        if_match: str | None = None,
        if_absent: bool = False,
    ) -> Entry:
        """Copy within the store, of any size.

        Args:
            version: of the source; None for the newest.
            if_match: copy only if the source's etag is this.
            if_absent: copy only if there is no target.

        Raises:
            Missing: there is no source.
            Changed: its etag is not ``if_match``.
            AlreadyThere: there is a target, and ``if_absent`` was asked.
        """
        begin, end = self._full(source), self._target(target, copied=True)
        return self._entry(
            await self._copying.copy(
                begin, end, version=version, if_match=if_match, if_absent=if_absent
            )
        )

    async def copy_new(self, source: str, target: str) -> None:
        """`copy` of the newest where there is no target yet, faster: it asks for nothing back.

        Raises:
            Missing: there is no source.
            AlreadyThere: there is a target. It may be this call's own, if an
                answer was lost on the way.
        """
        end = self._target(target, copied=True)
        await self._copying.copy_new(self._full(source), end)

    async def delete(self, keys: Sequence[str]) -> None:
        """Remove objects, any number; harmless where there is none."""
        full = list(dict.fromkeys(self._full(key) for key in keys))
        plain = [key for key in full if regular(key)]
        odd = [key for key in full if not regular(key)]
        for key in odd:
            self._api.client.url(key)  # refuses dots, which some stores would resolve
        if plain:
            await self._objects.delete(plain)
        # XML has no way to write a control character.
        unwritable = [key for key in odd if any(ord(char) < 32 for char in key)]
        rest = [key for key in odd if key not in set(unwritable)]
        for start in range(0, len(rest), PAGE):
            await self._api.delete_many([(key, None) for key in rest[start : start + PAGE]])
        for key in unwritable:
            await self._api.delete(key)

    # Uploads in parts

    async def begin_upload(self, key: str, media_type: str | None = None) -> str:
        """Begin an upload in parts; returns its id."""
        chosen = media_type or mimetypes.guess_type(key)[0] or UNKNOWN_TYPE
        return await self._api.begin(self._target(key), chosen)

    async def upload_part(self, key: str, upload: str, number: int, data: Buffer) -> str:
        """Send part ``number`` (from 1); returns its etag, which `finish_upload` needs.

        All parts but the last hold 5 MiB at least. The same number sent again
        takes the place of the first.
        """
        return await self._api.part(self._full(key), upload, number, data)

    async def finish_upload(
        self,
        key: str,
        upload: str,
        parts: Sequence[str],
        *,
        if_match: str | None = None,
        if_absent: bool = False,
    ) -> Entry:
        """Make the object of its parts, in their order.

        Raises:
            Changed, AlreadyThere: as `write`; the upload is still there.
            Missing: there is no such upload.
        """
        condition = Condition(if_match, if_absent)
        return self._entry(await self._saving.finish(self._full(key), upload, parts, condition))

    async def abort_upload(self, key: str, upload: str) -> None:
        """Forget an upload and its parts; harmless if it is gone."""
        await self._api.abort(self._full(key), upload)

    async def pending_uploads(self, folder: str = "") -> list[PendingUpload]:
        """Uploads below the folder that were begun and neither finished nor aborted.

        Raises:
            Refused: the right to list them is a separate one.
        """
        found = await self._api.uploads(self._below(folder))
        return [PendingUpload(self._relative(u.key), u.upload, u.started) for u in found]

    # Versions

    async def versions(self, key: str) -> list[Version]:
        """Newest first, delete markers included; empty where the store keeps none."""
        found = await bygone.versions(self._api, self._full(key))
        return [self._version(item) for item in found]

    async def deleted(
        self, folder: str, *, since: datetime | None = None, limit: int = 1000
    ) -> list[Version]:
        """What was deleted below the folder and can be had again, latest deletion first.

        Each is the last real version of a key whose newest is a delete marker;
        its ``modified`` is when it was deleted, and ``deleted`` is true. Markers
        of folders are not among them; empty where the store keeps no versions.
        """
        found = await bygone.deleted(self._api, self._below(folder), since=since, limit=limit)
        return [self._version(item) for item in found]

    async def restore(self, key: str, version: str) -> Entry:
        """Make a copy of that version the newest. Raises Missing."""
        return await self.copy(key, key, version=version)

    # The rest

    async def presign(self, key: str, seconds: int, *, version: str | None = None) -> str:
        """An address under which anybody may read the object for so long.

        It ends sooner where the keys that it is signed with do (`keys_end`).
        """
        query = {"versionId": version} if version else {}
        return await self._api.client.presign(
            self._full(key), seconds, query, self.settings.public_url
        )

    async def keys_end(self) -> datetime | None:
        """When the keys now in use end; None if they do not."""
        return await self._api.client.keys_end()

    async def usage(self, folder: str = "") -> Usage:
        size = objects = 0
        async for page in self._api.pages(self._below(folder)):
            size += sum(entry.size for entry in page.entries)
            objects += len(page.entries)
        return Usage(size, objects)

    async def close(self) -> None:
        """Close connections; the next call opens others."""
        await self._api.client.close()

    # Keys

    def _full(self, key: str) -> str:
        return join(self.prefix, key) if key else self.prefix

    def _below(self, folder: str) -> str:
        full = self._full(folder)
        return f"{full}/" if full else ""

    def _target(self, key: str, *, copied: bool = False) -> str:
        """The whole key of something that is to be made."""
        full = self._full(key)
        if copied or (key.endswith("/") and regular(key[:-1])):
            if len(full.encode(errors="replace")) > LONGEST_KEY:
                new_key(full)
            return full
        return join(self.prefix, new_key(key, prefix=self.prefix))

    def _relative(self, full: str) -> str:
        return full[self._cut :]

    def _entry(self, entry: Entry) -> Entry:
        return folders.relative(entry, self._cut)

    def _version(self, item: Version) -> Version:
        key = self._relative(item.key)
        return Version(key, item.version, item.size, item.modified, item.latest, item.deleted)

    def _described(self, answer: Any, version: str | None) -> Entry:
        entry = self._entry(entry_of(answer.meta, self.where))
        if version and entry.version is None:
            return Entry(entry.key, entry.size, entry.modified, entry.etag, version)
        return entry


def _quoted(etag: str | None) -> str | None:
    return f'"{etag}"' if etag else None


def _range(start: int, end: int | None) -> Any:
    if end is not None:
        return (start, end)
    return {"offset": start} if start else None


def _media_type(answer: Any) -> str:
    return str(answer.attributes.get("Content-Type", UNKNOWN_TYPE))
