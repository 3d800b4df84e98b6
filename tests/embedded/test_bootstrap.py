from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

import pytest

from hub_ext.embedded.bootstrap import Failed, Setup, digest


@pytest.fixture
def setup(tmp_path: Path) -> Setup:
    return Setup(tmp_path / "venv", test=False, verbose=False)


def test_a_step_is_done_once_for_the_same_sources(setup: Setup, tmp_path: Path) -> None:
    lock = tmp_path / "lock.txt"
    lock.write_text("one==1")
    done: list[str] = []
    for _ in range(3):
        setup.step("platform", [lock], lambda: done.append("made"))
    assert done == ["made"]


def test_a_step_is_done_again_when_a_source_changes(setup: Setup, tmp_path: Path) -> None:
    lock = tmp_path / "lock.txt"
    done: list[str] = []
    for content in ("one==1", "one==2"):
        lock.write_text(content)
        setup.step("platform", [lock], lambda: done.append("made"))
    assert done == ["made", "made"]


def test_a_step_is_done_again_when_what_it_made_is_gone(setup: Setup, tmp_path: Path) -> None:
    target = tmp_path / "built"
    for _ in range(2):
        setup.step("extension", ["x"], target.touch, target=target)
        assert target.exists()
        target.unlink()


def test_a_step_that_failed_is_tried_again(setup: Setup) -> None:
    def fail() -> None:
        raise Failed("no")

    with pytest.raises(Failed):
        setup.step("platform", ["x"], fail)
    done: list[str] = []
    setup.step("platform", ["x"], lambda: done.append("made"))
    assert done == ["made"]


def test_an_environment_that_works_is_kept_whichever_python_is_called(setup: Setup) -> None:
    assert not setup.usable()
    venv.create(setup.venv, with_pip=False, symlinks=True)
    assert setup.usable()


def test_an_environment_whose_interpreter_is_gone_is_made_anew(setup: Setup) -> None:
    venv.create(setup.venv, with_pip=False, symlinks=True)
    setup.python.unlink()
    setup.python.symlink_to(setup.venv / "gone")
    assert not setup.usable()


def test_what_a_failed_command_printed_is_shown(setup: Setup) -> None:
    with pytest.raises(Failed, match="the index does not answer"):
        setup.call(sys.executable, "-c", "import sys; sys.exit('the index does not answer')")


def test_the_index_that_pip_is_told_is_told_to_uv(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "https://mirror.example.org/simple")
    monkeypatch.delenv("UV_DEFAULT_INDEX", raising=False)
    assert setup.environment()["UV_DEFAULT_INDEX"] == "https://mirror.example.org/simple"


def test_sources_are_told_apart_whatever_their_lengths() -> None:
    assert digest("ab", "c") != digest("a", "bc")


def test_the_script_runs_with_the_standard_library_alone() -> None:
    script = Path(sys.modules[Setup.__module__].__file__ or "")
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(script), "--help"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Set up Almanac" in done.stdout
