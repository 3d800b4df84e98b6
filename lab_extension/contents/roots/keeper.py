"""Keeps mirror folders up to date while kernels run in them."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from logging import Logger

from hub_ext.errors import PublicError
from lab_extension.contents.apart import apart
from lab_extension.contents.objects.keys import join
from lab_extension.contents.roots.mirror import Mirror, renamed

GRACE = 60.0
"""Seconds for which a folder is kept up to date before a kernel is there."""
_SHARE = 20
"""Looking at the store takes one part in so many of the time at most."""


@dataclass
class _Live:
    """A mirror folder in which kernels run, or did a moment ago."""

    mirror: Mirror
    folder: str
    entered: float
    synced: float
    pause: float
    """Seconds until the store is looked at again."""
    wanted: bool = False
    """What the store has was changed through this server."""
    seen: bool = False
    """A kernel was there: when there is none any more, it has ended."""


class Keeper:
    """Syncs the folders that kernels run in, until the last of them has ended.

    Args:
        in_use: the folders of object storage that kernels run in, as the file
            browser has them.
        every: seconds between two looks at what notebooks wrote.
        fully: seconds between two looks at what the store has.
    """

    def __init__(
        self,
        in_use: Callable[[], Awaitable[set[str]]],
        *,
        log: Logger,
        every: float = 5.0,
        fully: float = 30.0,
        grace: float = GRACE,
        now: Callable[[], float] = time.monotonic,
    ):
        self._in_use = in_use
        self._log = log
        self._every = every
        self._fully = fully
        self._grace = grace
        self._now = now
        self._live: dict[str, _Live] = {}
        self._task: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._failed: dict[str, str] = {}

    def enter(self, mirror: Mirror, folder: str) -> None:
        """A kernel starts in ``folder``, which was synced just now."""
        path = join(mirror.root, folder) if folder else mirror.root
        now = self._now()
        self._live[path] = _Live(mirror, folder, now, now, self._fully)
        if self._task is None or self._task.done():
            self._task = apart(self._keep())

    def changed(self, path: str) -> None:
        """A file or folder of object storage was changed through this server.

        The notebook itself is saved again and again, and no kernel reads it:
        that alone is no reason to look.
        """
        for root, live in self._live.items():
            if path[len(live.mirror.root) + 1 :] in live.mirror.notebooks:
                continue
            if path == root or path.startswith(f"{root}/") or root.startswith(f"{path}/"):
                live.wanted = True
                self._wake.set()

    def moved(self, old: str, new: str) -> None:
        """A folder of object storage has another path now."""
        for path, live in list(self._live.items()):
            if (now := renamed(path, old, new)) != path:
                live.folder = now[len(live.mirror.root) + 1 :]
                self._live[now] = self._live.pop(path)

    async def close(self) -> None:
        """Write back what there is, and end."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        for path, live in list(self._live.items()):
            await self._tried(path, live.mirror.write_back(live.folder, settled=True))
        self._live.clear()

    async def _keep(self) -> None:
        while self._live:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._every):
                    await self._wake.wait()
                    # What is uploaded comes as several changes.
                    await asyncio.sleep(min(0.2, self._every))
            self._wake.clear()
            try:
                await self._round()
            except Exception:
                self._log.exception("Almanac: the mirror folders were not looked at")

    async def _round(self) -> None:
        used = await self._in_use()
        for path, live in list(self._live.items()):
            now = self._now()
            live.seen = live.seen or path in used
            if path not in used and (live.seen or now - live.entered > self._grace):
                await self._tried(path, live.mirror.sync(live.folder, settled=True, make=False))
                if self._live.get(path) is live:  # no kernel came meanwhile
                    del self._live[path]
            elif live.wanted or now - live.synced >= live.pause:
                live.wanted = False
                await self._tried(path, live.mirror.sync(live.folder, make=False))
                live.synced = self._now()
                # A folder that takes long is looked at less often.
                live.pause = max(self._fully, _SHARE * (live.synced - now))
            else:
                await self._tried(path, live.mirror.write_back(live.folder))

    async def _tried(self, path: str, work: Awaitable[None]) -> None:
        """A store that is down is told once, and asked again in the next round."""
        try:
            await work
        except PublicError as error:
            if self._failed.get(path) != str(error):
                self._log.warning("Almanac: the mirror of %s waits: %s", path, error)
            self._failed[path] = str(error)
        except OSError as error:
            self._log.warning("Almanac: the mirror of %s waits: %s", path, error.strerror)
        except Exception:  # the other folders are not to wait for this one
            self._log.exception("Almanac: the mirror of %s waits", path)
        else:
            self._failed.pop(path, None)
