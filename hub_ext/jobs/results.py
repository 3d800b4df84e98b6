"""The results in the folder of an attempt, read as untrusted input.

The notebook's code can write there too (see `backends.folder`): only plain
files are taken, and a bounded number of them.
"""

from __future__ import annotations

import logging
import os
import stat
from pathlib import Path
from typing import Any, Protocol

from hub_ext.jobs.backends.folder import EVENTS, LOG, RESULTS
from hub_ext.jobs.schemas import Progress
from hub_ext.jobs.usecases import events

MOST_FILES = 1000

log = logging.getLogger("almanac.jobs")


class Uploads(Protocol):
    def put_file(self, key: str, path: Path) -> Any: ...


def publish(folder: Path, objects: Uploads, prefix: str) -> list[dict[str, Any]]:
    """Upload an attempt's results, events and log under ``prefix``.

    Returns:
        The results, as ``[{"name", "size"}]``, sorted by name.

    Raises:
        Unavailable: the store does not answer; doing it again does no harm.
    """
    published = []
    for name, path in sorted(_files(folder / RESULTS).items()):
        objects.put_file(prefix + name, path)
        published.append({"name": name, "size": path.stat().st_size})
    for name in (EVENTS, LOG):
        if _plain(folder / name):
            objects.put_file(prefix + name, folder / name)
    return published


def _files(root: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for where, _, names in os.walk(root, followlinks=False):
        for name in names:
            path = Path(where) / name
            key = path.relative_to(root).as_posix()
            if not _plain(path) or not key.isprintable() or key in (EVENTS, LOG):
                log.warning("results.passed-over %r", key)
            elif len(found) < MOST_FILES:
                found[key] = path
    return found


def _plain(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False


class ProgressTail:
    """How far an attempt is, from its events as they are appended."""

    def __init__(self, folder: Path):
        self._path = folder / EVENTS
        self._offset = 0
        self._rest = b""
        self._finished = 0
        self._of = 0

    def poll(self) -> Progress | None:
        """Read on; None until the first cell has started."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                # Bounded, so that a notebook that prints a lot takes turns with others.
                chunk = file.read(8 << 20)
        except OSError:
            return None
        self._offset += len(chunk)
        *lines, rest = (self._rest + chunk).split(b"\n")
        self._rest = rest if len(rest) <= events.LONGEST_LINE else b""
        for line in lines:
            if b'"cell.' in line:
                self._count(line)
        return Progress(cell=self._finished, cells=self._of) if self._of else None

    def _count(self, line: bytes) -> None:
        event = events.parse(line)
        if event is None:
            return
        of = event.data.get("of")
        if event.type == "cell.started" and isinstance(of, int) and 0 < of < 1_000_000:
            self._of = of
        if event.type == "cell.finished":
            self._finished += 1
