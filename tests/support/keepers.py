"""A supervisor in a process of its own, over tiny parts."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hub_ext.processes import ProcessId

PROGRAMS = Path(__file__).resolve().parents[1] / "embedded" / "programs"


class Keeper:
    """A running supervisor: its lines so far, and its parts' processes."""

    def __init__(self, folder: Path, parts: list[dict[str, Any]]):
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self.lines: list[str] = []
        self._news = threading.Condition()
        self.process = subprocess.Popen(
            [
                sys.executable,
                str(PROGRAMS / "keeper.py"),
                json.dumps({"folder": str(folder), "parts": parts}),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._news:
                self.lines.append(line.rstrip("\n"))
                self._news.notify_all()

    def wait_for(self, pattern: str, times: int = 1, within: float = 20) -> re.Match[str]:
        """The line that matches for the ``times``-th time."""

        def found() -> list[re.Match[str]]:
            return [match for line in self.lines if (match := re.search(pattern, line))]

        with self._news:
            assert self._news.wait_for(lambda: len(found()) >= times, within), (
                f"no {pattern!r} in:\n" + "\n".join(self.lines)
            )
            return found()[times - 1]

    def pid(self, name: str, times: int = 1) -> int:
        """Of the part's process that ran for the ``times``-th time."""
        return int(self.wait_for(rf"^{name} running (\d+)", times)[1])

    def family(self) -> list[ProcessId]:
        """All of its processes but itself."""
        me = ProcessId.of(self.process.pid)
        return me.descendants() if me else []

    def stop(self, number: int = signal.SIGTERM) -> float:
        """Send a signal and wait for the end; how many seconds it took."""
        began = time.monotonic()
        self.process.send_signal(number)
        self.process.wait(20)
        return time.monotonic() - began


def until(condition: Callable[[], object], within: float = 15) -> None:
    """Wait until it holds."""
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, f"not within {within} s"
        time.sleep(0.02)
