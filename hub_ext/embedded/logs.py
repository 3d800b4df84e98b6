"""Log files of the parts: opened, kept within bounds, read from the end.

A part writes to its file itself, and not through a pipe of the supervisor:
it must be able to go on when the supervisor is gone.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

LIMIT = 10 * 1024 * 1024
"""Bytes of a log file before it is put aside."""
KEPT = 2
"""How many older files stay: ``hub.log.1`` is newer than ``hub.log.2``."""

_COLOUR = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def open_for_append(path: Path) -> int:
    """A file descriptor at the end of the log file, which is made if need be (0600)."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)


def bound(folder: Path, *, limit: int = LIMIT, kept: int = KEPT) -> list[Path]:
    """Put aside every log file below ``folder`` that is larger than ``limit`` bytes.

    The file is copied and then emptied, since its writer holds it open; what
    is written between the two is lost. Returns the files put aside.
    """
    put_aside = []
    for path in sorted(folder.rglob("*.log")):
        try:
            if path.stat().st_size <= limit:
                continue
            for number in range(kept, 1, -1):
                older = _numbered(path, number - 1)
                if older.exists():
                    older.replace(_numbered(path, number))
            shutil.copyfile(path, _numbered(path, 1))
            _numbered(path, 1).chmod(0o600)
            os.truncate(path, 0)
        except OSError:
            continue  # a full disk, say: the next round tries again
        put_aside.append(path)
    return put_aside


def tail(path: Path, lines: int = 10, *, reach: int = 32 * 1024) -> list[str]:
    """The last lines of a log file, without colours; none if it cannot be read.

    Args:
        lines: how many, at most.
        reach: bytes from the end of the file that are looked at.
    """
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - reach))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return []
    return list(_last(text, lines))


def _last(text: str, lines: int) -> Iterator[str]:
    found = [line.rstrip() for line in _COLOUR.sub("", text).splitlines()]
    yield from [line for line in found if line][-lines:]


def _numbered(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.{number}")
