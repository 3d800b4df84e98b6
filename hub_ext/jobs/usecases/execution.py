"""What the service itself does to keep runs going: ticks, attempts, their ends.

Only `hub_ext.jobs.reconcile` calls this. Each method is one transaction that
looks again at what it was told, so that deciding on old news, or twice, does
no harm.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, func, insert, select, update

from hub_ext.jobs.backends.base import AttemptSpec
from hub_ext.jobs.schemas import UNFINISHED, AttemptState, RunState
from hub_ext.jobs.store import Database, reads
from hub_ext.jobs.store.reads import AnyRow
from hub_ext.jobs.store.tables import attempts, jobs, run_tokens, runs
from hub_ext.jobs.usecases import audit, ends, environment, open_runs, ticks, tokens
from hub_ext.jobs.usecases.ports import Clock, Options
from hub_ext.jobs.usecases.wanted import RUNNING_LEASE, SERVICE, Ended, Wanted

log = logging.getLogger("almanac.jobs")

STARTING_LEASE = timedelta(seconds=15)
"""So long an attempt may take to appear at the backend before it is started again."""
LIVE = (AttemptState.STARTING.value, AttemptState.RUNNING.value)


class Execution:
    """The service's own use cases.

    Args:
        clock: gives the time now, with a time zone.
    """

    def __init__(
        self,
        database: Database,
        *,
        clock: Clock,
        options: Options = Options(),  # noqa: B008 - frozen
    ):
        self._database = database
        self._clock = clock
        self._options = options

    # -- ticks

    def next_due(self) -> datetime | None:
        """When the next tick of any job is due; may be past."""
        with self._database.reading() as connection:
            return connection.execute(select(func.min(jobs.c.next_due))).scalar()

    def claim_due(self, *, limit: int = 1000) -> int:
        """Make the runs of ticks that are due; returns how many ticks were claimed.

        Of the ticks that were missed the newest runs, the older ones are
        recorded as skipped. So is a tick that has found no place to run until
        the job's next one is due: a job that takes longer than its period has
        one tick waiting, not more and more of them. A job whose schedule
        cannot be read loses its next tick, with a log line, and holds up no
        other.
        """
        with self._database.reading() as connection:
            due = connection.execute(
                select(jobs.c.id)
                .where(jobs.c.next_due <= self._clock())
                .order_by(jobs.c.next_due)
                .limit(limit)
            ).scalars()
            ids = list(due)
        claimed = 0
        for job_id in ids:
            try:
                with self._database.writing() as connection:
                    claimed += ticks.claim(connection, job_id, self._clock())
            except Exception:
                log.exception("tick.failed job=%s", job_id)
        return claimed

    # -- what is wanted

    def wanted(self) -> list[Wanted]:
        """The runs that have not ended, oldest first."""
        with self._database.reading() as connection:
            return open_runs.read(connection)

    # -- attempts

    def begin(self, run_id: str) -> AttemptSpec | None:
        """Make the next attempt of a run that waits; None where it waits no more."""
        now = self._clock()
        with self._database.writing() as connection:
            run = reads.run(connection, run_id)
            if run is None or run.state != RunState.QUEUED or run.cancel_requested_by:
                return None
            last = connection.execute(
                select(func.max(attempts.c.n), func.max(attempts.c.fence)).where(
                    attempts.c.run_id == run_id
                )
            ).one()
            n, fence = (last[0] or 0) + 1, (last[1] or 0) + 1
            spec = self._spec(connection, run, n, fence)
            connection.execute(
                insert(attempts).values(
                    run_id=run_id,
                    n=n,
                    state=AttemptState.STARTING.value,
                    fence=fence,
                    lease_until=now + STARTING_LEASE,
                    backend_ref=spec.ref,
                    created_at=now,
                )
            )
            connection.execute(
                update(runs)
                .where(runs.c.id == run_id)
                .values(state=RunState.RUNNING.value, started_at=run.started_at or now)
            )
            self._insert_token(connection, spec, now)
        audit.log_transition("attempt.starting", job=run.job_id, run=run_id, attempt=n, fence=fence)
        return spec

    def begin_again(self, run_id: str, n: int) -> AttemptSpec | None:
        """Take up an attempt that never appeared at the backend; None where it is not needed."""
        now = self._clock()
        with self._database.writing() as connection:
            run = reads.run(connection, run_id)
            attempt = self._live(connection, run_id, n)
            if run is None or attempt is None or attempt.state != AttemptState.STARTING:
                return None
            if attempt.lease_until > now:
                return None
            spec = self._spec(connection, run, n, attempt.fence)
            self._set_attempt(connection, run_id, n, lease_until=now + STARTING_LEASE)
            # The one made before is not known any more: only its hash was kept.
            self._insert_token(connection, spec, now)
        audit.log_transition("attempt.starting-again", job=run.job_id, run=run_id, attempt=n)
        return spec

    def listed(self, run_id: str, n: int) -> None:
        """The backend lists the attempt as running: extend the lease."""
        now = self._clock()
        with self._database.writing() as connection:
            attempt = self._live(connection, run_id, n)
            if attempt is None:
                return
            self._set_attempt(
                connection,
                run_id,
                n,
                lease_until=now + RUNNING_LEASE,
                state=AttemptState.RUNNING.value,
                started_at=attempt.started_at or now,
                message="",
            )
        if attempt.state == AttemptState.STARTING:
            audit.log_transition("attempt.running", run=run_id, attempt=n)

    def note(self, run_id: str, n: int, message: str) -> None:
        """Say what an attempt waits for."""
        with self._database.writing() as connection:
            if self._live(connection, run_id, n) is not None:
                self._set_attempt(connection, run_id, n, message=message)
        audit.log_transition("attempt.waits", run=run_id, attempt=n, message=message)

    def progress(self, run_id: str, n: int, progress: dict[str, Any]) -> None:
        """Keep how far the run is, while the attempt is its newest."""
        with self._database.writing() as connection:
            if self._live(connection, run_id, n) is not None:
                connection.execute(
                    update(runs)
                    .where(runs.c.id == run_id, runs.c.state == RunState.RUNNING.value)
                    .values(progress=progress)
                )

    def lost(self, run_id: str, n: int, message: str) -> None:
        """Give an attempt up; the run waits for its next one."""
        now = self._clock()
        with self._database.writing() as connection:
            if self._live(connection, run_id, n) is None:
                return
            self._set_attempt(
                connection,
                run_id,
                n,
                state=AttemptState.LOST.value,
                finished_at=now,
                message=message,
            )
            connection.execute(
                update(runs)
                .where(runs.c.id == run_id, runs.c.state == RunState.RUNNING.value)
                .values(state=RunState.QUEUED.value, progress=None)
            )
        audit.log_transition("attempt.lost", run=run_id, attempt=n, message=message)

    def expire(self, run_id: str) -> None:
        """Have a run stopped that takes too long; it will count as failed."""
        with self._database.writing() as connection:
            connection.execute(
                update(runs)
                .where(runs.c.id == run_id, runs.c.cancel_requested_by.is_(None))
                .values(cancel_requested_by=str(SERVICE))
            )
        audit.log_transition("run.expired", run=run_id)

    # -- ends

    def drop(self, run_id: str, state: RunState, reason: str) -> None:
        """End a run that has no attempt at work: skipped or cancelled."""
        now = self._clock()
        with self._database.writing() as connection:
            run = reads.run(connection, run_id)
            if run is None or run.state not in UNFINISHED:
                return
            connection.execute(
                update(attempts)
                .where(attempts.c.run_id == run_id, attempts.c.state.in_(LIVE))
                .values(state=AttemptState.CANCELLED.value, finished_at=now, message=reason)
            )
            ends.end(connection, run, Ended(state, reason), now)

    def finish(self, run_id: str, n: int, fence: int, ended: Ended) -> bool:
        """End a run with what its attempt came to; the newest fence alone may.

        Returns:
            False where a newer attempt has taken over or the run has ended:
            then nothing of this attempt counts.
        """
        now = self._clock()
        with self._database.writing() as connection:
            run = reads.run(connection, run_id)
            newest = connection.execute(
                select(func.max(attempts.c.fence)).where(attempts.c.run_id == run_id)
            ).scalar()
            attempt = self._live(connection, run_id, n)
            if run is None or run.state not in UNFINISHED or newest != fence or attempt is None:
                audit.log_transition("attempt.fenced-off", run=run_id, attempt=n, fence=fence)
                return False
            self._set_attempt(
                connection,
                run_id,
                n,
                state=_ATTEMPT_ENDS[ended.state].value,
                started_at=attempt.started_at or now,
                finished_at=now,
                exit_code=ended.exit_code,
                message=ended.reason,
            )
            ends.end(connection, run, ended, now, published=n)
        return True

    # -- inside

    def _spec(self, connection: Connection, run: AnyRow, n: int, fence: int) -> AttemptSpec:
        version = reads.version(connection, run.job_id, run.version)
        assert version is not None
        return AttemptSpec(
            run_id=run.id,
            n=n,
            fence=fence,
            bundle_sha256=version.bundle_sha256,
            parameters=run.parameters,
            environment=environment.run_environment(run, self._options),
            run_token=tokens.new_token(),
            timeout_seconds=self._options.run_timeout_seconds,
            cell_timeout_seconds=self._options.cell_timeout_seconds,
        )

    def _insert_token(self, connection: Connection, spec: AttemptSpec, now: datetime) -> None:
        connection.execute(
            insert(run_tokens).values(
                sha256=tokens.digest(spec.run_token), run_id=spec.run_id, n=spec.n, created_at=now
            )
        )

    def _live(self, connection: Connection, run_id: str, n: int) -> AnyRow | None:
        """The attempt, while it is at work."""
        return connection.execute(
            select(attempts).where(
                attempts.c.run_id == run_id, attempts.c.n == n, attempts.c.state.in_(LIVE)
            )
        ).one_or_none()

    def _set_attempt(self, connection: Connection, run_id: str, n: int, **values: Any) -> None:
        connection.execute(
            update(attempts).where(attempts.c.run_id == run_id, attempts.c.n == n).values(**values)
        )


_ATTEMPT_ENDS = {
    RunState.SUCCEEDED: AttemptState.SUCCEEDED,
    RunState.FAILED: AttemptState.FAILED,
    RunState.CANCELLED: AttemptState.CANCELLED,
}
