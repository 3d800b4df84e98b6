"""The page of one job."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo

from hub_ext import words
from hub_ext.jobs.pages.views.shared import Badge, RunRow, Time, Value, pulse, run_row, time, values
from hub_ext.jobs.pages.views.standing import TEST_FAILED, TESTING, condition
from hub_ext.jobs.schemas import JobOut, RunOut, VersionOut, VersionState


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
    standing = condition(job, runs)
    return JobPage(
        id=job.id,
        name=job.name,
        url=job.url,
        project=job.project,
        description=job.description,
        notebook_path=job.notebook_path,
        created=time(job.created_at, zone, now),
        created_by=words.person(job.created_by),
        condition=standing,
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
        # What the service would refuse is not offered.
        may_run=may_run and not job.archived and standing != TEST_FAILED,
        may_manage=may_manage and not job.archived,
        live_seconds=pulse(runs),
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
