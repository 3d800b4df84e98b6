"""What the service wants of attempts, as plain data: shared by the database's side,
which reads and writes it, and by `hub_ext.jobs.decide`, which decides on it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from hub_ext.jobs.schemas import AttemptState, RunState, VersionState
from hub_ext.names import Principal, PrincipalKind

SERVICE = Principal(kind=PrincipalKind.SERVICE, name="jobs")

NOT_ACTIVE = "not active"
MISSED = "missed"
OVERTAKEN = "overtaken"
RUNNING_LEASE = timedelta(seconds=60)
"""So long an attempt that the backend does not list is not given up."""


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
