"""How much lies in each root: counted in the background, told at once.

Counting lists every object, which takes seconds for a large project. An
answer never waits for it: it tells the newest count, how old that is, and
whether another is under way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from logging import Logger
from typing import TYPE_CHECKING, Any

from hub_ext.errors import PublicError
from lab_extension.contents.apart import apart
from lab_extension.contents.objects.entries import Usage

if TYPE_CHECKING:
    from lab_extension.contents.objects.store import Store

FRESH = timedelta(seconds=60)
"""How old a count may be before another is begun."""
_AT_ONCE = 2


@dataclass
class _Count:
    found: Usage | None = None
    as_of: datetime | None = None
    tried: datetime | None = None
    problem: dict[str, Any] | None = None
    task: asyncio.Task[None] | None = None


@dataclass(frozen=True)
class Root:
    """What sizes are told of.

    Attributes:
        limit: bytes; None where there is none.
    """

    root: str
    title: str
    store: Store
    key: str
    limit: int | None
    writable: bool


async def roots_of(contents: Any) -> list[Any]:
    """All of them, of a contents manager that has several; else the one."""
    if hasattr(contents, "storage_roots"):
        roots: list[Any] = await contents.storage_roots()
        return roots
    there = await contents.locate("")
    limit = getattr(contents, "quota_bytes", 0) or None
    return [Root("", "Files", there.store, there.key, limit, there.writable)]


class Meter:
    """Remembers one count for each root."""

    def __init__(self, log: Logger):
        self._log = log
        self._counts: dict[str, _Count] = {}
        self._turns: asyncio.Semaphore | None = None

    def read(self, root: str, count: Callable[[], Awaitable[Usage]]) -> dict[str, Any]:
        """What is known of a root; begins a count where that is old.

        Returns:
            ``size`` in bytes and ``objects`` (null before the first count),
            ``as_of`` (UTC), ``counting``, and the ``problem`` of the last try.
        """
        known = self._counts.setdefault(root, _Count())
        now = datetime.now(UTC)
        if known.task is None and (known.tried is None or now - known.tried >= FRESH):
            known.task = apart(self._count(root, known, count))
        return {
            "size": known.found.size if known.found else None,
            "objects": known.found.objects if known.found else None,
            "as_of": known.as_of.isoformat() if known.as_of else None,
            "counting": known.task is not None,
            "problem": known.problem,
        }

    async def _count(self, root: str, known: _Count, count: Callable[[], Awaitable[Usage]]) -> None:
        if self._turns is None:
            self._turns = asyncio.Semaphore(_AT_ONCE)
        started = datetime.now(UTC)
        try:
            async with self._turns:
                known.found = await count()
            known.as_of, known.problem = started, None
        except PublicError as error:
            known.problem = error.problem()
        except Exception:
            self._log.exception("Almanac: what lies in %r could not be counted", root)
            known.problem = PublicError("The size could not be found out.").problem()
        finally:
            known.tried = datetime.now(UTC)
            known.task = None
