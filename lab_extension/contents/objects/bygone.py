"""What the list of versions says of a file's past, and of deleted files."""

from __future__ import annotations

import contextlib
import heapq
from collections.abc import Iterable
from datetime import datetime

from lab_extension.contents.objects.entries import Version
from lab_extension.contents.objects.faults import Unsupported
from lab_extension.contents.objects.keys import is_marker, regular
from lab_extension.contents.objects.s3api import S3Api


async def versions(api: S3Api, key: str) -> list[Version]:
    """Those of a whole key, newest first; none where the store keeps none."""
    found: list[Version] = []
    with contextlib.suppress(Unsupported):
        async for page in api.versions(key):
            mine, more = of_key(key, page)
            found += mine
            if not more:
                break
    if all(item.version == "null" for item in found):
        return []
    found.sort(key=lambda item: item.modified, reverse=True)
    found.sort(key=lambda item: not item.latest)
    return found


async def deleted(api: S3Api, prefix: str, *, since: datetime | None, limit: int) -> list[Version]:
    """See `Store.deleted`; of whole keys that begin with ``prefix``."""
    graves = Graves(since=since, limit=limit)
    with contextlib.suppress(Unsupported):
        async for page in api.versions(prefix):
            graves.add(page)
    return graves.newest_first()


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
