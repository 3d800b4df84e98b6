"""Which process is meant."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

from hub_ext.processes import ProcessId

PARENT = """
import subprocess, sys
wait = [sys.executable, "-c", "import sys; sys.stdin.read()"]
child = subprocess.Popen(wait, stdin=subprocess.PIPE)
print(child.pid, flush=True)
sys.stdin.read()
"""


def test_a_process_is_known_by_its_id_and_its_start() -> None:
    me = ProcessId.of(os.getpid())
    assert me is not None
    assert me.alive()
    assert ProcessId.from_json(me.to_json()) == me
    assert me.parent() == os.getppid()


def test_another_process_with_the_same_id_gets_no_signal() -> None:
    other = ProcessId(os.getpid(), "another start")
    assert not other.alive()
    assert not other.signal(signal.SIGKILL)  # we are still here
    assert other.descendants() == []


def test_descendants_and_the_end() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        child = int(process.stdout.readline())
        parent = ProcessId.of(process.pid)
        assert parent is not None
        assert [item.pid for item in parent.descendants()] == [child]
        assert parent.signal(signal.SIGKILL)
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert not parent.alive()  # a zombie, which nobody has collected yet
    finally:
        process.kill()
        process.communicate(timeout=10)
    assert ProcessId.of(process.pid) is None


def test_nonsense_is_no_process() -> None:
    for value in (None, "x", [1], [None, "1"], {}):
        assert ProcessId.from_json(value) is None
