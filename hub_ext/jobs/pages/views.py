"""What each page shows, as plain data: pure functions of the API's models and ``now``.

A template only places what is here; what it says and in which words is
decided in this module and in `hub_ext.words`, where it can be tested without
a browser or a service.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Any

from markupsafe import Markup

from hub_ext import words
from hub_ext.jobs.pages import ansi
from hub_ext.jobs.schemas import (
    AttemptState,
    EventOut,
    FileOut,
    JobOut,
    MeOut,
    ParameterOut,
    RunOut,
    RunState,
    VersionOut,
    VersionState,
)

TAIL_LIMIT = 64 * 1024
"""Characters that a page shows of the end of an output or a log, which may be long."""

IDLE_SECONDS = 20
LIVE_SECONDS = 2
"""How often a page looks again: when nothing is going on, and when something is."""

# The order in which states are offered as filters: what needs a person first.
STATE_FILTERS = (
    RunState.FAILED,
    RunState.RUNNING,
    RunState.QUEUED,
    RunState.SUCCEEDED,
    RunState.SKIPPED,
    RunState.CANCELLED,
)

UNFINISHED = frozenset({RunState.QUEUED, RunState.RUNNING})


@dataclass(frozen=True)
class Time:
    """An instant for ``<time>``: machine form, wall clock, distance, and all of it."""

    iso: str
    text: str
    relative: str
    full: str


@dataclass(frozen=True)
class Badge:
    """A state: ``kind`` is its look (a class), ``word`` what it says."""

    kind: str
    word: str


TESTING = Badge("running", "Being tested")
TEST_FAILED = Badge("failed", "Test failed")


@dataclass(frozen=True)
class RunRow:
    id: str
    url: str
    state: Badge
    progress: str
    reason: str
    cause: str
    time: Time
    took: str
    version: int
    test: bool


@dataclass(frozen=True)
class JobRow:
    name: str
    url: str
    project: str
    description: str
    schedule: str
    condition: Badge
    last: RunRow | None
    next: Time | None


@dataclass(frozen=True)
class Choice:
    value: str
    label: str
    chosen: bool


@dataclass(frozen=True)
class JobList:
    rows: list[JobRow]
    projects: list[Choice]
    states: list[Choice]
    filtered: bool
    more: str | None
    """Cursor of the next page."""
    first: bool
    """Whether this is the first page."""
    live_seconds: int


@dataclass(frozen=True)
class Value:
    """A parameter and its value as text; ``own``: it differs from the notebook's."""

    name: str
    value: str
    type: str
    help: str
    own: bool
    default: str


@dataclass(frozen=True)
class VersionRow:
    number: int
    state: Badge
    time: Time
    by: str
    reason: str
    bundle: str
    active: bool


@dataclass(frozen=True)
class Bar:
    """One run in the strip over the table: the higher, the longer it took."""

    url: str
    kind: str
    label: str
    x: int
    y: int
    height: int


@dataclass(frozen=True)
class JobPage:
    id: str
    name: str
    url: str
    project: str
    description: str
    notebook_path: str
    created: Time
    created_by: str
    condition: Badge
    notice: str
    schedule: str
    cron: str
    zone: str
    next: list[Time]
    paused: bool
    archived: bool
    scheduled: bool
    parameters: list[Value]
    versions: list[VersionRow]
    runs: list[RunRow]
    strip: list[Bar]
    more: str | None
    first: bool
    may_run: bool
    may_manage: bool
    live_seconds: int


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


# -- lists ----------------------------------------------------------------


def job_list(
    jobs: Sequence[JobOut],
    me: MeOut,
    now: datetime,
    *,
    project: str | None = None,
    state: RunState | None = None,
    more: str | None = None,
    first: bool = True,
) -> JobList:
    """The page of jobs. ``jobs`` are those that passed the filters already."""
    return JobList(
        rows=[job_row(job, now) for job in jobs],
        projects=[
            Choice("", "All projects", project is None),
            *(
                Choice(
                    own.slug,
                    "My own" if own.personal else own.title or own.slug,
                    own.slug == project,
                )
                for own in me.projects
            ),
        ],
        states=[
            Choice("", "Any last run", state is None),
            *(Choice(s.value, words.STATES[s], s is state) for s in STATE_FILTERS),
        ],
        filtered=project is not None or state is not None,
        more=more,
        first=first,
        live_seconds=_pulse(job.last_run for job in jobs),
    )


def matches(job: JobOut, state: RunState | None) -> bool:
    """Whether a job passes the filter by the state of its last run."""
    return state is None or (job.last_run is not None and job.last_run.state is state)


def job_row(job: JobOut, now: datetime) -> JobRow:
    zone = words.zone_of(job)
    return JobRow(
        name=job.name,
        url=job.url,
        project=job.project,
        description=job.description,
        schedule=words.schedule(job),
        condition=condition(job),
        last=run_row(job.last_run, zone, now) if job.last_run else None,
        next=time(job.next_run, zone, now) if job.next_run else None,
    )


def run_row(run: RunOut, zone: tzinfo, now: datetime) -> RunRow:
    return RunRow(
        id=run.id,
        url=run.url,
        state=badge(run.state),
        progress=words.progress(run),
        reason=reason(run),
        cause=words.cause(run.trigger),
        time=time(run.started_at or run.trigger.scheduled_for or run.created_at, zone, now),
        took=words.between(run.started_at, run.finished_at, now),
        version=run.version,
        test=run.test,
    )


def condition(job: JobOut, runs: Sequence[RunOut] = ()) -> Badge:
    """How a job as such stands: the one word people look for first.

    Args:
        runs: its newest runs, where they are at hand; without them a job whose
            test is not its last run is only said not to be active yet.
    """
    if job.archived:
        return Badge("cancelled", "Deleted")
    if job.active_version is None:
        return _unproven(job, runs)
    if job.paused:
        return Badge("paused", "Paused")
    return Badge("scheduled", "Scheduled") if job.schedule else Badge("idle", "By hand")


def _unproven(job: JobOut, runs: Sequence[RunOut]) -> Badge:
    """A job of which no version is active yet: how did the newest one's test go?"""
    newest = job.latest_version
    if newest.state is not VersionState.DRAFT:
        return Badge("waiting", words.VERSION_STATES[newest.state])
    known = [job.last_run, *runs] if job.last_run else list(runs)
    test = next((run for run in known if run and run.test and run.version == newest.number), None)
    if test is None:
        return Badge("waiting", "Not active yet") if known else TESTING
    if test.state in UNFINISHED:
        return TESTING
    return Badge("waiting", "Tested") if test.state is RunState.SUCCEEDED else TEST_FAILED


# -- a job ----------------------------------------------------------------


def job_page(
    job: JobOut,
    versions: Sequence[VersionOut],
    runs: Sequence[RunOut],
    now: datetime,
    *,
    may_run: bool,
    may_manage: bool,
    more: str | None = None,
    first: bool = True,
) -> JobPage:
    zone = words.zone_of(job)
    return JobPage(
        id=job.id,
        name=job.name,
        url=job.url,
        project=job.project,
        description=job.description,
        notebook_path=job.notebook_path,
        created=time(job.created_at, zone, now),
        created_by=words.person(job.created_by),
        condition=condition(job, runs),
        notice=notice(job, runs),
        schedule=words.schedule(job),
        cron=job.schedule.cron if job.schedule else "",
        zone=words.zone_name(zone),
        next=[time(instant, zone, now) for instant in job.schedule.next]
        if job.schedule and not job.paused and not job.archived
        else [],
        paused=job.paused,
        archived=job.archived,
        scheduled=job.schedule is not None,
        parameters=values(job.latest_version.parameters, job.parameters),
        versions=[
            VersionRow(
                number=version.number,
                state=Badge(f"version-{version.state}", words.VERSION_STATES[version.state]),
                time=time(version.created_at, zone, now),
                by=words.person(version.created_by),
                reason=version.reason,
                bundle=version.bundle,
                active=version.number == job.active_version,
            )
            for version in versions
        ],
        runs=[run_row(run, zone, now) for run in runs],
        strip=strip(runs, zone, now),
        more=more,
        first=first,
        may_run=may_run and not job.archived,
        may_manage=may_manage and not job.archived,
        live_seconds=_pulse(runs),
    )


def notice(job: JobOut, runs: Sequence[RunOut] = ()) -> str:
    """What a reader of the job's page should know before anything else."""
    if job.archived:
        return "This job was deleted. It runs no more; its history is kept here."
    if job.active_version is None:
        stands = condition(job, runs)
        if stands == TEST_FAILED:
            return (
                "The test run did not succeed, so nothing runs by schedule. Mend the notebook "
                "and productionize it again as a new version of this job."
            )
        if stands == TESTING:
            return "It runs once as a test. When that has succeeded, the schedule is in force."
        return ""
    newest = job.latest_version
    if newest.number > job.active_version and newest.state is VersionState.DRAFT:
        return (
            f"Version {newest.number} is a draft. Until its test run has succeeded, "
            f"version {job.active_version} runs."
        )
    return ""


def strip(runs: Sequence[RunOut], zone: tzinfo, now: datetime) -> list[Bar]:
    """The newest runs as bars, oldest at the left; 24 units high at most, 4 at least.

    Height is by the duration relative to the longest shown: a run that takes
    ten times as long as usual stands out before anything is read.
    """
    shown = list(reversed(runs[:30]))
    lengths = [
        ((run.finished_at or now) - run.started_at).total_seconds() if run.started_at else 0.0
        for run in shown
    ]
    longest = max(lengths, default=0.0)
    bars = []
    for index, (run, length) in enumerate(zip(shown, lengths, strict=True)):
        height = 4 + (round(20 * length / longest) if longest > 0 else 0)
        took = words.between(run.started_at, run.finished_at, now)
        row = run_row(run, zone, now)
        label = ", ".join(filter(None, (row.time.text, row.state.word.lower(), took, row.reason)))
        bars.append(
            Bar(
                url=run.url,
                kind=row.state.kind,
                label=label,
                x=index * 10,
                y=24 - height,
                height=height,
            )
        )
    return bars


def values(declared: Iterable[ParameterOut], given: dict[str, Any]) -> list[Value]:
    """Each declared parameter with the value it has, then any that is no longer declared."""
    rows = []
    rest = dict(given)
    for parameter in declared:
        own = parameter.name in rest
        value = rest.pop(parameter.name, parameter.default)
        rows.append(
            Value(
                name=parameter.name,
                value=literal(value),
                type=parameter.type,
                help=parameter.help,
                own=own and value != parameter.default,
                default=literal(parameter.default),
            )
        )
    rows += [
        Value(name=name, value=literal(value), type="", help="", own=True, default="")
        for name, value in rest.items()
    ]
    return rows


def literal(value: Any) -> str:
    """A JSON value as people write it: text without quotes, all else as JSON."""
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)


# -- a run ----------------------------------------------------------------


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
        RunState.CANCELLED: f"It was stopped{after}." if took else "It was cancelled.",
        RunState.SKIPPED: "It did not run.",
    }[run.state]


_REASONS = {
    "not active": "No version had passed its test at that time.",
    "missed": "Almanac did not run at that time.",
}


def reason(run: RunOut) -> str:
    """Why it was skipped, cancelled or failed, on one line of plain text."""
    return _REASONS.get(run.reason) or _plain(run.reason)


def mend(run: RunOut) -> str:
    """What a reader can do about it; empty where there is nothing to do."""
    if run.state is RunState.SKIPPED and run.reason == "not active":
        return "The job's page shows how the test run went."
    if run.state is RunState.FAILED and run.failure:
        return "Mend the notebook, then productionize it again as a new version of this job."
    return ""


def attempt_badge(state: AttemptState) -> Badge:
    kind = {AttemptState.STARTING: "queued", AttemptState.LOST: "failed"}.get(state, state.value)
    return Badge(kind, state.value.capitalize())


def badge(state: RunState) -> Badge:
    return Badge(state.value, words.STATES[state])


def time(instant: datetime, zone: tzinfo, now: datetime) -> Time:
    return Time(
        iso=instant.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        text=words.moment(instant, zone, now),
        relative=words.relative(instant, now),
        full=words.moment_in_full(instant, zone),
    )


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
            return f"Cell {_cell(data)} raised {_plain(data.get('ename'))}."
        case "attempt.finished":
            return f"The runner finished: {_plain(data.get('status'))}."
    detail = json.dumps(data, ensure_ascii=False) if data else ""
    return _plain(f"{event.type} {detail}".strip())


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


def _plain(value: object) -> str:
    text = " ".join(ansi.to_text(str(value if value is not None else "")).split())
    return text if len(text) <= 300 else text[:299] + "…"


def _failure(run: RunOut) -> FailureView | None:
    if run.failure is None:
        return None
    return FailureView(
        cell=f"Cell {run.failure.cell + 1}" if run.failure.cell is not None else "",
        ename=ansi.to_text(run.failure.ename),
        evalue=ansi.to_text(run.failure.evalue),
        traceback=ansi.to_html("\n".join(run.failure.traceback)),
    )


def _pulse(runs: Iterable[RunOut | None]) -> int:
    return LIVE_SECONDS if any(run and run.state in UNFINISHED for run in runs) else IDLE_SECONDS
