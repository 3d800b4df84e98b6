"""Which old versions have had their time, and their removal.

A deleted or overwritten file can be had back for ``storage.keep_deleted_days``.
The platform removes what is older itself and does not leave it to a lifecycle
rule of the bucket: a store may take such a rule and run it never, or days late,
and nobody would notice. `sweep` does what the rule would do, once a day, on any
store; it keeps no place, so that one that was interrupted begins again and
finishes the job.

`expired` is pure: versions in, versions out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from hub_ext.storage.versions import AT_ONCE, Upload, Version, Versions

ABANDONED = timedelta(days=7)
"""After so long an upload that was not finished is given up."""


@dataclass
class Swept:
    """What a sweep has removed.

    Attributes:
        versions: how many old versions and delete markers.
        size: bytes that they took.
        uploads: how many abandoned uploads.
        failed: how many of all these the store did not remove.
    """

    versions: int = 0
    size: int = 0
    uploads: int = 0
    failed: int = 0


def expired(versions: Iterable[Version], before: datetime) -> Iterator[Version]:
    """The versions that nobody can want back any more.

    Args:
        versions: of any number of keys, those of one key together and newest first.
        before: a version that was deleted or overwritten at this instant, or
            later, is kept.

    A version is old since the next newer one came, be that a delete marker. A
    delete marker itself goes when it is the last that there is of its key:
    not sooner, since without it what it hides would be back.
    """
    newer: Version | None = None
    for version, following in _pairs(versions):
        if version == newer:  # VersityGW begins a page with what ended the one before
            continue
        if newer is None or newer.key != version.key:
            alone = following is None or following.key != version.key
            if version.deleted and alone and version.modified < before:
                yield version
        elif not version.latest and newer.modified < before:
            yield version
        newer = version


def _pairs(versions: Iterable[Version]) -> Iterator[tuple[Version, Version | None]]:
    iterator = iter(versions)
    this = next(iterator, None)
    while this is not None:
        following = next(iterator, None)
        yield this, following
        this = following


def abandoned(uploads: Iterable[Upload], now: datetime) -> list[Upload]:
    """The uploads that nobody will finish any more."""
    return [upload for upload in uploads if upload.started < now - ABANDONED]


def sweep(
    store: Versions,
    *,
    now: datetime,
    keep_days: int,
    stopping: Callable[[], bool] = lambda: False,
) -> Swept | None:
    """Remove what has had its time; None where it was stopped half-way.

    Args:
        keep_days: for how long what was deleted or overwritten is kept; 0 keeps
            it for ever.
        stopping: asked between pages.

    Raises:
        Unavailable, Forbidden: see `Versions`; what was removed is removed.
    """
    swept = Swept()

    def read() -> Iterator[Version]:
        for page in store.pages():
            if stopping():
                raise _Stopped
            yield from page

    def remove(old: list[Version]) -> None:
        failed = store.delete(old)
        swept.failed += failed
        swept.versions += len(old) - failed
        swept.size += sum(version.size for version in old)

    try:
        if keep_days:
            waiting: list[Version] = []
            for version in expired(read(), now - timedelta(days=keep_days)):
                if version.deleted and not _alone(store, version):
                    continue
                waiting.append(version)
                if len(waiting) == AT_ONCE:
                    remove(waiting)
                    waiting = []
            if waiting:
                remove(waiting)
        for upload in abandoned(store.uploads(), now):
            if stopping():
                raise _Stopped
            store.abort(upload)
            swept.uploads += 1
    except _Stopped:
        return None
    return swept


def _alone(store: Versions, marker: Version) -> bool:
    """Whether a delete marker hides nothing; asked again of the store, since it would be back."""
    return not marker.latest or all(
        row == marker for page in store.pages(marker.key) for row in page if row.key == marker.key
    )


class _Stopped(Exception):
    """The service ends."""
