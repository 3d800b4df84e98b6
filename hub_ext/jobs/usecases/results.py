"""What runs leave: events, logs, files."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from hub_ext.errors import NotFound
from hub_ext.jobs import place
from hub_ext.jobs.schemas import EventOut, Page
from hub_ext.jobs.store import reads
from hub_ext.jobs.usecases import events, lookup, paging, views
from hub_ext.jobs.usecases.base import UseCases
from hub_ext.names import Principal

LOG_BYTES = 1 << 20


@dataclass(frozen=True)
class RunFile:
    """A file of a run, read as it is sent."""

    name: str
    size: int
    media_type: str
    chunks: Iterator[bytes]


class ResultCases(UseCases):
    """What may be read of a run, while it goes on and afterwards."""

    def list_events(
        self, principal: Principal, run_id: str, *, after: int = 0, limit: int = paging.LARGEST_PAGE
    ) -> Page[EventOut]:
        """The events of the run's newest attempt with ``seq > after``, in order.

        ``next`` is null where there are no more for now: ask again later with
        the last ``seq`` as ``after`` while the run goes on.
        """
        limit, _ = paging.checked(limit, None)
        lines = events.lines(self._chunks_of(principal, run_id, "events.jsonl"))
        return events.page(lines, after=after, limit=limit)

    def run_log(self, principal: Principal, run_id: str) -> str:
        """What the runner printed, newest 1 MiB; for finding faults of the platform."""
        with self._database.reading() as connection:
            run = lookup.visible_run(connection, principal, run_id)
            attempts = reads.attempts_of(connection, [run_id])[run_id]
        if run.published is None:
            return self._spools.logs(attempts[-1].backend_ref) if attempts else ""
        tail: deque[bytes] = deque()
        size = 0
        for chunk in self._chunks_of(principal, run_id, "runner.log"):
            tail.append(chunk)
            size += len(chunk)
            while size - len(tail[0]) >= LOG_BYTES:
                size -= len(tail.popleft())
        return b"".join(tail)[-LOG_BYTES:].decode(errors="replace")

    def open_file(self, principal: Principal, run_id: str, name: str) -> RunFile:
        """One of the files that `RunOut.files` names."""
        with self._database.reading() as connection:
            run = lookup.visible_run(connection, principal, run_id)
        for file in run.files or []:
            if file["name"] == name and run.published is not None:
                key = place.attempt_prefix(run_id, run.published) + name
                return RunFile(
                    name=name,
                    size=file["size"],
                    media_type=views.media_type(name),
                    chunks=iter(self._objects.stream(key)),
                )
        raise NotFound(f"The run has no file {name[:200]!r}.")

    def _chunks_of(self, principal: Principal, run_id: str, name: str) -> Iterator[bytes]:
        """A file of the run's newest attempt, wherever it lies now; empty where it has none."""
        with self._database.reading() as connection:
            run = lookup.visible_run(connection, principal, run_id)
            attempts = reads.attempts_of(connection, [run_id])[run_id]
        if run.published is not None:
            try:
                yield from self._objects.stream(place.attempt_prefix(run_id, run.published) + name)
            except NotFound:
                return
        elif attempts and (folder := self._spools.folder(attempts[-1].backend_ref)):
            try:
                with (folder / name).open("rb") as file:
                    while chunk := file.read(1 << 16):
                        yield chunk
            except OSError:
                return
