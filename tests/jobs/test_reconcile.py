"""What is decided for each state that a run and its attempt can be found in."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from hub_ext.jobs.backends.base import AttemptStatus, Listed
from hub_ext.jobs.decide import (
    STOPPED,
    TOO_LONG,
    Action,
    Begin,
    BeginAgain,
    Drop,
    Expire,
    Forget,
    Lose,
    Publish,
    Renew,
    Stop,
    decide,
)
from hub_ext.jobs.schemas import AttemptState, RunState, VersionState
from hub_ext.jobs.usecases.wanted import NOT_ACTIVE, Wanted, WantedAttempt

NOW = datetime(2026, 3, 2, 6, tzinfo=UTC)

QUEUED = Wanted(
    run_id="r1",
    job_id="j1",
    state=RunState.QUEUED,
    test=False,
    version_state=VersionState.ACTIVE,
    test_going=False,
    cancelled_by=None,
    attempt=None,
)
ATTEMPT = WantedAttempt(
    n=1,
    fence=1,
    ref="r1-1",
    state=AttemptState.RUNNING,
    lease_until=NOW + timedelta(seconds=50),
    started_at=NOW - timedelta(minutes=5),
)
RUNNING = replace(QUEUED, state=RunState.RUNNING, attempt=ATTEMPT)
EXPIRED = NOW - timedelta(seconds=1)


def running(*, cancelled_by: str | None = None, **attempt: object) -> Wanted:
    changed = replace(ATTEMPT, **attempt)  # type: ignore[arg-type]
    return replace(RUNNING, cancelled_by=cancelled_by, attempt=changed)


def listed(status: AttemptStatus, code: int | None = None, message: str = "") -> Listed:
    return Listed(status, code, message)


GOING, DONE = listed(AttemptStatus.RUNNING), listed(AttemptStatus.SUCCEEDED, 0)
FAILED, LOST = listed(AttemptStatus.FAILED, 1), listed(AttemptStatus.LOST, None, "It is gone.")
ENDED_FROM_OUTSIDE = listed(AttemptStatus.FAILED, STOPPED, "Stopped.")


def publish(state: RunState, reason: str = "", n: int = 1) -> Publish:
    return Publish("r1", n, n, f"r1-{n}", state, reason)


CASES: dict[str, tuple[Wanted, Listed | None, list[Action]]] = {
    "a queued run begins": (QUEUED, None, [Begin("r1")]),
    "a queued run of a retired version begins": (
        replace(QUEUED, version_state=VersionState.RETIRED),
        None,
        [Begin("r1")],
    ),
    "a run waits for the test run of its version": (
        replace(QUEUED, version_state=VersionState.DRAFT, test_going=True),
        None,
        [],
    ),
    "and is skipped where that has failed": (
        replace(QUEUED, version_state=VersionState.DRAFT),
        None,
        [Drop("r1", RunState.SKIPPED, NOT_ACTIVE)],
    ),
    "the test run itself begins": (
        replace(QUEUED, version_state=VersionState.DRAFT, test=True, test_going=True),
        None,
        [Begin("r1")],
    ),
    "a queued run that is cancelled ends": (
        replace(QUEUED, cancelled_by="user:ana"),
        None,
        [Drop("r1", RunState.CANCELLED, "cancelled by ana")],
    ),
    "an attempt that appears is running": (
        running(state=AttemptState.STARTING),
        GOING,
        [Renew("r1", 1)],
    ),
    "a lease that is long is left alone": (RUNNING, GOING, []),
    "a lease that runs out is renewed": (
        running(lease_until=NOW + timedelta(seconds=30)),
        GOING,
        [Renew("r1", 1)],
    ),
    "a cancelled attempt is stopped": (
        running(cancelled_by="user:ana"),
        GOING,
        [Stop("r1-1")],
    ),
    "one that takes too long is stopped by the service": (
        running(started_at=NOW - timedelta(days=2)),
        GOING,
        [Expire("r1")],
    ),
    "and then counts as failed": (
        running(cancelled_by="service:jobs"),
        ENDED_FROM_OUTSIDE,
        [publish(RunState.FAILED, TOO_LONG)],
    ),
    "success is published": (RUNNING, DONE, [publish(RunState.SUCCEEDED)]),
    "success that was cancelled too late is success": (
        running(cancelled_by="user:ana"),
        DONE,
        [publish(RunState.SUCCEEDED)],
    ),
    "a failure is published": (RUNNING, FAILED, [publish(RunState.FAILED)]),
    "what was cancelled is published as such": (
        running(cancelled_by="user:ana"),
        ENDED_FROM_OUTSIDE,
        [publish(RunState.CANCELLED, "cancelled by ana")],
    ),
    "a runner that was stopped from outside is tried again": (
        RUNNING,
        ENDED_FROM_OUTSIDE,
        [Lose("r1", 1, "Stopped.")],
    ),
    "one that was stopped long ago is not said to have taken too long": (
        running(started_at=NOW - timedelta(days=9)),
        ENDED_FROM_OUTSIDE,
        [Lose("r1", 1, "Stopped.")],
    ),
    "a lost attempt is tried again": (RUNNING, LOST, [Lose("r1", 1, "It is gone.")]),
    "a lost attempt that was cancelled is not": (
        running(cancelled_by="user:ana"),
        LOST,
        [publish(RunState.CANCELLED, "cancelled by ana")],
    ),
    "the third lost attempt is the last": (
        running(n=3, fence=3, ref="r1-3"),
        LOST,
        [publish(RunState.FAILED, "3 attempts were lost. The last: It is gone.", n=3)],
    ),
    "an attempt that is not listed has its lease": (RUNNING, None, []),
    "and is lost after that": (
        running(lease_until=EXPIRED),
        None,
        [Lose("r1", 1, "The attempt is gone from where it ran.")],
    ),
    "the third of these ends the run": (
        running(n=3, ref="r1-3", lease_until=EXPIRED),
        None,
        [
            Drop(
                "r1",
                RunState.FAILED,
                "3 attempts were lost. The last: The attempt is gone from where it ran.",
            )
        ],
    ),
    "an attempt that never appeared has its lease": (
        running(state=AttemptState.STARTING),
        None,
        [],
    ),
    "and is started again after that": (
        running(state=AttemptState.STARTING, lease_until=EXPIRED),
        None,
        [BeginAgain("r1", 1)],
    ),
    "or ends where it was cancelled": (
        running(state=AttemptState.STARTING, lease_until=EXPIRED, cancelled_by="user:ana"),
        None,
        [Drop("r1", RunState.CANCELLED, "cancelled by ana")],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_decisions(case: str) -> None:
    run, seen, expected = CASES[case]
    ref = run.attempt.ref if run.attempt else ""
    assert decide([run], {ref: seen} if seen else {}, NOW) == expected


def test_what_is_listed_and_not_wanted_is_stopped_and_forgotten() -> None:
    seen = {"zombie-1": GOING, "old-1": DONE, "r1-1": GOING}
    assert decide([RUNNING], seen, NOW) == [Stop("zombie-1"), Forget("old-1")]


def test_an_older_attempt_of_a_run_is_stopped() -> None:
    newer = replace(ATTEMPT, n=2, fence=2, ref="r1-2")
    actions = decide([replace(RUNNING, attempt=newer)], {"r1-1": GOING, "r1-2": GOING}, NOW)
    assert actions == [Stop("r1-1")]


def test_the_folder_of_a_lost_attempt_is_cleared_while_the_run_waits() -> None:
    waiting = replace(QUEUED, attempt=replace(ATTEMPT, state=AttemptState.LOST))
    assert decide([waiting], {"r1-1": LOST}, NOW) == [Forget("r1-1"), Begin("r1")]


def test_what_is_under_way_is_left_alone() -> None:
    assert decide([RUNNING], {"r1-1": DONE}, NOW, busy={"r1-1"}) == []
    assert decide([], {"r1-1": DONE}, NOW, busy={"r1-1"}) == []


def test_the_pool_is_never_overfull() -> None:
    queue = [replace(QUEUED, run_id=f"q{i}", job_id=f"k{i}") for i in range(5)]
    assert decide([RUNNING, *queue], {"r1-1": GOING}, NOW, parallel=3) == [
        Begin("q0"),
        Begin("q1"),
    ]
    assert decide([RUNNING, *queue], {"r1-1": GOING}, NOW, parallel=1) == []
    # More at work than allowed, since the setting was lowered.
    two = replace(RUNNING, run_id="r2", attempt=replace(ATTEMPT, ref="r2-1"))
    assert decide([RUNNING, two, *queue], {"r1-1": GOING, "r2-1": GOING}, NOW, parallel=1) == []


def test_a_job_with_many_runs_does_not_keep_others_waiting() -> None:
    busy = [replace(QUEUED, run_id=f"a{i}", job_id="busy") for i in range(100)]
    other = replace(QUEUED, run_id="b0", job_id="other")
    actions = decide(
        [replace(RUNNING, job_id="busy"), *busy, other], {"r1-1": GOING}, NOW, parallel=3
    )
    assert actions == [Begin("b0"), Begin("a0")]
