from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

import pytest

from hub_ext.embedded.bootstrap import SAME, Failed, Setup, digest


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


@pytest.mark.parametrize(
    ("said", "others"),
    [
        ("PIP_INDEX_URL", {"UV_DEFAULT_INDEX"}),
        ("UV_DEFAULT_INDEX", {"PIP_INDEX_URL"}),
        ("npm_config_registry", {"YARN_NPM_REGISTRY_SERVER"}),
        ("SSL_CERT_FILE", {"PIP_CERT", "NODE_EXTRA_CA_CERTS"}),
    ],
)
def test_what_one_tool_is_told_about_the_network_is_told_to_all(
    setup: Setup, monkeypatch: pytest.MonkeyPatch, said: str, others: set[str]
) -> None:
    for names in SAME:
        for name in names:
            monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(said, "https://mirror.example.org/x")
    told = setup.environment()
    assert {told.get(name) for name in others} == {"https://mirror.example.org/x"}
    for name in others:
        monkeypatch.setenv(name, "https://own.example.org")
    told = setup.environment()
    assert {told[name] for name in others} == {"https://own.example.org"}


@pytest.mark.parametrize(
    ("registry", "told"),
    [
        ("", "http://proxy.example.org:3128"),
        ("https://npm.example.com/npm", "http://proxy.example.org:3128"),
        ("https://mirror.example.org/npm", None),
    ],
)
def test_yarn_is_told_of_the_proxy_where_the_registry_is_behind_it(
    setup: Setup, monkeypatch: pytest.MonkeyPatch, registry: str, told: str | None
) -> None:
    for name in ("https_proxy", "no_proxy", "YARN_HTTPS_PROXY", "npm_config_registry"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example.org:3128")
    monkeypatch.setenv("NO_PROXY", ".example.org")
    monkeypatch.setenv("YARN_NPM_REGISTRY_SERVER", registry)
    assert setup.environment().get("YARN_HTTPS_PROXY") == told


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
