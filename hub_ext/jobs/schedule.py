"""When a job is due: five-field cron in a time zone, as pure functions.

The fields are those of Vixie cron: minute, hour, day of month, month, day of
week; lists, ranges, steps, names (``MON-FRI``, ``JAN``), 7 for Sunday, and
``@hourly @daily @weekly @monthly @yearly``. Where neither the day of the
month nor the day of the week begins with ``*``, a day that matches either is
due; else it has to match both.

The fields are read on the wall clock of the time zone, and the clock changes
are defined:

- a time that the clock skips (02:30 on the spring day in Paris) is due at the
  first instant after the gap; several such times are due there once;
- a time that the clock shows twice (02:30 on the autumn day) is due once, the
  first time.

So each wall-clock time is due exactly once, and instants grow with it: no
tick is lost or doubled by a clock change.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, available_timezones

from cron_descriptor import Options, get_description

from hub_ext.errors import Invalid

CRON, TIMEZONE = "schedule.cron", "schedule.timezone"
LONGEST_CRON = 1000
"""Characters. All values of all fields, written out, have half as many."""
EXPECTED = "minute hour day-of-month month day-of-week, as in `0 6 * * 1-5`"

FORMS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_LONGEST_MONTH = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
# 29 February on a given day of the week comes back after 40 years at the most
# (28, and 12 more where a century year is no leap year).
_HORIZON = timedelta(days=41 * 366)
_NOT_ZONES = frozenset({"localtime", "posixrules", "Factory"})


@dataclass(frozen=True)
class _Field:
    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()

    @property
    def expected(self) -> str:
        named = f" or {self.names[0]}–{self.names[-1]}".upper() if self.names else ""
        return f"{self.low}–{self.high}{named.replace('OR', 'or')}"


_FIELDS = (
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day of month", 1, 31),
    _Field("month", 1, 12, _MONTHS),
    _Field("day of week", 0, 7, _WEEKDAYS),
)


@dataclass(frozen=True)
class Schedule:
    """A schedule that has been understood; made by `parse`.

    Attributes:
        cron: the expression as it was written, blanks squeezed.
        timezone: name of the IANA time zone in which it is read.
    """

    cron: str
    timezone: str
    minutes: tuple[int, ...] = field(repr=False)
    hours: tuple[int, ...] = field(repr=False)
    days: frozenset[int] = field(repr=False)
    months: frozenset[int] = field(repr=False)
    weekdays: frozenset[int] = field(repr=False)
    either_day: bool = field(repr=False)
    """True where a match of day of month or of day of week is enough."""

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.timezone)

    def due_on(self, day: date) -> bool:
        """Whether the day matches; the times within it are ``hours`` × ``minutes``."""
        if day.month not in self.months:
            return False
        in_month = day.day in self.days
        in_week = day.isoweekday() % 7 in self.weekdays
        return (in_month or in_week) if self.either_day else (in_month and in_week)


def parse(cron: str, timezone: str) -> Schedule:
    """Understand a schedule.

    Raises:
        Invalid: with the field that is at fault, ``schedule.cron`` or
            ``schedule.timezone``, and what is expected there.
    """
    if len(cron) > LONGEST_CRON:
        raise Invalid(
            f"The cron expression has {len(cron)} characters; at most {LONGEST_CRON} are taken.",
            mend="Write ranges and steps, as in `*/5` or `1-5`, instead of long lists.",
            field=CRON,
        )
    zone = _known_zone(timezone)
    text = " ".join(cron.split())
    parts = _five_fields(text)
    minutes, hours, days, months, weekdays = (
        _values(part, which) for part, which in zip(parts, _FIELDS, strict=True)
    )
    either_day = not parts[2].startswith("*") and not parts[4].startswith("*")
    if not either_day and min(days) > max(_LONGEST_MONTH[month - 1] for month in months):
        raise Invalid(
            f"The cron expression `{text}` is never due: none of its months has {min(days)} days.",
            mend="Choose a day of the month that exists in the chosen months.",
            field=CRON,
        )
    return Schedule(
        cron=text,
        timezone=zone,
        minutes=tuple(sorted(minutes)),
        hours=tuple(sorted(hours)),
        days=frozenset(days),
        months=frozenset(months),
        weekdays=frozenset(day % 7 for day in weekdays),
        either_day=either_day,
    )


def next_after(schedule: Schedule, instant: datetime) -> datetime | None:
    """The first instant after ``instant`` at which the schedule is due, in UTC.

    None where there is none within 41 years (or before the year 9999).
    """
    return next(_due(schedule, instant), None)


def occurrences(schedule: Schedule, after: datetime, until: datetime) -> Iterator[datetime]:
    """Every instant, in UTC, with ``after < instant <= until``; in order."""
    for instant in _due(schedule, after):
        if instant > until:
            return
        yield instant


def latest(
    schedule: Schedule, after: datetime, until: datetime, *, limit: int
) -> tuple[list[datetime], bool]:
    """The newest ``limit`` occurrences in ``(after, until]``, oldest first.

    The second value tells whether there were older ones. Looks back from
    ``until`` in growing windows, so that a minute's schedule after a year of
    downtime costs no more than one after an hour.
    """
    window = timedelta(hours=2)
    while True:
        start = max(after, until - window)
        found = list(occurrences(schedule, start, until))
        if start == after or len(found) > limit:
            return found[-limit:], len(found) > limit
        window *= 4


def sentence(schedule: Schedule) -> str:
    """What the schedule means, in English: ``At 06:00, Monday through Friday (Europe/Paris)``."""
    options = Options()
    options.use_24hour_time_format = True
    parts = _five_fields(schedule.cron)
    if not parts[4].startswith("*") and any(mark in parts[4] for mark in "07"):
        # Both 0 and 7 are Sunday; the describer would name it twice.
        parts[4] = _weekday_text(schedule.weekdays)
    text = str(get_description(" ".join(parts), options))
    if not schedule.either_day:
        text = text.replace(", or on ", ", but only on ")
    return f"{text} ({schedule.timezone})"


def _due(schedule: Schedule, after: datetime) -> Iterator[datetime]:
    if after.tzinfo is None:
        raise ValueError("an instant needs a time zone")
    zone = schedule.zone
    after = after.astimezone(UTC)
    # Instants never decrease along the wall clock, so what is due later is
    # also later on the wall.
    wall = after.astimezone(zone).replace(tzinfo=None)
    previous = after
    try:
        end = wall.date() + _HORIZON
    except OverflowError:
        end = date.max
    for local in _wall_times(schedule, wall, end):
        instant = _instant(local, zone)
        if instant > previous:
            yield instant
            previous = instant


def _wall_times(schedule: Schedule, after: datetime, end: date) -> Iterator[datetime]:
    """The wall-clock times after ``after`` that match, in order, up to the day ``end``."""
    day = after.date()
    while day < end:
        if day.month not in schedule.months:
            day = _first_of_next_month(day)
            continue
        if schedule.due_on(day):
            for hour in schedule.hours:
                if day == after.date() and hour < after.hour:
                    continue
                for minute in schedule.minutes:
                    local = datetime.combine(day, time(hour, minute))
                    if local > after:
                        yield local
        day += timedelta(days=1)


def _first_of_next_month(day: date) -> date:
    if (day.year, day.month) == (date.max.year, 12):
        return date.max
    return date(day.year + day.month // 12, day.month % 12 + 1, 1)


def _instant(local: datetime, zone: ZoneInfo) -> datetime:
    """The instant of a wall-clock time: the first of two, the end of the gap for none."""
    instant = local.replace(tzinfo=zone, fold=0).astimezone(UTC)
    if instant.astimezone(zone).replace(tzinfo=None) == local:
        return instant
    # Within a gap, fold 0 reads the clock as before the change (an instant
    # after it) and fold 1 as after the change (an instant before it).
    early, late = local.replace(tzinfo=zone, fold=1).astimezone(UTC), instant
    before = early.astimezone(zone).utcoffset()
    while late - early > timedelta(seconds=1):
        middle = (early + (late - early) / 2).replace(microsecond=0)
        if middle.astimezone(zone).utcoffset() == before:
            early = middle
        else:
            late = middle
    return late


def _five_fields(text: str) -> list[str]:
    if text.startswith("@"):
        if text.lower() not in FORMS:
            raise Invalid(
                f"`{text}` is not a form that a schedule can have.",
                mend=f"Use one of {', '.join(FORMS)}, or five fields: {EXPECTED}.",
                field=CRON,
            )
        text = FORMS[text.lower()]
    parts = text.split()
    if len(parts) in (6, 7):
        raise Invalid(
            f"The cron expression has {len(parts)} fields; seconds and years are not supported.",
            mend=f"Give five fields: {EXPECTED}.",
            field=CRON,
        )
    if len(parts) != 5:
        raise Invalid(
            f"The cron expression has {len(parts)} field{'' if len(parts) == 1 else 's'}, not five."
            if parts
            else "The cron expression is empty.",
            mend=f"Give five fields: {EXPECTED}.",
            field=CRON,
        )
    return parts


def _values(text: str, which: _Field) -> set[int]:
    return {value for item in text.split(",") for value in _item(item, text, which)}


def _item(item: str, text: str, which: _Field) -> range:
    """One member of a field's list: ``*``, ``5``, ``1-5``, each but the second with ``/n``."""
    span, slash, step_text = item.partition("/")
    low_text, dash, high_text = span.partition("-")
    if not item:
        raise _wrong(text, which, "has an empty place in its list")
    if span == "*":
        # 7 is a second name of Sunday, not an eighth day.
        low, high = which.low, min(which.high, 6) if which.name == "day of week" else which.high
    elif dash:
        low, high = _number(low_text, text, which), _number(high_text, text, which)
        if low > high:
            raise _wrong(text, which, f"has a range that runs backwards, `{span}`")
    elif slash:
        raise _wrong(
            text, which, f"has a step without a range, `{item}`: write `{span}-{which.high}/…`"
        )
    else:
        low = high = _number(span, text, which)
    step = 1
    if slash:
        if not (step_text.isascii() and step_text.isdigit()) or int(step_text) == 0:
            raise _wrong(text, which, f"has a step that is not a positive number, `{item}`")
        step = int(step_text)
        if step > max(1, high - low):
            raise _wrong(text, which, f"has a step that is longer than its range, `{item}`")
    return range(low, high + 1, step)


def _number(text: str, whole: str, which: _Field) -> int:
    if text.lower() in which.names:
        index = which.names.index(text.lower())
        return index + 1 if which.names is _MONTHS else index
    if not (text.isascii() and text.isdigit()) or len(text) > 4:
        raise _wrong(whole, which, f"holds `{text}`, which means nothing there")
    value = int(text)
    if not which.low <= value <= which.high:
        raise _wrong(whole, which, f"holds {value}, which is out of its range")
    return value


def _wrong(text: str, which: _Field, what: str) -> Invalid:
    return Invalid(
        f"The {which.name} field of the cron expression, `{text}`, {what}.",
        mend=f"It takes {which.expected}, ranges (a-b), lists (a,b), steps (*/n) or *.",
        field=CRON,
    )


def _weekday_text(weekdays: frozenset[int]) -> str:
    days = sorted(weekdays)
    if len(days) > 2 and days == list(range(days[0], days[-1] + 1)):
        return f"{days[0]}-{days[-1]}"
    if len(days) > 2 and 0 in days:
        week = [*days[1:], 7]
        if week == list(range(week[0], 8)):
            return f"{week[0]}-7"
    return ",".join(map(str, days))


@lru_cache(maxsize=1)
def _zones() -> frozenset[str]:
    return frozenset(available_timezones()) - _NOT_ZONES


def _known_zone(name: str) -> str:
    name = name.strip()
    if name in _zones():
        return name
    near = _nearest_zones(name)
    raise Invalid(
        f"There is no time zone called {name!r}." if name else "The time zone is missing.",
        mend=f"Did you mean {', '.join(near)}?"
        if near
        else "Give the name of an IANA time zone, such as Europe/Paris or UTC.",
        field=TIMEZONE,
        nearest=near,
    )


def _nearest_zones(name: str) -> list[str]:
    """Up to three zones whose name, or city, is spelt much the same."""
    spelt: dict[str, str] = {}
    for zone in sorted(_zones()):
        spelt.setdefault(zone.lower(), zone)
        spelt.setdefault(zone.rpartition("/")[2].lower(), zone)
    wanted = name.lower().replace(" ", "_")
    close = difflib.get_close_matches(wanted, spelt, n=6, cutoff=0.6)
    city = difflib.get_close_matches(wanted.rpartition("/")[2], spelt, n=3, cutoff=0.75)
    return list(dict.fromkeys(spelt[match] for match in [*close, *city]))[:3]
