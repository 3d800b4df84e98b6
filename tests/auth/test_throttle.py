"""How fast passwords may be tried."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from hub_ext.auth.throttle import (
    BY_ADDRESS,
    BY_NAME_AND_ADDRESS,
    FORGOTTEN_AFTER,
    KEPT,
    LONGEST_WAIT,
    Throttle,
)


def test_first_mistakes_cost_nothing_and_later_ones_ever_more() -> None:
    throttle, now, waits = Throttle(), 0.0, []
    for _ in range(7):
        wait = throttle.reserve("ada", "a", now)
        assert wait is not None
        waits.append(wait)
        now += wait
    assert waits == [0, 0, 0, 1, 2, 4, 8]


def test_attempts_at_once_are_put_in_a_row_and_then_refused() -> None:
    throttle = Throttle()
    waits = [throttle.reserve("ada", "a", 0.0) for _ in range(10)]
    assert waits == [0, 0, 0, 1, 3, 7, None, None, None, None]


def test_a_stranger_elsewhere_cannot_keep_somebody_out() -> None:
    throttle = Throttle()
    for _ in range(50):
        throttle.reserve("ada", "stranger", 0.0)
    assert throttle.reserve("ada", "home", 0.0) == 0


def test_trying_many_names_from_one_address_is_slowed_too() -> None:
    throttle = Throttle()
    waits = [throttle.reserve(f"u{i}", "a", 0.0) for i in range(60)]
    assert waits[: BY_ADDRESS.free] == [0] * BY_ADDRESS.free
    assert waits[-1] is None
    assert throttle.reserve("ada", "b", 0.0) == 0


def test_success_clears_the_row() -> None:
    throttle = Throttle()
    for _ in range(3):
        throttle.reserve("ada", "a", 0.0)
    throttle.succeeded("ada", "a")
    assert throttle.reserve("ada", "a", 0.0) == 0


def test_people_who_sign_in_do_not_slow_their_office() -> None:
    throttle = Throttle()
    for i in range(500):
        assert throttle.reserve(f"u{i}", "office", 0.0) == 0
        throttle.succeeded(f"u{i}", "office")


def test_failures_are_forgotten() -> None:
    throttle = Throttle()
    for _ in range(6):
        throttle.reserve("ada", "a", 0.0)
    assert throttle.reserve("ada", "a", FORGOTTEN_AFTER + 1) == 0


def test_memory_is_bounded() -> None:
    throttle = Throttle()
    for i in range(3 * KEPT):
        throttle.reserve(f"u{i}", f"a{i}", 0.0)
    assert len(throttle._rows) <= KEPT


@given(st.lists(st.floats(0, 30), min_size=1, max_size=60))
def test_no_pattern_of_attempts_gets_more_than_its_rate(pauses: list[float]) -> None:
    throttle, now, looked_at = Throttle(), 0.0, []
    for pause in pauses:
        now += pause
        wait = throttle.reserve("ada", "a", now)
        if wait is not None:
            assert 0 <= wait <= LONGEST_WAIT
            looked_at.append(now + wait)
    for i, (one, two) in enumerate(pairwise(looked_at), start=1):
        assert two - one >= BY_NAME_AND_ADDRESS.spacing(i) - 1e-6
