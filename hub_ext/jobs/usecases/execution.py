"""What the service itself does to keep runs going: ticks, attempts, their ends.

Only `hub_ext.jobs.reconcile` calls this. Each method is one transaction that
looks again at what it was told, so that deciding on old news, or twice, does
no harm.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, and_, delete, func, insert, select, update

from hub_ext.bundles import parameters
from hub_ext.errors import PublicError
from hub_ext.jobs import schedule
from hub_ext.jobs.backends.base import AttemptSpec
from hub_ext.jobs.schemas import AttemptState, RunState, VersionState
from hub_ext.jobs.store import Database, insert_once, new_id, reads
from hub_ext.jobs.store.reads import AnyRow
from hub_ext.jobs.store.tables import IS_OPEN, attempts, jobs, run_tokens, runs, versions
from hub_ext.jobs.usecases import audit, tokens, views
from hub_ext.jobs.usecases.ports import Clock, Options
from hub_ext.names import Principal, PrincipalKind, Project, RunKey, TriggerKind

log = logging.getLogger("almanac.jobs")

SERVICE = Principal(kind=PrincipalKind.SERVICE, name="jobs")

NOT_ACTIVE = "not active"
MISSED = "missed"
OVERTAKEN = "overtaken"
MISSED_RECORDED = 100
"""Of the ticks of one downtime, at most so many are recorded one by one."""
STARTING_LEASE = timedelta(seconds=15)
"""So long an attempt may take to appear at the backend before it is started again."""
RUNNING_LEASE = timedelta(seconds=60)
"""So long an attempt that the backend does not list is not given up."""
GOING = (RunState.QUEUED.value, RunState.RUNNING.value)
LIVE = (AttemptState.STARTING.value, AttemptState.RUNNING.value)


@dataclass(frozen=True)
class WantedAttempt:
    """The newest attempt of a run, as the database has it."""

    n: int
    fence: int
    ref: str
    state: AttemptState
    lease_until: datetime
    started_at: datetime | None


@dataclass(frozen=True)
class Wanted:
    """A run that has not ended, and all that is needed to decide what it needs next.

    Attributes:
        test: it is the test run of its version.
        version_state: of the run's version.
        test_going: the test run of its version has not ended.
        cancelled_by: who wants it to end; None for nobody.
    """

    run_id: str
    job_id: str
    state: RunState
    test: bool
    version_state: VersionState
    test_going: bool
    cancelled_by: str | None
    attempt: WantedAttempt | None


@dataclass(frozen=True)
class Ended:
    """How an attempt ended, and with it the run.

    Attributes:
        reason: in words; empty for success.
        files: what was published, ``[{"name", "size"}]``; None if nothing was.
    """

    state: RunState
    reason: str = ""
    exit_code: int | None = None
    progress: dict[str, Any] | None = None
    failure: dict[str, Any] | None = None
    files: list[dict[str, Any]] | None = None


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
                    claimed += self._claim(connection, job_id)
            except Exception:
                log.exception("tick.failed job=%s", job_id)
        return claimed

    def _claim(self, connection: Connection, job_id: str) -> int:
        now = self._clock()
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
            self._claim_tick(connection, job, tick, missed=tick != ticks[-1], now=now)
            for tick in ticks
        )
        connection.execute(
            update(jobs)
            .where(jobs.c.id == job_id)
            .values(next_due=schedule.next_after(when, max(now, ticks[-1])))
        )
        return claimed

    def _claim_tick(
        self, connection: Connection, job: AnyRow, tick: datetime, *, missed: bool, now: datetime
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
            audit.told(
                "run.skipped" if reason else "run.queued",
                job=job.id,
                run=run_id,
                trigger=key,
                reason=reason or None,
                late=f"{(now - tick).total_seconds():.1f}s",
            )
            if not reason:
                self._overtake(connection, job.id, run_id, now)
        return int(inserted)

    def _overtake(self, connection: Connection, job_id: str, run_id: str, now: datetime) -> None:
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
            self._end(connection, run, Ended(RunState.SKIPPED, OVERTAKEN), now)

    # -- what is wanted

    def wanted(self) -> list[Wanted]:
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
        with self._database.reading() as connection:
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
        audit.told("attempt.starting", job=run.job_id, run=run_id, attempt=n, fence=fence)
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
        audit.told("attempt.starting-again", job=run.job_id, run=run_id, attempt=n)
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
            audit.told("attempt.running", run=run_id, attempt=n)

    def note(self, run_id: str, n: int, message: str) -> None:
        """Say what an attempt waits for."""
        with self._database.writing() as connection:
            if self._live(connection, run_id, n) is not None:
                self._set_attempt(connection, run_id, n, message=message)
        audit.told("attempt.waits", run=run_id, attempt=n, message=message)

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
        audit.told("attempt.lost", run=run_id, attempt=n, message=message)

    def expire(self, run_id: str) -> None:
        """Have a run stopped that takes too long; it will count as failed."""
        with self._database.writing() as connection:
            connection.execute(
                update(runs)
                .where(runs.c.id == run_id, runs.c.cancel_requested_by.is_(None))
                .values(cancel_requested_by=str(SERVICE))
            )
        audit.told("run.expired", run=run_id)

    # -- ends

    def drop(self, run_id: str, state: RunState, reason: str) -> None:
        """End a run that has no attempt at work: skipped or cancelled."""
        now = self._clock()
        with self._database.writing() as connection:
            run = reads.run(connection, run_id)
            if run is None or run.state not in GOING:
                return
            connection.execute(
                update(attempts)
                .where(attempts.c.run_id == run_id, attempts.c.state.in_(LIVE))
                .values(state=AttemptState.CANCELLED.value, finished_at=now, message=reason)
            )
            self._end(connection, run, Ended(state, reason), now)

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
            if run is None or run.state not in GOING or newest != fence or attempt is None:
                audit.told("attempt.fenced-off", run=run_id, attempt=n, fence=fence)
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
            self._end(connection, run, ended, now, published=n)
        return True

    def _end(
        self,
        connection: Connection,
        run: AnyRow,
        ended: Ended,
        now: datetime,
        *,
        published: int | None = None,
    ) -> None:
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
        audit.told(
            f"run.{ended.state}",
            job=run.job_id,
            run=run.id,
            attempt=published,
            reason=ended.reason or None,
        )
        test = run.trigger_key == str(RunKey.test(run.version))
        if test and ended.state is RunState.SUCCEEDED:
            self._tested(connection, run, now)

    def _tested(self, connection: Connection, run: AnyRow, now: datetime) -> None:
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
            self._set_version(connection, version, VersionState.TESTED)
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
        self._set_version(connection, version, VersionState.ACTIVE)
        connection.execute(update(jobs).where(jobs.c.id == job.id).values(**values))
        audit.record(
            connection, now, SERVICE, "version.activated", job=job.id, version=version.number
        )

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
            environment=run_environment(run, self._options),
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

    def _set_version(self, connection: Connection, version: AnyRow, state: VersionState) -> None:
        connection.execute(
            update(versions)
            .where(versions.c.job_id == version.job_id, versions.c.number == version.number)
            .values(state=state.value)
        )


_ATTEMPT_ENDS = {
    RunState.SUCCEEDED: AttemptState.SUCCEEDED,
    RunState.FAILED: AttemptState.FAILED,
    RunState.CANCELLED: AttemptState.CANCELLED,
}


def run_environment(run: AnyRow, options: Options) -> dict[str, str]:
    """What a run's kernel finds in its environment; nothing of it is secret.

    Args:
        run: a row of `reads.run_select`.
    """
    key = RunKey.parse(run.trigger_key)
    home = f"s3://{options.bucket}/{Project(run.project).prefix.rstrip('/')}"
    environment = {
        **options.kernel_environment,
        "ALMANAC_RUN_ID": run.id,
        "ALMANAC_JOB": run.job_name,
        "ALMANAC_PROJECT": run.project,
        "ALMANAC_PROJECT_URI": home,
        "ALMANAC_OUTPUT_URI": f"{home}/outputs",
    }
    if key.kind is TriggerKind.TEST:
        environment |= {"ALMANAC_TEST": "1", "ALMANAC_OUTPUT_URI": f"{home}/test/{run.id}"}
    if key.scheduled_for is not None:
        environment["ALMANAC_SCHEDULED_FOR"] = key.detail
    return environment


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
