"""The arithmetic of the benchmark: medians, spreads, ratios, and whether a bar holds. Pure."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

NOISE = 1.05
"""Ours is called slower than a peer from this multiple of its time on: medians of the same
program on a shared machine differ by less than that."""


@dataclass(frozen=True)
class Bar:
    """What a measure has to reach.

    Attributes:
        at_least: how many times faster than the peer.
        below: an upper limit of our own figure, in the measure's unit.
    """

    at_least: float | None = None
    below: float | None = None

    def words(self, unit: str, peer: str | None) -> str:
        if self.below is not None:
            return f"< {self.below:g} {unit}"
        if self.at_least == 1:
            return f"not slower than {peer} (5 % for noise)"
        return f"≥ {self.at_least:g} times faster than {peer}"

    def holds(self, ours: float | None, ratio: float | None) -> bool:
        """Whether the figures reach it; a peer that failed is no reason to miss it."""
        if ours is None:
            return False
        if self.below is not None and ours >= self.below:
            return False
        if self.at_least is None or ratio is None:
            return True
        return ratio >= (1 / NOISE if self.at_least == 1 else self.at_least)


NOT_SLOWER = Bar(at_least=1)


@dataclass
class Samples:
    """Values of one measure by side (``ours``, ``s3contents``, ``disk``), in ``unit``."""

    measure: str
    unit: str
    bars: dict[str, Bar] = field(default_factory=dict)
    """By peer; ``""`` where the bar is one of our own figure alone."""
    values: dict[str, list[float]] = field(default_factory=dict)
    worst: bool = False
    """The figure is the highest value and not the median: of maxima."""
    notes: list[str] = field(default_factory=list)

    def add(self, side: str, value: float) -> None:
        self.values.setdefault(side, []).append(value)

    def figure(self, side: str) -> float | None:
        values = self.values.get(side)
        if not values:
            return None
        return max(values) if self.worst else statistics.median(values)

    def spread(self, side: str) -> float | None:
        """Half the distance between the highest and the lowest value, as part of the median."""
        values = self.values.get(side)
        if not values or len(values) < 2:
            return None
        middle = statistics.median(values)
        return (max(values) - min(values)) / 2 / middle if middle else None


@dataclass(frozen=True)
class Row:
    """One line of the JSON file: ours beside one peer, or alone."""

    measure: str
    unit: str
    ours: float | None
    peer: float | None
    peer_name: str | None
    ratio: float | None
    n: int
    bar: str | None
    holds: bool

    def document(self) -> dict[str, object]:
        return {
            "measure": self.measure,
            "unit": self.unit,
            "ours": significant(self.ours),
            "peer": significant(self.peer),
            "peer_name": self.peer_name,
            "ratio": significant(self.ratio),
            "n": self.n,
            "bar": self.bar,
            "holds": self.holds,
        }


def rows(samples: Samples, peers: Sequence[str]) -> list[Row]:
    """One for each of ``peers`` that was measured; one without a peer where none was.

    A measure without a bar holds where there is a figure of ours.
    """
    ours = samples.figure("ours")
    alone = samples.bars.get("")
    made = []
    for peer in [name for name in peers if name in samples.values]:
        value = samples.figure(peer)
        ratio = value / ours if ours and value is not None else None
        bar = samples.bars.get(peer, alone if peer == peers[0] else None)
        n = min(len(samples.values.get("ours", [])), len(samples.values[peer]))
        made.append(_row(samples, ours, value, peer, ratio, n, bar))
    return made or [
        _row(samples, ours, None, None, None, len(samples.values.get("ours", [])), alone)
    ]


def _row(
    samples: Samples,
    ours: float | None,
    value: float | None,
    peer: str | None,
    ratio: float | None,
    n: int,
    bar: Bar | None,
) -> Row:
    return Row(
        samples.measure,
        samples.unit,
        ours,
        value,
        peer,
        ratio,
        n,
        bar.words(samples.unit, peer) if bar else None,
        bar.holds(ours, ratio) if bar else ours is not None,
    )


def significant(value: float | None, digits: int = 4) -> float | None:
    """Rounded to so many significant digits: more would not come again."""
    if value is None or not math.isfinite(value) or value == 0:
        return value
    return round(value, digits - 1 - math.floor(math.log10(abs(value))))


def percentile(values: Iterable[float], part: float) -> float:
    """The smallest value that at least ``part`` (0…1) of ``values`` do not exceed.

    The nearest-rank method, which gives values that occurred.
    """
    ordered = sorted(values)
    if not ordered:
        return 0.0
    return ordered[max(0, math.ceil(part * len(ordered)) - 1)]


def delays(lateness: Iterable[float], interval: float) -> list[float]:
    """What requests that come every ``interval`` would have waited for the loop.

    A sampler that wants to run every ``interval`` runs once after a loop that
    was blocked for 4 s, and so counts one delay where hundreds of requests would
    have waited 4 s, 4 s less one interval, and so on. Those are added here; the
    percentiles would say that nothing happened without them.

    Args:
        lateness: by how many seconds each sample came too late.
    """
    waited = []
    for late in lateness:
        waited.append(max(0.0, late))
        missed = late - interval
        while missed > 0:
            waited.append(missed)
            missed -= interval
    return waited


def table(everything: Sequence[Samples], peers: Sequence[str]) -> str:
    """For people: a line a measure, figures with their spread, ratios beside the peers."""
    lines = [["measure", "ours", *(text for peer in peers for text in (peer, "ratio")), "n", "bar"]]
    for samples in everything:
        made = {row.peer_name: row for row in rows(samples, peers)}
        cells = [samples.measure, _cell(samples, "ours")]
        for peer in peers:
            row = made.get(peer)
            ratio = row.ratio if row else None
            cells += [_cell(samples, peer), "" if ratio is None else f"{ratio:.3g}×"]
        judged = [row for row in made.values() if row.bar and row.ours is not None]
        n = min(row.n for row in made.values())
        cells += [
            str(n),
            "; ".join(f"{row.bar}: {'holds' if row.holds else 'MISSED'}" for row in judged),
        ]
        lines.append(cells)
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    text = []
    for line in lines:
        cells = [
            cell.ljust(width) if column in (0, len(widths) - 1) else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        text.append("  ".join(cells).rstrip())
    text.insert(1, "-" * max(len(line) for line in text))
    text += [f"note: {note}" for samples in everything for note in samples.notes]
    return "\n".join(text)


def _cell(samples: Samples, side: str) -> str:
    value = samples.figure(side)
    if value is None:
        return "-"
    spread = samples.spread(side)
    return f"{value:,.4g} {samples.unit}" + (f" ±{spread:.0%}" if spread is not None else "")
