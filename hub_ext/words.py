"""How times, durations, sizes, states and causes read: on pages and in the terminal.

Pure functions of their arguments; ``now`` is always passed in. The words are
English and do not change with the locale of the process.
"""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo

from hub_ext.jobs.schemas import JobOut, RunOut, RunState, Trigger, VersionState
from hub_ext.names import PERSONAL, TriggerKind

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

MINUTE, HOUR, DAY = 60, 3600, 86400


def duration(seconds: float) -> str:
    """A length of time in its two largest units: ``0.4 s``, ``3 min 5 s``, ``2 h``."""
    if seconds < 0:
        seconds = 0
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for size, unit, below, smaller in (
        (DAY, "d", HOUR, "h"),
        (HOUR, "h", MINUTE, "min"),
        (MINUTE, "min", 1, "s"),
    ):
        if whole >= size:
            rest = whole % size // below
            return f"{whole // size} {unit}" + (f" {rest} {smaller}" if rest else "")
    return f"{whole} s"


def between(start: datetime | None, end: datetime | None, now: datetime) -> str:
    """How long something took, or takes so far; empty where it has not begun."""
    if start is None:
        return ""
    return duration(((end or now) - start).total_seconds())


def relative(then: datetime, now: datetime) -> str:
    """``then`` as seen from ``now``: ``in 5 min``, ``3 h ago``, ``2 days ago``."""
    seconds = (then - now).total_seconds()
    distance = abs(seconds)
    if distance < 45:
        return "in a moment" if seconds > 0 else "just now"
    for limit, size, one, many in (
        (45 * MINUTE, MINUTE, "min", "min"),
        (22 * HOUR, HOUR, "h", "h"),
        (45 * DAY, DAY, "day", "days"),
        (330 * DAY, 30.44 * DAY, "month", "months"),
        (float("inf"), 365.25 * DAY, "year", "years"),
    ):
        if distance < limit:
            count = max(1, round(distance / size))
            text = f"{count} {one if count == 1 else many}"
            break
    return f"in {text}" if seconds > 0 else f"{text} ago"


def moment(instant: datetime, zone: tzinfo, now: datetime) -> str:
    """Date and time on the wall in ``zone``: ``Mon 23 Nov 06:00``; the year if another."""
    here, today = instant.astimezone(zone), now.astimezone(zone)
    year = "" if here.year == today.year else f" {here.year}"
    return f"{DAYS[here.weekday()]} {here.day} {MONTHS[here.month - 1]}{year} {here:%H:%M}"


def moment_in_full(instant: datetime, zone: tzinfo) -> str:
    """To the second, with the zone's name: ``Mon 23 Nov 2026 06:00:04 (Europe/Paris)``."""
    here = instant.astimezone(zone)
    return (
        f"{DAYS[here.weekday()]} {here.day} {MONTHS[here.month - 1]} {here.year} "
        f"{here:%H:%M:%S} ({zone_name(zone)})"
    )


def zone_name(zone: tzinfo) -> str:
    return zone.key if isinstance(zone, ZoneInfo) else "UTC"


def zone_of(job: JobOut | None) -> tzinfo:
    """The time zone a job's times are shown in: its schedule's, else UTC."""
    return zone_called(job.schedule.timezone) if job and job.schedule else UTC


def zone_called(name: str) -> tzinfo:
    """The zone of this name; UTC where this machine does not know it (any more)."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return UTC


def size(count: int) -> str:
    """Bytes in decimal units, as file managers show them: ``512 B``, ``1.4 MB``."""
    if count < 1000:
        return f"{count} B"
    amount = float(count)
    for unit in ("kB", "MB", "GB", "TB"):
        amount /= 1000
        if amount < 999.5 or unit == "TB":
            break
    return f"{amount:.1f} {unit}" if amount < 9.95 else f"{amount:.0f} {unit}"


STATES: dict[RunState, str] = {
    RunState.QUEUED: "Waiting",
    RunState.RUNNING: "Running",
    RunState.SUCCEEDED: "Succeeded",
    RunState.FAILED: "Failed",
    RunState.CANCELLED: "Cancelled",
    RunState.SKIPPED: "Skipped",
}

VERSION_STATES: dict[VersionState, str] = {
    VersionState.DRAFT: "Draft",
    VersionState.TESTED: "Tested",
    VersionState.APPROVED: "Approved",
    VersionState.ACTIVE: "Active",
    VersionState.RETIRED: "Retired",
}


def project(slug: str) -> str:
    """A project in a list or a fact: ``My own``, as the panel calls it, or its slug.

    Nobody but the person sees a job of a person's own project.
    """
    return "My own" if slug.startswith(PERSONAL) else slug


def person(actor: str) -> str:
    """The name in a principal's text form: ``user:ana`` is ``ana``."""
    kind, _, name = actor.partition(":")
    return name if kind == "user" and name else actor


def cause(trigger: Trigger) -> str:
    """Why a run exists, in words: ``Schedule``, ``By hand, ana``, ``Test of version 2``."""
    if trigger.kind is TriggerKind.TEST:
        return f"Test of version {trigger.key.partition(':')[2] or '?'}"
    if trigger.kind is TriggerKind.MANUAL:
        return f"By hand, {person(trigger.by)}" if trigger.by else "By hand"
    return {
        TriggerKind.TICK: "Schedule",
        TriggerKind.BACKFILL: "Made up for",
        TriggerKind.AFTER: "After another job",
        TriggerKind.OBJECT: "New data",
        TriggerKind.SWEEP: "One of a sweep",
    }[trigger.kind]


def schedule(job: JobOut) -> str:
    """A job's schedule in a sentence, time zone included."""
    return job.schedule.sentence if job.schedule else "When someone asks for it"


def progress(run: RunOut) -> str:
    """How far a run is: ``cell 3 of 12``; empty where that is not known."""
    if run.progress is None or run.state is not RunState.RUNNING:
        return ""
    # What is finished is counted; what people want to know is which one runs.
    at = min(run.progress.cell + 1, run.progress.cells)
    return f"cell {at} of {run.progress.cells}" if run.progress.cells else ""
