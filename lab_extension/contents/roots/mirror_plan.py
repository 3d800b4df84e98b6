"""What a mirror folder and object storage have to tell each other: pure decisions.

Three things are known of a file: how it is in the store, how it is on disk, and
how both were when they last agreed. A side that differs from that has changed.
What changed on disk is never written over and never removed.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from lab_extension.contents.objects.faults import show
from lab_extension.contents.objects.keys import MARKER
from lab_extension.contents.paths import CHECKPOINTS

NOTE = ".almanac-mirror.txt"
"""Name of the file that tells what a mirror folder is and what it lacks."""
TEMPORARY = ".almanac-part-"
"""How the names of files begin that are on their way."""
NEVER = frozenset({"__pycache__", CHECKPOINTS})
"""Folders that are neither fetched nor written back; hidden ones are not either."""
PASSING = ("*.tmp", "*.temp", "*.swp", "*.part", "*.crdownload", "*~", "*.pyc", "~$*")
"""Names of files that programs make for a moment: they stay on disk."""
LONGEST_NAME = 255
"""Bytes of a file's name on the disks that people have."""


@dataclass(frozen=True)
class Limits:
    """How much a mirror folder holds at most, subfolders included."""

    bytes: int = 500_000_000
    files: int = 1000


@dataclass(frozen=True)
class There:
    """A file in the store."""

    etag: str | None
    size: int


@dataclass(frozen=True)
class Here:
    """A file on disk."""

    size: int
    mtime_ns: int


@dataclass(frozen=True)
class Agreed:
    """How a file was when both sides had the same."""

    etag: str | None
    size: int
    mtime_ns: int

    def is_still(self, here: Here) -> bool:
        return (self.size, self.mtime_ns) == (here.size, here.mtime_ns)


class Act(StrEnum):
    """What is to be done with one file."""

    NOTHING = "nothing"
    FETCH = "fetch"
    REMOVE = "remove"
    """It vanished from the store and is here as it was fetched."""
    CREATE = "create"
    """It is new here: written to the store unless one has come there."""
    REPLACE = "replace"
    """It changed here: written to the store unless it changed there, too."""
    COMPARE = "compare"
    """Both sides have one and they never agreed: the same, or a conflict."""
    FORGET = "forget"
    """It is nowhere any more."""


def act(there: There | None, here: Here | None, agreed: Agreed | None) -> Act:
    """What is to be done with a file; ``there`` is what the store has now."""
    if here is None:
        if there is not None:
            return Act.FETCH
        return Act.FORGET if agreed is not None else Act.NOTHING
    changed_there = there is not None and (agreed is None or there.etag != agreed.etag)
    if agreed is not None and agreed.is_still(here):
        if there is None:
            return Act.REMOVE
        return Act.FETCH if changed_there else Act.NOTHING
    if there is None:
        return Act.CREATE
    return Act.COMPARE if changed_there else Act.REPLACE


def act_unseen(here: Here | None, agreed: Agreed | None) -> Act:
    """The same where the store was not asked: only what changed here matters."""
    if here is None or (agreed is not None and agreed.is_still(here)):
        return Act.NOTHING
    return Act.CREATE if agreed is None else Act.REPLACE


@dataclass
class Chosen:
    """Which of the store's files a mirror holds.

    Attributes:
        left_out: path to why it is not among them, in words.
    """

    paths: set[str] = field(default_factory=set)
    size: int = 0
    left_out: dict[str, str] = field(default_factory=dict)


def choose(
    there: Mapping[str, There], *, first: str = "", most_bytes: int, most_files: int
) -> Chosen:
    """What fits: the notebook, then what is nearest to it, and small before large.

    Args:
        there: paths relative to the mirrored folder.
        first: the notebook; it is in whatever its size.
    """
    chosen = Chosen()
    folders = {parent for path in there for parent in parents(path)}

    def rank(path: str) -> tuple[bool, int, int, str]:
        return (path != first, path.count("/"), there[path].size, path)

    for path in sorted(there, key=rank):
        if reason := unfit(path):
            chosen.left_out[path] = reason
        elif path in folders:
            chosen.left_out[path] = "it has the name of a folder"
        elif path != first and len(chosen.paths) >= most_files:
            chosen.left_out[path] = f"there are more than {most_files} files"
        elif path != first and chosen.size + there[path].size > most_bytes:
            chosen.left_out[path] = f"all together are larger than {spoken_size(most_bytes)}"
        else:
            chosen.paths.add(path)
            chosen.size += there[path].size
    return chosen


def unfit(path: str) -> str:
    """Why no file on disk can be called so; empty where one can."""
    for segment in path.split("/"):
        if segment in ("", ".", "..") or "\0" in segment:
            return "its name is none that a file can have"
        if len(segment.encode("utf-8", "surrogatepass")) > LONGEST_NAME:
            return f"a part of its name is longer than {LONGEST_NAME} bytes"
    return ""


def fetched(path: str) -> bool:
    """Whether a mirror holds it: not what keeps folders, checkpoints or other tools' state."""
    *folders, name = path.split("/")
    if any(folder in NEVER or folder.startswith(".") for folder in folders):
        return False
    return name not in NEVER and name not in (MARKER, NOTE) and not name.startswith(TEMPORARY)


def written_back(path: str) -> bool:
    """Whether a file that a notebook makes goes to the store: what people would call a file."""
    segments = path.split("/")
    if any(segment.startswith(".") or segment in NEVER for segment in segments):
        return False
    return not any(fnmatch.fnmatchcase(segments[-1], pattern) for pattern in PASSING)


def parents(path: str) -> Iterable[str]:
    """The folders that a path lies in, innermost first; the top is not among them."""
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path


def spoken_size(size: int) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.3g} {unit}"
        size = size / 1000  # type: ignore[assignment]
    raise AssertionError


def note(shown: str, told: Mapping[str, str], *, limit: int = 200) -> str:
    """The text of the file that tells what a mirror folder is and what it lacks.

    Args:
        shown: the folder as the file browser has it.
        told: path to what is to be said of it.
    """
    lines = [
        f"This folder mirrors {shown} in object storage for the notebooks that run here.",
        "What is saved there arrives here; what a notebook writes here goes there within",
        "seconds. Hidden files, *.tmp and the like stay here. Deleting a file here does not",
        "delete it there.",
    ]
    if told:
        lines += ["", "Not the same here and there:"]
        lines += [f"- {show(path)}: {why}" for path, why in sorted(told.items())[:limit]]
        if len(told) > limit:
            lines.append(f"- and {len(told) - limit} more")
    return "\n".join(lines) + "\n"
