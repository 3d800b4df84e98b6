"""A limit to how much lies below a prefix, held by counting now and then.

Object stores count nothing for us. So what lies there is counted in the
background, at most once a minute, and what is written meanwhile is added: near
the limit one may get over it by what others write at the same time.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from logging import Logger

from hub_ext.errors import PublicError
from lab_extension.contents.apart import apart
from lab_extension.contents.objects.store import Store

FRESH = 60.0
"""Seconds before what lies there is counted again."""
PATIENCE = 5.0
"""Seconds that a write waits for the first count; a limit is no reason not to save."""


class Full(PublicError):
    """There is no room left; HTTP 507."""

    code, status = "storage-full", 507


class Quota:
    def __init__(self, store: Store, log: Logger, now: Callable[[], float] = time.monotonic):
        self._store = store
        self._log = log
        self._now = now
        self._used: int | None = None
        self._counted = 0.0
        self._counting: asyncio.Task[None] | None = None

    async def admit(self, path: str, more: int, limit: int) -> None:
        """Let a write pass that adds ``more`` bytes, unless that is over the limit (0: none).

        Raises:
            Full
        """
        if not limit or more <= 0:
            return
        used = await self._known()
        if used is not None and used + more > limit:
            raise Full(
                f"There is no room for {path}: it needs {told(more)} more, and {told(used)} of "
                f"{told(limit)} are used.",
                mend="Delete what is not needed any more, or ask an operator for more.",
                used=used,
                limit=limit,
            )

    def add(self, more: int) -> None:
        """So much was written, or deleted (negative)."""
        if self._used is not None:
            self._used = max(0, self._used + more)

    async def _known(self) -> int | None:
        if self._counting is None and (self._used is None or self._now() - self._counted > FRESH):
            self._counting = apart(self._count())
        if self._used is None and self._counting is not None:
            await asyncio.wait([self._counting], timeout=PATIENCE)
        return self._used

    async def _count(self) -> None:
        try:
            self._used = (await self._store.usage()).size
            self._counted = self._now()
        except PublicError as error:
            self._log.warning("What lies in object storage could not be counted: %s", error)
        finally:
            self._counting = None


def told(size: int) -> str:
    """Bytes for people: ``1.5 GB``."""
    number = float(size)
    for unit in ("bytes", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.0f} {unit}" if unit == "bytes" else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} TB"
