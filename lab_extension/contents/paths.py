"""API paths, as Jupyter's clients send them, and what they name.

A path is unicode, separated by ``/``, with or without slashes at its ends.
``.versions/<id>/<path>`` is an old version of a file (the id percent-encoded):
to be read, never listed, never written. Folders that this manager keeps for
itself are never listed either.
"""

from __future__ import annotations

import hashlib
import posixpath
import re
from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import dataclass
from fnmatch import translate
from functools import lru_cache
from itertools import count
from urllib.parse import quote, unquote

from lab_extension.contents.objects import keys
from lab_extension.contents.objects.faults import Missing

VERSIONS = ".versions"
CHECKPOINTS = ".ipynb_checkpoints"
"""Beside the files, as Jupyter has it on a disk: every tool knows to leave it out."""
OURS = ".almanac"
"""At the top of the prefix: records of moves and uploads that are under way."""


@dataclass(frozen=True, slots=True)
class Named:
    """What a path names.

    Attributes:
        path: the path again, without needless slashes.
        key: of the object or folder; empty for the folder at the top.
        version: the store's name of an old version; None for the newest.
    """

    path: str
    key: str
    version: str | None = None

    @property
    def name(self) -> str:
        return keys.name_of(self.path)

    @property
    def hidden(self) -> bool:
        return keys.hidden(self.key)


def parse(path: str) -> Named:
    """What ``path`` names.

    Raises:
        Missing: it leads out of the prefix, or is ``.versions`` without a file.
    """
    segments = [segment for segment in path.split("/") if segment not in ("", ".")]
    if ".." in segments:
        # 404, as the local file manager has it: whoever tries learns nothing.
        raise Missing(f"{path} is outside root contents directory")
    plain = "/".join(segments)
    if not segments or segments[0] != VERSIONS:
        return Named(plain, plain)
    if len(segments) < 3:
        raise Missing(f"{path} names no file: .versions/<version>/<path of the file> does.")
    return Named(plain, "/".join(segments[2:]), unquote(segments[1]))


def of_version(key: str, version: str) -> str:
    """The path under which that version of a file can be read."""
    return f"{VERSIONS}/{quote(version, safe='')}/{key}"


def reserved(folder: str, name: str) -> bool:
    """Whether a folder of this name is this manager's own, and never listed."""
    return name == CHECKPOINTS or (not folder and name in (OURS, VERSIONS))


@lru_cache(maxsize=64)
def _pattern(globs: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(map(translate, globs)) or r"(?!)")


def matches_none(globs: Iterable[str]) -> Callable[[str], bool]:
    """Tells of a name whether none of the patterns (of `fnmatch`) matches it."""
    match = _pattern(tuple(globs)).match
    return lambda name: match(name) is None


def split_for_count(filename: str) -> tuple[str, str]:
    """Where a number goes in: before the first dot, in notebooks before the last one.

    Returns:
        What is before, and what follows (with its dot).
    """
    basename, dot, suffix = filename.rpartition(".")
    if suffix != "ipynb":
        basename, dot, suffix = filename.partition(".")
    return basename, dot + suffix


def numbered(filename: str, insert: str, taken: Container[str] = ()) -> Iterator[str]:
    """Names after ``filename`` that are not taken: itself, then with ``insert`` and 1, 2, …"""
    basename, suffix = split_for_count(filename)
    for number in count():
        name = f"{basename}{insert}{number}{suffix}" if number else f"{basename}{suffix}"
        if name not in taken:
            yield name


LONGEST_NAME = 255
"""Bytes of one segment that a store on a disk can hold."""


def checkpoint_of(key: str, checkpoint: str = "checkpoint") -> str:
    """Where the checkpoint of a file lies: in a folder beside it, which moves with its folder.

    A name that would get too long is replaced by its checksum.
    """
    folder, _, name = key.rpartition("/")
    stem, ending = posixpath.splitext(name)
    kept = f"{stem}-{checkpoint}{ending}"
    if len(kept.encode()) > LONGEST_NAME:
        kept = f"{hashlib.sha256(name.encode()).hexdigest()[:32]}-{checkpoint}"
    return keys.join(keys.join(folder, CHECKPOINTS), kept)
