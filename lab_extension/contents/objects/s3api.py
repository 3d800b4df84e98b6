"""What obstore cannot ask of a store, or cannot ask exactly.

- versions: listing them and delete markers;
- uploads in parts, piece by piece, and their end on condition;
- raw keys: ``key/`` markers, ``a//b``, control characters (obstore strips the
  slash, or refuses the whole listing that holds such a key);
- listings page by page, and copies on condition, of a version, or over 5 GB.

Keys are whole: the store's prefix is the caller's concern.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TypeVar
from urllib.parse import quote

import httpx

from hub_ext.errors import PublicError
from lab_extension.contents.objects import s3xml
from lab_extension.contents.objects.entries import Buffer, Entry, PendingUpload, Version
from lab_extension.contents.objects.faults import Missing, from_answer
from lab_extension.contents.objects.s3client import S3Client

PAGE = 1000
"""Keys of a page; what S3 gives at most."""
LARGEST_COPY = 5 * 1024**3
"""Bytes that one request copies at most."""
COPIED_PART = 512 * 1024 * 1024
# Of a store on a disk's folders: there is such a folder, and no object that marks it.
_NOT_THERE = ("NoSuchKey", "NoSuchVersion", "ErrDirectoryNotEmpty")
_IN_THREAD = 128 * 1024
_AT_ONCE = 4
UNKNOWN_TYPE = "application/octet-stream"

Parsed = TypeVar("Parsed")


@dataclass(frozen=True)
class Encryption:
    """What writes ask the store to encrypt with; empty for the bucket's own way."""

    sse: str = ""
    kms_key_id: str = ""

    def headers(self) -> dict[str, str]:
        found = {}
        if self.sse:
            found["x-amz-server-side-encryption"] = self.sse
        if self.kms_key_id:
            found["x-amz-server-side-encryption-aws-kms-key-id"] = self.kms_key_id
        return found


class S3Api:
    """The requests of one bucket. Every method raises the faults of `faults`."""

    def __init__(self, client: S3Client, encryption: Encryption | None = None):
        self.client = client
        self.where = client.where
        self._encryption = (encryption or Encryption()).headers()
        self.largest_copy = LARGEST_COPY

    # Listings

    async def page(
        self,
        prefix: str,
        *,
        delimiter: str = "",
        next_page: str | None = None,
        start_after: str = "",
        size: int = PAGE,
    ) -> s3xml.Page:
        """One page of the keys that begin with ``prefix``, and of no others.

        Asked for ``a.versions/``, where it keeps old versions of a file ``a``,
        SeaweedFS tells of ``a``: what removes a folder would remove that file.
        """
        query = {
            "list-type": "2",
            "encoding-type": "url",
            "max-keys": str(size),
            "prefix": prefix,
        }
        if delimiter:
            query["delimiter"] = delimiter
        if start_after:
            query["start-after"] = start_after
        if next_page:
            query["continuation-token"] = next_page
        answer = await self.client.send("GET", "", query)
        found = await self._parsed(s3xml.page, answer)
        entries = [entry for entry in found.entries if entry.key.startswith(prefix)]
        prefixes = [name for name in found.prefixes if name.startswith(prefix)]
        return s3xml.Page(entries, prefixes, found.next)

    async def pages(self, prefix: str, *, delimiter: str = "") -> AsyncIterator[s3xml.Page]:
        """All pages; the next is on its way while one is looked at."""
        page = await self.page(prefix, delimiter=delimiter)
        while page.next is not None:
            ahead = asyncio.ensure_future(
                self.page(prefix, delimiter=delimiter, next_page=page.next)
            )
            try:
                yield page
                page = await ahead
            finally:
                ahead.cancel()
        yield page

    async def versions(self, prefix: str) -> AsyncIterator[list[Version]]:
        """Versions and delete markers of the keys that begin with ``prefix``, in pages.

        By key; of one key the newest first.

        Raises:
            Unsupported: the store has no versions.
        """
        query = {"versions": "", "encoding-type": "url", "prefix": prefix}
        while True:
            answer = await self.client.send("GET", "", query)
            found = await self._parsed(s3xml.versions, answer)
            yield [item for item in found.versions if item.key.startswith(prefix)]
            if found.next is None:
                return
            query["key-marker"], query["version-id-marker"] = found.next
            if not found.next[1]:
                del query["version-id-marker"]

    async def uploads(self, prefix: str) -> list[PendingUpload]:
        """Uploads in parts that were begun and not ended, of keys that begin with ``prefix``."""
        query = {"uploads": "", "encoding-type": "url", "prefix": prefix}
        found: list[PendingUpload] = []
        while True:
            answer = await self.client.send("GET", "", query)
            page = await self._parsed(s3xml.uploads, answer)
            found += page.uploads
            if page.next is None:
                return found
            query["key-marker"], query["upload-id-marker"] = page.next

    # Single objects

    async def head(self, key: str, *, version: str | None = None) -> tuple[Entry, str]:
        """What the store says about an object, and its media type."""
        answer = await self.client.send("HEAD", key, {"versionId": version} if version else None)
        return _entry(key, answer), answer.headers.get("content-type", UNKNOWN_TYPE)

    async def get(self, key: str, *, version: str | None = None) -> tuple[Entry, bytes, str]:
        """An object as a whole; for raw keys, which are small or none of ours."""
        answer = await self.client.send("GET", key, {"versionId": version} if version else None)
        media_type = answer.headers.get("content-type", UNKNOWN_TYPE)
        return _entry(key, answer), answer.content, media_type

    async def ranges(self, key: str) -> bool:
        """Whether the store answers a range of the object (of two bytes at least) with it alone."""
        answer = await self.client.send("GET", key, headers={"range": "bytes=1-1"})
        return answer.status_code == 206 and len(answer.content) == 1

    async def reason(self, key: str) -> PublicError | None:
        """Why the store refuses an object, asked in a way that brings its error code along."""
        try:
            await self.client.send("GET", key, headers={"range": "bytes=0-0"}, renew=False)
        except PublicError as fault:
            return fault
        return None

    async def put(
        self,
        key: str,
        data: Buffer,
        *,
        media_type: str | None = None,
        if_match: str | None = None,
        if_absent: bool = False,
    ) -> Entry:
        """Write an object; the answer's size is that of ``data``, its time ours."""
        headers = {
            **self._encryption,
            **conditions(if_match, if_absent),
            "content-type": media_type or UNKNOWN_TYPE,
        }
        body, digest = await _hashed(data)
        answer = await self.client.send(
            "PUT",
            key,
            headers=headers,
            body=body,
            payload_hash=digest,
            harmless=not (if_match or if_absent),
        )
        return Entry(key, len(body), _now(), _etag(answer), answer.headers.get("x-amz-version-id"))

    async def delete(self, key: str, *, version: str | None = None) -> str | None:
        """Remove an object, or one version of it; harmless if it is not there.

        Returns:
            The version of the delete marker, where the store keeps versions.
        """
        try:
            query = {"versionId": version} if version else None
            answer = await self.client.send("DELETE", key, query)
        except Missing:
            return None
        marker: str | None = answer.headers.get("x-amz-version-id")
        return marker

    async def delete_many(self, keys: Sequence[tuple[str, str | None]]) -> None:
        """Remove up to `PAGE` objects, or versions of them, by one request."""
        body = s3xml.delete(keys)
        digest = base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()
        answer = await self.client.send(
            "POST", "", {"delete": ""}, headers={"content-md5": digest}, body=body
        )
        for key, code, message in await self._parsed(
            lambda text: list(s3xml.failures(text)), answer
        ):
            if code not in _NOT_THERE:
                raise from_answer(self.where, key, 400, code or "InternalError", message)

    # Copies

    async def copy(
        self,
        source: str,
        target: str,
        *,
        version: str | None = None,
        if_match: str | None = None,
        if_absent: bool = False,
    ) -> Entry:
        """Copy by one request, up to `LARGEST_COPY`; the answer's size is not known (0).

        Args:
            version, if_match: of the source.
            if_absent: heeded by some stores only, see `probe`.
        """
        headers = {
            **self._encryption,
            "x-amz-copy-source": self._source(source, version),
            **({"x-amz-copy-source-if-match": f'"{if_match}"'} if if_match else {}),
            **({"if-none-match": "*"} if if_absent else {}),
        }
        answer = await self.client.send(
            "PUT", target, headers=headers, harmless=not if_absent, slow=True
        )
        found = await self._parsed(lambda body: s3xml.result(body, "CopyObjectResult"), answer)
        return Entry(
            target,
            0,
            s3xml.instant(found.get("LastModified", "")),
            found.get("ETag", "").strip('"') or None,
            answer.headers.get("x-amz-version-id"),
        )

    async def copy_in_parts(
        self,
        source: str,
        target: str,
        *,
        version: str | None = None,
        if_match: str | None = None,
        if_absent: bool = False,
        part: int = COPIED_PART,
    ) -> Entry:
        """Copy an object of any size; ``if_absent`` is heeded as in `complete`."""
        found, media_type = await self.head(source, version=version)
        if if_match and found.etag != if_match:
            raise self.where.changed(source)
        upload = await self.begin(target, media_type)
        try:
            if found.size:
                etags = await self._copied_parts(source, found, target, upload, version, part)
            else:
                etags = [await self.part(target, upload, 1, b"")]
            entry = await self.complete(target, upload, etags, if_absent=if_absent)
        except BaseException:
            await asyncio.shield(asyncio.ensure_future(self._aborted(target, upload)))
            raise
        return Entry(target, found.size, entry.modified, entry.etag, entry.version)

    async def _copied_parts(
        self, source: str, found: Entry, target: str, upload: str, version: str | None, part: int
    ) -> list[str]:
        gate = asyncio.Semaphore(_AT_ONCE)

        async def one(number: int, start: int) -> str:
            end = min(start + part, found.size) - 1
            headers = {
                "x-amz-copy-source": self._source(source, version),
                "x-amz-copy-source-range": f"bytes={start}-{end}",
                "x-amz-copy-source-if-match": f'"{found.etag}"',
            }
            query = {"partNumber": str(number), "uploadId": upload}
            async with gate:
                answer = await self.client.send("PUT", target, query, headers=headers, slow=True)
            etag = await self._parsed(
                lambda body: s3xml.value(body, "CopyPartResult", "ETag"), answer
            )
            return etag.strip('"')

        starts = range(0, found.size, part)
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(one(n, start)) for n, start in enumerate(starts, 1)]
        except BaseExceptionGroup as failed:
            raise failed.exceptions[0] from None
        return [task.result() for task in tasks]

    def _source(self, key: str, version: str | None) -> str:
        named = quote(f"{self.where.bucket}/{key}", safe="/-_.~")
        return f"{named}?versionId={quote(version, safe='-_.~')}" if version else named

    # Uploads in parts

    async def begin(self, key: str, media_type: str | None = None) -> str:
        headers = {**self._encryption, "content-type": media_type or UNKNOWN_TYPE}
        answer = await self.client.send("POST", key, {"uploads": ""}, headers=headers)
        return await self._parsed(
            lambda body: s3xml.value(body, "InitiateMultipartUploadResult", "UploadId"), answer
        )

    async def part(self, key: str, upload: str, number: int, data: Buffer) -> str:
        """Send one part; sent again, it takes the place of the first. Its etag."""
        body, digest = await _hashed(data)
        query = {"partNumber": str(number), "uploadId": upload}
        answer = await self.client.send("PUT", key, query, body=body, payload_hash=digest)
        return _etag(answer) or ""

    async def complete(
        self,
        key: str,
        upload: str,
        parts: Sequence[str],
        *,
        if_match: str | None = None,
        if_absent: bool = False,
    ) -> Entry:
        """End an upload; the answer's size is not known (0), its time ours."""
        body = s3xml.complete(parts)
        headers = {**conditions(if_match, if_absent), "content-type": "application/xml"}
        query = {"uploadId": upload}
        answer = await self.client.send(
            "POST", key, query, headers=headers, body=body, harmless=False, slow=True
        )
        etag = await self._parsed(
            lambda text: s3xml.value(text, "CompleteMultipartUploadResult", "ETag"), answer
        )
        version = answer.headers.get("x-amz-version-id")
        return Entry(key, 0, _now(), etag.strip('"') or None, version)

    async def abort(self, key: str, upload: str) -> None:
        """Forget an upload and its parts; harmless if it is gone."""
        with contextlib.suppress(Missing):
            await self.client.send("DELETE", key, {"uploadId": upload})

    async def _aborted(self, key: str, upload: str) -> None:
        with contextlib.suppress(PublicError):  # swept later; what led here matters more
            await self.abort(key, upload)

    async def _parsed(self, parse: Callable[[bytes], Parsed], answer: httpx.Response) -> Parsed:
        try:
            if len(answer.content) > _IN_THREAD:
                return await asyncio.to_thread(parse, answer.content)
            return parse(answer.content)
        except (s3xml.NotS3, KeyError, ValueError) as error:
            raise self.where.no_store() from error


def conditions(if_match: str | None, if_absent: bool) -> dict[str, str]:
    found = {"if-match": f'"{if_match}"'} if if_match else {}
    return {**found, "if-none-match": "*"} if if_absent else found


async def _hashed(data: Buffer) -> tuple[bytes | memoryview, str]:
    body = data if isinstance(data, bytes) else memoryview(data).cast("B")
    if len(body) > _IN_THREAD:
        return body, await asyncio.to_thread(_sha256, body)
    return body, _sha256(body)


def _sha256(body: bytes | memoryview) -> str:
    return hashlib.sha256(body).hexdigest()


def _etag(answer: httpx.Response) -> str | None:
    return answer.headers.get("etag", "").strip('"') or None


def _entry(key: str, answer: httpx.Response) -> Entry:
    try:
        modified = parsedate_to_datetime(answer.headers["last-modified"]).astimezone(UTC)
    except (KeyError, ValueError):
        modified = s3xml.EPOCH
    return Entry(
        key,
        int(answer.headers.get("content-length") or 0),
        modified,
        _etag(answer),
        answer.headers.get("x-amz-version-id"),
    )


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)
