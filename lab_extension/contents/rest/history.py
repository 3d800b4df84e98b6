"""Versions of files: told, opened, made the newest again; deleted files, and back.

Works on what a contents manager's ``locate`` gives. Paths are those of the
contents API, keys those of a `Store`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from hub_ext.errors import Conflict, Invalid, NotFound
from lab_extension.contents import paths
from lab_extension.contents.objects import keys
from lab_extension.contents.objects.entries import Entry, Version
from lab_extension.contents.objects.faults import AlreadyThere, Missing

if TYPE_CHECKING:
    from lab_extension.contents.models import Located

MOST_DELETED = 10_000
"""Deleted files that are looked at, the newest ones."""
_AT_ONCE = 16

Item = TypeVar("Item")


@dataclass(frozen=True)
class Lost:
    """A deleted file that shall come back: where, and as which version."""

    located: Located
    path: str
    version: str


def text_of_time(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def version_path(root: str, path: str, version: str) -> str:
    """The path under which the contents manager opens a version, read-only."""
    below = path[len(root) :].strip("/") if root else path
    return keys.join(root, paths.of_version(below, version))


async def entry_of(located: Located, path: str) -> Entry:
    """The file as it is now. Raises NotFound, Invalid for a folder."""
    _not_the_top(located, path)
    try:
        return await located.store.head(located.key, version=located.version)
    except Missing as error:
        if await located.store.folder_exists(located.key):
            raise _folder(path) from error
        raise NotFound(f"There is no file {path}.", field="path") from error


def _not_the_top(located: Located, path: str) -> None:
    """A root is a folder, whatever there is; not all credentials may ask the store of it."""
    if not located.key:
        raise _folder(path)


def _folder(path: str) -> Invalid:
    return Invalid(f"{path or '/'} is a folder.", mend="Choose a file.", field="path")


async def versions(located: Located, path: str, *, limit: int, after: str) -> dict[str, Any]:
    """The versions of a file, newest first, as JSON.

    Args:
        after: a version's id; those older than it.
    """
    _not_the_top(located, path)
    kept = (await located.store.capabilities()).versions
    found = await located.store.versions(located.key) if kept else []
    if not found:
        # Not to say "no versions" of what is not there at all.
        await entry_of(located, path)
    if after:
        found = _after(found, lambda item: item.version == after, "version")
    return {
        "items": [
            {
                "version": item.version,
                "modified": text_of_time(item.modified),
                "size": item.size,
                "latest": item.latest,
                "deleted": item.deleted,
                "path": None if item.deleted else version_path(located.root, path, item.version),
            }
            for item in found[:limit]
        ],
        "versions": kept,
        "next": found[limit - 1].version if len(found) > limit else None,
    }


async def restore(located: Located, path: str, version: str) -> Entry:
    """Make a copy of a version the newest one; what is newest now stays as a version.

    Raises:
        NotFound, Invalid: it is none, or none with a content.
        Full: there is no room for it.
    """
    _not_the_top(located, path)
    found = await located.store.versions(located.key)
    wanted = next((item for item in found if item.version == version), None)
    if wanted is None:
        raise NotFound(
            f"There is no such version of {path}.",
            mend="Look at its versions again: old ones may have been removed.",
            field="version",
        )
    if wanted.deleted:
        raise Invalid(
            f"That entry says that {path} was deleted: there is nothing in it.",
            mend="Choose the version before it.",
            field="version",
        )
    now = next((item.size for item in found if item.latest and not item.deleted), 0)
    await _make_room(located, path, wanted.size - now)
    entry = await located.store.restore(located.key, version)
    located.manager.quota.add(wanted.size - now)
    return entry


async def deleted(
    located: Located, path: str, *, limit: int, after: str, hidden_too: bool, kept_days: int
) -> dict[str, Any]:
    """What was deleted below a folder, newest first, as JSON.

    Args:
        after: ``next`` of an earlier answer.
        kept_days: for how long the store keeps them; 0 where that is not known, or for ever.
    """
    if not (await located.store.capabilities()).versions:
        return {"items": [], "versions": False, "next": None}
    found = await located.store.deleted(located.key, limit=MOST_DELETED)
    return await asyncio.to_thread(
        _page_of_deleted, found, located.key, path, limit, after, hidden_too, kept_days
    )


def _page_of_deleted(
    found: list[Version],
    folder: str,
    path: str,
    limit: int,
    after: str,
    hidden_too: bool,
    kept_days: int,
) -> dict[str, Any]:
    """Pure; takes a moment where there are thousands."""
    kept = sorted(
        (
            (_cursor(item), item)
            for item in found
            if not keys.is_marker(item.key) and (hidden_too or not _hidden(item.key, folder))
        ),
        key=lambda pair: pair[0],
        reverse=True,
    )
    if after:
        kept = [pair for pair in kept if pair[0] < after]
    return {
        "items": [
            {
                "path": keys.join(path, item.key[len(folder) :].strip("/")),
                "name": keys.name_of(item.key),
                "version": item.version,
                "size": item.size,
                "deleted_at": text_of_time(item.modified),
                "recoverable_until": text_of_time(item.modified + timedelta(days=kept_days))
                if kept_days
                else None,
            }
            for _, item in kept[:limit]
        ],
        "versions": True,
        "next": kept[limit - 1][0] if len(kept) > limit else None,
    }


async def undelete(items: Sequence[Lost]) -> list[str]:
    """Bring files back; the paths that came back.

    Looked at as a whole first: if one of them is in the way of something that
    is there, none comes back.

    Raises:
        Conflict: there is a file or a folder of that name; ``paths`` has them all.
        NotFound: no such version; ``restored`` has what had come back by then.
        Full: there is no room for it.
    """
    taken = [path for path in await _each(items, _taken) if path is not None]
    if taken:
        raise _in_the_way(taken)
    restored: list[str] = []

    async def bring_back(item: Lost) -> None:
        store, key = item.located.store, item.located.key
        try:
            size = (await store.head(key, version=item.version)).size
            await _make_room(item.located, item.path, size)
            await store.copy(key, key, version=item.version, if_absent=True)
            item.located.manager.quota.add(size)
        except AlreadyThere as error:
            raise _in_the_way([item.path], restored=restored) from error
        except Missing as error:
            raise NotFound(
                f"There is no such version of {item.path}.",
                mend="Look at the list again: it may have been removed for good meanwhile.",
                restored=restored,
            ) from error
        restored.append(item.path)

    await _each(items, bring_back)
    return [item.path for item in items]


async def _make_room(located: Located, path: str, more: int) -> None:
    """Raises Full, where so many bytes more are over the limit."""
    manager = located.manager
    if hasattr(manager, "admit"):
        await manager.admit(located.key, more)
    else:
        await manager.quota.admit(path, more, manager.quota_bytes)


def _in_the_way(taken: list[str], **extra: Any) -> Conflict:
    others = f" and {len(taken) - 1} more" if len(taken) > 1 else ""
    return Conflict(
        f"There is something at {taken[0]}{others} again.",
        mend="Rename or delete that first.",
        paths=taken,
        **extra,
    )


async def _taken(item: Lost) -> str | None:
    """The path, if something is there now."""
    store, key = item.located.store, item.located.key
    _not_the_top(item.located, item.path)
    try:
        await store.head(key)
    except Missing:
        return item.path if await store.folder_exists(key) else None
    return item.path


async def _each(items: Sequence[Lost], do: Callable[[Lost], Awaitable[Item]]) -> list[Item]:
    """``do`` for each, some at a time; the first error ends it after those under way."""
    turns = asyncio.Semaphore(_AT_ONCE)
    failed = False

    async def one(item: Lost) -> Any:
        nonlocal failed
        async with turns:
            if failed:
                return None
            try:
                return await do(item)
            except BaseException:
                failed = True
                raise

    done: list[Any] = await asyncio.gather(*map(one, items), return_exceptions=True)
    for result in done:
        if isinstance(result, BaseException):
            raise result
    return done


def _hidden(key: str, folder: str) -> bool:
    return keys.hidden(key[len(folder) :].strip("/"))


def _cursor(item: Version) -> str:
    """By which they are sorted: time in full, then key."""
    return f"{item.modified.astimezone(UTC).isoformat(timespec='microseconds')} {item.key}"


def _after(found: list[Version], here: Callable[[Version], bool], field: str) -> list[Version]:
    for number, item in enumerate(found):
        if here(item):
            return found[number + 1 :]
    raise Invalid("There is no such page.", mend="Begin at the first one.", field=field)
