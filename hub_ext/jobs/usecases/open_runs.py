"""The runs that have not ended, read in one statement."""

from __future__ import annotations

import logging
from typing import Any

from sqlalchemy import Connection, and_, func, select

from hub_ext.jobs.schemas import AttemptState, RunState, VersionState
from hub_ext.jobs.store.tables import IS_OPEN, attempts, runs, versions
from hub_ext.jobs.usecases.wanted import Wanted, WantedAttempt
from hub_ext.names import RunKey, TriggerKind

log = logging.getLogger("almanac.jobs")


def read(connection: Connection) -> list[Wanted]:
    """The runs that have not ended, oldest first."""
    newest = (
        select(attempts.c.run_id, func.max(attempts.c.n).label("n"))
        .join(runs, runs.c.id == attempts.c.run_id)
        .where(IS_OPEN)
        .group_by(attempts.c.run_id)
        .subquery()
    )
    statement = (
        select(
            runs.c.id,
            runs.c.job_id,
            runs.c.version,
            runs.c.trigger_key,
            runs.c.state,
            runs.c.cancel_requested_by,
            versions.c.state.label("version_state"),
            attempts.c.n,
            attempts.c.fence,
            attempts.c.backend_ref,
            attempts.c.state.label("attempt_state"),
            attempts.c.lease_until,
            attempts.c.started_at,
        )
        .select_from(
            runs.join(
                versions,
                and_(versions.c.job_id == runs.c.job_id, versions.c.number == runs.c.version),
            )
            .outerjoin(newest, newest.c.run_id == runs.c.id)
            .outerjoin(
                attempts,
                and_(attempts.c.run_id == newest.c.run_id, attempts.c.n == newest.c.n),
            )
        )
        .where(IS_OPEN)
        .order_by(runs.c.id)
    )
    rows = connection.execute(statement).all()
    testing = {
        (row.job_id, row.version)
        for row in rows
        if row.trigger_key == str(RunKey.test(row.version))
    }
    found = []
    for row in rows:
        try:
            found.append(_wanted(row, testing))
        except ValueError:
            log.exception("run.unreadable run=%s", row.id)
    return found


def _wanted(row: Any, testing: set[tuple[str, int]]) -> Wanted:
    attempt = None
    if row.n is not None:
        attempt = WantedAttempt(
            n=row.n,
            fence=row.fence,
            ref=row.backend_ref,
            state=AttemptState(row.attempt_state),
            lease_until=row.lease_until,
            started_at=row.started_at,
        )
    return Wanted(
        run_id=row.id,
        job_id=row.job_id,
        state=RunState(row.state),
        test=RunKey.parse(row.trigger_key).kind is TriggerKind.TEST,
        version_state=VersionState(row.version_state),
        test_going=(row.job_id, row.version) in testing,
        cancelled_by=row.cancel_requested_by,
        attempt=attempt,
    )
