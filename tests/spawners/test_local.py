"""The local spawner: which process is somebody's server, and what it is given."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hub_ext.processes import ProcessId
from hub_ext.spawners.local import LocalSpawner

FAMILY = """
import subprocess, sys
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
print("ready", flush=True)
try:
    import time; time.sleep(600)
except KeyboardInterrupt:
    pass
"""


@pytest.fixture
def spawner(tmp_path: Path) -> LocalSpawner:
    """Without a hub: what needs one is tried in tests/embedded/test_tree.py."""
    made = LocalSpawner(homes=str(tmp_path / "homes"))
    made.user = SimpleNamespace(name="Ana")
    return made


@pytest.fixture
def server() -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", FAMILY], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    yield process
    found = ProcessId.of(process.pid)
    for item in [*(found.descendants() if found else []), *([found] if found else [])]:
        item.signal(9)
    process.communicate(timeout=10)


def adopted(spawner: LocalSpawner, process: subprocess.Popen[Any]) -> LocalSpawner:
    """As by a hub that was started again."""
    found = ProcessId.of(process.pid)
    assert found is not None
    spawner.load_state({"pid": process.pid, "process": found.to_json()})
    return spawner


async def test_a_server_is_found_again_after_the_hub_was_gone(
    spawner: LocalSpawner, server: subprocess.Popen[str]
) -> None:
    adopted(spawner, server)
    assert await spawner.poll() is None
    assert spawner.get_state()["pid"] == server.pid
    assert ProcessId.from_json(spawner.get_state()["process"]) == ProcessId.of(server.pid)


async def test_another_process_with_the_server_s_id_is_not_the_server(
    spawner: LocalSpawner,
) -> None:
    spawner.load_state({"pid": os.getpid(), "process": [os.getpid(), "another start"]})
    assert await spawner.poll() == 0
    await spawner.stop()  # and we are not ended
    assert spawner.pid == 0


async def test_a_process_id_alone_is_not_trusted(spawner: LocalSpawner) -> None:
    spawner.load_state({"pid": os.getpid()})
    assert await spawner.poll() == 0


async def test_stopping_ends_what_the_server_had_started_and_left(
    spawner: LocalSpawner, server: subprocess.Popen[str]
) -> None:
    adopted(spawner, server)
    family = spawner._process.descendants()
    assert len(family) == 1
    await spawner.stop()
    assert not ProcessId(server.pid, "").alive()
    assert not [process for process in family if process.alive()]


def test_the_environment_is_an_allow_list(
    spawner: LocalSpawner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONFIGPROXY_AUTH_TOKEN", "secret")
    monkeypatch.setenv("TZ", "Europe/Paris")
    assert "TZ" in spawner.env_keep
    assert "ALMANAC_STATE" not in spawner.env_keep
    assert "CONFIGPROXY_AUTH_TOKEN" not in spawner.env_keep
    environment = spawner.user_env({})
    assert environment["HOME"] == str(spawner.home)
    assert environment["USER"] == "Ana"
    assert spawner.home.parent == tmp_path / "homes"
    assert environment["ALMANAC_ONE_ACCOUNT"] == "1"
    assert spawner.notebook_dir == str(spawner.home)


def test_no_token_is_in_the_command(spawner: LocalSpawner) -> None:
    assert spawner.cmd == [sys.executable, "-P", "-m", "hub_ext.quick", "jupyterhub.singleuser"]
    assert not any("token" in argument for argument in spawner.get_args())


def test_root_is_allowed_where_the_hub_is_root(
    spawner: LocalSpawner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert "--allow-root" not in spawner.get_args()
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert "--allow-root" in spawner.get_args()


def test_nobody_installs_into_the_platforms_environment_with_a_click(
    spawner: LocalSpawner,
) -> None:
    assert "--LabApp.extension_manager=readonly" in spawner.get_args()
    spawner.args = ["--LabApp.extension_manager=pypi"]
    assert "--LabApp.extension_manager=readonly" not in spawner.get_args()
