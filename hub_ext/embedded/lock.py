"""One `almanac up` for a state folder."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from types import TracebackType

from hub_ext.errors import PublicError


class AlreadyRunning(PublicError):
    code, status = "already-running", 409


class Lock:
    """A lock file that holds the id of the process that has it.

    The system lets go of it when the process ends, however that happens.
    """

    def __init__(self, path: Path):
        self.path = path
        self._file: int | None = None

    def __enter__(self) -> Lock:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Close-on-exec: the parts must not inherit, and thereby keep, the lock.
        file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if not _acquired(file):
            os.close(file)
            holder = holder_of(self.path)
            who = f"process {holder}" if holder else "another process"
            folder = self.path.parent.parent
            raise AlreadyRunning(
                f"Almanac already runs on {folder}: {who}.",
                mend=f"`almanac status --state {folder}` says where; to have a second one, give it "
                "a folder of its own with `--state DIR`.",
                pid=holder,
            )
        os.truncate(file, 0)
        os.write(file, f"{os.getpid()}\n".encode())
        self._file = file
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._file is not None:
            os.truncate(self._file, 0)
            os.close(self._file)
            self._file = None


def _acquired(file: int) -> bool:
    # A few tries: somebody who only looks (`holder_of`) has it for a moment.
    for _ in range(5):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.05)
        else:
            return True
    return False


def holder_of(path: Path) -> int | None:
    """The id of the process that holds the lock; None if nobody does."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        try:
            # Shared, so that two who only look do not see each other.
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            text = os.read(file, 32).decode("ascii", "replace").strip()
            return int(text) if text.isdigit() else None
        return None
    finally:
        os.close(file)
