"""Copies and moves between roots, where no store and no disk can do it by itself.

A move copies everything, holds every copy against what was read, and only then
removes what it came from, file by file and only what has not changed meanwhile.
So a crash leaves all of the data in at least one place. What is under way is
noted on disk: the same move, asked for again, goes on where it ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import uuid
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from hub_ext.errors import PublicError
from lab_extension.contents.objects.faults import AlreadyThere, Changed, Missing
from lab_extension.contents.objects.keys import join
from lab_extension.contents.objects.store import PART
from lab_extension.contents.roots.ends import Contents, End, Item, Sums

AT_ONCE = 8
"""Files that are copied at the same time, each of `PART` bytes at most."""


class Journal:
    """The moves under way, one small file each.

    Args:
        folder: made when it is needed.
    """

    def __init__(self, folder: Path):
        self._folder = folder

    def _file(self, source: str, target: str) -> Path:
        pair = json.dumps([source, target])
        return self._folder / f"{hashlib.sha256(pair.encode()).hexdigest()[:32]}.json"

    def under_way(self, source: str, target: str) -> bool:
        """Whether this move was begun and never ended."""
        return self._file(source, target).exists()

    def begin(self, source: str, target: str) -> None:
        file = self._file(source, target)
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary = file.with_name(f"{file.name}.{uuid.uuid4().hex[:8]}")
        with temporary.open("w") as opened:
            json.dump({"from": source, "to": target}, opened)
            opened.flush()
            os.fsync(opened.fileno())
        temporary.replace(file)

    def end(self, source: str, target: str) -> None:
        self._file(source, target).unlink(missing_ok=True)


async def _admit_all(size: int) -> None:
    """There is no limit."""


async def copy(
    source: End,
    path: str,
    target: End,
    to: str,
    *,
    shown: str = "",
    again: bool = False,
    admit: Callable[[int], Awaitable[None]] = _admit_all,
    step: Callable[[str], None] = lambda name: None,
) -> Contents:
    """Copy a file or a folder; what was copied, all of it verified.

    Where it fails, what it has written is removed again.

    Args:
        path, to: at each end; there is nothing at ``to`` yet.
        shown: what messages call ``path``.
        again: it was begun before: what is there already and the same, is done.
        admit: asked whether so many bytes may be written; a `PublicError` refuses them.

    Raises:
        Missing: there is nothing at ``path``.
        AlreadyThere: at ``to`` is something else.
        Changed: something was written to meanwhile; it can be tried again.
    """
    if await source.kind(path) is None:
        raise Missing(f"No such file or directory: {shown or path}")
    found = await source.contents(path)
    if not again:  # else most of it is there already
        await admit(sum(item.size for item in found.items))
    written: dict[str, Sums] = {}
    small, large = asyncio.Semaphore(AT_ONCE), asyncio.Semaphore(1)
    failed = False

    async def one(item: Item) -> None:
        # Of a large one several parts are in memory.
        async with large if item.size > PART else small:
            if failed:
                return
            sums = await _copy_file(source, path, target, _at(to, item.path), item, again=again)
            if sums is not None:
                written[item.path] = sums
            step("copied one")

    tasks = [asyncio.create_task(one(item)) for item in found.items]
    try:
        await asyncio.gather(*tasks)
    except BaseException:
        failed = True
        # Small ones end by themselves: of a write that is cancelled nobody knows whether
        # it took place.
        for task, item in zip(tasks, found.items, strict=True):
            if item.size > PART:
                task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await _undo(target, to, written)
        raise
    for folder in found.empty:
        await target.make_folder(_at(to, folder))
    return found


async def _undo(target: End, to: str, written: dict[str, Sums]) -> None:
    """Remove what was written, and nothing that came from elsewhere."""
    with contextlib.suppress(PublicError, OSError):
        there = await target.contents(to)
        ours = [
            item
            for item in there.items
            if item.path in written and await target.holds(_at(to, item.path), written[item.path])
        ]
        await target.remove(to, ours)


async def _copy_file(
    source: End, path: str, target: End, to: str, item: Item, *, again: bool
) -> Sums | None:
    """What was written; None where it was there already."""
    try:
        sums = await target.write(to, item.size, source.read(path, item))
    except AlreadyThere:
        if not again or not await target.holds(to, await _sums(source, path, item)):
            raise
        return None
    if not await target.holds(to, sums):
        raise Changed(
            f"The copy of {item.path or path} is not what was sent; nothing was removed.",
            mend="Try again.",
        )
    return sums


async def _sums(source: End, path: str, item: Item) -> Sums:
    sums = Sums()
    async for chunk in source.read(path, item):
        await asyncio.to_thread(sums.add, chunk)
    return sums


async def move(
    source: End,
    path: str,
    target: End,
    to: str,
    *,
    journal: Journal,
    shown: tuple[str, str],
    admit: Callable[[int], Awaitable[None]] = _admit_all,
    still: Callable[[], AbstractAsyncContextManager[None]] = contextlib.nullcontext,
    step: Callable[[str], None] = lambda name: None,
) -> None:
    """Copy, verify, remove.

    Args:
        shown: the two paths as people know them; they name the move in the journal.
        still: within it nothing is sent to ``source`` from elsewhere; held while is removed
            what has not changed by then.
        step: told of ``noted``, ``copied one``, ``copied`` and ``removed``, for tests
            that end the process there.

    Raises:
        Missing, AlreadyThere: as `copy`; nothing was changed.
        Changed: something was written to while it was moved. It is in both places.
    """
    again = await asyncio.to_thread(journal.under_way, *shown)
    if again and await source.kind(path) is None and await target.kind(to) is not None:
        await asyncio.to_thread(journal.end, *shown)
        return
    if not again:
        if await target.kind(to) is not None:
            raise AlreadyThere(f"File already exists: {shown[1]}")
        if await source.kind(path) is None:
            raise Missing(f"No such file or directory: {shown[0]}")
    await asyncio.to_thread(journal.begin, *shown)
    step("noted")
    with _noted(journal, shown, again=again):
        if again:
            await target.tidy(to)
        found = await copy(
            source, path, target, to, shown=shown[0], again=again, admit=admit, step=step
        )
    step("copied")
    # What fails from here on stays noted: some of it may be at its new place alone.
    async with still():
        changed = await source.remove(path, found.items)
    step("removed")
    await asyncio.to_thread(journal.end, *shown)
    if changed:
        raise Changed(
            f"{_at(shown[0], changed[0])} was changed while it was moved: it is in "
            f"{shown[0]} and, as it was before, in {shown[1]}.",
            mend="Keep the one that you want and delete the other.",
        )


@contextlib.contextmanager
def _noted(journal: Journal, shown: tuple[str, str], *, again: bool) -> Iterator[None]:
    """Ends the note of a move that failed before anything was removed, and was undone.

    One that was begun earlier stays noted, unless it can never be finished.
    """
    try:
        yield
    except PublicError as error:
        if not again or isinstance(error, (AlreadyThere, Missing)):
            journal.end(*shown)
        raise


def _at(path: str, inside: str) -> str:
    return join(path, inside) if inside else path
