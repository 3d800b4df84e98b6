"""Decisions about parts, apart from any process; and what is shown of them."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from rich.console import Console

from hub_ext.embedded.parts import PartState, PartStatus, Restarts
from hub_ext.embedded.records import TreeStatus
from hub_ext.embedded.show import Lines, Screen, sentence

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def a_status(state: PartState, **changes: object) -> PartStatus:
    fields = {
        "name": "hub",
        "title": "JupyterHub",
        "state": state,
        "since": NOW,
        "pid": 4711,
        "address": "http://127.0.0.1:8081",
        "restarts": 0,
        "last_end": "",
        "retry_at": None,
        "log": Path("/state/logs/hub.log"),
    }
    return PartStatus(**(fields | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("failures", "delay"),
    [(1, 0), (2, 0.5), (3, 1), (4, 2), (7, 16), (8, 30), (9, 30), (5000, 30)],
)
def test_a_part_is_started_again_at_once_and_then_less_and_less_often(
    failures: int, delay: float
) -> None:
    assert Restarts().delay(failures) == delay


def test_a_part_that_ran_for_long_starts_with_a_clean_slate() -> None:
    restarts = Restarts(stable=30)
    assert restarts.failures(5, ran=29) == 6
    assert restarts.failures(5, ran=30) == 1


def test_what_happens_is_said_in_sentences() -> None:
    again = {"restarts": 1, "last_end": "killed by SIGKILL"}
    assert sentence(a_status(PartState.RESTARTING, **again)) == (
        "JupyterHub: killed by SIGKILL; starting it again"
    )
    assert sentence(a_status(PartState.RUNNING, **again)) == "JupyterHub: running again"
    assert sentence(a_status(PartState.STOPPING)) == ""
    looping = a_status(
        PartState.LOOPING, last_end="ended with status 1", retry_at=NOW + timedelta(seconds=8)
    )
    assert sentence(looping) == (
        "JupyterHub: keeps failing (ended with status 1); next try in 8 s; see /state/logs/hub.log"
    )


def test_lines_are_for_scripts() -> None:
    stream = io.StringIO()
    lines = Lines(stream)
    lines.changed(a_status(PartState.RUNNING))
    lines.ready("ready: http://127.0.0.1:8000 · sign in as ana")
    assert stream.getvalue().splitlines() == [
        "JupyterHub: running at http://127.0.0.1:8081",
        "ready: http://127.0.0.1:8000 · sign in as ana",
    ]


def test_a_terminal_that_was_closed_ends_nothing() -> None:
    stream = io.StringIO()
    lines = Lines(stream)
    stream.close()
    lines.note("nobody reads this")


def test_a_terminal_gets_one_line_with_the_address_however_narrow_it_is() -> None:
    stream = io.StringIO()
    screen = Screen(Console(file=stream, width=40, force_terminal=True))
    for state in (PartState.STARTING, PartState.RUNNING):
        screen.changed(a_status(state))
    screen.ready("ready: http://127.0.0.1:8000 · sign in as ana with this password: abc-def-ghi")
    screen.changed(a_status(PartState.RESTARTING, last_end="killed by SIGKILL"))
    screen.stopping("Ctrl-C")
    screen.done()
    shown = stream.getvalue()
    assert "http://127.0.0.1:8000 · sign in as ana with this password: abc-def-ghi\n" in shown
    assert "killed by SIGKILL; starting it again" in shown
    assert shown.rstrip().endswith("Stopped.")


def test_the_status_is_read_as_it_was_written(tmp_path: Path) -> None:
    written = TreeStatus(
        pid=1,
        started_at=NOW,
        ready=True,
        public_url="http://127.0.0.1:8000",
        parts=[
            a_status(PartState.RUNNING),
            a_status(PartState.LOOPING, pid=None, retry_at=NOW + timedelta(seconds=8)),
        ],
    )
    written.save(tmp_path)
    assert TreeStatus.load(tmp_path) == written
    assert (tmp_path / "status.json").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"pid": 1}', "not json"])
def test_a_damaged_status_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "status.json").write_text(text)
    assert TreeStatus.load(tmp_path) is None
