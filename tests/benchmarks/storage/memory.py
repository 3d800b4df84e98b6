"""How much memory a process holds at most while something is done; Linux, from /proc."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

MEGABYTE = 1e6


def resident(pid: int, name: str = "VmRSS") -> float:
    """Resident memory in MB (10⁶ bytes); ``VmHWM`` for the highest since it was reset."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        key, _, value = line.partition(":")
        if key == name:
            return int(value.split()[0]) * 1024 / MEGABYTE
    raise LookupError(f"/proc/{pid}/status has no {name}")


def settled(pid: int, seconds: float = 1.0, within: float = 15.0) -> float:
    """Resident memory once it has not moved by a megabyte for ``seconds``, in MB."""
    deadline = time.monotonic() + within
    last = resident(pid)
    while time.monotonic() < deadline:
        time.sleep(seconds)
        now = resident(pid)
        if abs(now - last) < 1:
            break
        last = now
    return resident(pid)


@contextlib.contextmanager
def peak_above_idle(pid: int) -> Iterator[Callable[[], float]]:
    """Measure the block; the call it gives says by how many MB the peak was above the start.

    The kernel keeps the exact peak where it can be reset
    (``/proc/PID/clear_refs``); elsewhere a sample every 10 ms has to do.
    """
    idle = settled(pid)
    try:
        Path(f"/proc/{pid}/clear_refs").write_text("5")
        exact = True
    except OSError:
        exact = False
    highest = [idle]
    done = threading.Event()

    def sample() -> None:
        while not done.wait(0.01):
            with contextlib.suppress(OSError, LookupError):
                highest[0] = max(highest[0], resident(pid))

    watch = threading.Thread(target=sample, daemon=True)
    watch.start()

    def peak() -> float:
        return max(highest[0], resident(pid, "VmHWM") if exact else 0) - idle

    try:
        yield peak
    finally:
        done.set()
        watch.join()
