"""Names of files as keys of objects.

A key here is relative to the store's prefix, with neither leading nor trailing
slash; the empty key is the folder at the top. Bytes of a name are kept as they
are: two spellings of one word (NFC and NFD) are two names, as on a disk.
"""

from __future__ import annotations

MARKER = ".s3keep"
"""Name of the empty object that keeps an empty folder, as s3contents writes it."""
LONGEST_KEY = 1024
"""Bytes of a whole key, prefix included, in UTF-8."""


def join(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def parent(key: str) -> str:
    return key.rpartition("/")[0]


def name_of(key: str) -> str:
    return key.rpartition("/")[2]


def is_marker(key: str) -> bool:
    """Whether a raw key (its trailing slash, if any, not removed) only marks a folder."""
    return key.endswith("/") or name_of(key) == MARKER


def hidden(path: str) -> bool:
    """Whether any segment begins with a dot, as the local file manager has it on POSIX."""
    return any(segment.startswith(".") for segment in path.split("/"))
