"""How much the files of each user and project take, from listings."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from hub_ext.storage.objects import ObjectStore

PARENTS = ("home/", "projects/")
"""What lies below each of these, folder by folder, is somebody's."""


@dataclass(frozen=True, slots=True)
class RootUsage:
    """What lies below one prefix.

    Attributes:
        size: bytes of the files as they are now; old versions are not counted,
            so that deleting frees.
        objects: how many they are.
        as_of: when they were counted.
        took: how long that took.
    """

    size: int
    objects: int
    as_of: datetime
    took: timedelta = timedelta()


def roots(objects: ObjectStore) -> list[str]:
    """The prefixes of users and projects that hold anything."""
    return sorted(prefix for parent in PARENTS for prefix in objects.folders(parent))


def measure(objects: ObjectStore, prefix: str, now: datetime) -> RootUsage:
    """Count what lies below ``prefix``; the listing passes through and is not kept."""
    began = time.monotonic()
    size = count = 0
    for info in objects.list(prefix):
        size += info.size
        count += 1
    return RootUsage(size, count, now, timedelta(seconds=time.monotonic() - began))


def measure_all(
    objects: ObjectStore,
    now: Callable[[], datetime],
    *,
    stopping: Callable[[], bool] = lambda: False,
) -> Mapping[str, RootUsage] | None:
    """`measure` for each of `roots`; None where it was stopped half-way."""
    found: dict[str, RootUsage] = {}
    for prefix in roots(objects):
        if stopping():
            return None
        found[prefix] = measure(objects, prefix, now())
    return found
