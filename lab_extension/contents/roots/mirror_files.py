"""The disk's side of a mirror: what lies there, and what was agreed on. Everything blocks."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import stat
import threading
import time
import uuid
from dataclasses import asdict
from pathlib import Path

from lab_extension.contents.roots.mirror_plan import NEVER, NOTE, TEMPORARY, Agreed, Here

_NOW_AND_THEN = 1.0
"""Seconds between two times that agreements are kept, in the course of a round."""
_OLD = 3600.0
"""Seconds after which a file on its way is one that never arrived."""


class Agreements:
    """What the store and the disk last agreed on, by path below one root; kept in a file.

    Should it get lost, what is the same on both sides is found out again by
    its content.
    """

    def __init__(self, file: Path):
        self._file = file
        self._known: dict[str, Agreed] | None = None
        self._dirty = False
        self._saved = time.monotonic()
        self._writing = threading.Lock()

    def all(self) -> dict[str, Agreed]:
        if self._known is None:
            try:
                document = json.loads(self._file.read_text())
                self._known = {path: Agreed(**entry) for path, entry in document.items()}
            except (OSError, ValueError, TypeError, AttributeError):
                self._known = {}
        return self._known

    def below(self, folder: str) -> dict[str, Agreed]:
        """Those in ``folder``, by path relative to it."""
        start = f"{folder}/" if folder else ""
        return {
            path[len(start) :]: agreed
            for path, agreed in self.all().items()
            if path.startswith(start)
        }

    def set(self, path: str, agreed: Agreed | None) -> None:
        """Note it in memory; `save` keeps it."""
        if agreed is None:
            self._dirty = self.all().pop(path, None) is not None or self._dirty
        elif self.all().get(path) != agreed:
            self.all()[path] = agreed
            self._dirty = True

    def save_now_and_then(self) -> None:
        """`save`, if that is long ago: what is agreed on in a long round outlives a crash.

        A file that was fetched, and of which that is not known any more, would
        pass for one that was made here, and be sent when it is gone from the store.
        """
        if time.monotonic() - self._saved > _NOW_AND_THEN:
            self.save()

    def save(self) -> None:
        with self._writing:
            if not self._dirty:
                return
            self._dirty = False
            self._saved = time.monotonic()
            try:
                self._write()
            except OSError:
                self._dirty = True
                raise

    def _write(self) -> None:
        self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        text = json.dumps({path: asdict(agreed) for path, agreed in dict(self.all()).items()})
        temporary = self._file.with_name(f"{self._file.name}.{uuid.uuid4().hex[:8]}")
        temporary.write_text(text)
        temporary.replace(self._file)


def scan(folder: Path, *, most: int) -> tuple[dict[str, Here], bool]:
    """The files below a mirror folder, by path relative to it, and whether that is all.

    Links, sockets and the like are none; nor is what hidden folders hold.
    """
    found: dict[str, Here] = {}
    waiting = [("", folder)]
    while waiting:
        inside, at = waiting.pop()
        try:
            entries = list(os.scandir(at))
        except OSError:
            continue
        for entry in entries:
            path = f"{inside}{entry.name}"
            with contextlib.suppress(OSError):  # gone meanwhile
                status = entry.stat(follow_symlinks=False)
                if stat.S_ISDIR(status.st_mode):
                    if entry.name not in NEVER and not entry.name.startswith("."):
                        waiting.append((f"{path}/", Path(entry.path)))
                elif stat.S_ISREG(status.st_mode) and entry.name != NOTE:
                    if entry.name.startswith(TEMPORARY):
                        _clear(Path(entry.path), status)
                        continue
                    if len(found) >= most:
                        return found, False
                    found[path] = Here(status.st_size, status.st_mtime_ns)
    return found, True


def _clear(path: Path, status: os.stat_result) -> None:
    now = path.parent.stat().st_mtime
    if now - status.st_mtime > _OLD:
        path.unlink(missing_ok=True)


def here(path: Path) -> Here | None:
    """A file as it is now; None where there is none (or a folder, or a link)."""
    try:
        status = path.lstat()
    except OSError:
        return None
    return Here(status.st_size, status.st_mtime_ns) if stat.S_ISREG(status.st_mode) else None


def temporary_beside(path: Path) -> Path:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path.with_name(f"{TEMPORARY}{uuid.uuid4().hex[:12]}")


def put_in_place(temporary: Path, path: Path, expected: Here | None) -> Here | None:
    """Put a fetched file where it belongs, if what is there is still what was seen.

    Returns:
        The file as it is there now; None where something else has come.
    """
    if here(path) != expected or (expected is None and os.path.lexists(path)):
        return None
    if expected is None:
        try:
            os.link(temporary, path)
        except FileExistsError:
            return None
        except OSError:  # a disk without links
            temporary.rename(path)
        else:
            temporary.unlink()
    else:
        temporary.replace(path)
    return here(path)


def remove(path: Path, agreed: Agreed) -> bool:
    """Remove a file that is still as it was fetched.

    Its folder stays, empty or not: it may be where a kernel is.
    """
    now = here(path)
    if now is None or not agreed.is_still(now):
        return False
    path.unlink()
    return True


def remove_empty(folder: Path) -> bool:
    """Remove a folder in which nothing is left but notes; whether it is gone."""
    for at, _, names in os.walk(folder, topdown=False):
        if set(names) <= {NOTE}:
            with contextlib.suppress(OSError):  # something is in it
                Path(at, NOTE).unlink(missing_ok=True)
                Path(at).rmdir()
    return not os.path.lexists(folder)


def set_aside(path: Path) -> str:
    """Give a file a hidden name that is free, and return that."""
    for number in itertools.count(1):
        aside = path.with_name(f".{path.name}.changed-here-{number}")
        if not os.path.lexists(aside):
            path.rename(aside)
            return aside.name
    raise AssertionError("numbers end")


def make_folders(folders: list[Path]) -> None:
    for folder in folders:
        with contextlib.suppress(OSError):  # there is a file of that name
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)


def write_note(folder: Path, text: str) -> None:
    """Tell in the folder what it lacks; nothing is written that is there already."""
    path = folder / NOTE
    with contextlib.suppress(OSError):
        if path.read_text() == text:
            return
    temporary = temporary_beside(path)
    temporary.write_text(text)
    temporary.replace(path)
