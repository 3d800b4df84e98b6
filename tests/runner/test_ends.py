"""Attempts that something else ends: people, limits, the system."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import pytest

# Leaves the kernel's session, and would outlive it and the runner.
DAEMON = (
    "import subprocess\n"
    "subprocess.Popen(['sh', '-c', 'sleep 300 & sleep 300'], start_new_session=True)\n"
    "print('daemon', flush=True)"
)
FOREVER = "import time\nprint('waiting', flush=True)\nfor n in range(3000):\n    time.sleep(0.1)"
STUBBORN = (
    "import signal, time\n"
    "for s in (signal.SIGINT, signal.SIGTERM): signal.signal(s, signal.SIG_IGN)\n"
    "print('waiting', flush=True)\nend = time.time() + 300\nwhile time.time() < end: time.sleep(1)"
)


def stop(running: Any) -> float:
    """SIGTERM; returns the seconds until the runner has ended."""
    started = time.monotonic()
    running.process.send_signal(signal.SIGTERM)
    running.wait(20)
    return time.monotonic() - started


def test_sigterm_ends_a_running_cell_and_keeps_what_there_is(attempting: Any) -> None:
    running = attempting("print('before')", DAEMON, FOREVER, "print('never')").start()
    running.until_printed("waiting")
    assert stop(running) < 8
    assert running.process.returncode == 143
    assert running.exit["status"] == "cancelled"
    assert running.exit["failure"] is None
    assert running.exit["progress"] == {"cell": 2, "cells": 4}
    assert running.processes() == []
    third = running.notebook["cells"][2]["outputs"]
    assert third[-1]["ename"] == "KeyboardInterrupt"
    assert running.of_type("attempt.finished") == [
        {"status": "cancelled", "message": "The run was stopped."}
    ]
    assert running.folder.html.exists()


def test_sigterm_ends_a_kernel_that_listens_to_nothing(attempting: Any) -> None:
    running = attempting(DAEMON, STUBBORN).start()
    running.until_printed("waiting")
    assert stop(running) < 10
    assert running.process.returncode == 143
    assert running.processes() == []
    assert running.folder.notebook.exists()


def test_sigterm_twice_is_as_good_as_once(attempting: Any) -> None:
    running = attempting(FOREVER).start()
    running.until_printed("waiting")
    running.process.send_signal(signal.SIGTERM)
    running.process.send_signal(signal.SIGTERM)
    assert stop(running) < 10
    assert running.process.returncode == 143
    assert running.exit["exit_code"] == 143


def test_sigterm_while_the_kernel_starts(attempting: Any) -> None:
    running = attempting("print(1)").start()
    running.until(lambda: running.of_type("environment.ready"))
    assert stop(running) < 10
    assert running.process.returncode in (0, 143)
    assert running.exit["exit_code"] == running.process.returncode
    assert running.processes() == []


def test_a_killed_runner_takes_its_kernel_and_all_its_children_along(attempting: Any) -> None:
    running = attempting(DAEMON, STUBBORN).start()
    running.until_printed("waiting")
    assert len(running.processes()) >= 4  # leash, kernel, sh, sleep
    running.process.kill()
    running.process.wait()
    deadline = time.monotonic() + 8
    while running.processes():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert not running.folder.exit.exists()


def test_what_the_notebook_left_running_ends_with_it(attempting: Any) -> None:
    running = attempting(DAEMON)
    assert running.run() == 0
    assert running.processes() == []


def test_a_cell_that_takes_too_long(attempting: Any) -> None:
    running = attempting("print('before')", FOREVER, cell_timeout_seconds=1)
    assert running.run() == 4
    assert "limit for one cell (1 second)" in running.exit["message"]
    failure = running.exit["failure"]
    assert (failure["cell"], failure["ename"]) == (1, "Timeout")
    assert any("KeyboardInterrupt" in line for line in failure["traceback"])
    assert running.notebook["cells"][1]["outputs"][-1]["ename"] == "Timeout"
    assert running.of_type("cell.failed") == [failure]
    assert running.processes() == []


def test_a_run_that_takes_too_long(attempting: Any) -> None:
    running = attempting(FOREVER, timeout_seconds=3)
    assert running.run() == 4
    assert "its limit (3 seconds)" in running.exit["message"]
    assert running.exit["status"] == "failed"
    assert running.processes() == []


def test_a_limit_that_is_over_before_the_kernel_is_there(attempting: Any) -> None:
    running = attempting("print(1)", timeout_seconds=0.25)
    assert running.run() == 4
    assert "limit" in running.exit["message"]
    assert running.processes() == []


def test_the_atexit_hooks_of_the_notebook_run(attempting: Any) -> None:
    running = attempting(
        "import atexit, pathlib\natexit.register(lambda: pathlib.Path('left').touch())"
    )
    assert running.run() == 0
    assert (running.folder.work / "left").exists()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_kernel_that_is_killed_from_outside(attempting: Any, number: int) -> None:
    running = attempting("import os\nprint(os.getpid(), flush=True)", FOREVER).start()
    running.until_printed("waiting")
    os.kill(int(running.printed().split()[0]), number)
    assert running.wait() == 1
    assert running.exit["failure"]["ename"] == "KernelDied"
    assert running.processes() == []
