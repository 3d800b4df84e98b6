"""The two ends of a copy that leaves its root: a disk, or a prefix of an object store.

Both tell what they hold as `Item`s, hand a file out in chunks, take one in, and
say whether what they hold is what was sent. Nothing here is ever overwritten.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import os
import stat
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path
from typing import Protocol

from lab_extension.contents.objects.entries import Buffer, Entry
from lab_extension.contents.objects.faults import AlreadyThere, BadName, Changed, Missing
from lab_extension.contents.objects.keys import is_marker, join, name_of
from lab_extension.contents.objects.store import PART, Store
from lab_extension.contents.paths import CHECKPOINTS

SKIPPED = frozenset({CHECKPOINTS})
"""Folders that stay behind: checkpoints belong to the place of a file, not to the file."""
MOST_PARTS = 9_000
"""An object has 10,000 parts at most."""
_PART = ".almanac-moving-"
"""How the names of files begin that are on their way to a disk."""
_CHUNK = 1 << 20
_AT_ONCE = 4


@dataclass(frozen=True)
class Item:
    """A file at one end.

    Attributes:
        path: relative to what is copied; empty where that is the file itself.
        stamp: changes when the content does.
    """

    path: str
    size: int
    stamp: str


@dataclass
class Contents:
    """What is to be copied: all files, and folders that hold nothing."""

    items: list[Item] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)


class Sums:
    """Size and checksums of what went by, as S3's etags have them."""

    def __init__(self, part: int = PART):
        self.size = 0
        self._part = part
        self._whole = hashlib.md5(usedforsecurity=False)
        self._current = hashlib.md5(usedforsecurity=False)
        self._in_part = 0
        self._parts: list[bytes] = []

    def add(self, data: Buffer) -> None:
        view = memoryview(data)
        self.size += len(view)
        self._whole.update(view)
        while len(view):
            taken = view[: self._part - self._in_part]
            self._current.update(taken)
            self._in_part += len(taken)
            view = view[len(taken) :]
            if self._in_part == self._part:
                self._end_part()

    def _end_part(self) -> None:
        self._parts.append(self._current.digest())
        self._current = hashlib.md5(usedforsecurity=False)
        self._in_part = 0

    @property
    def md5(self) -> str:
        return self._whole.hexdigest()

    def made(self, etag: str | None) -> bool:
        """Whether ``etag`` is one that this content gets; false does not say that it differs."""
        parts = self._parts + ([self._current.digest()] if self._in_part else [])
        joined = hashlib.md5(b"".join(parts), usedforsecurity=False).hexdigest()
        return etag in (self.md5, f"{joined}-{len(parts)}")


class End(Protocol):
    """Where files are read from or written to; paths are relative to it."""

    async def kind(self, path: str) -> str | None:
        """``file``, ``folder``, or None."""

    async def contents(self, path: str) -> Contents:
        """What is at ``path``, or below it. Raises BadName for what cannot be copied."""

    def read(self, path: str, item: Item) -> AsyncIterator[Buffer]:
        """The file's bytes. Raises Changed if they are no longer ``item``'s."""

    async def write(self, path: str, size: int, chunks: AsyncIterator[Buffer]) -> Sums:
        """Take a file in, whole or not at all, and hold it against what was sent.

        Raises AlreadyThere.
        """

    async def holds(self, path: str, sums: Sums) -> bool:
        """Whether the file there has this content."""

    async def make_folder(self, path: str) -> None: ...

    async def tidy(self, path: str) -> None:
        """Remove what a write to ``path``, or below it, left when its process was killed."""

    async def remove(self, path: str, items: list[Item]) -> list[str]:
        """Remove what is still as it was read; the paths of what is not, and so stays."""


class Disk:
    """A folder of a disk."""

    def __init__(self, root: Path):
        self.root = root

    def _at(self, path: str) -> Path:
        return self.root.joinpath(*path.split("/")) if path else self.root

    async def kind(self, path: str) -> str | None:
        def look() -> str | None:
            at = self._at(path)
            return "folder" if at.is_dir() else "file" if os.path.lexists(at) else None

        return await asyncio.to_thread(look)

    async def contents(self, path: str) -> Contents:
        return await asyncio.to_thread(self._contents, path)

    def _contents(self, path: str) -> Contents:
        top = self._at(path)
        if not top.is_dir():
            return Contents([_item("", top, path)])
        if top.is_symlink():
            raise _link_to_folder(path)
        found = Contents()
        for folder, folders, files in os.walk(top):
            here = Path(folder)
            inside = here.relative_to(top).as_posix().removeprefix(".")
            folders[:] = [name for name in folders if name not in SKIPPED]
            files = [name for name in files if not name.startswith(_PART)]
            for name in folders:
                if (here / name).is_symlink():
                    raise _link_to_folder(join(path, join(inside, name)))
            found.items += [
                _item(join(inside, name), here / name, join(path, join(inside, name)))
                for name in files
            ]
            if not folders and not files:
                found.empty.append(inside)
        return found

    async def read(self, path: str, item: Item) -> AsyncIterator[Buffer]:
        at = self._at(join(path, item.path) if item.path else path)
        file = await asyncio.to_thread(at.open, "rb", buffering=0)
        try:
            if _stamp(await asyncio.to_thread(os.fstat, file.fileno())) != item.stamp:
                raise Changed(f"{at.name} was changed just now.", mend="Try again.")
            while chunk := await asyncio.to_thread(file.read, _CHUNK):
                yield chunk
            if _stamp(await asyncio.to_thread(os.fstat, file.fileno())) != item.stamp:
                raise Changed(f"{at.name} was changed while it was copied.", mend="Try again.")
        finally:
            await asyncio.to_thread(file.close)

    async def write(self, path: str, size: int, chunks: AsyncIterator[Buffer]) -> Sums:
        at = self._at(path)
        sums = Sums()
        temporary = at.parent / f"{_PART}{uuid.uuid4().hex[:12]}"
        try:
            await asyncio.to_thread(at.parent.mkdir, parents=True, exist_ok=True)
            file = await asyncio.to_thread(temporary.open, "xb", buffering=0)
            try:
                async for chunk in chunks:
                    await asyncio.to_thread(_append, file, chunk, sums)
                await asyncio.to_thread(os.fsync, file.fileno())
            finally:
                await asyncio.to_thread(file.close)
            _require(sums.size == size == temporary.stat().st_size, path)
            await asyncio.to_thread(_put_in_place, temporary, at, path)
        except OSError as error:
            raise BadName(
                f"{path} cannot be written on this disk: {error.strerror}.",
                mend="Make room, or give it another name."
                if error.errno in (errno.ENOSPC, errno.EDQUOT)
                else "Give it another name.",
            ) from error
        finally:
            with contextlib.suppress(OSError):
                await asyncio.to_thread(temporary.unlink, missing_ok=True)
        return sums

    async def holds(self, path: str, sums: Sums) -> bool:
        try:
            there = await asyncio.to_thread(sums_of, self._at(path))
        except OSError:
            return False
        return (there.size, there.md5) == (sums.size, sums.md5)

    async def make_folder(self, path: str) -> None:
        await asyncio.to_thread(self._at(path).mkdir, parents=True, exist_ok=True)

    async def tidy(self, path: str) -> None:
        def unlink() -> None:
            at = self._at(path)
            for left in (*at.parent.glob(f"{_PART}*"), *at.rglob(f"{_PART}*")):
                left.unlink(missing_ok=True)

        await asyncio.to_thread(unlink)

    async def remove(self, path: str, items: list[Item]) -> list[str]:
        return await asyncio.to_thread(self._remove, path, items)

    def _remove(self, path: str, items: list[Item]) -> list[str]:
        top = self._at(path)
        changed = []
        for item in items:
            at = self._at(join(path, item.path) if item.path else path)
            try:
                if _stamp(at.stat()) == item.stamp:
                    at.unlink()
                else:
                    changed.append(item.path)
            except FileNotFoundError:
                continue
        if top.is_dir() and not changed:
            _remove_empty(top)
        return changed


def sums_of(file: Path) -> Sums:
    """Of a file on disk. Blocks."""
    sums = Sums()
    with file.open("rb", buffering=0) as opened:
        while chunk := opened.read(_CHUNK):
            sums.add(chunk)
    return sums


def _append(file: FileIO, chunk: Buffer, sums: Sums) -> None:
    view = memoryview(chunk)
    sums.add(view)
    while len(view):
        view = view[file.write(view) :]


def _put_in_place(temporary: Path, at: Path, path: str) -> None:
    try:
        # Unlike a rename, a link is never made over what is there.
        os.link(temporary, at)
    except FileExistsError:
        raise AlreadyThere(f"File already exists: {path}") from None
    except OSError:  # a disk without links
        if os.path.lexists(at):
            raise AlreadyThere(f"File already exists: {path}") from None
        temporary.rename(at)


def _remove_empty(top: Path) -> None:
    """The folders below ``top`` that hold nothing, and nothing but checkpoints."""
    for folder, _, files in os.walk(top, topdown=False):
        here = Path(folder)
        for name in files:
            if here.name in SKIPPED or name.startswith(_PART):
                (here / name).unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # something came into it meanwhile: it stays
            here.rmdir()


def _stamp(status: os.stat_result) -> str:
    return f"{status.st_size}:{status.st_mtime_ns}"


def _link_to_folder(shown: str) -> BadName:
    return BadName(
        f"{shown} is a link to a folder, and object storage has no links.",
        mend="Remove the link, or move the folder that it leads to.",
    )


def _item(inside: str, at: Path, shown: str) -> Item:
    try:
        status = at.stat()
    except OSError as error:
        raise BadName(
            f"{shown} cannot be read: {error.strerror}.", mend="Remove it, or leave it there."
        ) from error
    if not stat.S_ISREG(status.st_mode):
        raise BadName(f"{shown} is not a file that can be copied.", mend="Leave it where it is.")
    return Item(inside, status.st_size, _stamp(status))


class Objects:
    """A prefix of an object store.

    Args:
        shown: what messages put before its paths: the root's own path.
        version: the one to be read, of a single file; None for the newest.
    """

    def __init__(self, store: Store, shown: str = "", *, version: str | None = None):
        self.store = store
        self._shown = shown
        self._version = version

    async def kind(self, path: str) -> str | None:
        try:
            await self.store.head(path, version=self._version)
        except Missing:
            return "folder" if not path or await self.store.folder_exists(path) else None
        return "file"

    async def contents(self, path: str) -> Contents:
        if path:
            try:
                entry = await self.store.head(path, version=self._version)
            except Missing:
                pass
            else:
                return Contents([Item("", entry.size, entry.etag or "")])
        found = Contents()
        folders: set[str] = set()
        async for batch in self.store.walk(path):
            for entry in batch:
                inside = entry.key[len(path) :].removeprefix("/") if path else entry.key
                segments = inside.removesuffix("/").split("/")
                if not SKIPPED.isdisjoint(segments):
                    continue
                if is_marker(entry.key):
                    folder = inside.removesuffix("/").removesuffix(name_of(entry.key)).rstrip("/")
                    folders.add(folder)
                elif any(segment in ("", ".", "..") for segment in segments):
                    raise BadName(
                        f"{entry.key!r} is no name of a file.",
                        mend="Give the object another key with a client of the object store.",
                    )
                else:
                    found.items.append(Item(inside, entry.size, entry.etag or ""))
        names = {item.path for item in found.items}
        held = {parent for name in names for parent in _parents(name)}
        if both := sorted(names & held):
            raise BadName(
                f"{join(self._shown, join(path, both[0]))} is a file and a folder at once, which a "
                "disk cannot hold.",
                mend="Rename the file.",
            )
        found.empty = sorted(folders - held)
        return found

    async def read(self, path: str, item: Item) -> AsyncIterator[Buffer]:
        key = join(path, item.path) if item.path else path
        opened = await self.store.open(key, version=self._version, if_match=item.stamp or None)
        async for chunk in opened.chunks:
            yield chunk

    async def write(self, path: str, size: int, chunks: AsyncIterator[Buffer]) -> Sums:
        try:
            entry, sums = await self.send(path, size, chunks, if_absent=True)
        except AlreadyThere:
            raise AlreadyThere(f"File already exists: {join(self._shown, path)}") from None
        if entry.size != size:
            await self.store.delete([path])
            raise Changed(
                f"The copy of {join(self._shown, path)} arrived incomplete.", mend="Try again."
            )
        return sums

    async def send(
        self,
        path: str,
        size: int,
        chunks: AsyncIterator[Buffer],
        *,
        if_match: str | None = None,
        if_absent: bool = False,
    ) -> tuple[Entry, Sums]:
        """Write an object of ``size`` bytes; large ones in parts, some of which are in memory.

        Raises:
            Changed, AlreadyThere: the condition does not hold, or the chunks
                are not ``size`` bytes; nothing was written.
        """
        part = max(PART, -(-size // MOST_PARTS))
        sums = Sums(part)
        if size > PART:
            entry = await self._send_parts(path, size, part, chunks, sums, if_match, if_absent)
            return entry, sums
        data = bytearray()
        async for chunk in chunks:
            data += memoryview(chunk)
        _require(len(data) == size, join(self._shown, path))
        await asyncio.to_thread(sums.add, data)
        entry = await self.store.write(path, data, if_match=if_match, if_absent=if_absent)
        return entry, sums

    async def _send_parts(
        self,
        path: str,
        size: int,
        part: int,
        chunks: AsyncIterator[Buffer],
        sums: Sums,
        if_match: str | None,
        if_absent: bool,
    ) -> Entry:
        upload = await self.store.begin_upload(path)
        sent: list[asyncio.Task[str]] = []
        try:
            async for data in _of_size(chunks, part):
                await asyncio.to_thread(sums.add, data)
                under_way = [task for task in sent if not task.done()]
                if len(under_way) >= _AT_ONCE:
                    await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
                sending = self.store.upload_part(path, upload, len(sent) + 1, data)
                sent.append(asyncio.create_task(sending))
            etags = list(await asyncio.gather(*sent))
            _require(sums.size == size, join(self._shown, path))
            return await self.store.finish_upload(
                path, upload, etags, if_match=if_match, if_absent=if_absent
            )
        except BaseException:
            for task in sent:
                task.cancel()
            await asyncio.gather(*sent, return_exceptions=True)
            with contextlib.suppress(Exception):
                await self.store.abort_upload(path, upload)
            raise

    async def holds(self, path: str, sums: Sums) -> bool:
        try:
            entry = await self.store.head(path)
        except Missing:
            return False
        if entry.size != sums.size:
            return False
        if sums.made(entry.etag):
            return True
        # An etag that tells nothing of the content (encryption, other parts): read it.
        there = Sums()
        opened = await self.store.open(path, if_match=entry.etag)
        async for chunk in opened.chunks:
            there.add(chunk)
        return there.md5 == sums.md5

    async def make_folder(self, path: str) -> None:
        await self.store.make_folder(path)

    async def tidy(self, path: str) -> None:
        """Parts of uploads are swept by the contents manager of the place."""

    async def remove(self, path: str, items: list[Item]) -> list[str]:
        wanted = {item.path: item.stamp for item in items}
        if set(wanted) == {""}:
            try:
                entry = await self.store.head(path)
            except Missing:
                return []
            if (entry.etag or "") != wanted[""]:
                return [""]
            await self.store.delete([path])
            return []
        gone: list[str] = []
        changed: list[str] = []
        markers: set[str] = set()
        others = 0
        async for batch in self.store.walk(path):
            for entry in batch:
                inside = entry.key[len(path) :].removeprefix("/") if path else entry.key
                if is_marker(entry.key):
                    markers.add(entry.key.removesuffix(name_of(entry.key)).rstrip("/"))
                elif not SKIPPED.isdisjoint(inside.split("/")):
                    gone.append(entry.key)
                elif inside not in wanted:
                    others += 1
                elif (entry.etag or "") == wanted[inside]:
                    gone.append(entry.key)
                else:
                    changed.append(inside)
        await self.store.delete(gone)
        if not changed and not others:
            # Last, so that what was interrupted is still a folder.
            for folder in sorted({*markers, path}, reverse=True):
                await self.store.remove_marker(folder)
        return changed


def _require(whole: bool, path: str) -> None:
    if not whole:
        raise Changed(f"{path} was changed while it was copied.", mend="Try again.")


async def _of_size(chunks: AsyncIterator[Buffer], size: int) -> AsyncIterator[bytes]:
    """The same bytes in pieces of ``size``, the last one apart."""
    held = bytearray()
    async for chunk in chunks:
        held += memoryview(chunk)
        while len(held) >= size:
            with memoryview(held) as view:
                piece = bytes(view[:size])
            del held[:size]
            yield piece
    if held:
        yield bytes(held)


def _parents(path: str) -> Iterator[str]:
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path
