"""What is read together: pages of jobs and runs with all that they show.

One query per kind of row, never one per job or run.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    ScalarSelect,
    Select,
    and_,
    func,
    select,
    tuple_,
)

from hub_ext.jobs.schemas import RunState
from hub_ext.jobs.store.tables import attempts, jobs, runs, versions

AnyRow = Row[Any]
SKIPPED = RunState.SKIPPED.value


def job(connection: Connection, job_id: str) -> AnyRow | None:
    return connection.execute(select(jobs).where(jobs.c.id == job_id)).one_or_none()


def job_called(connection: Connection, project: str, name: str) -> AnyRow | None:
    """The job of this name that is not archived."""
    return connection.execute(
        select(jobs).where(
            jobs.c.project == project, jobs.c.name == name, jobs.c.archived_at.is_(None)
        )
    ).one_or_none()


def version(connection: Connection, job_id: str, number: int) -> AnyRow | None:
    return connection.execute(
        select(versions).where(versions.c.job_id == job_id, versions.c.number == number)
    ).one_or_none()


def latest_version(connection: Connection, job_id: str) -> AnyRow | None:
    return connection.execute(
        select(versions)
        .where(versions.c.job_id == job_id)
        .order_by(versions.c.number.desc())
        .limit(1)
    ).one_or_none()


def latest_versions(connection: Connection, job_ids: Collection[str]) -> dict[str, AnyRow]:
    newest = (
        select(versions.c.job_id, func.max(versions.c.number))
        .where(versions.c.job_id.in_(job_ids))
        .group_by(versions.c.job_id)
    )
    rows = connection.execute(
        select(versions).where(tuple_(versions.c.job_id, versions.c.number).in_(newest))
    )
    return {row.job_id: row for row in rows}


def run_select() -> Select[Any]:
    """Runs with what they show of their job and version."""
    return select(
        runs,
        jobs.c.name.label("job_name"),
        jobs.c.project,
        jobs.c.created_by.label("job_created_by"),
        versions.c.declared,
        versions.c.state.label("version_state"),
    ).select_from(
        runs.join(jobs, jobs.c.id == runs.c.job_id).join(
            versions,
            and_(versions.c.job_id == runs.c.job_id, versions.c.number == runs.c.version),
        )
    )


def run(connection: Connection, run_id: str) -> AnyRow | None:
    return connection.execute(run_select().where(runs.c.id == run_id)).one_or_none()


def run_of_trigger(connection: Connection, job_id: str, trigger_key: str) -> AnyRow | None:
    return connection.execute(
        run_select().where(runs.c.job_id == job_id, runs.c.trigger_key == trigger_key)
    ).one_or_none()


def latest_runs(connection: Connection, job_ids: Collection[str]) -> dict[str, AnyRow]:
    """The run of each job that tells how it stands; ids sort by time.

    That is the newest that was not skipped: a run that is skipped because the
    test before it failed must not hide that failure. A job whose every run
    was skipped has the newest of those.
    """

    def newest(*conditions: ColumnElement[bool]) -> ScalarSelect[str]:
        # Down the index and no further than to the first that fits.
        return (
            select(runs.c.id)
            .where(runs.c.job_id == jobs.c.id, *conditions)
            .order_by(runs.c.id.desc())
            .limit(1)
            .correlate(jobs)
            .scalar_subquery()
        )

    wanted = select(func.coalesce(newest(runs.c.state != SKIPPED), newest()))
    rows = connection.execute(
        run_select().where(runs.c.id.in_(wanted.where(jobs.c.id.in_(job_ids))))
    )
    return {row.job_id: row for row in rows}


def attempts_of(connection: Connection, run_ids: Collection[str]) -> dict[str, list[AnyRow]]:
    """The attempts of each run, in order."""
    found: dict[str, list[AnyRow]] = defaultdict(list)
    if run_ids:
        for row in connection.execute(
            select(attempts)
            .where(attempts.c.run_id.in_(run_ids))
            .order_by(attempts.c.run_id, attempts.c.n)
        ):
            found[row.run_id].append(row)
    return found


def page(
    connection: Connection, statement: Select[Any], key: Any, *, before: Any, limit: int
) -> tuple[Sequence[AnyRow], bool]:
    """Rows in falling order of ``key``, below ``before``; and whether there are more."""
    if before is not None:
        statement = statement.where(key < before)
    rows = connection.execute(statement.order_by(key.desc()).limit(limit + 1)).all()
    return rows[:limit], len(rows) > limit
