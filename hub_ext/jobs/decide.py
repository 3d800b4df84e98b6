"""What to do next: a pure function of what is wanted, what the backend lists, and the time.

It looks at states, never at what happened in between, so a decision that was
lost in a crash is simply made again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from hub_ext.jobs.backends.base import AttemptStatus, Listed
from hub_ext.jobs.schemas import AttemptState, RunState, VersionState
from hub_ext.jobs.usecases.wanted import NOT_ACTIVE, RUNNING_LEASE, SERVICE, Wanted, WantedAttempt

MOST_ATTEMPTS = 3
STOPPED = 143
"""Exit code of a runner that was asked to end."""
TOO_LONG = "It took too long and was stopped."
OVERTIME = timedelta(minutes=2)
"""The runner watches its own time; so long after it, the service does."""


@dataclass(frozen=True)
class Begin:
    """Make the run's next attempt and start it."""

    run_id: str


@dataclass(frozen=True)
class BeginAgain:
    """Start an attempt that was made and never appeared."""

    run_id: str
    n: int


@dataclass(frozen=True)
class Renew:
    """The attempt is at work: say so, and extend its lease."""

    run_id: str
    n: int


@dataclass(frozen=True)
class Lose:
    """Give the attempt up; the run waits for another."""

    run_id: str
    n: int
    message: str


@dataclass(frozen=True)
class Publish:
    """The attempt has ended: upload its results, then end the run.

    Attributes:
        state: what the run comes to.
        reason: why; empty where the runner itself says it best.
    """

    run_id: str
    n: int
    fence: int
    ref: str
    state: RunState
    reason: str = ""


@dataclass(frozen=True)
class Drop:
    """End a run that has no attempt at work."""

    run_id: str
    state: RunState
    reason: str


@dataclass(frozen=True)
class Stop:
    ref: str


@dataclass(frozen=True)
class Forget:
    ref: str


@dataclass(frozen=True)
class Expire:
    """The attempt takes too long: have it stopped, as if somebody had cancelled it."""

    run_id: str


Action = Begin | BeginAgain | Renew | Expire | Lose | Publish | Drop | Stop | Forget


def decide(
    wanted: Sequence[Wanted],
    listed: Mapping[str, Listed],
    now: datetime,
    *,
    parallel: int | None = None,
    timeout: timedelta = timedelta(days=1),
    busy: Collection[str] = (),
) -> list[Action]:
    """What to do next, for every run that has not ended and every attempt that is listed.

    Args:
        wanted: runs, oldest first.
        listed: attempts by ref; taken before ``wanted`` was read, so that an
            attempt that is listed and not wanted has ended.
        parallel: how many attempts may be at work; None for no limit.
        timeout: of an attempt.
        busy: refs that are being started or published right now.
    """
    actions: list[Action] = []
    working: Counter[str] = Counter()
    waiting: list[Wanted] = []
    for run in wanted:
        if run.state is RunState.RUNNING and run.attempt is not None:
            working[run.job_id] += 1
            if run.attempt.ref not in busy:
                actions += _of_running(run, run.attempt, listed.get(run.attempt.ref), now, timeout)
        elif run.cancelled_by:
            actions.append(_cancelled(run))
        elif not run.test and run.version_state not in _MAY_RUN:
            if not run.test_going:
                actions.append(Drop(run.run_id, RunState.SKIPPED, NOT_ACTIVE))
        else:
            waiting.append(run)
    newest = {run.attempt.ref for run in wanted if run.attempt is not None}
    live = {
        run.attempt.ref
        for run in wanted
        if run.attempt is not None and run.attempt.state is not AttemptState.LOST
    }
    for ref, status in listed.items():
        if ref not in (live & newest) and ref not in busy:
            ended = status.status is not AttemptStatus.RUNNING
            actions.append(Forget(ref) if ended else Stop(ref))
    free = None if parallel is None else max(0, parallel - working.total())
    return actions + [Begin(run.run_id) for run in _in_turn(waiting, working, free)]


_MAY_RUN = (VersionState.ACTIVE, VersionState.RETIRED)


def _of_running(
    run: Wanted,
    attempt: WantedAttempt,
    seen: Listed | None,
    now: datetime,
    timeout: timedelta,
) -> list[Action]:
    if seen is None:
        if attempt.lease_until > now:
            return []
        if run.cancelled_by:
            return [_cancelled(run)]
        if attempt.state is AttemptState.STARTING:
            return [BeginAgain(run.run_id, attempt.n)]
        return [_again(run, attempt, "The attempt is gone from where it ran.")]
    if seen.status is AttemptStatus.RUNNING:
        renew: list[Action] = []
        starting = attempt.state is AttemptState.STARTING
        if starting or attempt.lease_until - now < RUNNING_LEASE * 2 / 3:
            renew = [Renew(run.run_id, attempt.n)]
        if run.cancelled_by:
            return [*renew, Stop(attempt.ref)]
        if attempt.started_at is not None and now > attempt.started_at + timeout + OVERTIME:
            return [*renew, Expire(run.run_id)]
        return renew

    def ended(state: RunState, reason: str = "") -> list[Action]:
        return [Publish(run.run_id, attempt.n, attempt.fence, attempt.ref, state, reason)]

    if seen.status is AttemptStatus.SUCCEEDED:
        return ended(RunState.SUCCEEDED)
    if run.cancelled_by:
        drop = _cancelled(run)
        return ended(drop.state, drop.reason)
    if seen.status is AttemptStatus.LOST or seen.exit_code == STOPPED:
        message = seen.message or "The runner was stopped from outside."
        if attempt.n < MOST_ATTEMPTS:
            return [Lose(run.run_id, attempt.n, message)]
        return ended(RunState.FAILED, _given_up(message))
    return ended(RunState.FAILED)


def _again(run: Wanted, attempt: WantedAttempt, message: str) -> Action:
    if attempt.n < MOST_ATTEMPTS:
        return Lose(run.run_id, attempt.n, message)
    return Drop(run.run_id, RunState.FAILED, _given_up(message))


def _given_up(message: str) -> str:
    return f"{MOST_ATTEMPTS} attempts were lost. The last: {message}"


def _cancelled(run: Wanted) -> Drop:
    if run.cancelled_by == str(SERVICE):
        return Drop(run.run_id, RunState.FAILED, TOO_LONG)
    who = (run.cancelled_by or "").partition(":")[2]
    return Drop(run.run_id, RunState.CANCELLED, f"cancelled by {who}")


def _in_turn(waiting: Sequence[Wanted], working: Counter[str], free: int | None) -> list[Wanted]:
    """Who is next: jobs with the fewest attempts at work first, then the oldest.

    So a job that is due every minute and takes an hour fills what is free,
    and still no other job waits behind all of its runs.
    """
    if free is None:
        return list(waiting)
    load = Counter(working)
    queues: dict[str, list[Wanted]] = {}
    for run in reversed(waiting):
        queues.setdefault(run.job_id, []).append(run)
    chosen: list[Wanted] = []
    while queues and len(chosen) < free:
        job_id = min(queues, key=lambda job: (load[job], queues[job][-1].run_id))
        chosen.append(queues[job_id].pop())
        load[job_id] += 1
        if not queues[job_id]:
            del queues[job_id]
    return chosen
