"""How times, durations and causes read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from hub_ext import words
from hub_ext.jobs.schemas import Trigger
from hub_ext.names import TriggerKind

PARIS = ZoneInfo("Europe/Paris")
NOW = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-3, "0.0 s"),
        (0, "0.0 s"),
        (0.44, "0.4 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (60, "1 min"),
        (185, "3 min 5 s"),
        (3599.6, "1 h"),
        (7200, "2 h"),
        (7500.4, "2 h 5 min"),
        (86400, "1 d"),
        (100000, "1 d 3 h"),
    ],
)
def test_a_duration_has_its_two_largest_units(seconds: float, text: str) -> None:
    assert words.duration(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "just now"),
        (-44, "just now"),
        (30, "in a moment"),
        (-46, "1 min ago"),
        (60, "in 1 min"),
        (44 * 60, "in 44 min"),
        (-50 * 60, "1 h ago"),
        (3 * 3600, "in 3 h"),
        (-23 * 3600, "1 day ago"),
        (-40 * 86400, "40 days ago"),
        (60 * 86400, "in 2 months"),
        (-400 * 86400, "1 year ago"),
        (800 * 86400, "in 2 years"),
    ],
)
def test_a_distance_in_time_is_told_from_now(seconds: float, text: str) -> None:
    assert words.relative(NOW + timedelta(seconds=seconds), NOW) == text


@pytest.mark.parametrize(
    ("instant", "text"),
    [
        (datetime(2026, 11, 23, 5, 0, tzinfo=UTC), "Mon 23 Nov 06:00"),
        # The year is told where it is not this one, on the wall it hangs on.
        (datetime(2026, 12, 31, 23, 30, tzinfo=UTC), "Fri 1 Jan 2027 00:30"),
        # Both sides of the end of summer time, which share a wall-clock hour.
        (datetime(2026, 10, 25, 0, 30, tzinfo=UTC), "Sun 25 Oct 02:30"),
        (datetime(2026, 10, 25, 1, 30, tzinfo=UTC), "Sun 25 Oct 02:30"),
    ],
)
def test_a_moment_is_shown_in_the_zone_given(instant: datetime, text: str) -> None:
    assert words.moment(instant, PARIS, NOW) == text


def test_a_moment_in_full_names_its_zone() -> None:
    instant = datetime(2026, 11, 23, 5, 0, 4, tzinfo=UTC)
    assert words.moment_in_full(instant, PARIS) == "Mon 23 Nov 2026 06:00:04 (Europe/Paris)"
    assert words.moment_in_full(instant, UTC) == "Mon 23 Nov 2026 05:00:04 (UTC)"


def test_an_unknown_zone_is_shown_in_utc() -> None:
    assert words.zone_called("Mars/Olympus") is UTC
    assert words.zone_called("../etc/passwd") is UTC


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (93_412, "93 kB"),
        (999_600, "1.0 MB"),
        (1_440_000, "1.4 MB"),
        (5 * 10**12, "5.0 TB"),
        (5 * 10**15, "5000 TB"),
    ],
)
def test_sizes_are_in_decimal_units(count: int, text: str) -> None:
    assert words.size(count) == text


@pytest.mark.parametrize(
    ("kind", "key", "by", "text"),
    [
        (TriggerKind.TICK, "tick:2026-11-23T05:00:00Z", "service:jobs", "Schedule"),
        (TriggerKind.MANUAL, "manual:abc", "user:ana", "By hand, ana"),
        (TriggerKind.MANUAL, "manual:abc", "", "By hand"),
        (TriggerKind.TEST, "test:2", "user:ana", "Test of version 2"),
        (TriggerKind.AFTER, "after:r-1", "service:jobs", "After another job"),
    ],
)
def test_every_cause_of_a_run_has_words(kind: TriggerKind, key: str, by: str, text: str) -> None:
    assert words.cause(Trigger(kind=kind, key=key, scheduled_for=None, by=by)) == text


def test_no_cause_is_without_words() -> None:
    for kind in TriggerKind:
        trigger = Trigger(kind=kind, key=f"{kind}:1", scheduled_for=None, by="user:ana")
        assert words.cause(trigger)


def test_a_persons_own_project_is_called_as_the_panel_calls_it() -> None:
    assert words.project("user-ana") == "My own"
    assert words.project("macro") == "macro"
