from __future__ import annotations

from tests.benchmarks.storage.rounds import interleaved
from tests.benchmarks.storage.work import Failed

Turns = list[tuple[str, int]]


def test_sides_take_turns_and_the_first_round_is_thrown_away() -> None:
    order: Turns = []

    def run(side: str, turn: int) -> dict[str, float]:
        order.append((side, turn))
        return {"": float(turn)}

    turns, failed = interleaved(["a", "b"], 2, run)
    assert order == [("a", 0), ("b", 0), ("b", 1), ("a", 1), ("a", 2), ("b", 2)]
    assert turns == {"a": [{"": 1.0}, {"": 2.0}], "b": [{"": 1.0}, {"": 2.0}]}
    assert failed == {}


def test_a_slow_side_gets_fewer_rounds_and_at_least_one() -> None:
    seconds = {"slow": 40.0, "slower": 70.0, "fast": 1.0}
    turns, _ = interleaved(list(seconds), 5, lambda side, turn: {"": seconds[side]}, budget=60)
    assert {side: len(taken) for side, taken in turns.items()} == {
        "slow": 1,  # after its warm-up
        "slower": 1,  # its warm-up itself
        "fast": 5,
    }


def test_a_side_that_fails_has_no_figures_and_the_others_go_on() -> None:
    def run(side: str, turn: int) -> dict[str, float]:
        if side == "bad" and turn == 1:
            raise Failed("it lost a file")
        return {"": 1.0}

    turns, failed = interleaved(["bad", "good"], 2, run)
    assert failed == {"bad": "it lost a file"}
    assert list(turns) == ["good"]
