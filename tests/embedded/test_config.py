"""What the hub is told under `almanac up` besides Almanac's own configuration."""

from __future__ import annotations

from pathlib import Path

import pytest
from traitlets.config import PyFileConfigLoader

import hub_ext
from hub_ext.embedded.endings import Times

CONFIG = Path(hub_ext.__file__).parent / "embedded" / "jupyterhub_config.py"


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ALMANAC_STATE", str(tmp_path))
    monkeypatch.setattr(hub_ext, "configure", lambda c: None)
    return tmp_path


def test_servers_end_in_time_whatever_their_kernels_do(state: Path) -> None:
    (argument,) = PyFileConfigLoader(str(CONFIG)).load_config().Spawner.args
    name, _, seconds = argument.partition("=")
    assert name == "--KernelManager.shutdown_wait_time"
    times = Times()
    assert times.before_work + float(seconds) < times.work


def test_the_operator_has_the_last_word(state: Path) -> None:
    (state / "jupyterhub_config.py").write_text("c.Spawner.args = ['--debug']\n")
    assert PyFileConfigLoader(str(CONFIG)).load_config().Spawner.args == ["--debug"]
