from __future__ import annotations

import json

import pytest

from tests.benchmarks.storage.figures import (
    NOT_SLOWER,
    Bar,
    Samples,
    delays,
    percentile,
    rows,
    significant,
    table,
)

KEYS = ["measure", "unit", "ours", "peer", "peer_name", "ratio", "n", "bar", "holds"]


def samples(bar: Bar | None = None, **values: list[float]) -> Samples:
    return Samples("list", "s", bars={"s3contents": bar} if bar else {}, values=values)


def test_a_figure_is_the_median_and_the_worst_where_it_is_asked_for() -> None:
    made = samples(ours=[3.0, 1.0, 100.0])
    assert made.figure("ours") == 3
    made.worst = True
    assert made.figure("ours") == 100
    assert made.figure("disk") is None


def test_the_spread_is_half_the_range_as_part_of_the_median() -> None:
    assert samples(ours=[9.0, 10.0, 12.0]).spread("ours") == pytest.approx(0.15)
    assert samples(ours=[9.0]).spread("ours") is None
    assert samples(ours=[0.0, 0.0]).spread("ours") is None


def test_the_ratio_says_how_many_times_faster_ours_is() -> None:
    (first, second) = rows(
        samples(Bar(at_least=8), ours=[1.0, 1.0], s3contents=[8.0], disk=[0.5, 0.5]),
        ["s3contents", "disk"],
    )
    assert (first.peer_name, first.ratio, first.n, first.holds) == ("s3contents", 8, 1, True)
    assert first.bar == "≥ 8 times faster than s3contents"
    assert (second.peer_name, second.ratio, second.n) == ("disk", 0.5, 2)
    assert second.bar is None
    assert second.holds  # there is nothing that it could miss


@pytest.mark.parametrize(
    ("bar", "ours", "ratio", "holds"),
    [
        (Bar(at_least=8), 1.0, 8.0, True),
        (Bar(at_least=8), 1.0, 7.99, False),
        (NOT_SLOWER, 1.0, 0.96, True),  # noise
        (NOT_SLOWER, 1.0, 0.94, False),
        (Bar(below=50), 49.9, None, True),
        (Bar(below=50), 50.0, None, False),
        (Bar(at_least=2), 1.0, None, True),  # the peer cannot do it at all
        (Bar(at_least=2), None, None, False),  # we cannot
        (Bar(below=50), None, None, False),
    ],
)
def test_bars(bar: Bar, ours: float | None, ratio: float | None, holds: bool) -> None:
    assert bar.holds(ours, ratio) is holds


def test_a_measure_without_a_peer_has_one_row_of_our_own() -> None:
    made = Samples("memory", "MB", bars={"": Bar(below=100)}, values={"ours": [120.0, 80.0, 90.0]})
    (row,) = rows(made, ["s3contents", "disk"])
    assert (row.peer, row.peer_name, row.ratio, row.ours, row.n) == (None, None, None, 90, 3)
    assert (row.bar, row.holds) == ("< 100 MB", True)


def test_a_measure_that_ours_failed_does_not_hold() -> None:
    (row,) = rows(samples(None, s3contents=[1.0]), ["s3contents"])
    assert not row.holds
    assert row.ratio is None
    (row,) = rows(samples(NOT_SLOWER), ["s3contents"])
    assert (row.holds, row.n) == (False, 0)


def test_a_bar_of_our_own_figure_is_judged_once() -> None:
    made = Samples(
        "delay",
        "ms",
        bars={"": Bar(below=50)},
        values={"ours": [10.0], "s3contents": [900.0], "disk": [0.1]},
    )
    assert [row.bar for row in rows(made, ["s3contents", "disk"])] == ["< 50 ms", None]


def test_the_document_has_the_keys_that_all_benchmarks_have() -> None:
    (row,) = rows(samples(NOT_SLOWER, ours=[1 / 3], s3contents=[2 / 3]), ["s3contents"])
    document = json.loads(json.dumps(row.document()))
    assert list(document) == KEYS
    assert (document["ours"], document["peer"], document["ratio"]) == (0.3333, 0.6667, 2.0)


def test_significant_digits() -> None:
    assert significant(123456.0) == 123500
    assert significant(0.00123456) == 0.001235
    assert significant(0.0) == 0
    assert significant(None) is None


def test_percentiles_are_values_that_occurred() -> None:
    values = [float(value) for value in range(1, 101)]
    assert percentile(values, 0.5) == 50
    assert percentile(values, 0.99) == 99
    assert percentile(values, 1) == 100
    assert percentile([7.0], 0.5) == 7
    assert percentile([], 0.99) == 0


def test_a_loop_blocked_for_long_counts_for_all_who_would_have_waited() -> None:
    waited = delays([0.0, 0.020, -0.001], interval=0.005)
    assert waited == pytest.approx([0.0, 0.020, 0.015, 0.010, 0.005, 0.0])
    # One block of a second among 99 timely samples is no matter of one percent.
    assert percentile(delays([0.0] * 99 + [1.0], 0.005), 0.99) > 0.9


def test_the_table_has_a_line_a_measure_and_says_what_is_missed() -> None:
    made = samples(Bar(at_least=8), ours=[1.0, 1.2], s3contents=[2.0, 2.2], disk=[0.5, 0.5])
    made.notes.append("a remark")
    lines = table([made], ["s3contents", "disk"]).splitlines()
    assert len(lines) == 4
    assert "1.91×" in lines[2]
    assert "±9%" in lines[2]
    assert lines[2].endswith("≥ 8 times faster than s3contents: MISSED")
    assert lines[3] == "note: a remark"
