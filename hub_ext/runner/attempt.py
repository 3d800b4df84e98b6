"""One attempt from its start to ``exit.json``."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from hub_ext.bundles.bundle import LOCK, NOTEBOOK, Limits, unpack
from hub_ext.bundles.environment import EnvironmentNotBuilt, Lock, find, materialise
from hub_ext.bundles.notebooks import parse
from hub_ext.bundles.parameters import inject, python_values, resolve
from hub_ext.bundles.spec import Manifest
from hub_ext.errors import Invalid, PublicError
from hub_ext.runner.events import EventLog
from hub_ext.runner.folder import Attempt, AttemptFolder, start_time, write_bytes, write_json
from hub_ext.runner.outcome import ExitCode, Outcome

# The service has applied the platform's limits; here the hash is what counts.
_LIMITS = Limits(unpacked=4 * 1024**3, members=100_000)
_HTML_SECONDS = 120.0
_STOP_SECONDS = 8.0
"""SIGTERM to the end of the runner: 10 s at most, and some to spare."""


class _Stopped(BaseException):
    """SIGTERM, while nothing asynchronous runs."""


class _TimedOut(BaseException):
    """The attempt's time is over, while nothing asynchronous runs."""


def run(root: Path) -> int:
    """Execute the attempt in ``root``; returns the exit status.

    An attempt that is over is not executed again.
    """
    folder = AttemptFolder(root.resolve())
    signal.signal(signal.SIGTERM, _on_sigterm)
    if folder.exit.exists():
        _say("this attempt is over")
        return int(json.loads(folder.exit.read_text())["exit_code"])
    write_json(folder.runner, {"pid": os.getpid(), "start_time": start_time(os.getpid())})
    events = EventLog(folder.events)
    try:
        outcome = _run(folder, events)
    except _Stopped:
        outcome = _stopped()
    except Exception:
        traceback.print_exc()
        outcome = Outcome(
            ExitCode.BUG, "Something in Almanac went wrong; the operator finds it in the log."
        )
    # What follows takes no time, and must not be cut short.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _say(f"{outcome.status}{': ' if outcome.message else ''}{outcome.message}")
    events.add("attempt.finished", status=outcome.status, message=outcome.message)
    events.close()
    write_json(folder.exit, outcome.document())
    return int(outcome.code)


def _on_sigterm(number: int, frame: Any) -> None:
    raise _Stopped


def _say(line: str) -> None:
    print(f"almanac-runner: {line}", flush=True)


def _run(folder: AttemptFolder, events: EventLog) -> Outcome:
    started = time.monotonic()
    try:
        attempt = folder.read()
        manifest = unpack(
            folder.bundle, folder.unpacked, expected_sha256=attempt.bundle_sha256, limits=_LIMITS
        )
        values = resolve(manifest.parameters, attempt.parameters)
        notebook = inject(
            parse((folder.unpacked / NOTEBOOK).read_bytes()),
            python_values(manifest.parameters, values),
        )
        lock = Lock.from_json((folder.unpacked / LOCK).read_text(encoding="utf-8"))
        _lay_out(folder)
    except PublicError as error:
        return Outcome.refused(ExitCode.BUNDLE_REFUSED, error)
    except OSError as error:
        reason = f"The bundle could not be unpacked: {error.strerror}."
        return Outcome.refused(ExitCode.BUNDLE_REFUSED, Invalid(reason))
    except _Stopped:
        return _stopped()
    deadline = started + attempt.timeout_seconds
    try:
        with _alarm(attempt.timeout_seconds):
            events.add(
                "attempt.started",
                run=attempt.run_id,
                attempt=attempt.n,
                notebook=manifest.notebook_name,
                parameters=values,
            )
            python = _environment(attempt, lock, events)
    except PublicError as error:
        return Outcome.refused(ExitCode.ENVIRONMENT_FAILED, error)
    except _Stopped:
        return _stopped()
    except _TimedOut:
        from hub_ext.runner.execute import words

        limit = words(attempt.timeout_seconds)
        return Outcome(
            ExitCode.TIMED_OUT,
            f"The run took longer than its limit ({limit}) while its environment was made.",
        )
    return _execute(folder, events, attempt, manifest, notebook, python, deadline)


def _stopped() -> Outcome:
    return Outcome(ExitCode.STOPPED, "The run was stopped before its first cell.")


def _lay_out(folder: AttemptFolder) -> None:
    (folder.unpacked / "files").rename(folder.work)
    folder.home.mkdir(mode=0o700, exist_ok=True)
    folder.results.mkdir(exist_ok=True)


def _environment(attempt: Attempt, lock: Lock, events: EventLog) -> Path:
    """The kernel's Python, built first where that has not been done before."""
    if lock.version("ipykernel") is None:
        raise EnvironmentNotBuilt(
            "The environment holds no ipykernel, so that no kernel can run in it.",
            mend="Install ipykernel there and submit the notebook again.",
        )
    started = time.monotonic()
    python = find(lock, attempt.environments)
    reused = python is not None

    def log(line: str) -> None:
        _say(line)
        events.add("environment.building", lock=lock.sha256, message=line)

    if python is None:
        python = materialise(lock, attempt.environments, attempt.uv, os.environ, log=log)
    events.add(
        "environment.ready",
        lock=lock.sha256,
        reused=reused,
        seconds=round(time.monotonic() - started, 3),
    )
    return python


def _execute(
    folder: AttemptFolder,
    events: EventLog,
    attempt: Attempt,
    manifest: Manifest,
    source: dict[str, Any],
    python: Path,
    deadline: float,
) -> Outcome:
    try:
        import asyncio

        import nbformat

        from hub_ext.runner.execute import Execution, words
        from hub_ext.runner.kernel import Kernel, environment
        from hub_ext.runner.results import NotebookFile

        env = environment(attempt.environment, os.environ, python=python, home=folder.home)
        notebook = nbformat.from_dict(source)
        execution = Execution(
            notebook,
            Kernel(folder, python, env, sockets=attempt.sockets),
            events,
            NotebookFile(folder.notebook, notebook),
            deadline=deadline,
            cell_timeout=attempt.cell_timeout_seconds,
            timeout_words=words(attempt.timeout_seconds),
            starting=_prepare_html,
        )
    except _Stopped:
        return _stopped()
    outcome = asyncio.run(execution.run())
    # A SIGTERM from here on ends the page alone.
    signal.signal(signal.SIGTERM, _on_sigterm)
    seconds = _HTML_SECONDS
    if execution.stopped_at is not None:
        seconds = max(0.5, _STOP_SECONDS - (time.monotonic() - execution.stopped_at))
    _write_html(folder, notebook, manifest.notebook_name, seconds)
    return outcome


def _prepare_html() -> None:
    """Import what renders the page while the kernel starts, which takes as long."""

    def load() -> None:
        with suppress(Exception):
            import nbconvert.exporters.html  # noqa: F401

    threading.Thread(target=load, daemon=True).start()


def _write_html(folder: AttemptFolder, notebook: Any, title: str, seconds: float) -> None:
    """Write the page; a run does not fail for the lack of it."""
    from hub_ext.runner.results import html

    try:
        with _alarm(seconds):
            write_bytes(folder.html, html(notebook, title).encode(errors="replace"))
    except (_TimedOut, _Stopped):
        _say("no HTML page: there was no time left for it")
    except Exception:
        traceback.print_exc()
        _say("no HTML page: it could not be made")


@contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    """Raise `_TimedOut` in the block after so many seconds."""

    def over(number: int, frame: Any) -> None:
        raise _TimedOut

    previous = signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
