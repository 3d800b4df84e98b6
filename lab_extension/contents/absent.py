"""Making what is not there yet, where a store may see a ghost.

SeaweedFS keeps the directory of a folder that has become empty, and takes it
for an object of that name when a write asks that there be none. So a refusal is
looked into: if there is no object after all, the write is made without the
condition. Between the look and the write somebody else may be faster; that is
so for names of emptied folders alone, and versions keep both.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from lab_extension.contents.objects.faults import AlreadyThere, Missing
from lab_extension.contents.objects.store import Store

T = TypeVar("T")


async def make(store: Store, key: str, call: Callable[..., Awaitable[T]], **condition: Any) -> T:
    """What ``call`` gives with the condition, or without where nothing is there after all.

    Args:
        key: of what is to be made.
        condition: as `Store.write` takes it: ``if_absent``, ``if_match`` or nothing.

    Raises:
        AlreadyThere: something is there.
    """
    try:
        return await call(**condition)
    except AlreadyThere:
        try:
            await store.head(key)
        except Missing:
            return await call()
        raise
