"""What the store tells: plain data, shared by everything that reads it.

Keys are relative to the store's prefix, without a slash at either end.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeAlias

Buffer: TypeAlias = bytes | bytearray | memoryview
"""Bytes, or what obstore hands out without copying (it has the buffer protocol)."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One object.

    Attributes:
        key: where it lies.
        size: in bytes.
        modified: when it was written, in UTC.
        etag: changes with the content; opaque, without quotes.
        version: the store's name for this version; None without versions.
    """

    key: str
    size: int
    modified: datetime
    etag: str | None
    version: str | None = None


@dataclass(frozen=True)
class Listing:
    """What lies directly in a folder, or one page of it.

    Attributes:
        folders: names of the folders, their last segment alone.
        files: the files; the markers of folders are not among them.
        marked: the folder itself has a marker, so that it is there even if empty.
        left_out: keys (relative to the prefix) that no file name can stand for:
            an empty segment, a dot segment, a control character.
    """

    folders: list[str]
    files: list[Entry]
    marked: bool
    left_out: list[str] = field(default_factory=list)

    @property
    def there(self) -> bool:
        """Whether there is such a folder at all."""
        return bool(self.marked or self.folders or self.files or self.left_out)


@dataclass(frozen=True)
class Opened:
    """An object that is being read.

    Attributes:
        chunks: the bytes from ``start`` to ``end`` (exclusive), once.
    """

    entry: Entry
    media_type: str
    chunks: AsyncIterator[Buffer]
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Version:
    """One version of an object; ``deleted`` where it says that the object was deleted."""

    key: str
    version: str
    size: int
    modified: datetime
    latest: bool
    deleted: bool


@dataclass(frozen=True, slots=True)
class PendingUpload:
    """An upload in parts that was neither finished nor aborted."""

    key: str
    upload: str
    started: datetime


@dataclass(frozen=True)
class Usage:
    """How much lies below a folder: bytes, and the number of objects."""

    size: int
    objects: int


@dataclass(frozen=True)
class Capabilities:
    """What the store does of what not every store does.

    Attributes:
        put_if_match: a write with If-Match that does not match is refused.
        put_if_absent: so is a write with If-None-Match over what is there.
        complete_if_match: the end of an upload in parts heeds If-Match as well.
        complete_if_absent: and If-None-Match.
        copy_if_absent: a copy with If-None-Match over what is there is refused.
        match_passes_gone: If-Match is taken to hold where the object was deleted.
        versions: what is overwritten or deleted is kept as a version.
        list_versions: these credentials may list versions.
        ranges: a part of an object can be read.
        writable: these credentials may write below the prefix.
    """

    put_if_match: bool = True
    put_if_absent: bool = True
    complete_if_match: bool = True
    complete_if_absent: bool = True
    copy_if_absent: bool = False
    match_passes_gone: bool = False
    versions: bool = False
    list_versions: bool = False
    ranges: bool = True
    writable: bool = True

    @property
    def conditional_put(self) -> bool:
        """Writes on condition are the store's own, and not compare-then-write."""
        return self.put_if_match and self.put_if_absent
