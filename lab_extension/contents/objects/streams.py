"""An object as it is read: chunks, and the same object to the last byte.

A connection that breaks off half-way is taken up again where it broke, on the
condition that the object is still the same.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from obstore.exceptions import BaseError

from lab_extension.contents.objects.entries import Buffer
from lab_extension.contents.objects.faults import Where

CHUNK = 1024 * 1024
"""Least bytes of a chunk coming down, the last one apart."""
TRIES = 3
"""How often in a row, without a byte in between, a connection may break."""


async def chunks(
    answer: Any,
    start: int,
    end: int,
    *,
    skip: int = 0,
    again: Callable[[int, int], Awaitable[Any]],
    where: Where,
) -> AsyncIterator[Buffer]:
    """The bytes from ``start`` to ``end`` (exclusive).

    Args:
        answer: obstore's, which begins ``skip`` bytes before ``start``.
        again: asks for what is left, from and to; of the same version.

    Raises:
        StoreDown: the connection breaks again and again.
        Changed: the object has become another one half-way.
    """
    position, broken = start, 0
    while True:
        try:
            async for chunk in answer.stream(min_chunk_size=CHUNK):
                if skip >= len(chunk):
                    skip -= len(chunk)
                    continue
                view = memoryview(chunk)[skip : skip + end - position]
                skip = 0
                position += len(view)
                broken = 0
                yield view
                if position >= end:
                    return
        except BaseError:
            pass  # as if it had ended early
        if position >= end:
            return
        broken += 1
        if broken > TRIES:
            raise where.silent()
        answer, skip = await again(position, end), 0
