"""The one loop that starts parts, keeps them running, and ends them.

It knows nothing of what the parts do: all that it needs is in the table
(`hub_ext.embedded.parts.Part`). The process that runs it becomes the parent
of every process below it that loses its own (people's servers, when the hub
is killed), so that ending it leaves none behind.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import subprocess
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

from hub_ext.embedded import logs, probe
from hub_ext.embedded.endings import Ending, Times, wind_down
from hub_ext.embedded.parts import Check, Part, PartState, PartStatus, Stops
from hub_ext.embedded.records import PROCESSES, Processes, TreeStatus
from hub_ext.errors import PublicError
from hub_ext.processes import ProcessId

STARTING_LOOK = 0.1
"""Seconds between two questions to a part that starts."""
RUNNING_LOOK = 2.0
"""Seconds between two questions to a part that runs."""
SILENT_AFTER = 6.0
"""Seconds without an answer after which a part is said not to answer."""
HOUSEKEEPING = 1.0
"""Seconds between two looks at which processes there are."""
LOGS_EVERY = 15
"""Rounds of housekeeping between two looks at the size of the logs."""
GATES_LIMIT = 60.0

_PR_SET_CHILD_SUBREAPER = 36


class StartFailed(PublicError):
    """A part does not come up, so there is nothing to keep running."""

    code, status = "start-failed", 500


class Report(Protocol):
    """Who is told what happens, to show it to people."""

    def changed(self, part: PartStatus) -> None:
        """A part came into another state."""

    def stopping(self, why: str) -> None:
        """Everything is about to be ended."""


@dataclass
class Kept:
    """A part and what has become of it so far."""

    part: Part
    log: Path
    state: PartState = PartState.WAITING
    since: datetime = field(default_factory=lambda: datetime.now(UTC))
    process: subprocess.Popen[bytes] | None = None
    identity: ProcessId | None = None
    restarts: int = 0
    failures: int = 0
    last_end: str = ""
    verdict: str = ""
    """why we killed its process, if we did"""
    retry_at: datetime | None = None
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    first_well: asyncio.Event = field(default_factory=asyncio.Event)

    def status(self) -> PartStatus:
        running = self.process is not None and self.process.returncode is None
        return PartStatus(
            name=self.part.name,
            title=self.part.title,
            state=self.state,
            since=self.since,
            pid=self.process.pid if running and self.process else None,
            address=self.part.address,
            restarts=self.restarts,
            last_end=self.last_end,
            retry_at=self.retry_at,
            log=self.log,
        )


class Supervisor:
    """Keeps a table of parts running until it is told to stop.

    Args:
        parts: the table.
        runtime: folder for the records (`hub_ext.embedded.records`).
        log_folder: folder for the parts' log files.
        report: is told what happens.
        public_url: where people reach all of it; for the records.
        gates: what must answer, besides each part, before all is ready.
        on_ready: called once, when all is ready.
        times: limits of ending.
    """

    def __init__(
        self,
        parts: Sequence[Part],
        *,
        runtime: Path,
        log_folder: Path,
        report: Report,
        public_url: str = "",
        gates: Sequence[Check] = (),
        on_ready: Callable[[], None] = lambda: None,
        times: Times | None = None,
    ):
        self._kept = {part.name: Kept(part, log_folder / f"{part.name}.log") for part in parts}
        self._runtime = runtime
        self._log_folder = log_folder
        self._report = report
        self._public_url = public_url
        self._gates = gates
        self._on_ready = on_ready
        self._times = times
        self._ready = False
        self._started_at = datetime.now(UTC)
        self._stop_wanted = asyncio.Event()
        self._why = ""
        self._hurry = False
        self._failure: StartFailed | None = None
        self._recorded: list[ProcessId] = []

    async def run(self) -> None:
        """Start all, keep it running until a signal comes, end all.

        Must be the only user of child processes in this process: it collects
        every child that ends, and ends every child there is.

        Raises:
            StartFailed: a part did not come up the first time; all was ended.
        """
        adopt_orphans()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
                loop.add_signal_handler(number, self._signalled, number)
        loop.add_signal_handler(signal.SIGCHLD, self._collect)
        tasks = [asyncio.create_task(self._tend(kept)) for kept in self._kept.values()]
        tasks += [
            asyncio.create_task(self._become_ready()),
            asyncio.create_task(self._keep_house()),
        ]
        for task in tasks:
            task.add_done_callback(self._task_done)
        try:
            await self._stop_wanted.wait()
        finally:
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            await self._end()
        for result in results:
            if isinstance(result, Exception):
                raise result
        if self._failure:
            raise self._failure

    def stop(self, why: str) -> None:
        """End all, in order; a second call ends it at once."""
        if self._stop_wanted.is_set():
            self._hurry = True
            return
        self._why = why
        self._stop_wanted.set()

    # -- starting and keeping ------------------------------------------------

    async def _tend(self, kept: Kept) -> None:
        part = kept.part
        loop = asyncio.get_running_loop()
        for name in part.after:
            await self._kept[name].first_well.wait()
        while True:
            well_since = await self._watch(kept) if self._start(kept) else None
            # A part that hangs for long at its start has not been running long.
            ran = 0.0 if well_since is None else loop.time() - well_since
            kept.failures = part.restarts.failures(kept.failures, ran)
            looping = part.restarts.looping(kept.failures)
            if not self._ready and (looping or kept.verdict):
                self._fail(kept)
                return
            delay = part.restarts.delay(kept.failures)
            kept.retry_at = datetime.now(UTC) + timedelta(seconds=delay) if delay else None
            self._set(kept, PartState.LOOPING if looping else PartState.RESTARTING)
            await asyncio.sleep(delay)
            kept.restarts += 1

    def _start(self, kept: Kept) -> bool:
        part = kept.part
        kept.ended.clear()
        kept.retry_at, kept.verdict = None, ""
        log = logs.open_for_append(kept.log)
        try:
            if part.before is not None:
                part.before()
            kept.process = subprocess.Popen(
                part.command,
                env=dict(part.environment),
                cwd=part.cwd,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Ctrl-C in the terminal is for the supervisor alone.
                start_new_session=True,
                umask=0o077,
            )
        except OSError as error:
            kept.process = kept.identity = None
            kept.last_end = f"cannot be started: {error}"
            return False
        finally:
            os.close(log)
        kept.identity = ProcessId.of(kept.process.pid)
        self._set(kept, PartState.STARTING)
        self._record()
        return True

    async def _watch(self, kept: Kept) -> float | None:
        """Until the process has ended: ask how it is, and say so.

        Returns:
            since when it was well, on the loop's clock; None if it never was.
        """
        part = kept.part
        loop = asyncio.get_running_loop()
        last_well = loop.time()
        well_since: float | None = None
        pause = STARTING_LOOK
        while not await _happens(kept.ended, pause):
            if await probe.well(part.check):
                last_well = loop.time()
                well_since = well_since or last_well
                if kept.ended.is_set():
                    break
                if kept.state is not PartState.RUNNING:
                    self._set(kept, PartState.RUNNING)
                    kept.first_well.set()
                pause = RUNNING_LOOK
                continue
            silent = loop.time() - last_well
            limit = part.start_limit if well_since is None else part.silence_limit
            pause = min(pause, 1.0)
            if silent >= limit:
                kept.verdict = f"did not answer for {limit:.0f} s and was killed"
                if kept.identity:
                    kept.identity.signal(signal.SIGKILL)
                await kept.ended.wait()
            elif silent >= SILENT_AFTER and kept.state is PartState.RUNNING:
                self._set(kept, PartState.SILENT)
        return well_since

    async def _become_ready(self) -> None:
        for kept in self._kept.values():
            await kept.first_well.wait()
        try:
            async with asyncio.timeout(GATES_LIMIT):
                for gate in self._gates:
                    while not await probe.well(gate):  # noqa: ASYNC110  # another process
                        await asyncio.sleep(STARTING_LOOK)
        except TimeoutError:
            self._failure = StartFailed(
                f"All parts run, and {gate.url} does not answer.",
                mend=f"The logs in {self._log_folder} may say why.",
            )
            self.stop("a part cannot be reached")
            return
        self._ready = True
        self._save_status()
        self._on_ready()

    def _fail(self, kept: Kept) -> None:
        lines = logs.tail(kept.log, 12)
        self._failure = StartFailed(
            f"{kept.part.title} does not start: {kept.last_end}.",
            mend=f"All of its log is in {kept.log}.",
            problems=[f"{kept.part.name}: {line}" for line in lines],
        )
        self._set(kept, PartState.LOOPING)
        self.stop(f"{kept.part.title} does not start")

    # -- what happens around -------------------------------------------------

    def _signalled(self, number: signal.Signals) -> None:
        self.stop("Ctrl-C" if number is signal.SIGINT else number.name)

    def _task_done(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            self.stop("of a bug in the supervisor")

    def _collect(self) -> None:
        """Collect every child that has ended: our parts, and orphans that came to us."""
        own = {kept.process.pid: kept for kept in self._kept.values() if kept.process}
        while True:
            try:
                found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if found is None:
                return
            kept = own.get(found.si_pid)
            if kept is None or kept.process is None or kept.process.returncode is not None:
                with suppress(ChildProcessError):
                    os.waitpid(found.si_pid, os.WNOHANG)
                continue
            code = kept.process.poll()
            if code is not None and not kept.ended.is_set():
                kept.last_end = kept.verdict or describe(code)
                kept.ended.set()

    async def _keep_house(self) -> None:
        rounds = 0
        while True:
            await asyncio.sleep(HOUSEKEEPING)
            rounds += 1
            self._collect()
            self._record()
            if rounds % LOGS_EVERY == 0:
                logs.bound(self._log_folder)

    def _set(self, kept: Kept, state: PartState) -> None:
        kept.state, kept.since = state, datetime.now(UTC)
        self._save_status()
        self._report.changed(kept.status())

    def _save_status(self) -> None:
        # A full disk must not take down what runs; the state is then out of date.
        with suppress(OSError):
            TreeStatus(
                pid=os.getpid(),
                started_at=self._started_at,
                ready=self._ready,
                public_url=self._public_url,
                parts=[kept.status() for kept in self._kept.values()],
            ).save(self._runtime)

    def _record(self) -> None:
        members = self._members()
        if members == self._recorded:
            return
        own = {kept.identity for kept in self._kept.values()}
        with suppress(OSError):
            Processes(
                {
                    stops: [ending.process for ending in endings]
                    for stops, endings in self._endings().items()
                },
                [process for process in members if process not in own],
            ).save(self._runtime)
            self._recorded = members

    # -- ending --------------------------------------------------------------

    def _members(self) -> list[ProcessId]:
        me = ProcessId.of(os.getpid())
        return me.descendants() if me else []

    def _endings(self) -> dict[Stops, list[Ending]]:
        return {
            stops: [
                Ending(kept.identity, kept.part.stop_signal, kept.part.grace)
                for kept in self._kept.values()
                if kept.part.stops is stops and kept.identity is not None
            ]
            for stops in Stops
        }

    async def _end(self) -> None:
        self._report.stopping(self._why)
        for kept in self._kept.values():
            if kept.process is not None and kept.process.returncode is None:
                self._set(kept, PartState.STOPPING)
        left = await wind_down(
            self._endings(), self._members, hurry=lambda: self._hurry, times=self._times
        )
        self._collect()
        for kept in self._kept.values():
            if kept.part.afterwards is not None:
                with suppress(OSError):
                    kept.part.afterwards()
            self._set(kept, PartState.STOPPED)
        if not left:
            (self._runtime / PROCESSES).unlink(missing_ok=True)


def adopt_orphans() -> bool:
    """Become the parent of descendants that lose theirs; False where that is not possible."""
    try:
        return bool(ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0)
    except (OSError, AttributeError):
        return False


def describe(code: int) -> str:
    """How a process ended, in words; ``code`` as of `subprocess`."""
    if code >= 0:
        return f"ended with status {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"


async def _happens(event: asyncio.Event, within: float) -> bool:
    try:
        async with asyncio.timeout(within):
            await event.wait()
    except TimeoutError:
        return False
    return True
