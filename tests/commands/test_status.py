"""What `almanac status` makes of a running tree's own words."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from hub_ext.cli import app
from hub_ext.embedded.lock import Lock
from hub_ext.embedded.records import TreeStatus
from hub_ext.embedded.start import LOCK
from hub_ext.state import StateFolder


@pytest.fixture
def status(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], tuple[int, str]]:
    """Exit code and text, with so many bytes free."""
    import os

    state = StateFolder(tmp_path).create()

    def ask(free: int) -> tuple[int, str]:
        monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=free))
        with Lock(state.runtime / LOCK):
            TreeStatus(os.getpid(), datetime.now(UTC), True, "http://127.0.0.1:8000", []).save(
                state.runtime
            )
            answer = CliRunner().invoke(app, ["status", "--state", str(tmp_path)])
        return answer.exit_code, answer.output

    return ask


def test_a_disk_with_room_is_not_worth_a_word(status: Callable[[int], tuple[int, str]]) -> None:
    code, text = status(50 << 30)
    assert code == 0
    assert "left on its disk" not in text


def test_little_room_is_said_and_none_is_not_well(
    status: Callable[[int], tuple[int, str]],
) -> None:
    code, text = status(500 << 20)
    assert code == 0
    assert "Only 524 MB left on its disk" in text
    code, text = status(0)
    assert code == 1
    assert "Only 0 B left" in text
