"""Calls at the same moment, from threads that wait for each other."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def together(call: Callable[[T], R], items: Iterable[T], *, timeout: float = 30.0) -> list[R]:
    """What ``call`` gives for each item, all of them begun at once; raises what one raises."""
    given = list(items)
    barrier = threading.Barrier(len(given))

    def at_once(item: T) -> R:
        barrier.wait(timeout)
        return call(item)

    with ThreadPoolExecutor(len(given)) as threads:
        return list(threads.map(at_once, given, timeout=timeout))
