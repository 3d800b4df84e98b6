"""When to ask a store again, and when to give up.

A store that restarts is bridged for some seconds; one that says when it wants
to be asked again (Retry-After) is heeded, within bounds. A request that may
have had its effect is repeated only where that is harmless.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TypeVar

from lab_extension.contents.objects.faults import StoreDown

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 1.5
BRIDGE = 5.0
"""Seconds from the first failure on that a store which says nothing is asked again."""
LONGEST_WAIT = 20.0
"""Seconds that a store which names a time is waited for, all in all."""

Answer = TypeVar("Answer")


async def patiently(
    call: Callable[[], Awaitable[Answer]],
    *,
    harmless: bool = True,
    ask: Callable[[], Awaitable[float | None]] | None = None,
) -> Answer:
    """What ``call`` gives, asked again while the store is down and there is hope.

    Args:
        harmless: doing it twice is as good as once.
        ask: finds out when a store that is busy wants to be asked again, in
            seconds, where the fault itself does not tell (obstore hides the header).

    Raises:
        StoreDown: the last one, when there is no point in asking again.
    """
    since: float | None = None
    pause = FIRST_PAUSE
    while True:
        begun = time.monotonic()
        try:
            return await call()
        except StoreDown as fault:
            now = time.monotonic()
            if fault.silent and now - begun > BRIDGE:  # a long silence is an answer
                raise
            since = now if since is None else since
            if not (fault.untouched or (harmless and _passing(fault))):
                raise
            after = fault.retry_after
            if after is None and fault.busy and ask is not None:
                after = await ask()
            wait = pause * random.uniform(0.75, 1.25) if after is None else after  # noqa: S311
            if now - since + wait > (BRIDGE if after is None else LONGEST_WAIT):
                raise
            await asyncio.sleep(wait)
            pause = min(2 * pause, LONGEST_PAUSE)


def _passing(fault: StoreDown) -> bool:
    return fault.busy or fault.silent


def seconds_of(header: str | None, now: datetime | None = None) -> float | None:
    """What a Retry-After header says: seconds, or a date; None if it says neither."""
    if not header:
        return None
    if header.strip().isdigit():
        return float(header.strip())
    try:
        then = parsedate_to_datetime(header)
    except ValueError:
        return None
    if then.tzinfo is None:
        then = then.replace(tzinfo=UTC)
    return max(0.0, (then - (now or datetime.now(UTC))).total_seconds())
