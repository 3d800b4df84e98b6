"""Reading the events of an attempt, from its folder or from the object store."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pydantic import ValidationError

from hub_ext.jobs.schemas import EventOut, Page

LONGEST_LINE = 1 << 20
PAGE_BYTES = 4 << 20


def page(lines: Iterable[bytes], *, after: int, limit: int) -> Page[EventOut]:
    """The events with ``seq > after``, at most ``limit`` and about 4 MiB of them.

    A line that is no event (cut off by a crash, written by a notebook that
    found the file) is passed over.
    """
    found: list[EventOut] = []
    size = 0
    for line in lines:
        event = parse(line)
        if event is None or event.seq <= after:
            continue
        if len(found) == limit or (found and size + len(line) > PAGE_BYTES):
            return Page(items=found, next=str(found[-1].seq))
        found.append(event)
        size += len(line)
    return Page(items=found, next=None)


def lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Complete lines; one longer than `LONGEST_LINE` is dropped."""
    rest, dropping = b"", False
    for chunk in chunks:
        *complete, rest = (rest + chunk).split(b"\n")
        for line in complete:
            if not dropping and len(line) <= LONGEST_LINE:
                yield line
            dropping = False
        if len(rest) > LONGEST_LINE:
            rest, dropping = b"", True


def parse(line: bytes) -> EventOut | None:
    try:
        return EventOut.model_validate_json(line) if line.strip() else None
    except ValidationError:
        return None
