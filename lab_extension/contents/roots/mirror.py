"""Folders of object storage on disk, for the kernels that run there and for snapshots.

A notebook in object storage runs in a folder that holds what lies beside it, so
that ``open("x.csv")`` and ``import helper`` mean the same as in a job. What
comes to the store arrives in the folder; what a notebook writes there goes to
the store, on condition that nobody else has written it meanwhile. Deleting is
the one thing that goes from the store to the disk alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from logging import Logger
from pathlib import Path

from hub_ext.errors import PublicError
from lab_extension.contents.objects.faults import AlreadyThere, Changed, Missing, show
from lab_extension.contents.objects.keys import join
from lab_extension.contents.objects.store import PART, Store
from lab_extension.contents.roots import mirror_files as files
from lab_extension.contents.roots.ends import Disk, Objects, sums_of
from lab_extension.contents.roots.mirror_plan import (
    Act,
    Agreed,
    Here,
    Limits,
    There,
    act_unseen,
    note,
    spoken_size,
    written_back,
)
from lab_extension.contents.roots.mirror_there import Seen, decide, look

AT_ONCE = 16
"""Requests for one mirror at the same time."""
SENT_AT_ONCE = 4
"""Files that are sent at the same time, each of `PART` bytes at most."""
SETTLED = 2.0
"""Seconds without a change after which a file is taken for whole."""
LISTED = 10
"""How many times as many files are looked at as are fetched."""

_CONFLICT = (
    "changed here and in object storage; the one here stays on this disk. Rename it to keep "
    "it as a file of its own, or delete it to get the one from there"
)


class Mirror:
    """The mirror of one root.

    Args:
        root: as the file browser has it, ``home`` or ``projects/prices``.
        base: folder of all mirrors; this one is ``base/<root>``.
        state: file of what was agreed on; beside the mirrors, not in them.
        writable: whether what notebooks write may go to the store at all.
        admit: asked before a file of so many bytes is written to a key; a
            `PublicError` refuses it.
    """

    def __init__(
        self,
        root: str,
        store: Store,
        base: Path,
        state: Path,
        *,
        log: Logger,
        writable: bool = True,
        limits: Limits | None = None,
        admit: Callable[[str, int], Awaitable[None]] | None = None,
    ):
        self.root = root
        self.writable = writable
        self.limits = limits or Limits()
        self.notebooks: set[str] = set()
        """Keys of the notebooks that JupyterLab itself saves: not written back."""
        self._store = store
        self._objects = Objects(store)
        self._base = base
        self._agreements = files.Agreements(state)
        self._log = log
        self._admit = admit
        self._lock = asyncio.Lock()
        self._at_once = asyncio.Semaphore(AT_ONCE)
        self._small, self._large = asyncio.Semaphore(SENT_AT_ONCE), asyncio.Semaphore(1)
        self._conflicts: dict[str, tuple[Here, str | None]] = {}
        self._told: dict[str, dict[str, str]] = {}

    def use(
        self,
        store: Store,
        *,
        writable: bool,
        admit: Callable[[str, int], Awaitable[None]] | None = None,
    ) -> None:
        """From now on by this store: the rights have changed."""
        self._store = store
        self._objects = Objects(store)
        self._admit = admit
        self.writable = writable

    def path(self, key: str = "") -> Path:
        """Where a file or folder of the store is on disk."""
        return self._base.joinpath(*self.root.split("/"), *(key.split("/") if key else ()))

    def told(self, folder: str) -> dict[str, str]:
        """What is not the same here and there: path in the folder to why, in words."""
        return dict(self._told.get(folder, {}))

    async def sync(
        self, folder: str, *, first: str = "", settled: bool = False, make: bool = True
    ) -> None:
        """Bring both sides together.

        Args:
            first: name of the notebook that must be there.
            settled: nobody writes any more: what was changed just now is whole.
            make: make the folder where there is none; else there is nothing to do,
                as it has been given another name.

        Raises:
            PublicError: the store cannot be listed, or ``first`` not be fetched.
        """
        async with self._lock:
            top = self.path(folder)
            if not make and not await asyncio.to_thread(top.is_dir):
                return
            await asyncio.to_thread(top.mkdir, mode=0o700, parents=True, exist_ok=True)
            seen = await look(self._store, folder, self._at_once, most=self.limits.files * LISTED)
            if first and first not in seen.files:  # of a folder that was not seen as a whole
                with contextlib.suppress(Missing):
                    entry = await self._store.head(join(folder, first))
                    seen.files[first] = There(entry.etag, entry.size)
            await self._bring_together(_Round(folder, first, settled), seen)

    async def write_back(
        self, folder: str, *, settled: bool = False, notebooks: bool = True
    ) -> None:
        """Send what changed here; asks nothing of the store where nothing did."""
        async with self._lock:
            if not await asyncio.to_thread(self.path(folder).is_dir):
                return  # it has been given another name
            round_ = _Round(folder, "", settled, notebooks=notebooks)
            here, whole = await self._scan(folder)
            agreed = await asyncio.to_thread(self._agreements.below, folder)
            acts = {path: act_unseen(here[path], agreed.get(path)) for path in here}
            round_.told = {path: why for path, why in self.told(folder).items() if path not in here}
            await self._send_all(round_, acts, here, agreed, {}, whole)
            await self._end(round_)

    @contextlib.asynccontextmanager
    async def still(self) -> AsyncIterator[None]:
        """Nothing goes to the store, or comes from there, while keys change.

        What a notebook writes meanwhile is sent afterwards. Sent in the middle of
        a move, it could be removed with what has been moved.
        """
        async with self._lock:
            yield

    async def moved(self, old: str, new: str, *, clear: bool = True) -> bool:
        """A file or folder has another key now; kernels in the folder go on in it.

        Its mirror is moved and not made anew: whoever works in a folder is in
        it still when it has another name. Called while all is `still`.

        Args:
            clear: no kernel is in a folder that a mirror of ``new`` was left in.

        Returns:
            False where the mirror had to stay: something of ``new`` is on disk
            that the store has not got.
        """

        def rename() -> bool:
            source, target = self.path(old), self.path(new)
            if old == new or not source.is_dir():
                return True
            if target.exists() and not (clear and self._cleared(new)):
                return False
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            source.rename(target)
            for path, agreed in list(self._agreements.all().items()):
                if path.startswith(f"{old}/"):
                    self._agreements.set(new + path[len(old) :], agreed)
                    self._agreements.set(path, None)
            self._agreements.save()
            return True

        went = await asyncio.to_thread(rename)
        self.notebooks = {renamed(key, old, new) for key in self.notebooks}
        return went

    def _cleared(self, folder: str) -> bool:
        """Remove what an earlier folder of that name left, as far as it was fetched. Blocks."""
        for path, agreed in self._agreements.below(folder).items():
            key = join(folder, path)
            if files.remove(self.path(key), agreed):
                self._agreements.set(key, None)
        return files.remove_empty(self.path(folder))

    async def recover(self) -> None:
        """Send what a server that ended had not sent any more.

        Notebooks wait for their next kernel: which ones JupyterLab had open,
        and so saved itself, is not known here.
        """
        for folder in await self._pending():
            await self.write_back(folder, settled=True, notebooks=False)

    async def _pending(self) -> list[str]:
        """The folders in which something changed that has not gone to the store."""

        def changed_here() -> list[str]:
            here, _ = files.scan(self.path(), most=self.limits.files * LISTED)
            agreed = self._agreements.all()
            changed = [
                path for path in here if act_unseen(here[path], agreed.get(path)) is not Act.NOTHING
            ]
            return sorted({path.rpartition("/")[0] for path in changed if written_back(path)})

        return await asyncio.to_thread(changed_here)

    # -- the store's side ------------------------------------------------------

    async def _scan(self, folder: str) -> tuple[dict[str, Here], bool]:
        return await asyncio.to_thread(
            files.scan, self.path(folder), most=self.limits.files * LISTED
        )

    # -- one round -------------------------------------------------------------

    async def _bring_together(self, round_: _Round, seen: Seen) -> None:
        folder, there = round_.folder, seen.files
        round_.listed = True
        here, whole = await self._scan(folder)
        agreed = await asyncio.to_thread(self._agreements.below, folder)
        chosen, acts = await asyncio.to_thread(
            decide, seen, here, agreed, first=round_.first, limits=self.limits
        )
        round_.told.update(chosen.left_out)
        if acts.get(round_.first) in (Act.COMPARE, Act.REPLACE):
            await self._prefer_the_stores(round_, acts, here, there)
        for path, what in acts.items():
            if what is Act.REMOVE or (what is Act.FETCH and path not in chosen.paths):
                # Left out now and changed there: an old copy would be read for the new.
                if path in agreed and await asyncio.to_thread(
                    files.remove, self.path(join(folder, path)), agreed[path]
                ):
                    self._agreements.set(join(folder, path), None)
            elif what is Act.FORGET and whole:
                self._agreements.set(join(folder, path), None)
        await self._fetch_all(
            round_,
            {
                path: there[path]
                for path, what in acts.items()
                if what is Act.FETCH and path in chosen.paths
            },
            here,
        )
        await asyncio.to_thread(
            files.make_folders, [self.path(join(folder, inside)) for inside in seen.folders]
        )
        await self._send_all(round_, acts, here, agreed, there, whole)
        await self._end(round_)

    async def _prefer_the_stores(
        self,
        round_: _Round,
        acts: dict[str, Act],
        here: dict[str, Here],
        there: dict[str, There],
    ) -> None:
        """Of the notebook that is meant, the one that JupyterLab saved; another is set aside."""
        path = round_.first
        await self._compare(round_, path, here[path], there[path].etag)
        if path not in round_.told:
            acts[path] = Act.NOTHING
            return
        key = join(round_.folder, path)
        aside = await asyncio.to_thread(files.set_aside, self.path(key))
        self._conflicts.pop(key, None)
        round_.told[path] = (
            f"changed on this disk as well as saved by JupyterLab; the copy of this disk is {aside}"
        )
        acts[path] = Act.FETCH
        del here[path]

    async def _fetch_all(
        self, round_: _Round, wanted: dict[str, There], here: dict[str, Here]
    ) -> None:
        async def one(path: str) -> None:
            try:
                async with self._at_once:
                    await self._fetch(join(round_.folder, path), wanted[path], here.get(path))
            except Missing:
                return
            except (PublicError, OSError) as error:
                why = error.strerror if isinstance(error, OSError) else str(error)
                round_.told[path] = f"could not be fetched: {why}"
                if path == round_.first:
                    raise

        tasks = [asyncio.create_task(one(path)) for path in wanted]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _fetch(self, key: str, wanted: There, expected: Here | None) -> None:
        at = self.path(key)
        temporary = await asyncio.to_thread(files.temporary_beside, at)
        try:
            opened = await self._store.open(key, if_match=wanted.etag)
            with await asyncio.to_thread(temporary.open, "xb") as file:
                async for chunk in opened.chunks:
                    await asyncio.to_thread(file.write, chunk)
                await asyncio.to_thread(file.flush)
            size = (await asyncio.to_thread(temporary.stat)).st_size
            if size != opened.entry.size:
                raise Changed(f"{key} did not arrive as a whole.", mend="It is tried again.")
            now = await asyncio.to_thread(files.put_in_place, temporary, at, expected)
            if now is not None:
                self._agreements.set(key, Agreed(opened.entry.etag, now.size, now.mtime_ns))
                with contextlib.suppress(OSError):
                    await asyncio.to_thread(self._agreements.save_now_and_then)
        finally:
            with contextlib.suppress(OSError):
                await asyncio.to_thread(temporary.unlink, missing_ok=True)

    # -- the disk's side -------------------------------------------------------

    async def _send_all(
        self,
        round_: _Round,
        acts: dict[str, Act],
        here: dict[str, Here],
        agreed: dict[str, Agreed],
        there: dict[str, There],
        whole: bool,
    ) -> None:
        wanted = [
            path
            for path, what in sorted(acts.items())
            if what in (Act.CREATE, Act.REPLACE, Act.COMPARE)
        ]
        if not whole:
            round_.told["…"] = f"more than {self.limits.files * LISTED} files are here; some stay"

        async def one(path: str) -> None:
            try:
                # Of a large one several parts are in memory.
                async with self._large if here[path].size > PART else self._small:
                    await self._send(round_, path, acts[path], here[path], agreed, there.get(path))
            except (PublicError, OSError) as error:
                why = error.strerror if isinstance(error, OSError) else str(error)
                round_.told[path] = f"stays on this disk for now: {why}"

        await asyncio.gather(*(one(path) for path in wanted))

    async def _send(
        self,
        round_: _Round,
        path: str,
        what: Act,
        here: Here,
        agreed: dict[str, Agreed],
        there: There | None,
    ) -> None:
        key = join(round_.folder, path)
        if what is Act.COMPARE:
            await self._compare(round_, path, here, there.etag if there else None)
            return
        if not written_back(path) or (path.endswith(".ipynb") and not round_.notebooks):
            return
        if reason := self._kept(key, here):
            round_.told[path] = reason
            return
        if (known := self._conflicts.get(key)) is not None:
            if known[0] == here and there is None and what is Act.CREATE and round_.listed:
                del self._conflicts[key]  # the other one has been deleted
            elif known[0] == here:
                round_.told[path] = _CONFLICT
                return
        if not round_.settled and time.time_ns() - here.mtime_ns < SETTLED * 1e9:
            return
        if what is Act.REPLACE and here.size == agreed[path].size:
            # Touched, or restored from a backup: only the content tells.
            sums = await asyncio.to_thread(sums_of, self.path(key))
            if sums.size == here.size and sums.made(agreed[path].etag):
                self._agreements.set(key, Agreed(agreed[path].etag, here.size, here.mtime_ns))
                return
        if self._admit is not None:
            await self._admit(key, here.size)
        try:
            entry = await self._upload(key, here, what, agreed.get(path))
        except (Changed, AlreadyThere):
            now = await asyncio.to_thread(files.here, self.path(key))
            if now == here:  # else it is being written to: the next round
                with contextlib.suppress(Missing):
                    there_now = await self._store.head(key)
                    await self._compare(round_, path, here, there_now.etag)
            return
        self._conflicts.pop(key, None)
        self._agreements.set(key, Agreed(entry, here.size, here.mtime_ns))
        self._log.info("Almanac: %s/%s was written to object storage", self.root, key)

    async def _upload(self, key: str, here: Here, what: Act, agreed: Agreed | None) -> str | None:
        disk = Disk(self.path())
        contents = await disk.contents(key)
        item = contents.items[0]
        if item.stamp != f"{here.size}:{here.mtime_ns}":
            raise Changed(f"{key} is being written.", mend="It is tried again.")
        if_match = agreed.etag if agreed is not None and what is Act.REPLACE else None
        entry, _ = await self._objects.send(
            key, item.size, disk.read(key, item), if_match=if_match, if_absent=if_match is None
        )
        return entry.etag

    def _kept(self, key: str, here: Here) -> str:
        """Why a file stays on disk whatever the store says; empty where it does not."""
        if not self.writable:
            return "you may only read in this folder: what was written stays on this disk"
        if key in self.notebooks:
            return "the notebook is saved by JupyterLab: what was written here stays on this disk"
        if here.size > self.limits.bytes:
            return f"larger than {spoken_size(self.limits.bytes)}: it stays on this disk"
        return ""

    async def _compare(self, round_: _Round, path: str, here: Here, etag: str | None) -> None:
        """Both sides have a file and never agreed: the same content is agreement enough."""
        key = join(round_.folder, path)
        if self._conflicts.get(key) != (here, etag):
            sums = await asyncio.to_thread(sums_of, self.path(key))
            if sums.size == here.size and await self._objects.holds(key, sums):
                self._conflicts.pop(key, None)
                self._agreements.set(key, Agreed(etag, here.size, here.mtime_ns))
                return
            self._conflicts[key] = (here, etag)
        round_.told[path] = _CONFLICT

    async def _end(self, round_: _Round) -> None:
        """Keep what was agreed on, and tell what is not the same: once, not in each round."""
        before = self._told.get(round_.folder, {})
        for path, why in sorted(round_.told.items())[:20]:
            if before.get(path) != why:
                self._log.warning(
                    "Almanac: in the mirror of %s: %s: %s",
                    join(self.root, round_.folder) if round_.folder else self.root,
                    show(path),
                    why,
                )
        self._told[round_.folder] = round_.told
        shown = join(self.root, round_.folder) if round_.folder else self.root
        with contextlib.suppress(OSError):
            await asyncio.to_thread(self._agreements.save)
            await asyncio.to_thread(
                files.write_note, self.path(round_.folder), note(shown, round_.told)
            )


def renamed(path: str, old: str, new: str) -> str:
    """``path`` after ``old``, which it may be or lie in, was renamed to ``new``."""
    return new + path[len(old) :] if path == old or path.startswith(f"{old}/") else path


@dataclass
class _Round:
    """One pass over one folder, and what there is to tell of it."""

    folder: str
    first: str
    settled: bool
    listed: bool = False
    notebooks: bool = True
    told: dict[str, str] = field(default_factory=dict)
