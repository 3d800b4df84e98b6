"""Who did what: one row and one log line for each change."""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert

from hub_ext.jobs.store import new_id
from hub_ext.jobs.store.tables import audit

log = logging.getLogger("almanac.jobs")


def record(
    connection: Connection,
    now: datetime,
    principal: object,
    action: str,
    *,
    job: str | None = None,
    run: str | None = None,
    **detail: Any,
) -> None:
    """Add a row to the audit trail, in the transaction of what it tells of."""
    connection.execute(
        insert(audit).values(
            id=new_id(),
            at=now,
            principal=str(principal),
            action=action,
            job_id=job,
            run_id=run,
            detail=detail,
        )
    )
    # Values of parameters belong to the project: in the trail, not in the log.
    short = {name: value for name, value in detail.items() if isinstance(value, str | int)}
    log_transition(action, job=job, run=run, by=principal, **short)


def log_transition(
    action: str, *, job: str | None = None, run: str | None = None, **detail: Any
) -> None:
    """Write one log line for a transition, as ``action key=value …``; no row in the audit trail."""
    members = {"job": job, "run": run, **detail}
    log.info(
        "%s %s",
        action,
        " ".join(
            f"{name}={_quoted(value)}" for name, value in members.items() if value is not None
        ),
    )


def _quoted(value: object) -> str:
    """As it is where it is one word: what people type cannot forge a line of the log."""
    text = str(value)
    return text if text.isprintable() and " " not in text else repr(text)
