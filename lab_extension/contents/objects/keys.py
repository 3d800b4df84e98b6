"""Names of files as keys of objects.

A key here is relative to the store's prefix, with neither leading nor trailing
slash; the empty key is the folder at the top. A *raw* key is as the store has
it, and may be anything: ``a/`` marks a folder, ``a//b`` is no file's.

Bytes of a name are kept as they are: two spellings of one word (NFC and NFD)
are two names, as on a disk.
"""

from __future__ import annotations

import re

from lab_extension.contents.objects.faults import BadName, show

MARKER = ".s3keep"
"""Name of the empty object that keeps an empty folder, as s3contents writes it."""
LONGEST_KEY = 1024
"""Bytes of a whole key, prefix included, in UTF-8."""

_OLD_VERSIONS = ".versions"
"""How the folders end in which SeaweedFS keeps old versions: it lists nothing of them."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
# Stands for a byte that was no UTF-8, or that XML cannot hold: the true key is not known.
_UNKNOWN = "\ufffd"


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


def regular(key: str) -> bool:
    """Whether a raw key is a file's: what Jupyter can show and obstore can ask for."""
    return (
        not _CONTROL.search(key)
        and _UNKNOWN not in key
        and all(segment not in ("", ".", "..") for segment in key.split("/"))
    )


def key_of(path: str, *, prefix: str = "") -> str:
    """The key of a path of the contents API; slashes at its ends do not matter.

    Args:
        prefix: the store's, which counts towards the longest key.

    Raises:
        BadName: no object can have that name, or none should.
    """
    key = path.strip("/")
    if not key:
        return ""
    if found := _CONTROL.search(key):
        raise BadName(
            f"The name {show(key)} holds a control character (code {ord(found[0])}).",
            mend="Choose a name without it.",
        )
    for segment in key.split("/"):
        if segment in (".", ".."):
            raise BadName(
                f"The path {show(key)} leads through {segment!r}, which is no folder here.",
                mend="Write the path in full.",
            )
        if not segment:
            raise BadName(
                f"The path {show(key)} has two slashes in a row.", mend="Leave one of them out."
            )
    try:
        size = len(join(prefix.strip("/"), key).encode())
    except UnicodeEncodeError as error:
        raise BadName(
            f"The name {show(key)} is not valid Unicode.", mend="Choose another name."
        ) from error
    if size > LONGEST_KEY:
        raise BadName(
            f"The path {show(key)} is {size - LONGEST_KEY} bytes too long: with the place it lies "
            f"in it would be {size} bytes, and an object store allows {LONGEST_KEY}.",
            mend="Choose a shorter name, or a folder higher up.",
        )
    return key


def new_key(path: str, *, prefix: str = "") -> str:
    """`key_of`, for something that is to be made.

    A backslash is refused on top: some stores take it for a slash, and put the
    file into a folder that nobody asked for. So are folders that a store would
    hide with all that lies in them: a mirror or a move would take that for gone.

    Raises:
        BadName: no object can have that name, or none should.
    """
    key = key_of(path, prefix=prefix)
    if "\\" in key:
        raise BadName(
            f"The name {show(key)} holds a backslash, which some object stores take for a slash.",
            mend="Choose a name without it.",
        )
    for folder in key.split("/")[:-1]:
        if folder.endswith(_OLD_VERSIONS):
            raise BadName(
                f"A folder cannot have the name {show(folder)}: there are object stores that keep "
                "old versions of files in folders of such names, and show nothing of them.",
                mend=f"Choose a name that does not end in {_OLD_VERSIONS}.",
            )
    return key


def new_folder(path: str, *, prefix: str = "") -> str:
    """`new_key`, for a folder that is to be made; its marker must fit as well.

    Raises:
        BadName: none can have that name, or none should.
    """
    key = path.strip("/")
    return parent(new_key(join(key, MARKER), prefix=prefix)) if key else ""
