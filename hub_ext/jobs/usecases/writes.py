"""Writes that several use cases share, each in the caller's transaction and in the audit trail."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, update

from hub_ext.jobs.schemas import RunState, VersionState
from hub_ext.jobs.store import new_id
from hub_ext.jobs.store.reads import AnyRow
from hub_ext.jobs.store.tables import runs, versions
from hub_ext.jobs.usecases import audit
from hub_ext.names import Principal, RunKey


def insert_version(
    connection: Connection,
    principal: Principal,
    job_id: str,
    number: int,
    *,
    bundle: str,
    declared: Any,
    reason: str,
    test_parameters: Mapping[str, Any],
    run_now: bool,
    now: datetime,
    **pending: Any,
) -> None:
    """Add a draft with its test run, and with ``run_now`` a run that waits for that test.

    Args:
        pending: columns that become the job's own when the version is activated.
    """
    connection.execute(
        insert(versions).values(
            job_id=job_id,
            number=number,
            bundle_sha256=bundle,
            state=VersionState.DRAFT.value,
            created_at=now,
            created_by=str(principal),
            reason=reason,
            declared=declared,
            **pending,
        )
    )
    audit.record(
        connection, now, principal, "version.added", job=job_id, version=number, bundle=bundle
    )
    triggers = [RunKey.test(number)]
    if run_now:
        triggers.append(RunKey.manual(f"version-{number}-{secrets.token_hex(8)}"))
    for trigger in triggers:
        insert_run(connection, principal, job_id, number, trigger, test_parameters, now)


def insert_run(
    connection: Connection,
    principal: Principal,
    job_id: str,
    version: int,
    trigger: RunKey,
    given: Mapping[str, Any],
    now: datetime,
) -> str:
    """Queue a run; returns its id."""
    run_id = new_id()
    connection.execute(
        insert(runs).values(
            id=run_id,
            job_id=job_id,
            version=version,
            trigger_key=str(trigger),
            requested_by=str(principal),
            state=RunState.QUEUED.value,
            parameters=dict(given),
            created_at=now,
        )
    )
    audit.record(
        connection, now, principal, "run.queued", job=job_id, run=run_id, trigger=str(trigger)
    )
    return run_id


def cancel(connection: Connection, principal: Principal, run: AnyRow, now: datetime) -> None:
    """End a run that waits; have one that runs stopped by the service's loop."""
    values: dict[str, Any] = {"cancel_requested_by": str(principal)}
    if run.state == RunState.QUEUED:
        values |= {
            "state": RunState.CANCELLED.value,
            "finished_at": now,
            "reason": f"cancelled by {principal.name}",
        }
    connection.execute(update(runs).where(runs.c.id == run.id).values(**values))
    audit.record(connection, now, principal, "run.cancelled", job=run.job_id, run=run.id)
