"""What several pages show in the same way."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Any

from hub_ext import words
from hub_ext.jobs.pages import ansi
from hub_ext.jobs.schemas import UNFINISHED, ParameterOut, RunOut, RunState
from hub_ext.jobs.usecases.wanted import MISSED, NOT_ACTIVE, OVERTAKEN

IDLE_SECONDS = 20
LIVE_SECONDS = 2
"""How often a page looks again: when nothing is going on, and when something is."""


@dataclass(frozen=True)
class Time:
    """An instant for ``<time>``: machine form, wall clock, distance, and all of it."""

    iso: str
    text: str
    relative: str
    full: str


@dataclass(frozen=True)
class Badge:
    """A state: ``kind`` is its look (a class), ``word`` what it says."""

    kind: str
    word: str


@dataclass(frozen=True)
class RunRow:
    """One line of a table of runs."""

    id: str
    url: str
    state: Badge
    progress: str
    reason: str
    cause: str
    time: Time
    took: str
    version: int
    test: bool


@dataclass(frozen=True)
class Value:
    """A parameter and its value as text; ``own``: it differs from the notebook's."""

    name: str
    value: str
    type: str
    help: str
    own: bool
    default: str


def run_row(run: RunOut, zone: tzinfo, now: datetime) -> RunRow:
    return RunRow(
        id=run.id,
        url=run.url,
        state=badge(run.state),
        progress=words.progress(run),
        reason=reason(run),
        cause=words.cause(run.trigger),
        time=time(run.started_at or run.trigger.scheduled_for or run.created_at, zone, now),
        took=words.between(run.started_at, run.finished_at, now),
        version=run.version,
        test=run.test,
    )


def badge(state: RunState) -> Badge:
    """The state of a run."""
    return Badge(state.value, words.STATES[state])


def time(instant: datetime, zone: tzinfo, now: datetime) -> Time:
    return Time(
        iso=instant.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        text=words.moment(instant, zone, now),
        relative=words.relative(instant, now),
        full=words.moment_in_full(instant, zone),
    )


_REASONS = {
    NOT_ACTIVE: "No version had passed its test at that time.",
    MISSED: "Almanac did not run at that time.",
    OVERTAKEN: "It still waited for a free place when the next one was due.",
}


def reason(run: RunOut) -> str:
    """Why it was skipped, cancelled or failed, on one line of plain text."""
    return _REASONS.get(run.reason) or plain(run.reason)


def values(declared: Iterable[ParameterOut], given: dict[str, Any]) -> list[Value]:
    """Each declared parameter with the value it has, then any that is no longer declared."""
    rows = []
    rest = dict(given)
    for parameter in declared:
        own = parameter.name in rest
        value = rest.pop(parameter.name, parameter.default)
        rows.append(
            Value(
                name=parameter.name,
                value=literal(value),
                type=parameter.type,
                help=parameter.help,
                own=own and value != parameter.default,
                default=literal(parameter.default),
            )
        )
    rows += [
        Value(name=name, value=literal(value), type="", help="", own=True, default="")
        for name, value in rest.items()
    ]
    return rows


def literal(value: Any) -> str:
    """A JSON value as people write it: text without quotes, all else as JSON."""
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)


def plain(value: object) -> str:
    """Text of any origin on one line, 300 characters at most."""
    text = " ".join(ansi.to_text(str(value if value is not None else "")).split())
    return text if len(text) <= 300 else text[:299] + "…"


def pulse(runs: Iterable[RunOut | None]) -> int:
    """After how many seconds a page that shows these runs looks again."""
    return LIVE_SECONDS if any(run and run.state in UNFINISHED for run in runs) else IDLE_SECONDS
