"""What a folder's list of versions says of deleted files. Pure."""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from datetime import datetime

from lab_extension.contents.entries import Version
from lab_extension.contents.keys import is_marker, regular


class Graves:
    """Gathers deleted files from pages of versions, of which it remembers little.

    Pages come by key, of one key the newest first, and a key may go on in the
    next page.

    Args:
        since: leaves out what was deleted before.
        limit: how many to keep: those deleted last.
    """

    def __init__(self, *, since: datetime | None, limit: int):
        self._since = since
        self._limit = limit
        self._marker: Version | None = None
        self._found: list[tuple[datetime, str, Version]] = []

    def add(self, page: Iterable[Version]) -> None:
        for item in page:
            if item.deleted:
                if item.latest and (self._since is None or item.modified >= self._since):
                    self._marker = item
                continue
            marker = self._marker
            if marker is None or marker.key != item.key:
                continue
            self._marker = None
            if is_marker(item.key) or not regular(item.key):
                continue
            grave = Version(item.key, item.version, item.size, marker.modified, False, True)
            entry = (grave.modified, grave.key, grave)
            if len(self._found) < self._limit:
                heapq.heappush(self._found, entry)
            else:
                heapq.heappushpop(self._found, entry)

    def newest_first(self) -> list[Version]:
        return [grave for _, _, grave in sorted(self._found, key=lambda f: f[:2], reverse=True)]


def of_key(key: str, page: Iterable[Version]) -> tuple[list[Version], bool]:
    """The versions of one key in a page of those that begin with it; whether more may come."""
    items = list(page)
    mine = [item for item in items if item.key == key]
    return mine, bool(items) and items[-1].key == key
