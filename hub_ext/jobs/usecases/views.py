"""Rows as the shapes that travel. A row that cannot be understood is shown as such."""

from __future__ import annotations

import mimetypes
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from itertools import islice
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import Connection

from hub_ext.bundles.parameters import effective
from hub_ext.bundles.spec import Parameter
from hub_ext.errors import PublicError
from hub_ext.jobs import place, schedule
from hub_ext.jobs.schemas import (
    AttemptOut,
    AttemptState,
    Failure,
    FileOut,
    JobOut,
    ParameterOut,
    Progress,
    RunOut,
    RunState,
    ScheduleOut,
    Trigger,
    VersionOut,
    VersionState,
    Wire,
)
from hub_ext.jobs.store import reads
from hub_ext.jobs.store.reads import AnyRow
from hub_ext.names import RunKey, TriggerKind

NEXT_TIMES = 3
W = TypeVar("W", bound=Wire)

_PARAMETERS = TypeAdapter(list[Parameter])
_MEDIA_TYPES = {
    ".ipynb": "application/x-ipynb+json",
    ".html": "text/html; charset=utf-8",
    ".log": "text/plain; charset=utf-8",
    ".jsonl": "application/x-ndjson",
    ".csv": "text/csv; charset=utf-8",
}


def schedule_out(cron: str, timezone: str, now: datetime) -> ScheduleOut:
    """A stored schedule; one that cannot be read any more says so and is never due."""
    try:
        understood = parsed(cron, timezone)
    except PublicError as error:
        return ScheduleOut(
            cron=cron, timezone=timezone, sentence=f"Cannot be read: {error.message}", next=[]
        )
    zone = ZoneInfo(timezone)
    times = islice(schedule.occurrences(understood, now, datetime.max.replace(tzinfo=zone)), 3)
    return ScheduleOut(
        cron=understood.cron,
        timezone=understood.timezone,
        sentence=_sentence(understood),
        next=[when.astimezone(zone) for when in times],
    )


@lru_cache(maxsize=4096)
def parsed(cron: str, timezone: str) -> schedule.Schedule:
    """As `schedule.parse`; a list of jobs asks for the same few again and again."""
    return schedule.parse(cron, timezone)


@lru_cache(maxsize=4096)
def _sentence(understood: schedule.Schedule) -> str:
    return schedule.sentence(understood)


def declared_of(stored: Any) -> list[Parameter]:
    try:
        return _PARAMETERS.validate_python(stored)
    except ValidationError:
        return []


def version_out(row: AnyRow) -> VersionOut:
    return VersionOut(
        number=row.number,
        bundle=row.bundle_sha256,
        state=VersionState(row.state),
        created_at=row.created_at,
        created_by=row.created_by,
        reason=row.reason,
        parameters=[ParameterOut(**item.model_dump()) for item in declared_of(row.declared)],
    )


def jobs_out(connection: Connection, rows: Sequence[AnyRow], now: datetime) -> list[JobOut]:
    ids = [row.id for row in rows]
    latest = reads.latest_versions(connection, ids)
    last = list(reads.latest_runs(connection, ids).values())
    last_runs = {run.job_id: run for run in runs_out(connection, last)}
    return [
        JobOut(
            id=row.id,
            name=row.name,
            project=row.project,
            description=row.description,
            notebook_path=row.notebook_path,
            created_at=row.created_at,
            created_by=row.created_by,
            paused=row.paused,
            archived=row.archived_at is not None,
            schedule=schedule_out(row.cron, row.timezone, now) if row.cron else None,
            parameters=row.parameters,
            active_version=row.active_version,
            latest_version=version_out(latest[row.id]),
            last_run=last_runs.get(row.id),
            next_run=row.next_due,
            url=place.job_url(row.id),
        )
        for row in rows
    ]


def runs_out(connection: Connection, rows: Sequence[AnyRow]) -> list[RunOut]:
    """Rows of `reads.run_select`, with their attempts."""
    attempts = reads.attempts_of(connection, [row.id for row in rows])
    return [_run_out(row, attempts.get(row.id, [])) for row in rows]


def _run_out(row: AnyRow, attempts: Sequence[AnyRow]) -> RunOut:
    key = RunKey.parse(row.trigger_key)
    return RunOut(
        id=row.id,
        job_id=row.job_id,
        job_name=row.job_name,
        project=row.project,
        version=row.version,
        trigger=Trigger(
            kind=key.kind,
            key=row.trigger_key,
            scheduled_for=key.scheduled_for,
            by=row.requested_by,
        ),
        state=RunState(row.state),
        reason=row.reason,
        test=key.kind is TriggerKind.TEST,
        parameters=effective(declared_of(row.declared), row.parameters),
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        progress=_or_none(Progress, row.progress),
        failure=_or_none(Failure, row.failure),
        attempts=[
            AttemptOut(
                n=attempt.n,
                state=AttemptState(attempt.state),
                started_at=attempt.started_at,
                finished_at=attempt.finished_at,
                message=attempt.message,
            )
            for attempt in attempts
        ],
        files=[
            FileOut(
                name=file["name"],
                size=file["size"],
                media_type=media_type(file["name"]),
                url=place.file_url(row.id, file["name"]),
            )
            for file in row.files or []
        ],
        url=place.run_url(row.id),
    )


def media_type(name: str) -> str:
    for suffix, known in _MEDIA_TYPES.items():
        if name.endswith(suffix):
            return known
    return mimetypes.guess_type(name)[0] or "application/octet-stream"


def _or_none(model: type[W], stored: Any) -> W | None:
    try:
        return model.model_validate(stored) if stored is not None else None
    except ValidationError:
        return None
