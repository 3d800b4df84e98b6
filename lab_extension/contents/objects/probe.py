"""Finding out what a store does, by trying it on a scratch key.

Not every store that speaks S3 heeds the conditions of a write: some take
If-Match and write all the same. The only way to know is to send a write whose
condition fails. Nothing is needed but the rights one has below the prefix: with
the right to read alone the answer says so.
"""

from __future__ import annotations

import contextlib
import logging
import secrets
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any

from hub_ext.errors import PublicError
from lab_extension.contents.objects.entries import Capabilities
from lab_extension.contents.objects.faults import (
    AlreadyThere,
    Changed,
    ClockSkew,
    Full,
    Missing,
    NoBucket,
    Refused,
    StoreDown,
    Unsupported,
)
from lab_extension.contents.objects.keys import join
from lab_extension.contents.objects.s3api import S3Api

SCRATCH = ".almanac-probe-"
WRONG_ETAG = "0" * 32
_FAILED = (Changed, AlreadyThere, Missing)

log = logging.getLogger(__name__)


_known: dict[tuple[str, str], Capabilities] = {}


async def capabilities_of(api: S3Api, prefix: str) -> Capabilities:
    """What the store does, and what these credentials may do below ``prefix``.

    The first is found out once in the life of this process for each endpoint
    and bucket, and what is missing is said in the log then.

    Raises: as `probe`.
    """
    place = (api.where.endpoint, api.where.bucket)
    if place in _known:
        return await _here(api, prefix, _known[place])
    found = await probe(api, prefix)
    if found.writable and place not in _known:
        _known[place] = found
        _tell(api, found)
    return found


def forget() -> None:
    """Find everything out anew."""
    _known.clear()


def _tell(api: S3Api, found: Capabilities) -> None:
    if not found.conditional_put:
        log.warning(
            "The object store at %s ignores the conditions of a write (If-Match, If-None-Match) "
            "in the bucket %s: files are compared before they are written over, which two people "
            "who save in the same instant can still slip through.",
            api.where.endpoint,
            api.where.bucket,
        )


async def _here(api: S3Api, prefix: str, known: Capabilities) -> Capabilities:
    """``known``, with what depends on the right to this prefix."""
    key = join(prefix, SCRATCH + secrets.token_hex(8))
    versions: list[str | None] = []
    try:
        versions.append((await api.put(key, b"probe")).version)
    except (Refused, Full) as fault:
        if isinstance(fault, Refused) and fault.stale:
            raise
    try:
        listed = await _lists_versions(api, key, versions)
    finally:
        if versions:
            await _cleaned(api, key, versions)
    return replace(known, writable=bool(versions), list_versions=listed)


async def probe(api: S3Api, prefix: str) -> Capabilities:
    """What the store at the other end does.

    Args:
        prefix: where in the bucket the scratch key may lie; no slash at its end.

    Raises:
        StoreDown, ClockSkew, NoBucket: it cannot be found out now.
        Refused: the keys are wrong, rather than short of a right.
    """
    key = join(prefix, SCRATCH + secrets.token_hex(8))
    try:
        first = await api.put(key, b"probe")
    except (Refused, Full) as fault:
        if isinstance(fault, Refused) and fault.stale:
            raise
        return await _reading_only(api, prefix)
    versions: list[str | None] = [first.version]
    try:
        found = await _writing(api, key, versions)
        if found.put_if_match and first.version not in (None, "null"):
            found = replace(found, match_passes_gone=await _passes_gone(api, key + "-gone"))
        listed = await _lists_versions(api, key, versions)
        return replace(
            found,
            versions=first.version not in (None, "null"),
            list_versions=listed,
            ranges=await api.ranges(key),
        )
    finally:
        await _cleaned(api, key, versions)


async def _writing(api: S3Api, key: str, versions: list[str | None]) -> Capabilities:
    async def put(*, if_match: str | None = None, if_absent: bool = False) -> None:
        entry = await api.put(key, b"probe", if_match=if_match, if_absent=if_absent)
        versions.append(entry.version)

    async def complete(*, if_match: str | None = None, if_absent: bool = False) -> None:
        upload = await api.begin(key)
        try:
            etag = await api.part(key, upload, 1, b"probe")
            entry = await api.complete(key, upload, [etag], if_match=if_match, if_absent=if_absent)
            versions.append(entry.version)
        finally:
            with contextlib.suppress(PublicError):
                await api.abort(key, upload)

    async def copy() -> None:
        target = key + "-copy"
        try:
            for _ in range(2):
                entry = await api.copy(key, target, if_absent=True)
                versions_of_copy.append(entry.version)
        finally:
            await _cleaned(api, target, versions_of_copy)

    versions_of_copy: list[str | None] = []
    return Capabilities(
        put_if_match=await _heeds(put(if_match=WRONG_ETAG)),
        put_if_absent=await _heeds(put(if_absent=True)),
        complete_if_match=await _heeds(complete(if_match=WRONG_ETAG)),
        complete_if_absent=await _heeds(complete(if_absent=True)),
        copy_if_absent=await _heeds(copy()),
    )


async def _passes_gone(api: S3Api, key: str) -> bool:
    """Whether a deleted object is still taken for the one that If-Match names."""
    first = await api.put(key, b"probe")
    versions = [first.version]
    try:
        versions.append(await api.delete(key))
        return not await _heeds(_again(api, key, first.etag, versions))
    finally:
        await _cleaned(api, key, versions)


async def _again(api: S3Api, key: str, etag: str | None, versions: list[str | None]) -> None:
    versions.append((await api.put(key, b"probe", if_match=etag)).version)


async def _heeds(attempt: Coroutine[Any, Any, None]) -> bool:
    """Whether a write whose condition does not hold is refused for that."""
    try:
        await attempt
    except _FAILED:
        return True
    except StoreDown as fault:
        if fault.silent or fault.busy:
            raise
        return False
    except (ClockSkew, NoBucket):
        raise
    except PublicError:  # not implemented, not allowed: then it is not to be relied on
        return False
    return False


async def _lists_versions(api: S3Api, key: str, versions: list[str | None]) -> bool:
    try:
        async for page in api.versions(key):
            known = set(versions)
            versions += [item.version for item in page if item.version not in known]
    except (Refused, Unsupported):
        return False
    return True


async def _reading_only(api: S3Api, prefix: str) -> Capabilities:
    """With no right to write: what can be seen from an object that is there."""
    ranges, versions = True, False
    page = await api.page(prefix + "/" if prefix else "", size=20)
    for entry in page.entries:
        if entry.size > 1:
            with contextlib.suppress(Refused, Missing):
                ranges = await api.ranges(entry.key)
                found, _ = await api.head(entry.key)
                versions = found.version not in (None, "null")
                break
    listed = await _lists_versions(api, join(prefix, SCRATCH), [])
    return Capabilities(writable=False, ranges=ranges, versions=versions, list_versions=listed)


async def _cleaned(api: S3Api, key: str, versions: list[str | None]) -> None:
    """Leave nothing: neither the object nor its versions, nor a delete marker."""
    try:
        kept = [version for version in versions if version not in (None, "null")]
        for version in kept:
            await api.delete(key, version=version)
        if not kept:
            await api.delete(key)
    except PublicError as fault:
        log.info("A scratch object is left in the object store: %s", fault.message)
