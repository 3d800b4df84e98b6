"""What a request for a file is answered with: all of it, a part, or that nothing changed.

RFC 9110, sections 13 and 14, as far as browsers, pandas and download tools use
them: one range, strong tags for ranges, weak comparison for "not modified".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from urllib.parse import quote

_RANGE = re.compile(r"\s*bytes\s*=\s*(\d*)\s*-\s*(\d*)\s*\Z", re.ASCII | re.IGNORECASE)
_TAGS = re.compile(r'\*|(?:W/)?"[^"]*"')
# No object is larger than 50 TB; a longer number is nobody's honest offset.
_LONGEST_NUMBER = 18


@dataclass(frozen=True)
class Answer:
    """What to send.

    Attributes:
        status: 200, 206, 304, 412 or 416.
        start, end: the bytes to send, ``end`` exclusive; nothing for 304, 412 and 416.
    """

    status: int
    start: int = 0
    end: int = 0


def answer(
    headers: Mapping[str, str], *, size: int, etag: str | None, modified: datetime
) -> Answer:
    """Decide by a request's headers.

    Args:
        headers: of the request; looked up as ``If-None-Match``, ``Range`` and so on.
        size: of the file, in bytes.
        etag: without quotes; None where the store gives none.
        modified: in UTC.
    """
    if (wanted := headers.get("If-Match")) is not None and not _matches(wanted, etag, strong=True):
        return Answer(412)
    if _unchanged(headers, etag, modified):
        return Answer(304)
    span = _span(headers.get("Range", ""), size)
    if span is None or not _still_valid(headers.get("If-Range", ""), etag, modified):
        return Answer(200, 0, size)
    start, end = span
    if start >= end:
        return Answer(416)
    return Answer(206, start, end)


def _unchanged(headers: Mapping[str, str], etag: str | None, modified: datetime) -> bool:
    if (known := headers.get("If-None-Match")) is not None:
        return _matches(known, etag, strong=False)
    since = _date(headers.get("If-Modified-Since", ""))
    return since is not None and modified.replace(microsecond=0) <= since


def _matches(tags: str, etag: str | None, *, strong: bool) -> bool:
    for tag in _TAGS.findall(tags):
        if tag == "*":
            return True
        if strong and tag.startswith("W/"):
            continue
        if etag is not None and tag.removeprefix("W/").strip('"') == etag:
            return True
    return False


def _still_valid(condition: str, etag: str | None, modified: datetime) -> bool:
    """Whether a part may be added to the parts that the client has already."""
    condition = condition.strip()
    if not condition:
        return True
    if condition.startswith(('"', "W/")):
        return _matches(condition, etag, strong=True)
    return _date(condition) == modified.replace(microsecond=0)


def _span(header: str, size: int) -> tuple[int, int] | None:
    """The range as ``start, end``; empty if it lies outside, None if it is to be ignored."""
    found = _RANGE.match(header)
    if found is None or max(map(len, found.groups())) > _LONGEST_NUMBER:
        return None
    first, last = found.groups()
    if not first and not last:
        return None
    if not first:
        # The last so many bytes.
        return max(0, size - int(last)), size
    start = int(first)
    if last and int(last) < start:
        return None
    return start, min(int(last) + 1, size) if last else size


def _date(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def http_date(moment: datetime) -> str:
    return format_datetime(moment.astimezone(UTC), usegmt=True)


def attachment(name: str) -> str:
    """``Content-Disposition`` for saving under ``name``: RFC 6266, its letters by RFC 8187."""
    plain = re.sub(r'[^\x20-\x7e]|["\\%]', "_", name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
