"""One `almanac up` for a folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hub_ext.embedded.lock import AlreadyRunning, Lock, holder_of

HOLD = """
import sys
from pathlib import Path
from hub_ext.embedded.lock import Lock
with Lock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_the_second_is_told_who_has_it(tmp_path: Path) -> None:
    path = tmp_path / "run" / "lock"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout is not None
    try:
        assert holder.stdout.readline() == "held\n"
        assert holder_of(path) == holder.pid
        with pytest.raises(AlreadyRunning, match=str(holder.pid)) as caught, Lock(path):
            pass
        assert str(tmp_path) in caught.value.message
    finally:
        holder.kill()
        holder.communicate(timeout=10)
    # Killed, and the lock is free all the same.
    assert holder_of(path) is None
    with Lock(path):
        assert path.read_text().strip() == str(os.getpid())
    assert holder_of(path) is None


def test_nobody_holds_a_lock_that_is_not_there(tmp_path: Path) -> None:
    assert holder_of(tmp_path / "lock") is None
