"""One bucket and a prefix in it, asynchronous, on obstore.

Every key is relative to the prefix, without a slash at either end; a folder is
named likewise, and the top one is the empty string.
"""

from __future__ import annotations

import mimetypes
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import obstore
from obstore import exceptions
from obstore.store import S3Store

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
from lab_extension.contents.faults import AlreadyThere, Changed, Missing, StoreDown
from lab_extension.contents.keys import MARKER, is_marker, join, name_of

__all__ = [
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

PART = 8 * 1024 * 1024
"""Bytes of a part going up. S3 refuses parts under 5 MiB, the last one apart."""
CHUNK = 1024 * 1024
"""Least bytes of a chunk coming down, the last one apart."""


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


class Store:
    """Files and folders of one prefix. Sends nothing before the first call.

    Every method raises:
        Refused: the credentials do not reach that far.
        StoreDown, ClockSkew, NoBucket: see `faults`.
        BadName: a key that no object can have.
    """

    def __init__(self, settings: StoreSettings):
        self.settings = settings
        self.bucket = settings.bucket
        self.prefix = settings.prefix.strip("/")
        self.endpoint = (
            settings.endpoint_url or f"https://s3.{settings.region}.amazonaws.com"
        ).rstrip("/")
        self._credentials = settings.credentials or from_environment()
        self._store = S3Store(
            settings.bucket,
            endpoint=self.endpoint,
            region=settings.region,
            config={"aws_endpoint_url_s3": self.endpoint, "virtual_hosted_style_request": False},
            client_options={"allow_http": True, "timeout": timedelta(minutes=10)},
            credential_provider=self._obstore_keys,  # type: ignore[arg-type]
        )

    async def _obstore_keys(self) -> dict[str, Any]:
        keys = await self._credentials.keys()
        return {
            "access_key_id": keys.access_key,
            "secret_access_key": keys.secret_key,
            "token": keys.session_token,
            "expires_at": keys.expires,
        }

    async def capabilities(self) -> Capabilities:
        """What this store does; found out once for each endpoint and bucket."""
        return Capabilities()

    def uri(self, key: str) -> str:
        return f"s3://{self.bucket}/{self._full(key)}"

    async def head(self, key: str) -> Entry:
        """Raises Missing."""
        try:
            return self._entry(await obstore.head_async(self._store, self._full(key)))
        except FileNotFoundError as error:
            raise Missing(f"There is no {key}.") from error

    async def read(
        self, key: str, *, version: str | None = None, if_match: str | None = None
    ) -> tuple[Entry, Buffer, str]:
        """The whole object: what it is, its bytes, its media type. Raises Missing, Changed."""
        answer = await self._get(key, {"version": version, "if_match": _quoted(if_match)})
        media_type = str(answer.attributes.get("Content-Type", "application/octet-stream"))
        return self._entry(answer.meta), await answer.bytes_async(), media_type

    async def open(
        self,
        key: str,
        *,
        start: int = 0,
        end: int | None = None,
        version: str | None = None,
        if_match: str | None = None,
    ) -> Opened:
        """The bytes from ``start`` to ``end`` (exclusive) as they are read. Raises Missing, Changed."""
        options: dict[str, Any] = {"version": version, "if_match": _quoted(if_match)}
        if end is not None:
            options["range"] = (start, end)
        elif start:
            options["range"] = {"offset": start}
        answer = await self._get(key, options)
        first, last = answer.range
        return Opened(
            self._entry(answer.meta),
            str(answer.attributes.get("Content-Type", "application/octet-stream")),
            answer.stream(min_chunk_size=CHUNK),
            first,
            last,
        )

    async def _get(self, key: str, options: dict[str, Any]) -> Any:
        options = {name: value for name, value in options.items() if value is not None}
        try:
            return await obstore.get_async(self._store, self._full(key), options=options)  # type: ignore[arg-type]
        except FileNotFoundError as error:
            raise Missing(f"There is no {key}.") from error
        except exceptions.PreconditionError as error:
            raise Changed(f"{key} has changed.") from error

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

        Raises:
            Changed: the object's etag is not ``if_match``.
            AlreadyThere: there is one, and ``if_absent`` was asked.
        """
        mode: Any = "create" if if_absent else "overwrite"
        if if_match:
            mode = {"e_tag": _quoted(if_match)}
        chosen = media_type or mimetypes.guess_type(key)[0] or "application/octet-stream"
        try:
            await obstore.put_async(
                self._store,
                self._full(key),
                data,
                mode=mode,
                attributes={"Content-Type": chosen},
                chunk_size=PART,
            )
        except exceptions.AlreadyExistsError as error:
            raise AlreadyThere(f"There is a {key} already.") from error
        except exceptions.PreconditionError as error:
            raise Changed(f"{key} has changed.") from error
        return await self.head(key)

    async def folder(self, folder: str) -> Listing:
        """All that lies directly in the folder; empty and unmarked if there is no such folder."""
        folders: list[str] = []
        files: list[Entry] = []
        marked = False
        async for page in self.pages(folder):
            folders += page.folders
            files += page.files
            marked = marked or page.marked
        return Listing(folders, files, marked)

    async def pages(self, folder: str) -> AsyncIterator[Listing]:
        """`folder`, as the store gives it, some 1,000 at a time."""
        found = await obstore.list_with_delimiter_async(self._store, self._full(folder) or None)
        entries = [self._entry(meta) for meta in found["objects"]]
        yield Listing(
            [name_of(name.rstrip("/")) for name in found["common_prefixes"]],
            [
                entry
                for entry in entries
                if entry.key not in ("", folder) and not is_marker(entry.key)
            ],
            any(entry.key == folder or is_marker(entry.key) for entry in entries),
        )

    async def walk(self, folder: str) -> AsyncIterator[list[Entry]]:
        """Everything below the folder, markers included; keys are raw (``a/`` is a marker)."""
        async for batch in obstore.list(self._store, self._full(folder) or None, chunk_size=1000):
            yield [self._entry(meta) for meta in batch]

    async def folder_exists(self, folder: str) -> bool:
        async for batch in self.walk(folder):
            return bool(batch)
        return False

    async def make_folder(self, folder: str) -> None:
        """Write the folder's marker; harmless if it is there."""
        await self.write(join(folder, MARKER), b"")

    async def remove_marker(self, folder: str) -> None:
        """Remove the folder's markers of both kinds; harmless if there is none."""
        await self.delete([join(folder, MARKER)])

    async def copy(
        self,
        source: str,
        target: str,
        *,
        version: str | None = None,
        if_match: str | None = None,
        if_absent: bool = False,
    ) -> Entry:
        """Copy within the store.

        Args:
            version: of the source; None for the newest.
            if_match: copy only if the source's etag is this.
            if_absent: copy only if there is no target.

        Raises:
            Missing, Changed, AlreadyThere
        """
        try:
            await obstore.copy_async(self._store, self._full(source), self._full(target))
        except FileNotFoundError as error:
            raise Missing(f"There is no {source}.") from error
        return await self.head(target)

    async def delete(self, keys: Sequence[str]) -> None:
        """Remove objects, any number; harmless where there is none."""
        if keys:
            await obstore.delete_async(self._store, [self._full(key) for key in keys])

    async def begin_upload(self, key: str, media_type: str | None = None) -> str:
        """Begin an upload in parts; returns its id."""
        raise NotImplementedError

    async def upload_part(self, key: str, upload: str, number: int, data: Buffer) -> str:
        """Send part ``number`` (from 1); returns its etag, which `finish_upload` needs."""
        raise NotImplementedError

    async def finish_upload(
        self,
        key: str,
        upload: str,
        parts: Sequence[str],
        *,
        if_match: str | None = None,
        if_absent: bool = False,
    ) -> Entry:
        """Make the object of its parts, in their order. Raises Changed, AlreadyThere, Missing."""
        raise NotImplementedError

    async def abort_upload(self, key: str, upload: str) -> None:
        """Forget an upload and its parts; harmless if it is gone."""
        raise NotImplementedError

    async def pending_uploads(self, folder: str = "") -> list[PendingUpload]:
        """Uploads below the folder that were begun and neither finished nor aborted."""
        raise NotImplementedError

    async def versions(self, key: str) -> list[Version]:
        """Newest first, delete markers included; empty where the store keeps none."""
        raise NotImplementedError

    async def deleted(
        self, folder: str, *, since: datetime | None = None, limit: int = 1000
    ) -> list[Version]:
        """What was deleted below the folder and can be had again.

        Each is the last real version of a key whose newest is a delete marker;
        its ``modified`` is when it was deleted. Newest first.
        """
        raise NotImplementedError

    async def restore(self, key: str, version: str) -> Entry:
        """Make a copy of that version the newest. Raises Missing."""
        return await self.copy(key, key, version=version)

    async def presign(self, key: str, seconds: int, *, version: str | None = None) -> str:
        """An address under which anybody may read the object for so long."""
        raise NotImplementedError

    async def usage(self, folder: str = "") -> Usage:
        size = objects = 0
        async for batch in self.walk(folder):
            size += sum(entry.size for entry in batch)
            objects += len(batch)
        return Usage(size, objects)

    async def close(self) -> None:
        """Close connections."""

    def _full(self, key: str) -> str:
        if not self.prefix:
            return key
        return f"{self.prefix}/{key}" if key else self.prefix

    def _relative(self, full: str) -> str:
        return full[len(self.prefix) :].lstrip("/") if self.prefix else full

    def _entry(self, meta: Any) -> Entry:
        return Entry(
            self._relative(meta["path"]),
            meta["size"],
            meta["last_modified"].astimezone(UTC),
            (meta.get("e_tag") or "").strip('"') or None,
            meta.get("version"),
        )


def _quoted(etag: str | None) -> str | None:
    return f'"{etag}"' if etag else None


def _down(endpoint: str) -> StoreDown:
    return StoreDown(f"The object store at {endpoint} does not answer.")
