"""The reconcile loop: compares what is wanted with what runs, and acts on the difference.

Level-triggered: it needs no memory of what happened, so it may stop and start at any time.

`Engine` is the thin loop around `decide`: it makes due ticks into runs,
decides, and acts; what one run needs never keeps another from getting its own.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hub_ext.errors import NotFound, PublicError, Unavailable
from hub_ext.jobs import place, results
from hub_ext.jobs.backends.base import AttemptSpec, AttemptStatus, Backend, Listed
from hub_ext.jobs.backends.folder import read_exit
from hub_ext.jobs.decide import (
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
from hub_ext.jobs.schemas import Progress, RunState
from hub_ext.jobs.usecases.execution import Execution
from hub_ext.jobs.usecases.wanted import Ended, Wanted
from hub_ext.jobs.workers import Workers

log = logging.getLogger("almanac.jobs")

POLL = timedelta(seconds=1)
RETRY_SECONDS = (1.0, 2.0, 5.0, 10.0, 30.0)
"""Pauses before results are uploaded again; the last one repeats."""


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
