"""The notebook, cell by cell, until it ends or something ends it."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import Callable
from enum import Enum, auto
from typing import Any

import nbformat
from nbclient.exceptions import CellExecutionError, DeadKernelError

from hub_ext.runner.client import BoundedClient
from hub_ext.runner.events import EventLog
from hub_ext.runner.kernel import Kernel
from hub_ext.runner.outcome import ExitCode, Failure, Outcome
from hub_ext.runner.results import NotebookFile

FLUSH = 0.5
"""Seconds after which what a cell prints is in the events at the latest."""
INTERRUPT_GRACE = 2.0
"""Seconds that an interrupted cell has to show where it was."""
TRACEBACK_LIMIT = 64 * 1024
"""Characters of a traceback that are kept; from both of its ends."""


class Ended(Enum):
    """What ended a wait."""

    DONE = auto()
    STOPPED = auto()
    CELL_TIMEOUT = auto()
    TIMEOUT = auto()


class Execution:
    """One execution of a notebook in a kernel.

    Args:
        notebook: a ``NotebookNode``, executed in place.
        kernel: not started yet; ended here in any case.
        deadline: of the attempt, on the clock of `time.monotonic`.
        cell_timeout: seconds for one cell; None for no limit.
        timeout_words: the attempt's limit for people: ``24 hours``.
        starting: called once the kernel's process runs and is waited for.
    """

    def __init__(
        self,
        notebook: Any,
        kernel: Kernel,
        events: EventLog,
        saved: NotebookFile,
        *,
        deadline: float,
        cell_timeout: float | None,
        timeout_words: str,
        starting: Callable[[], None] = lambda: None,
    ):
        self._notebook = notebook
        self._kernel = kernel
        self._events = events
        self._saved = saved
        self._deadline = deadline
        self._cell_timeout = cell_timeout
        self._timeout_words = timeout_words
        self._starting = starting
        self._client = BoundedClient(notebook, events)
        self._code = [index for index, cell in enumerate(notebook.cells) if self._is_executed(cell)]
        self._finished = 0
        self.stopped_at: float | None = None

    async def run(self) -> Outcome:
        """Execute it; says how that ended and raises nothing but bugs."""
        self._stop = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        # Not by the loop's own handler: that leaves none behind when it is
        # closed, and for a moment SIGTERM would end the runner on the spot.
        signal.signal(signal.SIGTERM, self._on_sigterm)
        flusher = asyncio.create_task(self._flush_now_and_then())
        outcome = None
        try:
            outcome = await self._start() or await self._cells()
        finally:
            await self._kernel.end(gently=outcome is not None and outcome.code == 0)
            flusher.cancel()
            self._events.flush()
            self._saved.save(now=True)
        return outcome

    def _on_sigterm(self, number: int, frame: Any) -> None:
        if self.stopped_at is None:
            self.stopped_at = time.monotonic()
        with contextlib.suppress(RuntimeError):  # the loop is closed: all is done
            self._loop.call_soon_threadsafe(self._stop.set)

    async def _flush_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(FLUSH)
            self._events.flush()

    async def _start(self) -> Outcome | None:
        """Start the kernel; an outcome where that failed."""
        starting = asyncio.create_task(self._kernel.start())
        await asyncio.sleep(0)
        self._starting()
        ended = await self._wait(starting, None)
        if ended is Ended.DONE:
            if (error := starting.exception()) is None:
                self._client.km = self._kernel.manager
                self._client.kc = self._kernel.client
                await self._ask_language()
                return None
            if not isinstance(error, RuntimeError | OSError):
                raise error
            return Outcome(
                ExitCode.ENVIRONMENT_FAILED,
                f"The kernel did not start in the job's environment: {self._kernel.death()} "
                "The runner's log shows what it printed.",
                progress=(0, len(self._code)),
            )
        await self._cancel(starting)
        return self._cut_off(ended, None)

    async def _ask_language(self) -> None:
        with contextlib.suppress(Exception):
            reply = await self._client.async_wait_for_reply(self._kernel.client.kernel_info())
            self._notebook.metadata["language_info"] = nbformat.from_dict(
                reply["content"]["language_info"]
            )

    async def _cells(self) -> Outcome:
        for number, index in enumerate(self._code, start=1):
            if (outcome := await self._cell(number, index)) is not None:
                return outcome
            self._finished = number
            self._saved.save()
        return Outcome(ExitCode.SUCCEEDED, progress=self._progress)

    async def _cell(self, number: int, index: int) -> Outcome | None:
        """Execute one cell; an outcome where the run ends with it."""
        cell = self._notebook.cells[index]
        place = {"cell": index, "code_cell": number, "of": len(self._code)}
        self._events.add("cell.started", **place)
        started = time.monotonic()
        executing = asyncio.create_task(self._client.async_execute_cell(cell, index))
        ended = await self._wait(executing, self._cell_timeout)
        if ended is not Ended.DONE:
            return await self._interrupted(ended, executing, index)
        try:
            executing.result()
        except CellExecutionError as error:
            return self._failed(self._failure(index, error))
        except DeadKernelError:
            failure = Failure(index, "KernelDied", self._kernel.death())
            self._show(cell, failure)
            return self._failed(failure)
        seconds = round(time.monotonic() - started, 3)
        self._events.add("cell.finished", **place, seconds=seconds)
        return None

    async def _interrupted(self, ended: Ended, executing: asyncio.Task[Any], index: int) -> Outcome:
        # A KeyboardInterrupt's traceback shows in which line the cell was.
        cell = self._notebook.cells[index]
        await self._kernel.interrupt()
        await asyncio.wait({executing}, timeout=INTERRUPT_GRACE)
        await self._cancel(executing)
        outcome = self._cut_off(ended, index)
        if outcome.failure is not None:
            self._show(cell, outcome.failure)
            self._emit(outcome.failure)
        return outcome

    def _cut_off(self, ended: Ended, index: int | None) -> Outcome:
        """The outcome of a run that did not end by itself."""
        if ended is Ended.STOPPED:
            return Outcome(ExitCode.STOPPED, "The run was stopped.", progress=self._progress)
        if ended is Ended.CELL_TIMEOUT:
            assert self._cell_timeout is not None
            message = (
                f"The cell ran longer than the limit for one cell ({words(self._cell_timeout)})."
            )
        else:
            message = f"The run took longer than its limit ({self._timeout_words})."
        cell = self._notebook.cells[index] if index is not None else None
        failure = Failure(index, "Timeout", message, _traceback(cell))
        return Outcome(ExitCode.TIMED_OUT, message, failure, self._progress)

    def _failure(self, index: int, error: CellExecutionError) -> Failure:
        lines = _traceback(self._notebook.cells[index])
        return Failure(
            index,
            str(error.ename)[:200],
            str(error.evalue)[:2000],
            lines or shorten(str(error.traceback).splitlines()),
        )

    def _failed(self, failure: Failure) -> Outcome:
        self._emit(failure)
        return Outcome(
            ExitCode.NOTEBOOK_FAILED,
            failure.evalue
            if failure.ename == "KernelDied"
            else f"Cell {(failure.cell or 0) + 1} raised {failure.ename}"
            f"{f': {failure.evalue.splitlines()[0]}' if failure.evalue.strip() else ''}",
            failure,
            self._progress,
        )

    def _emit(self, failure: Failure) -> None:
        self._events.add(
            "cell.failed",
            cell=failure.cell,
            ename=failure.ename,
            evalue=failure.evalue,
            traceback=failure.traceback,
        )

    def _show(self, cell: Any, failure: Failure) -> None:
        """Leave word in the notebook where the kernel could not."""
        cell.outputs.append(
            nbformat.v4.new_output(
                "error",
                ename=failure.ename,
                evalue=failure.evalue,
                traceback=[f"{failure.ename}: {failure.evalue}"],
            )
        )

    async def _wait(self, task: asyncio.Task[Any], cell_timeout: float | None) -> Ended:
        """Until the task is done, a limit is reached or SIGTERM comes; leaves the task alone."""
        left = max(0.0, self._deadline - time.monotonic())
        seconds = left if cell_timeout is None else min(left, cell_timeout)
        stop = asyncio.create_task(self._stop.wait())
        await asyncio.wait({task, stop}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        if self._stop.is_set():
            return Ended.STOPPED
        if task.done():
            return Ended.DONE
        return Ended.TIMEOUT if seconds == left else Ended.CELL_TIMEOUT

    async def _cancel(self, task: asyncio.Task[Any]) -> None:
        task.cancel()
        with contextlib.suppress(BaseException):
            await asyncio.wait({task}, timeout=1.0)
            task.result()

    def _is_executed(self, cell: Any) -> bool:
        return (
            cell.cell_type == "code"
            and bool(cell.source.strip())
            and self._client.skip_cells_with_tag not in cell.metadata.get("tags", [])
        )

    @property
    def _progress(self) -> tuple[int, int]:
        return self._finished, len(self._code)


def _traceback(cell: Any) -> list[str]:
    """The traceback among a cell's outputs, line by line; also shortens it there."""
    for output in cell.outputs if cell is not None else ():
        if output["output_type"] == "error":
            output["traceback"] = shorten(
                [line for part in output["traceback"] for line in part.split("\n")]
            )
            return list(output["traceback"])
    return []


def shorten(lines: list[str], limit: int = TRACEBACK_LIMIT) -> list[str]:
    """Lines from both ends, where all of them have more than ``limit`` characters."""
    lines = [line if len(line) <= 2000 else f"{line[:2000]}…" for line in lines]
    if sum(map(len, lines)) <= limit:
        return lines
    head: list[str] = []
    tail: list[str] = []
    size = 0
    rest = lines
    while rest:
        line, rest = (rest[0], rest[1:]) if len(head) <= len(tail) else (rest[-1], rest[:-1])
        size += len(line)
        if size > limit:
            break
        (head if len(head) <= len(tail) else tail).append(line)
    return [*head, "[…]", *reversed(tail)]


def words(seconds: float) -> str:
    """A limit for people: ``90 seconds``, ``24 hours``."""
    for size, unit in ((3600, "hour"), (60, "minute")):
        if seconds >= size and seconds % size == 0:
            count = int(seconds // size)
            return f"{count} {unit}{'s' if count != 1 else ''}"
    return f"{seconds:g} second{'s' if seconds != 1 else ''}"
