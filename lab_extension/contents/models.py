"""What Jupyter's contents API tells of a file or a folder: pure functions of entries."""

from __future__ import annotations

import mimetypes
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from lab_extension.contents.answers import http_error as http_error  # for who builds on models
from lab_extension.contents.objects.entries import Entry, Listing
from lab_extension.contents.paths import reserved

if TYPE_CHECKING:
    from lab_extension.contents.manager import S3ContentsManager
    from lab_extension.contents.objects.store import Store

Model: TypeAlias = dict[str, Any]
Kind: TypeAlias = Literal["file", "notebook", "directory"]

HASH_ALGORITHM = "etag"
NEVER = datetime(1970, 1, 1, tzinfo=UTC)
"""The time of a folder: object stores keep none. As Jupyter has it for times unknown."""


@dataclass(frozen=True)
class Located:
    """Where in object storage something is.

    Attributes:
        manager: who serves it.
        key: relative to the store's prefix.
        root: the path of the manager's own root; empty where it is the only one.
        version: the store's name of an old version, if the path names one.
    """

    manager: S3ContentsManager
    store: Store
    key: str
    root: str
    writable: bool
    version: str | None = None


def hash_of(entry: Entry) -> str:
    """The entity tag; size and time where a store gives none."""
    return entry.etag or f"{entry.size}-{entry.modified.timestamp():.3f}"


def kind_of(path: str, wanted: str | None = None) -> Kind:
    """Of a path that names a file: how it is told."""
    if wanted == "notebook" or (wanted is None and path.endswith(".ipynb")):
        return "notebook"
    return "file"


@lru_cache(maxsize=1024)
def _media_type(name: str) -> str | None:
    return mimetypes.guess_type(name)[0]


def media_type_of(path: str) -> str | None:
    """As `mimetypes.guess_type` has it, remembered for each pair of endings."""
    return _media_type_of(path.rpartition("/")[2])


def _media_type_of(name: str) -> str | None:
    stem, *endings = name.rsplit(".", 2)
    return _media_type(".".join(["x" if stem else "", *endings]))


def file_model(
    path: str, entry: Entry, *, kind: Kind = "file", writable: bool = True, with_hash: bool = False
) -> Model:
    """A file or notebook without its content."""
    name = path.rpartition("/")[2]
    return {
        "name": name,
        "path": path,
        "last_modified": entry.modified,
        "created": entry.modified,
        "content": None,
        "format": None,
        "mimetype": _media_type_of(name) if kind == "file" else None,
        "size": entry.size,
        "writable": writable,
        "hash": hash_of(entry) if with_hash else None,
        "hash_algorithm": HASH_ALGORITHM if with_hash else None,
        "type": kind,
    }


def folder_model(path: str, *, writable: bool = True) -> Model:
    """A folder without what lies in it."""
    return {
        "name": path.rpartition("/")[2],
        "path": path,
        "last_modified": NEVER,
        "created": NEVER,
        "content": None,
        "format": None,
        "mimetype": None,
        "size": None,
        "writable": writable,
        "hash": None,
        "hash_algorithm": None,
        "type": "directory",
    }


def listed(
    path: str,
    listing: Listing,
    *,
    shown: Callable[[str], bool],
    allow_hidden: bool = False,
    writable: bool = True,
) -> Iterable[Model]:
    """What a page of a folder's listing shows.

    Args:
        path: of the folder.
        shown: Jupyter's ``should_list``.
        allow_hidden: show names that begin with a dot.
    """
    beginning = f"{path}/" if path else ""
    for name in listing.folders:
        if reserved(path, name) or (name.startswith(".") and not allow_hidden):
            continue
        if shown(name):
            yield folder_model(beginning + name, writable=writable)
    for entry in listing.files:
        name = entry.key.rpartition("/")[2]
        if (name.startswith(".") and not allow_hidden) or not shown(name):
            continue
        kind: Kind = "notebook" if name.endswith(".ipynb") else "file"
        yield file_model(beginning + name, entry, kind=kind, writable=writable)


def now() -> datetime:
    return datetime.now(UTC)
