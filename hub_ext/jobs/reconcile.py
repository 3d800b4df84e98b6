"""The loop that makes true what is wanted: level-triggered, and able to start anywhere.

`decide` is a pure function of what the database wants, what the backend
lists, and the time. It looks at states, never at what happened in between, so
a decision that was lost in a crash is simply made again. `Engine` is the thin
loop around it: it makes due ticks into runs, decides, and acts; what one run
needs never keeps another from getting its own.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hub_ext.errors import NotFound, PublicError, Unavailable
from hub_ext.jobs import place, results
from hub_ext.jobs.backends.base import AttemptSpec, AttemptStatus, Backend, Listed
from hub_ext.jobs.backends.folder import read_exit
from hub_ext.jobs.schemas import AttemptState, Progress, RunState, VersionState
from hub_ext.jobs.usecases.execution import (
    NOT_ACTIVE,
    RUNNING_LEASE,
    SERVICE,
    Ended,
    Execution,
    Wanted,
    WantedAttempt,
)
from hub_ext.jobs.workers import Workers

log = logging.getLogger("almanac.jobs")

MOST_ATTEMPTS = 3
STOPPED = 143
"""Exit code of a runner that was asked to end."""
TOO_LONG = "It took too long and was stopped."
POLL = timedelta(seconds=1)
OVERTIME = timedelta(minutes=2)
"""The runner watches its own time; so long after it, the service does."""
RETRY_SECONDS = (1.0, 2.0, 5.0, 10.0, 30.0)
"""Pauses before results are uploaded again; the last one repeats."""


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


class Engine:
    """The loop, in a thread of its own; slow steps go to a few worker threads.

    Args:
        backend: where attempts execute.
        objects: where results are published.
        parallel: how many attempts may be at work at once.
        timeout: of an attempt.
        clock: gives the time now, with a time zone.
    """

    def __init__(
        self,
        execution: Execution,
        backend: Backend,
        objects: results.Uploads,
        *,
        parallel: int | None,
        timeout: timedelta = timedelta(days=1),
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        workers: int = 4,
    ):
        self._execution = execution
        self._backend = backend
        self._objects = objects
        self._parallel = parallel
        self._timeout = timeout
        self._clock = clock
        self._workers = Workers(workers, name="almanac-jobs")
        self._changed = threading.Condition()
        self._awake = False
        self._stopping = False
        self._thread: threading.Thread | None = None
        self._folders: dict[str, Path] = {}
        self._tails: dict[str, results.ProgressTail] = {}
        self._progress: dict[str, Progress] = {}
        self._failures: Counter[str] = Counter()
        self._not_before: dict[str, datetime] = {}

    # -- for the service

    def start(self) -> None:
        self._thread = threading.Thread(target=self._loop, name="almanac-jobs-loop", daemon=True)
        self._thread.start()

    def stop(self, *, timeout: float = 2.0) -> None:
        """Take no more work. Runners go on; what was under way is taken up after a restart."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(timeout)
        self._workers.close(timeout)

    @property
    def alive(self) -> bool:
        """Whether the loop runs (or was not started)."""
        return self._thread is None or self._thread.is_alive()

    def wake(self) -> None:
        """Something changed: look at once instead of within a second."""
        with self._changed:
            self._awake = True
            self._changed.notify_all()

    def folder(self, ref: str) -> Path | None:
        """Where the attempt writes, as last listed."""
        return self._folders.get(ref)

    def logs(self, ref: str) -> str:
        return self._backend.logs(ref)

    # -- the loop

    def _loop(self) -> None:
        while not self._stopping:
            try:
                self.step()
                pause = self._until_next_tick()
            except Unavailable as error:
                log.warning("loop.waits %s", error)
                pause = POLL.total_seconds()
            except Exception:
                log.exception("loop.failed")
                pause = POLL.total_seconds()
            with self._changed:
                if not (self._awake or self._stopping):
                    self._changed.wait(pause)
                self._awake = False

    def _until_next_tick(self) -> float:
        due = self._execution.next_due()
        if due is None:
            return POLL.total_seconds()
        # A tick that is due and could not be claimed is not a reason to spin.
        return min(POLL, max(timedelta(milliseconds=5), due - self._clock())).total_seconds()

    def step(self) -> None:
        """One pass: ticks, then decisions, then acts. Faults of one run stay with it."""
        try:
            self._execution.claim_due()
        except PublicError as error:
            log.warning("ticks.wait %s", error)
        busy = self._workers.busy()
        listed = self._backend.list()
        wanted = self._execution.wanted()
        now = self._clock()
        self._folders = {ref: seen.folder for ref, seen in listed.items() if seen.folder}
        held = {ref for ref, until in dict(self._not_before).items() if until > now}
        for action in decide(
            wanted,
            listed,
            now,
            parallel=self._parallel,
            timeout=self._timeout,
            busy=busy | held,
        ):
            if self._stopping:
                return
            try:
                self._act(action)
            except Unavailable as error:
                log.warning("action.waits %s %s", action, error)
            except Exception:
                log.exception("action.failed %s", action)
        self._follow(wanted, listed)

    def settle(self, timeout: float = 30.0) -> bool:
        """Wait until the workers are idle; for tests that step by hand."""
        return self._workers.idle(timeout)

    def _act(self, action: Action) -> None:
        match action:
            case Begin(run_id):
                self._start(self._execution.begin(run_id))
            case BeginAgain(run_id, n):
                self._start(self._execution.begin_again(run_id, n))
            case Renew(run_id, n):
                self._execution.listed(run_id, n)
            case Expire(run_id):
                self._execution.expire(run_id)
                self.wake()
            case Lose(run_id, n, message):
                self._execution.lost(run_id, n, message)
                self.wake()
            case Publish():
                self._workers.submit(action.ref, lambda: self._publish(action))
            case Drop(run_id, state, reason):
                self._execution.drop(run_id, state, reason)
                self.wake()
            case Stop(ref):
                self._backend.stop(ref)
            case Forget(ref):
                self._workers.submit(ref, lambda: self._forget(ref))

    # -- in worker threads

    def _start(self, spec: AttemptSpec | None) -> None:
        if spec is not None:
            self._workers.submit(spec.ref, lambda: self._start_now(spec))

    def _start_now(self, spec: AttemptSpec) -> None:
        try:
            self._backend.start(spec)
            self._execution.listed(spec.run_id, spec.n)
        except NotFound as error:
            log.error("attempt.no-bundle run=%s attempt=%s %s", spec.run_id, spec.n, error)
            ended = Ended(
                RunState.FAILED,
                "The bundle of this version is not in the object store any more.",
            )
            self._execution.finish(spec.run_id, spec.n, spec.fence, ended)
        except (PublicError, OSError) as error:
            # The store is down or the disk is full: that passes, and is no
            # fault of the run. The lease ends, and it is started again.
            with contextlib.suppress(PublicError):
                self._execution.note(spec.run_id, spec.n, f"It could not be started yet: {error}")
        except Exception:
            log.exception("attempt.not-started run=%s attempt=%s", spec.run_id, spec.n)
            ended = Ended(RunState.FAILED, "It could not be started; the service's log says why.")
            self._execution.finish(spec.run_id, spec.n, spec.fence, ended)
        self.wake()

    def _publish(self, action: Publish) -> None:
        folder = self._folders.get(action.ref)
        left = read_exit(folder) if folder is not None else None
        try:
            files = None
            if folder is not None:
                prefix = place.attempt_prefix(action.run_id, action.n)
                files = results.publish(folder, self._objects, prefix)
            reason = action.reason
            if action.state is RunState.FAILED and left is not None and not reason:
                reason = left.message or "The runner failed; its log says more."
            self._execution.finish(
                action.run_id,
                action.n,
                action.fence,
                Ended(
                    action.state,
                    reason,
                    exit_code=left.exit_code if left else None,
                    progress=left.progress if left else None,
                    failure=left.failure if left and action.state is RunState.FAILED else None,
                    files=files,
                ),
            )
        except (PublicError, OSError) as error:
            failures = self._failures[action.ref]
            pause = RETRY_SECONDS[min(failures, len(RETRY_SECONDS) - 1)]
            self._failures[action.ref] += 1
            self._not_before[action.ref] = self._clock() + timedelta(seconds=pause)
            log.warning("results.wait run=%s attempt=%s %s", action.run_id, action.n, error)
            with contextlib.suppress(PublicError):
                self._execution.note(
                    action.run_id,
                    action.n,
                    f"It has ended ({action.state}); its results wait for the object store: "
                    f"{error}",
                )
            return
        self._failures.pop(action.ref, None)
        self._not_before.pop(action.ref, None)
        self.wake()

    def _forget(self, ref: str) -> None:
        self._backend.forget(ref)
        self._tails.pop(ref, None)
        self._progress.pop(ref, None)
        self._failures.pop(ref, None)
        self._not_before.pop(ref, None)

    # -- progress

    def _follow(self, wanted: Sequence[Wanted], listed: Mapping[str, Listed]) -> None:
        for run in wanted:
            seen = listed.get(run.attempt.ref) if run.attempt else None
            if run.attempt is None or seen is None or seen.folder is None:
                continue
            if seen.status is not AttemptStatus.RUNNING:
                continue
            ref = run.attempt.ref
            tail = self._tails.setdefault(ref, results.ProgressTail(seen.folder))
            try:
                progress = tail.poll()
                if progress is not None and progress != self._progress.get(ref):
                    self._execution.progress(run.run_id, run.attempt.n, progress.model_dump())
                    self._progress[ref] = progress
            except Exception:
                log.exception("progress.failed run=%s", run.run_id)
