"""Which process is meant: a process id alone does not say, since ids are used again."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import psutil


@dataclass(frozen=True)
class ProcessId:
    """A process that can be found again later, by another process or after a restart.

    Attributes:
        pid: the process id.
        started: when it started, in the kernel's own clock ticks, and since
            which start of the machine. Wall-clock times would not do: they
            move when the clock is set.
    """

    pid: int
    started: str

    @classmethod
    def of(cls, pid: int) -> ProcessId | None:
        """The process that has this id now; None if there is none that still runs."""
        started = _started(pid)
        return None if started is None else cls(pid, started)

    @classmethod
    def from_json(cls, value: Any) -> ProcessId | None:
        """The inverse of `to_json`; None for anything else."""
        try:
            pid, started = value
            return cls(int(pid), str(started))
        except (TypeError, ValueError):
            return None

    def to_json(self) -> list[int | str]:
        return [self.pid, self.started]

    def alive(self) -> bool:
        """Whether it still runs. A zombie does not: it only waits to be collected."""
        return _started(self.pid) == self.started

    def signal(self, number: int) -> bool:
        """Send a signal; False if the process is gone (nobody else gets it then)."""
        if not self.alive():
            return False
        try:
            os.kill(self.pid, number)
        except ProcessLookupError:
            return False
        return True

    def parent(self) -> int:
        """The id of its parent; 0 if the process is gone."""
        fields = _stat(self.pid)
        return int(fields[1]) if fields and self.alive() else 0

    def descendants(self) -> list[ProcessId]:
        """Its children, their children and so on, nearest first."""
        if not self.alive():
            return []
        try:
            found = psutil.Process(self.pid).children(recursive=True)
        except psutil.Error:
            return []
        return [process for child in found if (process := ProcessId.of(child.pid)) is not None]


def _started(pid: int) -> str | None:
    fields = _stat(pid)
    return None if not fields or fields[0] in "ZXx" else f"{_boot()}:{fields[19]}"


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the third (state) on; empty if it is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return []
    # The second field, the command in parentheses, may hold anything.
    return text.rpartition(")")[2].split()


@cache
def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text()[:8]
    except OSError:
        return "-"
