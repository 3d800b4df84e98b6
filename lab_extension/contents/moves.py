"""Renames: object stores have none, so a move is copy, verify, delete.

Nothing is deleted before all of it has been seen at its new place, and before
the old place has been looked at once more. What was begun is written down in a
small record beside the files: a move that was cut off (the server was killed,
the store went away) has left every file in at least one place, and the same
rename asked for again finds the record and finishes the job, although its
target is there by then.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from hub_ext.errors import Conflict, PublicError
from lab_extension.contents import absent
from lab_extension.contents.objects.entries import Entry
from lab_extension.contents.objects.faults import AlreadyThere, Changed, Missing
from lab_extension.contents.objects.keys import MARKER, join, name_of, parent
from lab_extension.contents.objects.store import Store
from lab_extension.contents.paths import OURS, checkpoint_of
from lab_extension.contents.turns import Turns

T = TypeVar("T")

AT_ONCE = 64
"""Copies under way at the same time."""
_BATCH = 50
"""Keys of one request to delete: a store goes through them one by one."""
ROUNDS = 5
"""How often what changed meanwhile is copied again before we say so instead."""


class Contested(Conflict):
    """Somebody else has written where the move wants to."""

    code = "contested"


@dataclass(frozen=True)
class Move:
    """What is to become of what.

    Attributes:
        folder: all below ``source``; else that one file, and its checkpoint.
    """

    source: str
    target: str
    folder: bool

    @property
    def record(self) -> str:
        """Where it is written down that this move was begun."""
        told = json.dumps([self.source, self.target, self.folder])
        return f"{OURS}/moves/{hashlib.sha256(told.encode()).hexdigest()[:40]}"

    def replaces(self, key: str) -> bool:
        """Whether what is at a target gives way: a checkpoint whose file is gone.

        Clients that know nothing of checkpoints remove the file alone.
        """
        return not self.folder and key != self.target

    def to(self, key: str) -> str:
        """Where a raw key goes. A marker ``a/`` becomes ours, ``a/.s3keep``."""
        if self.folder:
            moved = self.target + key[len(self.source) :]
            return join(moved.rstrip("/"), MARKER) if moved.endswith("/") else moved
        return self.target if key == self.source else checkpoint_of(self.target)


@dataclass
class Plan:
    """What is left to do.

    Attributes:
        copy: not there yet, or changed since it was copied.
        unclear: as large as its target, but with another etag, which need not mean
            other bytes (sent in parts, encrypted by a key of its own).
        contested: targets that are somebody else's.
    """

    copy: list[Entry] = field(default_factory=list)
    unclear: list[tuple[Entry, Entry]] = field(default_factory=list)
    contested: list[str] = field(default_factory=list)


Made = dict[str, tuple[str | None, str | None]]
"""By key of the target: the etag of what was copied, and of what became of it."""


def plan(move: Move, sources: Iterable[Entry], targets: Mapping[str, Entry], made: Made) -> Plan:
    """Compare what is to be moved with what is there already."""
    found = Plan()
    for source in sources:
        key = move.to(source.key)
        target = targets.get(key)
        of, became = made.get(key, (None, None))
        if target is None:
            found.copy.append(source)
        elif name_of(key) == MARKER:
            continue  # an empty object, whoever made it
        elif key in made and target.etag == became:
            if of != source.etag:
                found.copy.append(source)  # it was saved once more at its old place
        elif source.size == target.size and source.etag == target.etag:
            continue
        elif move.replaces(key):
            found.copy.append(source)
        elif source.size == target.size:
            found.unclear.append((source, target))
        else:
            found.contested.append(key)
    return found


def _in_parts(entry: Entry) -> bool:
    """Whether the etag depends on how the object was sent, and not on its bytes alone."""
    return entry.etag is None or "-" in entry.etag


class Mover:
    """Moves files and folders of one store.

    Args:
        step: called with the name of each step that is done; for tests that
            end the process there.
    """

    def __init__(self, store: Store, step: Callable[[str], None]):
        self._store = store
        self._step = step
        self.turns = Turns()

    async def begun(self, source: str, target: str) -> Move | None:
        """The move from here to there that was begun and not finished, if there is one."""
        moves = [Move(source, target, folder) for folder in (False, True)]
        heads = await asyncio.gather(*(_found(self._store.head(move.record)) for move in moves))
        return next((move for move, head in zip(moves, heads, strict=True) if head), None)

    async def run(self, move: Move, *, again: bool = False) -> None:
        """Move; whatever is cut off can be run again.

        Args:
            again: it was begun before.

        Raises:
            Contested: a file of another content is where one should go. Both stay.
        """
        if not again:
            await self._store.write(move.record, json.dumps(_told(move)).encode())
        self._step("move: recorded")
        async with AsyncExitStack() as last:
            sources = await self._settle(move, again, last)
            self._step("move: verified")
            top = move.source if move.folder else None
            await remove(self._store, [entry.key for entry in sources], top)
            self._step("move: removed")
        await self._store.delete([move.record])
        self._step("move: done")

    async def _settle(self, move: Move, again: bool, last: AsyncExitStack) -> list[Entry]:
        """Copy until nothing is left to copy; what was found at the old place then.

        Args:
            last: from the second look on, saves there wait for its end.
        """
        made: Made = {}
        for number in range(ROUNDS):
            look = again or number > 0
            if number == (0 if again else 1):
                await last.enter_async_context(self.turns.removing(move.source))
            sources, targets = await asyncio.gather(
                self._sources(move), self._targets(move) if look else _nothing()
            )
            left = plan(move, sources, targets, made)
            for source, target in left.unclear:
                if await self._same_bytes(source, target):
                    made[target.key] = (source.etag, target.etag)
                else:
                    left.contested.append(target.key)
            if left.contested:
                raise Contested(
                    f"{left.contested[0]} is at both places, with different contents"
                    + (
                        f", and {len(left.contested) - 1} more." if len(left.contested) > 1 else "."
                    ),
                    mend="Rename or delete one of the two, then move again.",
                )
            if look and not left.copy:
                return sources
            await self._copy(move, left.copy, made)
            self._step("move: copied")
        raise Contested(
            f"{move.source} keeps being written to.", mend="Move it when nothing writes there."
        )

    async def _copy(self, move: Move, sources: Sequence[Entry], made: Made) -> None:
        """Copy, and write down in ``made`` what became of what."""
        alike = False

        async def copy(source: Entry) -> None:
            target = move.to(source.key)
            try:
                if name_of(target) == MARKER:
                    await self._store.make_folder(parent(target))
                elif target in made or move.replaces(target) or _in_parts(source) or not alike:
                    copied = await absent.make(
                        self._store,
                        target,
                        partial(self._store.copy, source.key, target, if_match=source.etag),
                        if_absent=target not in made and not move.replaces(target),
                    )
                    made[target] = (source.etag, copied.etag)
                else:
                    await copy_new(self._store, source.key, target)
                    made[target] = (source.etag, source.etag)
            except (AlreadyThere, Changed, Missing):
                return  # the next round sees what is where
            self._step("move: copied one")

        # The first copy tells whether this store gives a copy the etag of its
        # original, so that of the others nothing more need be asked.
        plain = [source for source in sources if not _in_parts(source)][:1]
        await at_once(copy, plain)
        alike = all(of == became for of, became in made.values())
        await at_once(copy, [source for source in sources if source not in plain])

    async def _sources(self, move: Move) -> list[Entry]:
        return await self._entries(move.source, move.folder)

    async def _targets(self, move: Move) -> dict[str, Entry]:
        entries = await self._entries(move.target, move.folder)
        return {
            join(entry.key.rstrip("/"), MARKER) if entry.key.endswith("/") else entry.key: entry
            for entry in entries
        }

    async def _entries(self, key: str, folder: bool) -> list[Entry]:
        if folder:
            return [entry async for batch in self._store.walk(key) for entry in batch]
        heads = [_found(self._store.head(name)) for name in (key, checkpoint_of(key))]
        return [entry for entry in await asyncio.gather(*heads) if entry]

    async def _same_bytes(self, one: Entry, other: Entry) -> bool:
        async def checksum(entry: Entry) -> bytes:
            opened = await self._store.open(entry.key, if_match=entry.etag)
            found = hashlib.sha256()
            async for chunk in opened.chunks:
                await asyncio.to_thread(found.update, memoryview(chunk))
            return found.digest()

        try:
            first, second = await asyncio.gather(checksum(one), checksum(other))
        except Changed:
            return False
        return first == second


async def copy_new(store: Store, source: str, target: str) -> None:
    """Copy to where nothing is yet. Raises Missing, AlreadyThere."""

    async def copy(if_absent: bool = False) -> None:
        if if_absent:
            await store.copy_new(source, target)
        else:
            await store.copy(source, target)

    await absent.make(store, target, copy, if_absent=True)


async def remove(store: Store, raw: Sequence[str], top: str | None) -> None:
    """Remove objects by their raw keys, and with them the folder ``top`` that held them."""
    await at_once(store.delete, [raw[n : n + _BATCH] for n in range(0, len(raw), _BATCH)])
    if top is None or (await store.capabilities()).versions:
        return
    # SeaweedFS goes on listing folders that have become empty, in buckets without
    # versions, until they are removed like an object of that name: inner ones first.
    folders = {top}
    for key in raw:
        folder = parent(key.rstrip("/"))
        while len(folder) > len(top):
            folders.add(folder)
            folder = parent(folder)
    deepest = sorted(folders, key=lambda folder: folder.count("/"), reverse=True)
    await store.delete([f"{folder}/" for folder in deepest])


def _told(move: Move) -> dict[str, object]:
    return {"from": move.source, "to": move.target, "folder": move.folder}


async def _found(head: Awaitable[Entry]) -> Entry | None:
    try:
        return await head
    except Missing:
        return None


async def _nothing() -> dict[str, Entry]:
    return {}


async def at_once(
    work: Callable[[T], Awaitable[object]], items: Sequence[T], limit: int = AT_ONCE
) -> None:
    """Do all, ``limit`` at a time. The first refusal ends it, once nothing is under way."""
    waiting = iter(items)

    async def worker() -> None:
        for item in waiting:
            await work(item)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(limit, len(items))):
                group.create_task(worker())
    except BaseExceptionGroup as errors:
        public = [error for error in errors.exceptions if isinstance(error, PublicError)]
        raise (public or errors.exceptions)[0] from None
