"""The page of one run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from markupsafe import Markup

from hub_ext import words
from hub_ext.jobs.pages import ansi
from hub_ext.jobs.pages.views.shared import (
    LIVE_SECONDS,
    Badge,
    Time,
    Value,
    badge,
    plain,
    reason,
    time,
    values,
)
from hub_ext.jobs.schemas import (
    UNFINISHED,
    AttemptState,
    EventOut,
    FileOut,
    JobOut,
    ParameterOut,
    RunOut,
    RunState,
)
from hub_ext.jobs.usecases.wanted import NOT_ACTIVE

TAIL_LIMIT = 64 * 1024
"""Characters that a page shows of the end of an output or a log, which may be long."""


@dataclass(frozen=True)
class Download:
    label: str
    url: str
    size: str


@dataclass(frozen=True)
class AttemptRow:
    n: int
    state: Badge
    time: Time | None
    took: str
    message: str


@dataclass(frozen=True)
class EventRow:
    time: Time
    clock: str
    text: str
    failed: bool


@dataclass(frozen=True)
class Printed:
    """What one cell has printed, in one go."""

    cell: str
    text: Markup


@dataclass(frozen=True)
class FailureView:
    cell: str
    ename: str
    evalue: str
    traceback: Markup


@dataclass(frozen=True)
class RunPage:
    id: str
    url: str
    job_name: str
    job_url: str
    project: str
    version: int
    state: Badge
    headline: str
    reason: str
    mend: str
    cause: str
    test: bool
    zone: str
    due: Time | None
    created: Time
    started: Time | None
    finished: Time | None
    took: str
    done: int
    cells: int
    progress: str
    parameters: list[Value]
    attempts: list[AttemptRow]
    failure: FailureView | None
    notebook_url: str | None
    partial: bool
    downloads: list[Download]
    printed: list[Printed]
    printed_cut: bool
    log: Markup
    log_cut: bool
    log_url: str
    events: list[EventRow]
    unfinished: bool
    may_cancel: bool
    may_run: bool
    live_seconds: int | None
    """None: it has finished, and the page is as it will stay."""


def run_page(
    run: RunOut,
    job: JobOut | None,
    declared: Sequence[ParameterOut],
    events: Sequence[EventOut],
    log: str,
    now: datetime,
    *,
    may_manage: bool,
    may_run: bool,
    log_url: str,
) -> RunPage:
    zone = words.zone_of(job)
    unfinished = run.state in UNFINISHED
    output, output_cut = printed(events)
    tail, tail_cut = end_of(log)
    files = {file.name: file for file in run.files}
    html = files.get("notebook.html")
    return RunPage(
        id=run.id,
        url=run.url,
        job_name=run.job_name,
        job_url=job.url if job else "",
        project=run.project,
        version=run.version,
        state=badge(run.state),
        headline=headline(run, now),
        # Where a cell failed, the headline and the traceback say it already.
        reason="" if run.failure and run.failure.cell is not None else reason(run),
        mend=mend(run),
        cause=words.cause(run.trigger),
        test=run.test,
        zone=words.zone_name(zone),
        due=time(run.trigger.scheduled_for, zone, now) if run.trigger.scheduled_for else None,
        created=time(run.created_at, zone, now),
        started=time(run.started_at, zone, now) if run.started_at else None,
        finished=time(run.finished_at, zone, now) if run.finished_at else None,
        took=words.between(run.started_at, run.finished_at, now),
        done=run.progress.cell if run.progress else 0,
        cells=run.progress.cells if run.progress else 0,
        progress=words.progress(run),
        parameters=values(declared, run.parameters),
        attempts=[
            AttemptRow(
                n=attempt.n,
                state=attempt_badge(attempt.state),
                time=time(attempt.started_at, zone, now) if attempt.started_at else None,
                took=words.between(attempt.started_at, attempt.finished_at, now),
                message=ansi.to_text(attempt.message),
            )
            for attempt in run.attempts
        ],
        failure=_failure(run),
        notebook_url=html.url if html else None,
        partial=run.state is not RunState.SUCCEEDED,
        downloads=[
            Download(file_label(file), file.url, words.size(file.size))
            for file in sorted(run.files, key=_file_order)
        ],
        printed=output,
        printed_cut=output_cut,
        log=ansi.to_html(tail),
        log_cut=tail_cut,
        log_url=log_url,
        events=[
            EventRow(
                time=time(event.time, zone, now),
                clock=f"{event.time.astimezone(zone):%H:%M:%S}",
                text=text,
                failed=event.type == "cell.failed",
            )
            for event in events
            if (text := event_text(event))
        ],
        unfinished=unfinished,
        may_cancel=may_manage and unfinished,
        may_run=may_run and not unfinished and bool(job and not job.archived),
        live_seconds=LIVE_SECONDS if unfinished else None,
    )


def headline(run: RunOut, now: datetime) -> str:
    """The run in one sentence: what became of it, and how long it took."""
    took = words.between(run.started_at, run.finished_at, now)
    if run.state is RunState.QUEUED:
        return "It waits for its turn."
    if run.state is RunState.RUNNING:
        at = words.progress(run)
        return f"It has been running for {took}" + (f", now at {at}." if at else ".")
    after = f" after {took}" if took else ""
    if run.state is RunState.FAILED and run.failure and run.failure.cell is not None:
        return (
            f"Cell {run.failure.cell + 1} raised {ansi.to_text(run.failure.ename)}{after}. "
            "The cells after it did not run."
        )
    return {
        RunState.SUCCEEDED: f"Every cell ran; it took {took}." if took else "Every cell ran.",
        RunState.FAILED: f"It failed{after}.",
        RunState.CANCELLED: f"It was cancelled{after}.",
        RunState.SKIPPED: "It did not run.",
    }[run.state]


def mend(run: RunOut) -> str:
    """What a reader can do about it; empty where there is nothing to do."""
    if run.state is RunState.SKIPPED and run.reason == NOT_ACTIVE:
        return "The job's page shows how the test run went."
    if run.state is RunState.FAILED and run.failure:
        return "Mend the notebook, then productionize it again as a new version of this job."
    return ""


def attempt_badge(state: AttemptState) -> Badge:
    kind = {AttemptState.STARTING: "queued", AttemptState.LOST: "failed"}.get(state, state.value)
    return Badge(kind, state.value.capitalize())


_FILE_LABELS = {
    "notebook.ipynb": "Executed notebook",
    "notebook.html": "Executed notebook as a web page",
}


def file_label(file: FileOut) -> str:
    return _FILE_LABELS.get(file.name, file.name)


def _file_order(file: FileOut) -> tuple[int, str]:
    names = list(_FILE_LABELS)
    return (names.index(file.name) if file.name in names else len(names), file.name)


def event_text(event: EventOut) -> str:
    """An event of the runner in words; empty for those that the log tells better."""
    data = event.data
    match event.type:
        case "stream":
            return ""
        case "attempt.started":
            return "The runner started."
        case "environment.building":
            return "The environment is being built."
        case "environment.ready":
            return "The environment is ready."
        case "cell.started":
            return f"Cell {_cell(data)} started."
        case "cell.finished":
            return f"Cell {_cell(data)} finished."
        case "cell.failed":
            return f"Cell {_cell(data)} raised {plain(data.get('ename'))}."
        case "attempt.finished":
            return f"The runner finished: {plain(data.get('status'))}."
    detail = json.dumps(data, ensure_ascii=False) if data else ""
    return plain(f"{event.type} {detail}".strip())


def printed(events: Sequence[EventOut]) -> tuple[list[Printed], bool]:
    """What the notebook printed, by cell in its order, and whether its beginning is left out."""
    pieces: list[tuple[str, list[str]]] = []
    for event in events:
        text = event.data.get("text")
        if event.type != "stream" or not isinstance(text, str):
            continue
        cell = _cell(event.data)
        if not pieces or pieces[-1][0] != cell:
            pieces.append((cell, []))
        pieces[-1][1].append(text)
    shown: list[Printed] = []
    room, cut = TAIL_LIMIT, False
    for cell, texts in reversed(pieces):
        text, cut = end_of("".join(texts), room)
        if text:
            shown.append(Printed(f"Cell {cell}", ansi.to_html(text)))
        room -= len(text)
        if cut or room <= 0:
            break
    return shown[::-1], cut or len(shown) < len(pieces)


def end_of(text: str, limit: int = TAIL_LIMIT) -> tuple[str, bool]:
    """The end of a text in whole lines, and whether anything was left out.

    A line that was cut in two would begin with half an escape sequence.
    """
    if len(text) <= limit:
        return text, False
    return text[len(text) - limit :].partition("\n")[2], True


def _cell(data: dict[str, Any]) -> str:
    cell = data.get("cell")
    return str(cell + 1) if isinstance(cell, int) else "?"


def _failure(run: RunOut) -> FailureView | None:
    if run.failure is None:
        return None
    return FailureView(
        cell=f"Cell {run.failure.cell + 1}" if run.failure.cell is not None else "",
        ename=ansi.to_text(run.failure.ename),
        evalue=ansi.to_text(run.failure.evalue),
        traceback=ansi.to_html("\n".join(run.failure.traceback)),
    )
