"""The state folder: secrets made once, and where the parts are."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hub_ext.state import Endpoints, NotRunning, StateFolder, default_state

ENDPOINTS = Endpoints(
    public_url="http://127.0.0.1:8000",
    hub_api_url="http://127.0.0.1:8081/hub/api",
    proxy_api_url="http://127.0.0.1:8001",
    jobs_url="http://127.0.0.1:8082",
    store_url="http://127.0.0.1:8333",
    pid=4711,
)


def test_the_folder_is_private(tmp_path: Path) -> None:
    state = StateFolder(tmp_path / "a" / "state").create()
    assert state.root.stat().st_mode & 0o777 == 0o700
    assert state.secrets.stat().st_mode & 0o777 == 0o700


def test_a_secret_is_made_once_and_kept_private(tmp_path: Path) -> None:
    state = StateFolder(tmp_path)
    value = state.secret("jobs-api-token")
    assert len(bytes.fromhex(value)) == 32
    assert len(value) <= 64  # JupyterHub takes no longer token of a service
    assert StateFolder(tmp_path).secret("jobs-api-token") == value
    assert state.secret("another") != value
    assert (state.secrets / "jobs-api-token").stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in state.secrets.iterdir()) == ["another", "jobs-api-token"]


def test_all_who_ask_at_once_get_the_same_secret(tmp_path: Path) -> None:
    with ThreadPoolExecutor(16) as pool:
        values = set(pool.map(lambda _: StateFolder(tmp_path).secret("one"), range(64)))
    assert len(values) == 1
    assert len(values.pop()) == 64


def test_the_default_folder_follows_the_environment(tmp_path: Path) -> None:
    assert default_state({"ALMANAC_STATE": "/srv/almanac"}) == Path("/srv/almanac")
    assert default_state({"XDG_DATA_HOME": str(tmp_path)}) == tmp_path / "almanac"
    assert default_state({}) == Path.home() / ".local" / "share" / "almanac"


def test_endpoints_are_read_as_they_were_written(tmp_path: Path) -> None:
    state = StateFolder(tmp_path)
    ENDPOINTS.save(state)
    assert Endpoints.load(state) == ENDPOINTS
    assert Endpoints.path(state).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("text", [None, "", "{}", "[]", '{"unknown": 1}'])
def test_without_endpoints_it_is_not_running(tmp_path: Path, text: str | None) -> None:
    state = StateFolder(tmp_path).create()
    if text is not None:
        Endpoints.path(state).write_text(text)
    with pytest.raises(NotRunning, match="almanac up"):
        Endpoints.load(state)


def test_only_one_s_own_endpoints_are_removed(tmp_path: Path) -> None:
    state = StateFolder(tmp_path)
    ENDPOINTS.save(state)
    document = json.loads(Endpoints.path(state).read_text())
    other = Endpoints(**(document | {"pid": 1}))
    other.remove(state)
    assert Endpoints.path(state).exists()
    ENDPOINTS.remove(state)
    assert not Endpoints.path(state).exists()
