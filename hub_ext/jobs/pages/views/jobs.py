"""The list of jobs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from hub_ext import words
from hub_ext.jobs.pages.views.shared import Badge, RunRow, Time, pulse, run_row, time
from hub_ext.jobs.pages.views.standing import condition
from hub_ext.jobs.schemas import JobOut, MeOut, RunState

# The order in which states are offered as filters: what needs a person first.
STATE_FILTERS = (
    RunState.FAILED,
    RunState.RUNNING,
    RunState.QUEUED,
    RunState.SUCCEEDED,
    RunState.SKIPPED,
    RunState.CANCELLED,
)


@dataclass(frozen=True)
class Choice:
    value: str
    label: str
    chosen: bool


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
        live_seconds=pulse(job.last_run for job in jobs),
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
