"""Schedules: what is understood, what is refused and how, and when jobs are due."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub_ext.errors import Invalid
from hub_ext.jobs.schedule import Schedule, latest, next_after, occurrences, parse, sentence


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def local_times(cron: str, zone: str, after: str, count: int) -> list[str]:
    """The next wall-clock times, with their offset."""
    schedule = parse(cron, zone)
    due = occurrences(schedule, utc(after), datetime.max.replace(tzinfo=UTC))
    return [
        when.astimezone(ZoneInfo(zone)).strftime("%a %m-%d %H:%M %z") for when in islice(due, count)
    ]


@pytest.mark.parametrize(
    ("cron", "after", "expected"),
    [
        ("0 6 * * 1-5", "2026-03-06 12:00", "Mon 03-09 06:00 +0000"),
        ("0 6 * * mon-FRI", "2026-03-06 12:00", "Mon 03-09 06:00 +0000"),
        ("*/20 * * * *", "2026-03-06 12:00", "Fri 03-06 12:20 +0000"),
        ("5-59/20 * * * *", "2026-03-06 12:06", "Fri 03-06 12:25 +0000"),
        ("0,30 9 1 JAN,jul *", "2026-03-06 12:00", "Wed 07-01 09:00 +0000"),
        ("0 0 * * 7", "2026-03-06 12:00", "Sun 03-08 00:00 +0000"),
        ("0 0 * * 5-7", "2026-03-07 00:00", "Sun 03-08 00:00 +0000"),
        ("0 0 29 2 *", "2026-03-06 12:00", "Tue 02-29 00:00 +0000"),
        ("0 0 31 * *", "2026-03-31 12:00", "Sun 05-31 00:00 +0000"),
        ("@hourly", "2026-03-06 12:00", "Fri 03-06 13:00 +0000"),
        ("@daily", "2026-03-06 12:00", "Sat 03-07 00:00 +0000"),
        ("@weekly", "2026-03-06 12:00", "Sun 03-08 00:00 +0000"),
        ("@monthly", "2026-03-06 12:00", "Wed 04-01 00:00 +0000"),
        ("@Yearly", "2026-03-06 12:00", "Fri 01-01 00:00 +0000"),
    ],
)
def test_the_next_time_of_each_kind_of_expression(cron: str, after: str, expected: str) -> None:
    assert local_times(cron, "UTC", after, 1) == [expected]


def test_either_day_is_enough_where_both_are_restricted() -> None:
    assert local_times("0 0 13 * 5", "UTC", "2026-03-06 12:00", 3) == [
        "Fri 03-13 00:00 +0000",
        "Fri 03-20 00:00 +0000",
        "Fri 03-27 00:00 +0000",
    ]
    assert local_times("0 0 15 * 5", "UTC", "2026-03-13 12:00", 2) == [
        "Sun 03-15 00:00 +0000",
        "Fri 03-20 00:00 +0000",
    ]


def test_both_days_have_to_match_where_one_begins_with_a_star() -> None:
    # Every second day of the month from the first on, and of these the Mondays.
    assert local_times("0 0 */2 * 1", "UTC", "2026-03-01 12:00", 2) == [
        "Mon 03-09 00:00 +0000",
        "Mon 03-23 00:00 +0000",
    ]


@pytest.mark.parametrize(
    ("zone", "cron", "after", "expected"),
    [
        # A time that the clock skips is due at the end of the gap, once.
        (
            "Europe/Paris",
            "30 2 * * *",
            "2026-03-28 12:00",
            ["Sun 03-29 03:00 +0200", "Mon 03-30 02:30 +0200"],
        ),
        (
            "Europe/Paris",
            "*/30 2-3 * * *",
            "2026-03-28 12:00",
            ["Sun 03-29 03:00 +0200", "Sun 03-29 03:30 +0200", "Mon 03-30 02:00 +0200"],
        ),
        (
            "America/New_York",
            "15 2 * * *",
            "2026-03-07 12:00",
            ["Sun 03-08 03:00 -0400", "Mon 03-09 02:15 -0400"],
        ),
        # Half an hour only, from 02:00 to 02:30.
        (
            "Australia/Lord_Howe",
            "15 2 * * *",
            "2026-10-03 00:00",
            ["Sun 10-04 02:30 +1100", "Mon 10-05 02:15 +1100"],
        ),
        (
            "Australia/Lord_Howe",
            "45 2 * * *",
            "2026-10-03 00:00",
            ["Sat 10-03 02:45 +1030", "Sun 10-04 02:45 +1100"][1:],
        ),
        # A time that comes twice is due the first time.
        (
            "Europe/Paris",
            "30 2 * * *",
            "2026-10-24 12:00",
            ["Sun 10-25 02:30 +0200", "Mon 10-26 02:30 +0100"],
        ),
        (
            "America/New_York",
            "30 1 * * *",
            "2026-10-31 12:00",
            ["Sun 11-01 01:30 -0400", "Mon 11-02 01:30 -0500"],
        ),
        (
            "Australia/Lord_Howe",
            "45 1 * * *",
            "2026-04-04 00:00",
            ["Sun 04-05 01:45 +1100", "Mon 04-06 01:45 +1030"],
        ),
        # Between the two 02:15 the first 02:45 comes, and then 03:00.
        (
            "Europe/Paris",
            "*/15 * * * *",
            "2026-10-25 00:30",
            ["Sun 10-25 02:45 +0200", "Sun 10-25 03:00 +0100"],
        ),
    ],
)
def test_clock_changes(zone: str, cron: str, after: str, expected: list[str]) -> None:
    assert local_times(cron, zone, after, len(expected)) == expected


def test_a_day_that_a_country_skipped_is_made_up_for_at_its_end() -> None:
    # Samoa crossed the date line: there was no 30 December 2011.
    assert local_times("0 6 30 12 *", "Pacific/Apia", "2011-12-29 00:00", 1) == [
        "Sat 12-31 00:00 +1400"
    ]


def naive_due(schedule: Schedule, minute: datetime, zone: ZoneInfo) -> bool:
    """Whether a minute is due, decided by looking at it alone and at the minute before."""

    def matches(wall: datetime) -> bool:
        return (
            schedule.due_on(wall.date())
            and wall.hour in schedule.hours
            and wall.minute in schedule.minutes
        )

    wall = minute.astimezone(zone)
    if matches(wall) and wall.fold == 0:
        return True
    before = (minute - timedelta(minutes=1)).astimezone(zone).replace(tzinfo=None)
    skipped = before + timedelta(minutes=1)
    while skipped < wall.replace(tzinfo=None):
        if matches(skipped):
            return True
        skipped += timedelta(minutes=1)
    return False


# Days around each change of the clock, and an ordinary one.
AROUND = [
    ("Europe/Paris", "2026-03-28 12:00"),
    ("Europe/Paris", "2026-10-24 12:00"),
    ("America/New_York", "2026-03-07 18:00"),
    ("America/New_York", "2026-10-31 18:00"),
    ("Australia/Lord_Howe", "2026-10-03 03:00"),
    ("Australia/Lord_Howe", "2026-04-04 03:00"),
    ("America/Santiago", "2026-09-05 18:00"),  # at midnight
    ("Asia/Kathmandu", "2026-06-10 00:00"),
    ("UTC", "2026-06-10 00:00"),
]


def a_field(low: int, high: int) -> st.SearchStrategy[str]:
    number = st.integers(low, high)
    return st.one_of(
        st.just("*"),
        number.map(str),
        st.integers(1, high - low - 1).map(lambda n: f"*/{n}"),
        st.lists(number, min_size=1, max_size=3).map(lambda ns: ",".join(map(str, ns))),
        st.tuples(number, number).map(lambda p: f"{min(p)}-{max(p)}"),
    )


@settings(max_examples=80, deadline=None)
@given(
    st.sampled_from(AROUND),
    st.builds(
        lambda *parts: " ".join(parts),
        a_field(0, 59),
        a_field(0, 4),
        a_field(1, 31),
        st.just("*"),
        a_field(0, 7),
    ),
)
def test_agrees_with_looking_at_every_minute(around: tuple[str, str], cron: str) -> None:
    name, start_text = around
    schedule, zone, start = parse(cron, name), ZoneInfo(name), utc(start_text)
    end = start + timedelta(hours=32)
    minutes = (start + timedelta(minutes=i) for i in range(1, 32 * 60 + 1))
    assert list(occurrences(schedule, start, end)) == [
        minute for minute in minutes if naive_due(schedule, minute, zone)
    ]


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(
        ["Europe/Paris", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca"]
    ),
    st.integers(0, 40 * 366 * 86400).map(lambda s: utc("2000-01-01") + timedelta(seconds=s)),
    st.builds(
        lambda *parts: " ".join(parts),
        a_field(0, 59),
        a_field(0, 23),
        st.just("*"),
        st.just("*"),
        a_field(0, 7),
    ),
)
def test_times_strictly_increase(zone: str, start: datetime, cron: str) -> None:
    schedule = parse(cron, zone)
    due = list(islice(occurrences(schedule, start, utc("2045-01-01")), 30))
    assert len(due) == 30
    assert due[0] > start
    assert all(a < b for a, b in pairwise(due))
    assert all(next_after(schedule, a) == b for a, b in pairwise(due))


@pytest.mark.parametrize(
    ("cron", "words"),
    [
        ("", "empty"),
        ("0 6 * *", "4 fields"),
        ("0 0 6 * * 1-5", "seconds and years are not supported"),
        ("60 6 * * *", "minute field"),
        ("0 24 * * *", "hour field"),
        ("0 6 0 * *", "day of month field"),
        ("0 6 * 13 *", "month field"),
        ("0 6 * * 8", "day of week field"),
        ("0 6 * * monday", "`monday`"),
        ("0 6 * * fri-mon", "runs backwards"),
        ("0 6 * * 1,,2", "empty place"),
        ("5/15 * * * *", "5-59"),
        ("*/0 * * * *", "step"),
        ("*/90 * * * *", "longer than its range"),
        ("0," * 500 + "0 * * * *", "at most 1000"),
        ("0 6 L * *", "`L`"),
        ("0 6 * * 5#3", "`5#3`"),
        ("٣ 6 * * *", "means nothing"),
        ("@reboot", "@hourly"),
        ("0 0 30 2 *", "never due"),
        ("0 0 31 4,6,9,11 *", "never due"),
        ("0 0 -1 * *", "day of month"),
        ("9" * 300 + " * * * *", "minute"),
    ],
)
def test_what_makes_no_sense_is_refused_and_says_where(cron: str, words: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse(cron, "UTC")
    assert caught.value.field == "schedule.cron"
    assert words in str(caught.value)
    assert caught.value.mend


def test_an_impossible_date_is_fine_where_the_weekday_makes_up_for_it() -> None:
    assert local_times("0 0 30 2 1", "UTC", "2026-02-03 00:00", 1) == ["Mon 02-09 00:00 +0000"]


@pytest.mark.parametrize(
    ("zone", "near"),
    [
        ("Europe/Pariss", "Europe/Paris"),
        ("europe/paris", "Europe/Paris"),
        ("paris", "Europe/Paris"),
        ("New York", "America/New_York"),
        ("Berlin", "Europe/Berlin"),
        ("", None),
        ("../../etc/passwd", None),
        ("localtime", None),
    ],
)
def test_an_unknown_zone_names_the_nearest(zone: str, near: str | None) -> None:
    with pytest.raises(Invalid) as caught:
        parse("0 6 * * *", zone)
    assert caught.value.field == "schedule.timezone"
    assert caught.value.mend
    if near:
        assert near in caught.value.mend


@pytest.mark.parametrize(
    ("cron", "words"),
    [
        ("0 6 * * 1-5", "At 06:00, Monday through Friday (Europe/Paris)"),
        ("30 14 1 * *", "At 14:30, on day 1 of the month (Europe/Paris)"),
        ("@monthly", "At 00:00, on day 1 of the month (Europe/Paris)"),
        ("0 0 * * 0,7", "At 00:00, only on Sunday (Europe/Paris)"),
        ("0 0 13 * 5", "At 00:00, on day 13 of the month, or on Friday (Europe/Paris)"),
        ("0 0 */2 * 1", "At 00:00, every 2 days, but only on Monday (Europe/Paris)"),
        ("*/15 * * * *", "Every 15 minutes (Europe/Paris)"),
    ],
)
def test_the_sentence_says_what_it_means(cron: str, words: str) -> None:
    assert sentence(parse(cron, "Europe/Paris")) == words


def test_the_newest_of_a_long_downtime_are_found_without_counting_all() -> None:
    schedule = parse("* * * * *", "Europe/Paris")
    found, older = latest(schedule, utc("2020-01-01"), utc("2026-03-02"), limit=3)
    assert older
    assert found == [utc("2026-03-01 23:58"), utc("2026-03-01 23:59"), utc("2026-03-02 00:00")]
    yearly = parse("@yearly", "UTC")
    assert latest(yearly, utc("2023-06-01"), utc("2026-03-02"), limit=5) == (
        [utc("2024-01-01"), utc("2025-01-01"), utc("2026-01-01")],
        False,
    )


def test_the_end_of_time_is_no_error() -> None:
    assert next_after(parse("* * * * *", "UTC"), datetime(9999, 12, 31, 23, 59, tzinfo=UTC)) is None
