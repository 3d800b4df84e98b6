"""A small cache whose entries live for some seconds, bounded in number."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class BriefCache(Generic[T]):
    """Maps strings to values for ``seconds`` each; at most ``size``, oldest out first.

    Not for several threads: it belongs to one event loop.
    """

    def __init__(
        self, *, seconds: float, size: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._seconds = seconds
        self._size = size
        self._clock = clock
        self._values: OrderedDict[str, tuple[float, T]] = OrderedDict()

    def get(self, key: str) -> T | None:
        """The value, or None when there is none that is young enough."""
        found = self._values.get(key)
        if found is None:
            return None
        since, value = found
        # Not renewed by use: a revoked token must be found out while it is used.
        if self._clock() - since >= self._seconds:
            del self._values[key]
            return None
        return value

    def put(self, key: str, value: T, *, since: float | None = None) -> None:
        """Keep ``value``; ``since`` is when it was true, now by default."""
        self._values.pop(key, None)
        self._values[key] = (self._clock() if since is None else since, value)
        while len(self._values) > self._size:
            self._values.popitem(last=False)

    def drop(self, key: str) -> None:
        self._values.pop(key, None)

    def __len__(self) -> int:
        return len(self._values)
