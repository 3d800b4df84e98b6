"""The store's side of a mirror: what lies below a folder, as far as it is looked at."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from lab_extension.contents.objects.keys import join, name_of
from lab_extension.contents.objects.store import Store
from lab_extension.contents.roots.mirror_plan import (
    NEVER,
    Act,
    Agreed,
    Chosen,
    Here,
    Limits,
    There,
    act,
    act_unseen,
    choose,
    fetched,
    parents,
    unfit,
)


@dataclass
class Seen:
    """What the store has below a folder.

    Attributes:
        files: by path relative to the folder.
        folders: those that there are.
        whole: the folders of which all was seen.
    """

    files: dict[str, There] = field(default_factory=dict)
    folders: set[str] = field(default_factory=set)
    whole: set[str] = field(default_factory=set)

    def knows(self, path: str) -> bool:
        """Whether it is certain that a path which is not among the files does not exist."""
        folder = path.rpartition("/")[0]
        if folder in self.whole:
            return True
        return any(
            above not in self.folders and above.rpartition("/")[0] in self.whole
            for above in (folder, *parents(folder))
        )


def decide(
    seen: Seen, here: dict[str, Here], agreed: dict[str, Agreed], *, first: str, limits: Limits
) -> tuple[Chosen, dict[str, Act]]:
    """Which of the store's files a mirror holds, and what is to be done with each path."""
    there = seen.files
    chosen = choose(
        {path: entry for path, entry in there.items() if fetched(path)},
        first=first,
        most_bytes=limits.bytes,
        most_files=limits.files,
    )
    acts: dict[str, Act] = {}
    for path in {*there, *here, *agreed}:
        if path not in there and not seen.knows(path):
            acts[path] = act_unseen(here.get(path), agreed.get(path))
        elif path in here or path in agreed or path in chosen.paths:
            acts[path] = act(there.get(path), here.get(path), agreed.get(path))
    return chosen, acts


async def look(store: Store, folder: str, at_once: asyncio.Semaphore, *, most: int) -> Seen:
    """What lies below a folder, some ``most`` files of it.

    Level by level, so that what is near comes first where not all is looked at.

    Raises:
        PublicError: as the store says it.
    """
    seen = Seen()

    async def one(inside: str) -> list[str]:
        below: list[str] = []
        async with at_once:
            async for page in store.pages(join(folder, inside) if inside else folder):
                for entry in page.files:
                    name = name_of(entry.key)
                    seen.files[join(inside, name)] = There(entry.etag, entry.size)
                below += [
                    join(inside, name)
                    for name in page.folders
                    if name not in NEVER and not name.startswith(".") and not unfit(name)
                ]
                if len(seen.files) > most:
                    break
            else:
                seen.whole.add(inside)
        seen.folders.update(below)
        return below

    level = [""]
    while level and len(seen.files) <= most:
        found = await asyncio.gather(*(one(inside) for inside in level))
        level = [inside for below in found for inside in below][:most]
    return seen
