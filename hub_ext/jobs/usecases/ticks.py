"""From a tick that is due to a run, in the caller's transaction."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from sqlalchemy import Connection, select, update

from hub_ext.bundles import parameters
from hub_ext.errors import PublicError
from hub_ext.jobs import schedule
from hub_ext.jobs.schemas import RunState
from hub_ext.jobs.store import insert_once, new_id, reads
from hub_ext.jobs.store.reads import AnyRow
from hub_ext.jobs.store.tables import IS_OPEN, jobs, runs
from hub_ext.jobs.usecases import audit, ends, views
from hub_ext.jobs.usecases.wanted import MISSED, NOT_ACTIVE, OVERTAKEN, SERVICE, Ended
from hub_ext.names import RunKey, TriggerKind

log = logging.getLogger("almanac.jobs")

MISSED_RECORDED = 100
"""Of the ticks of one downtime, at most so many are recorded one by one."""


def claim(connection: Connection, job_id: str, now: datetime) -> int:
    """Make the runs of a job's ticks that are due at ``now``; returns how many."""
    job = reads.job(connection, job_id)
    # Another service may have been here since.
    if job is None or job.next_due is None or job.next_due > now:
        return 0
    try:
        when = schedule.parse(job.cron or "", job.timezone or "")
    except PublicError as error:
        log.error("schedule.unreadable job=%s %s", job_id, error)
        connection.execute(update(jobs).where(jobs.c.id == job_id).values(next_due=None))
        return 0
    just_before = job.next_due - timedelta(microseconds=1)
    ticks, older = schedule.latest(when, just_before, now, limit=MISSED_RECORDED + 1)
    # The tick that was announced runs even where the meaning of the time
    # zone changed since (new tzdata after an upgrade).
    ticks = ticks or [job.next_due]
    if older:
        log.warning("ticks.not-recorded job=%s before=%s", job_id, ticks[0].isoformat())
    claimed = sum(
        _claim_tick(connection, job, tick, missed=tick != ticks[-1], now=now) for tick in ticks
    )
    connection.execute(
        update(jobs)
        .where(jobs.c.id == job_id)
        .values(next_due=schedule.next_after(when, max(now, ticks[-1])))
    )
    return claimed


def _claim_tick(
    connection: Connection, job: AnyRow, tick: datetime, *, missed: bool, now: datetime
) -> int:
    reason, given, number = "", dict(job.parameters), job.active_version
    version = reads.version(connection, job.id, number) if number is not None else None
    if version is None:
        version = reads.latest_version(connection, job.id)
        assert version is not None
        reason = NOT_ACTIVE
    else:
        try:
            given = parameters.resolve(views.declared_of(version.declared), job.parameters)
        except PublicError as error:
            reason = str(error)
    if missed:
        reason = MISSED
    key = RunKey.tick(tick)
    run_id = new_id()
    inserted = insert_once(
        connection,
        runs,
        id=run_id,
        job_id=job.id,
        version=version.number,
        trigger_key=str(key),
        requested_by=str(SERVICE),
        state=(RunState.SKIPPED if reason else RunState.QUEUED).value,
        reason=reason,
        parameters=given,
        created_at=now,
        finished_at=now if reason else None,
    )
    if inserted:
        audit.log_transition(
            "run.skipped" if reason else "run.queued",
            job=job.id,
            run=run_id,
            trigger=key,
            reason=reason or None,
            late=f"{(now - tick).total_seconds():.1f}s",
        )
        if not reason:
            _overtake(connection, job.id, run_id, now)
    return int(inserted)


def _overtake(connection: Connection, job_id: str, run_id: str, now: datetime) -> None:
    """Skip the job's older ticks that wait and were never begun."""
    waiting = connection.execute(
        select(runs.c.id).where(
            runs.c.job_id == job_id,
            runs.c.id != run_id,
            runs.c.state == RunState.QUEUED.value,
            runs.c.trigger_key.startswith(f"{TriggerKind.TICK}:"),
            runs.c.started_at.is_(None),
            IS_OPEN,
        )
    ).scalars()
    for older in list(waiting):
        run = reads.run(connection, older)
        assert run is not None
        ends.end(connection, run, Ended(RunState.SKIPPED, OVERTAKEN), now)
