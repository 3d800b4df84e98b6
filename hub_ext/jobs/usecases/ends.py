"""The end of a run and what follows from it, in the caller's transaction."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, update

from hub_ext.jobs import schedule
from hub_ext.jobs.schemas import RunState, VersionState
from hub_ext.jobs.store import reads
from hub_ext.jobs.store.reads import AnyRow
from hub_ext.jobs.store.tables import jobs, run_tokens, runs, versions
from hub_ext.jobs.usecases import audit
from hub_ext.jobs.usecases.wanted import SERVICE, Ended
from hub_ext.names import RunKey


def end(
    connection: Connection,
    run: AnyRow,
    ended: Ended,
    now: datetime,
    *,
    published: int | None = None,
) -> None:
    """Store how a run ended; its run tokens end with it.

    Args:
        published: number of the attempt that the run ends with; its results
            count as published where ``ended.files`` is not None.
    """
    values: dict[str, Any] = {
        "state": ended.state.value,
        "reason": ended.reason,
        "finished_at": now,
        "failure": ended.failure,
        "files": ended.files,
        "published": published if ended.files is not None else None,
    }
    if ended.progress is not None:
        values["progress"] = ended.progress
    connection.execute(update(runs).where(runs.c.id == run.id).values(**values))
    connection.execute(delete(run_tokens).where(run_tokens.c.run_id == run.id))
    audit.log_transition(
        f"run.{ended.state}",
        job=run.job_id,
        run=run.id,
        attempt=published,
        reason=ended.reason or None,
    )
    test = run.trigger_key == str(RunKey.test(run.version))
    if test and ended.state is RunState.SUCCEEDED:
        _tested(connection, run, now)


def _tested(connection: Connection, run: AnyRow, now: datetime) -> None:
    """The test run has succeeded: the version takes the place of the active one.

    What the version brings along becomes the job's own. A project that
    wants a second pair of eyes will stop here at ``tested``.
    """
    job = reads.job(connection, run.job_id)
    version = reads.version(connection, run.job_id, run.version)
    assert job is not None
    assert version is not None
    # A version that was added later and tested sooner stays.
    if job.archived_at is not None or (job.active_version or 0) > run.version:
        _set_version(connection, version, VersionState.TESTED)
        return
    values: dict[str, Any] = {"active_version": version.number}
    if version.parameters is not None:
        values["parameters"] = version.parameters
    if version.notebook_path is not None:
        values["notebook_path"] = version.notebook_path
    if version.cron is not None:
        when = schedule.parse(version.cron, version.timezone)
        values |= {"cron": version.cron, "timezone": version.timezone}
        if not job.paused:
            values["next_due"] = schedule.next_after(when, now)
    connection.execute(
        update(versions)
        .where(
            versions.c.job_id == job.id,
            versions.c.number == job.active_version,
        )
        .values(state=VersionState.RETIRED.value)
    )
    _set_version(connection, version, VersionState.ACTIVE)
    connection.execute(update(jobs).where(jobs.c.id == job.id).values(**values))
    audit.record(connection, now, SERVICE, "version.activated", job=job.id, version=version.number)


def _set_version(connection: Connection, version: AnyRow, state: VersionState) -> None:
    connection.execute(
        update(versions)
        .where(versions.c.job_id == version.job_id, versions.c.number == version.number)
        .values(state=state.value)
    )
