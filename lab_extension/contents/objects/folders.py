"""Folders made of what the store lists: names, files, markers, and what is left out."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC
from typing import Any

from lab_extension.contents.objects.entries import Entry, Listing
from lab_extension.contents.objects.keys import MARKER, is_marker, name_of, regular
from lab_extension.contents.objects.plain import bare
from lab_extension.contents.objects.s3xml import Page

_SLICE = 1000


async def of_level(folder: str, cut: int, prefixes: Sequence[str], metas: Sequence[Any]) -> Listing:
    """obstore's answer (`Objects.level`), in slices: the event loop goes on meanwhile.

    Args:
        folder: its whole key.
        cut: characters of the store's prefix, slash included, that keys lose.
    """
    files: list[Entry] = []
    marked = False
    for start in range(0, len(metas), _SLICE):
        if start:
            await asyncio.sleep(0)
        for meta in metas[start : start + _SLICE]:
            path = meta["path"]
            if path == folder or (path.endswith(MARKER) and is_marker(path)):
                marked = True
                continue
            modified = meta["last_modified"]
            if modified.tzinfo is not UTC:
                modified = modified.astimezone(UTC)
            etag = bare(meta["e_tag"])
            files.append(Entry(path[cut:], meta["size"], modified, etag, meta["version"]))
    return Listing([name_of(prefix) for prefix in prefixes], files, marked)


def of_page(begin: str, cut: int, page: Page) -> Listing:
    """A page of our own, listed with the prefix ``begin``: the folder with its slash."""
    folders: list[str] = []
    files: list[Entry] = []
    left_out: list[str] = []
    marked = False
    for prefix in page.prefixes:
        name = prefix[len(begin) : -1]
        if regular(name):
            folders.append(name)
        else:
            left_out.append(prefix[cut:])
    for entry in page.entries:
        name = entry.key[len(begin) :]
        if name in ("", MARKER):
            marked = True
        elif regular(name):
            files.append(relative(entry, cut))
        else:
            left_out.append(entry.key[cut:])
    return Listing(folders, files, marked, left_out)


def together(pages: Sequence[Listing]) -> Listing:
    return Listing(
        [name for page in pages for name in page.folders],
        [entry for page in pages for entry in page.files],
        any(page.marked for page in pages),
        [key for page in pages for key in page.left_out],
    )


def relative(entry: Entry, cut: int) -> Entry:
    if not cut:
        return entry
    return Entry(entry.key[cut:], entry.size, entry.modified, entry.etag, entry.version)
