"""Ending a tree of processes in order, within a time, leaving none behind."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from hub_ext.embedded.parts import Stops
from hub_ext.processes import ProcessId

LOOK = 0.05
"""Seconds between two looks at whether a process has ended."""


@dataclass(frozen=True)
class Times:
    """When each stage is over at the latest, in seconds from the beginning.

    A stage that is done earlier leaves its time to the next one. Ten seconds
    are promised for all of it; the last half second is for what happens around.
    ``stragglers`` alone is a length: how long those get whose parent has ended.
    """

    before_work: float = 3.0
    work: float = 6.5
    stragglers: float = 0.5
    after_work: float = 9.0
    killed: float = 9.5


@dataclass(frozen=True)
class Ending:
    """A part's process, how it is asked to end, and how many seconds it is given."""

    process: ProcessId
    signal: signal.Signals = signal.SIGTERM
    grace: float = 3.0


def leaders(members: Sequence[ProcessId]) -> list[ProcessId]:
    """Those whose parent is not among the members: people's servers and runners.

    Only they are asked to end. Their own children (kernels) are theirs to
    end: a runner whose kernel is ended by somebody else takes that for a
    failure of the notebook.
    """
    pids = {process.pid for process in members}
    return [process for process in members if process.parent() not in pids]


async def wind_down(
    parts: Mapping[Stops, Sequence[Ending]],
    members: Callable[[], list[ProcessId]],
    *,
    hurry: Callable[[], bool] = lambda: False,
    times: Times | None = None,
) -> list[ProcessId]:
    """End parts and all that they have started; returns what cannot be ended.

    Args:
        parts: the parts' processes by when they are stopped.
        members: all processes of the tree that live now, parts included.
        hurry: true as soon as nobody wants to wait any longer; then all is killed.
        times: limits of the stages.
    """
    times = times or Times()
    began = time.monotonic()
    of_parts = {ending.process for endings in parts.values() for ending in endings}

    def over(limit: float) -> Callable[[], bool]:
        return lambda: hurry() or time.monotonic() - began >= limit

    async def end(endings: Sequence[Ending], limit: float) -> None:
        for ending in endings:
            ending.process.signal(ending.signal)
        grace = max((ending.grace for ending in endings), default=0.0)
        now = time.monotonic() - began
        left = await gone([ending.process for ending in endings], over(min(now + grace, limit)))
        _kill(left)

    def work() -> list[ProcessId]:
        return [process for process in members() if process not in of_parts]

    await end(parts.get(Stops.BEFORE_WORK, ()), times.before_work)
    leading = leaders(work())
    for process in leading:
        process.signal(signal.SIGTERM)
    await gone(leading, over(times.work))
    for process in work():
        process.signal(signal.SIGTERM)
    await gone_all(work, over(time.monotonic() - began + times.stragglers))
    _kill(work())
    await end(parts.get(Stops.AFTER_WORK, ()), times.after_work)
    while left := members():
        _kill(left)
        if time.monotonic() - began >= times.killed:
            return left
        await asyncio.sleep(LOOK)
    return []


async def gone(
    processes: Sequence[ProcessId], over: Callable[[], bool] = lambda: False
) -> list[ProcessId]:
    """Wait until the processes have ended, or ``over()``; returns those that live."""
    return await gone_all(lambda: [process for process in processes if process.alive()], over)


async def gone_all(
    living: Callable[[], list[ProcessId]], over: Callable[[], bool]
) -> list[ProcessId]:
    # Not children of ours, all of them: nothing tells when they end.
    while (left := living()) and not over():  # noqa: ASYNC110
        await asyncio.sleep(LOOK)
    return left


def _kill(processes: Iterable[ProcessId]) -> None:
    for process in processes:
        process.signal(signal.SIGKILL)
