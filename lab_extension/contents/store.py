"""One bucket and a prefix in it, asynchronous: obstore where it can, our own requests elsewhere.

Every key is relative to the prefix, without a slash at either end; a folder is
named likewise, and the top one is the empty string. Where raw keys come out
(`Store.walk`), they may go in again: to copy, read and delete them.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import mimetypes
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from lab_extension.contents import bygone, streams
from lab_extension.contents.credentials import CredentialsProvider, from_environment
from lab_extension.contents.entries import (
    Buffer,
    Capabilities,
    Entry,
    Listing,
    Opened,
    PendingUpload,
    Usage,
    Version,
)
from lab_extension.contents.faults import (
    AlreadyThere,
    BadName,
    Changed,
    Missing,
    Rejected,
    StoreDown,
    Unsupported,
    Where,
    show,
)
from lab_extension.contents.keys import (
    LONGEST_KEY,
    MARKER,
    is_marker,
    join,
    name_of,
    new_key,
    regular,
)
from lab_extension.contents.objects import PART, Objects, bare, entry_of
from lab_extension.contents.probe import capabilities_of
from lab_extension.contents.s3api import PAGE, UNKNOWN_TYPE, Encryption, S3Api
from lab_extension.contents.s3client import S3Client, Signing
from lab_extension.contents.s3xml import Page

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

LARGEST_PUT = 64 * 1024 * 1024
"""Bytes that a write on condition sends in one piece; in parts above."""
_PARTS_AT_ONCE = 4
_SLICE = 1000

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class StoreSettings:
    """Where the objects are, and how to be let in.

    Attributes:
        endpoint_url: ``http://host:port``; None for AWS's own of ``region``.
        prefix: where in the bucket; slashes at its ends do not matter.
        credentials: None takes them from the environment (``AWS_*``).
        anonymous: sign nothing; for buckets that are open to everybody.
        sse: server-side encryption that writes ask for: ``AES256`` or ``aws:kms``.
        kms_key_id: the key for ``aws:kms``.
        public_url: the endpoint by which others reach the store, for addresses
            that are shared; ours where it is empty.
    """

    endpoint_url: str | None
    bucket: str
    prefix: str = ""
    region: str = "us-east-1"
    credentials: CredentialsProvider | None = None
    anonymous: bool = False
    verify_tls: bool = True
    sse: str = ""
    kms_key_id: str = ""
    public_url: str = ""


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
        client = S3Client(
            self.where, Signing(settings.region, credentials), verify_tls=settings.verify_tls
        )
        self._api = S3Api(client, encryption)
        self._objects = Objects(
            self.where,
            region=settings.region,
            credentials=credentials,
            verify_tls=settings.verify_tls,
            encryption=encryption,
            ask_busy=client.busy_for,
            ask_reason=self._api.reason,
        )
        self._capabilities: Capabilities | None = None
        self._probing = asyncio.Lock()
        self._told: set[str] = set()

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
        skip = 0
        try:
            answer = await self._objects.get(full, **wanted, range=_range(start, end))
        except Unsupported:
            answer = await self._objects.get(full, **wanted)
            skip = start
        entry = self._described(answer, version)
        first = start
        last = min(entry.size, entry.size if end is None else end)
        if not skip:
            first, last = answer.range

        async def again(begin: int, stop: int) -> Any:
            same: dict[str, Any] = {"version": version, "if_match": _quoted(entry.etag)}
            return await self._objects.get(full, **same, range=(begin, stop))

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
        full = self._target(key)
        chosen = media_type or mimetypes.guess_type(key)[0] or UNKNOWN_TYPE
        if not (if_match or if_absent):
            return await self._put(full, data, chosen)
        able = await self.capabilities()
        if len(data) > LARGEST_PUT and regular(full):
            return await self._write_in_parts(key, data, chosen, if_match, if_absent)
        if (if_match and not able.put_if_match) or (if_absent and not able.put_if_absent):
            await self._compare(key, if_match, if_absent)
            return await self._put(full, data, chosen)
        return await self._put_surely(full, data, chosen, if_match, if_absent)

    async def _put(
        self,
        full: str,
        data: Buffer,
        media_type: str,
        if_match: str | None = None,
        if_absent: bool = False,
    ) -> Entry:
        if not regular(full):
            entry = await self._api.put(
                full, data, media_type=media_type, if_match=if_match, if_absent=if_absent
            )
            return self._entry(entry)
        etag, version = await self._objects.put(
            full, data, media_type=media_type, if_match=if_match, if_absent=if_absent
        )
        return await self._written(full, len(data), etag, version)

    async def _written(self, full: str, size: int, etag: str | None, version: str | None) -> Entry:
        """What was written just now, with the store's time of it.

        The etag is the write's own: another's write in the meantime must not
        pass for ours, or the next save would go over it.
        """
        with contextlib.suppress(Missing):
            found = await self._objects.head(full)
            if found.etag == etag:
                return self._entry(found)
        now = datetime.now(UTC).replace(microsecond=0)
        return self._entry(Entry(full, size, now, etag, version))

    async def _put_surely(
        self,
        full: str,
        data: Buffer,
        media_type: str,
        if_match: str | None,
        if_absent: bool,
    ) -> Entry:
        """A write on condition, of which it is known in the end whether it took place.

        Where the answer was lost, what is there now tells: the same content means
        that it did, what was there before that it did not, and may be repeated.
        """
        lost = False
        while True:
            try:
                return await self._put(full, data, media_type, if_match, if_absent)
            except StoreDown as fault:
                if fault.untouched or lost or not (fault.silent or fault.busy):
                    raise
                lost = True
                found = await self._there(full)
                if found is not None and found.etag == await _md5(data):
                    return self._entry(found)
                if if_match != (found.etag if found else None):
                    raise self.where.changed(self._relative(full)) from fault
            except (Changed, AlreadyThere):
                # After a lost answer this may be what the first try left.
                found = await self._there(full) if lost else None
                if found is None or found.etag != await _md5(data):
                    raise
                return self._entry(found)

    async def _there(self, full: str) -> Entry | None:
        try:
            return await self._objects.head(full)
        except Missing:
            return None

    async def _compare(self, key: str, if_match: str | None, if_absent: bool) -> None:
        found = await self._there(self._full(key))
        if if_absent and found is not None:
            raise self.where.already_there(key)
        if if_match and (found is None or found.etag != if_match):
            raise self.where.changed(key)

    async def _write_in_parts(
        self, key: str, data: Buffer, media_type: str, if_match: str | None, if_absent: bool
    ) -> Entry:
        view = memoryview(data).cast("B")
        upload = await self.begin_upload(key, media_type)
        gate = asyncio.Semaphore(_PARTS_AT_ONCE)

        async def send(number: int, start: int) -> str:
            async with gate:
                return await self.upload_part(key, upload, number, view[start : start + PART])

        try:
            starts = range(0, len(view), PART)
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(send(n, start)) for n, start in enumerate(starts, 1)]
            parts = [task.result() for task in tasks]
            return await self.finish_upload(
                key, upload, parts, if_match=if_match, if_absent=if_absent
            )
        except BaseException as error:
            with contextlib.suppress(Exception):
                await asyncio.shield(self.abort_upload(key, upload))
            if isinstance(error, BaseExceptionGroup):
                raise error.exceptions[0] from None
            raise

    # Folders

    async def folder(self, folder: str) -> Listing:
        """All that lies directly in the folder; empty and unmarked if there is no such folder."""
        full = self._full(folder)
        if not full or regular(full):
            level = await self._objects.level(full)
            if level is not None:
                return await self._gathered(full, *level)
        folders: list[str] = []
        files: list[Entry] = []
        left_out: list[str] = []
        marked = False
        async for page in self.pages(folder):
            folders += page.folders
            files += page.files
            left_out += page.left_out
            marked = marked or page.marked
        if left_out and folder not in self._told:
            self._told.add(folder)
            log.warning(
                "Left out of the folder %s: %d objects whose names no file can have, such as %s.",
                self.uri(folder),
                len(left_out),
                show(left_out[0]),
            )
        return Listing(folders, files, marked, left_out)

    async def _gathered(self, full: str, prefixes: list[str], metas: list[Any]) -> Listing:
        """obstore's answer as ours, in slices: the event loop goes on meanwhile."""
        cut = len(self.prefix) + 1 if self.prefix else 0
        files: list[Entry] = []
        marked = False
        for start in range(0, len(metas), _SLICE):
            if start:
                await asyncio.sleep(0)
            for meta in metas[start : start + _SLICE]:
                path = meta["path"]
                if path == full or is_marker(path):
                    marked = True
                    continue
                files.append(
                    Entry(
                        path[cut:],
                        meta["size"],
                        meta["last_modified"].astimezone(UTC),
                        bare(meta["e_tag"]),
                        meta["version"],
                    )
                )
        return Listing([name_of(prefix) for prefix in prefixes], files, marked)

    async def pages(self, folder: str) -> AsyncIterator[Listing]:
        """`folder`, as the store gives it, some 1,000 at a time."""
        begin = self._below(folder)
        async for page in self._api.pages(begin, delimiter="/"):
            yield self._listing(begin, page)

    def _listing(self, begin: str, page: Page) -> Listing:
        folders: list[str] = []
        files: list[Entry] = []
        left_out: list[str] = []
        marked = False
        for prefix in page.prefixes:
            name = prefix[len(begin) : -1]
            if regular(name):
                folders.append(name)
            else:
                left_out.append(self._relative(prefix))
        for entry in page.entries:
            name = entry.key[len(begin) :]
            if name in ("", MARKER):
                marked = True
            elif regular(name):
                files.append(self._entry(entry))
            else:
                left_out.append(self._relative(entry.key))
        return Listing(folders, files, marked, left_out)

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
        asked: dict[str, Any] = {"version": version, "if_match": if_match}
        in_parts = False
        if if_absent:
            able = await self.capabilities()
            if able.copy_if_absent:
                asked["if_absent"] = True
            elif able.complete_if_absent and regular(end):
                asked["if_absent"] = in_parts = True
            else:
                await self._compare(target, None, True)
        try:
            written = await self._copied(begin, end, asked, in_parts)
        except Changed:
            # The same answer for either condition: what is there tells which.
            if if_absent and await self._there(end) is not None:
                raise self.where.already_there(target) from None
            raise self.where.changed(source) from None
        if written is None or not regular(end):
            return (
                self._entry((await self._api.head(end))[0]) if written else await self.head(target)
            )
        found = await self._there(end)
        if found is not None and found.etag == written.etag:
            return self._entry(found)
        return self._entry(written)

    async def copy_new(self, source: str, target: str) -> None:
        """`copy` where there is no target yet, and nobody asks what was written: half as long.

        Raises:
            Missing: there is no source.
            AlreadyThere: there is a target; it may be this call's own, if an
                answer was lost.
        """
        begin, end = self._full(source), self._target(target, copied=True)
        plain = regular(begin) and regular(end) and (await self.capabilities()).copy_if_absent
        if plain:
            with contextlib.suppress(Rejected):  # it is too large for one request
                await self._objects.copy(begin, end, if_absent=True)
                return
        await self.copy(source, target, if_absent=True)

    async def _copied(
        self, begin: str, end: str, asked: dict[str, Any], in_parts: bool
    ) -> Entry | None:
        """What was written, as far as the answer says; None where it says nothing."""
        try:
            if begin.endswith("/") or end.endswith("/"):  # stores differ in whether they copy these
                _, data, media_type = await self._api.get(begin)
                return await self._api.put(end, data, media_type=media_type)
            if in_parts:
                return await self._api.copy_in_parts(begin, end, **asked)
            if not any(asked.values()) and regular(begin) and regular(end):
                await self._objects.copy(begin, end)
                return None
            return await self._api.copy(begin, end, **asked)
        except Rejected:
            found, _ = await self._api.head(begin, version=asked["version"])
            if found.size <= self._api.largest_copy:
                raise
            return await self._api.copy_in_parts(begin, end, **asked)

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
        full = self._full(key)
        if if_match or if_absent:
            able = await self.capabilities()
            heeded = able.complete_if_match if if_match else able.complete_if_absent
            if not heeded:
                await self._compare(key, if_match, if_absent)
                if_match, if_absent = None, False
        try:
            done = await self._api.complete(
                full, upload, parts, if_match=if_match, if_absent=if_absent
            )
        except Changed:
            if if_absent:
                raise self.where.already_there(key) from None
            raise self.where.changed(key) from None
        except (StoreDown, Missing) as fault:
            # The answer may have been lost, or this be a repetition of what succeeded.
            found = await self._there(full)
            if found is None or found.etag != _etag_of_parts(parts):
                if if_match and isinstance(fault, Missing) and found is None:
                    raise self.where.changed(key) from fault
                raise
            return self._entry(found)
        return await self._written(full, 0, done.etag, done.version)

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
        full = self._full(key)
        found: list[Version] = []
        with contextlib.suppress(Unsupported):
            async for page in self._api.versions(full):
                mine, more = bygone.of_key(full, page)
                found += mine
                if not more:
                    break
        if all(item.version == "null" for item in found):
            return []
        found.sort(key=lambda item: item.modified, reverse=True)
        found.sort(key=lambda item: not item.latest)
        return [self._version(item) for item in found]

    async def deleted(
        self, folder: str, *, since: datetime | None = None, limit: int = 1000
    ) -> list[Version]:
        """What was deleted below the folder and can be had again, latest deletion first.

        Each is the last real version of a key whose newest is a delete marker;
        its ``modified`` is when it was deleted, and ``deleted`` is true. Markers
        of folders are not among them; empty where the store keeps no versions.
        """
        graves = bygone.Graves(since=since, limit=limit)
        with contextlib.suppress(Unsupported):
            async for page in self._api.versions(self._below(folder)):
                graves.add(page)
        return [self._version(item) for item in graves.newest_first()]

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
        return full[len(self.prefix) + 1 :] if self.prefix else full

    def _entry(self, entry: Entry) -> Entry:
        if not self.prefix:
            return entry
        key = self._relative(entry.key)
        return Entry(key, entry.size, entry.modified, entry.etag, entry.version)

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
