"""Turns: the sides do the same work one after the other, again and again."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tests.benchmarks.storage.work import Failed

Figures = dict[str, float]
"""What one turn of one side gave; ``""`` is the time it took, in seconds."""

BUDGET = 60.0
"""Seconds that one side may take for one measure: a slow one gets fewer rounds."""


def interleaved(
    sides: Sequence[str],
    rounds: int,
    run: Callable[[str, int], Figures],
    budget: float = BUDGET,
) -> tuple[dict[str, list[Figures]], dict[str, str]]:
    """Let each side take ``rounds`` counted turns, and one before them that is thrown away.

    Who begins changes from round to round. A side that has used up its budget
    rests; one that used it up while warming up keeps that turn as its only one.

    Returns:
        the counted turns by side, and by side that failed, why; it has no turns.
    """
    turns: dict[str, list[Figures]] = {side: [] for side in sides}
    spent = dict.fromkeys(sides, 0.0)
    failed: dict[str, str] = {}
    for turn in range(rounds + 1):
        shift = turn % len(sides)
        for side in (*sides[shift:], *sides[:shift]):
            if side in failed or (turns[side] and spent[side] >= budget):
                continue
            try:
                figures = run(side, turn)
            except Failed as error:
                failed[side] = str(error)
                continue
            spent[side] += figures[""]
            if turn > 0 or spent[side] >= budget:
                turns[side].append(figures)
    return {side: taken for side, taken in turns.items() if side not in failed}, failed
