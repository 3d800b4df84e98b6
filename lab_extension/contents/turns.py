"""Saves and moves of one server, so that none of them removes what the other has just written.

A move ends by looking once more and removing what it has seen at its new place.
A save in between would be removed with it. So saves there wait for the end of
that, and it begins when the saves under way have ended. Other servers do not
know of it: against them only the second look helps, and the store's versions.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager


class Turns:
    """Of the keys of one store; for one event loop."""

    def __init__(self) -> None:
        self._written: Counter[str] = Counter()
        self._removed: Counter[str] = Counter()
        self._waiting: set[asyncio.Future[None]] = set()

    @asynccontextmanager
    async def writing(self, key: str) -> AsyncIterator[None]:
        """The object is being written; waits while it may be removed."""
        await self._until(lambda: not any(_holds(source, key) for source in self._removed))
        with self._noted(self._written, key):
            yield

    @asynccontextmanager
    async def removing(self, source: str) -> AsyncIterator[None]:
        """The file or folder is being removed; waits for those who write there."""
        # Noted first: whoever comes to write from now on waits.
        with self._noted(self._removed, source):
            await self._until(lambda: not any(_holds(source, key) for key in self._written))
            yield

    @contextmanager
    def _noted(self, counted: Counter[str], key: str) -> Iterator[None]:
        counted[key] += 1
        try:
            yield
        finally:
            counted[key] -= 1
            if not counted[key]:
                del counted[key]
            for waiting in self._waiting:
                if not waiting.done():
                    waiting.set_result(None)

    async def _until(self, met: Callable[[], bool]) -> None:
        while not met():
            changed = asyncio.get_running_loop().create_future()
            self._waiting.add(changed)
            try:
                await changed
            finally:
                self._waiting.discard(changed)


def _holds(source: str, key: str) -> bool:
    return key == source or key.startswith(f"{source}/")
