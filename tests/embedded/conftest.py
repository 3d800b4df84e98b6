"""A supervisor in a process of its own, over tiny parts."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from keepers import PROGRAMS, Keeper

from hub_ext.embedded import ports
from hub_ext.embedded.records import Processes


@pytest.fixture
def child() -> Callable[..., dict[str, Any]]:
    """Makes an entry of the table that runs ``programs/child.py``."""

    def make(name: str, *words: str, **more: Any) -> dict[str, Any]:
        port = ports.free(1)[0]
        command = [sys.executable, str(PROGRAMS / "child.py"), str(port), *words]
        return {"name": name, "command": command, "port": port, **more}

    return make


@pytest.fixture
def keep(tmp_path: Path) -> Iterator[Callable[..., Keeper]]:
    """Starts a supervisor over the given entries, on one folder for all of a test."""
    keepers: list[Keeper] = []

    def start(*parts: dict[str, Any]) -> Keeper:
        keepers.append(Keeper(tmp_path / "run", list(parts)))
        return keepers[-1]

    yield start
    for keeper in keepers:
        family = keeper.family()
        if keeper.process.poll() is None:
            keeper.process.kill()
            keeper.process.wait(5)
        for process in [*family, *Processes.load(keeper.folder).living()]:
            process.signal(signal.SIGKILL)
