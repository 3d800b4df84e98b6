"""The table of Almanac's parts, and what comes before it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from hub_ext.auth.passwords import UsersFile
from hub_ext.embedded import start
from hub_ext.embedded.table import (
    SECRETS,
    Addresses,
    environment_of_parts,
    gates,
    store_part,
    table,
)
from hub_ext.errors import PublicError
from hub_ext.settings import NetworkSettings, Settings
from hub_ext.state import StateFolder

ADDRESSES = Addresses("127.0.0.1", 8000, proxy_api=8001, hub=8081, jobs=8082)


@pytest.fixture
def state(tmp_path: Path) -> StateFolder:
    folder = StateFolder(tmp_path / "state").create()
    for name in SECRETS:
        folder.secret(name)
    return folder


def test_no_secret_is_in_a_command_and_only_the_proxy_s_own_in_an_environment(
    state: StateFolder,
) -> None:
    environment = environment_of_parts({}, NetworkSettings(), state, None)
    store, _ = store_part(state)
    parts = table(state, Settings(), ADDRESSES, environment, store)
    assert [part.name for part in parts] == ["store", "proxy", "hub", "jobs"]
    for part in parts:
        for name in SECRETS:
            assert state.secret(name) not in " ".join(part.command), (part.name, name)
            found = [key for key, value in part.environment.items() if state.secret(name) in value]
            allowed = part.name == "proxy" and name == "proxy-auth-token"
            assert found == (["CONFIGPROXY_AUTH_TOKEN"] if allowed else []), (part.name, name)


def test_without_the_embedded_store_there_is_none(state: StateFolder) -> None:
    parts = table(state, Settings(), ADDRESSES, {}, None)
    assert [part.name for part in parts] == ["proxy", "hub", "jobs"]


def test_parts_inherit_what_is_on_the_list_and_nothing_else(state: StateFolder) -> None:
    environment = environment_of_parts(
        {
            "HOME": "/home/ana",
            "PATH": "/usr/bin",
            "AWS_SECRET_ACCESS_KEY": "mine",
            "HTTPS_PROXY": "http://proxy:3128",
        },
        NetworkSettings(package_index="https://mirror/simple"),
        state,
        Path("/etc/almanac.yaml"),
    )
    assert environment["HOME"] == "/home/ana"
    assert environment["PATH"] == f"{sys.prefix}/bin:/usr/bin"
    assert environment["ALMANAC_STATE"] == str(state.root)
    assert environment["ALMANAC_CONFIG"] == "/etc/almanac.yaml"
    assert environment["HTTPS_PROXY"] == "http://proxy:3128"
    assert "127.0.0.1" in environment["NO_PROXY"]
    assert environment["PIP_INDEX_URL"] == "https://mirror/simple"
    assert "AWS_SECRET_ACCESS_KEY" not in environment


@pytest.mark.parametrize(
    ("address", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8000"),
        ("::1", "http://[::1]:8000"),
        ("0.0.0.0", "http://127.0.0.1:8000"),
        ("::", "http://[::1]:8000"),
    ],
)
def test_the_public_address_is_one_that_a_browser_can_open(address: str, url: str) -> None:
    assert Addresses(address, 8000, 1, 2, 3).public_url == url


def test_ports_are_all_different() -> None:
    chosen = Addresses.choose("127.0.0.1", 0)
    found = {chosen.public_port, chosen.proxy_api, chosen.hub, chosen.jobs}
    assert len(found) == 4
    assert 0 not in found


def test_ready_means_reached_through_the_proxy() -> None:
    assert all(gate.url.startswith("http://127.0.0.1:8000/") for gate in gates(ADDRESSES))


def test_the_first_user_is_made_once_and_told_the_password(state: StateFolder) -> None:
    line = start.sign_in(state, Settings(), "ana", {})
    password = line.rsplit(" ", 1)[-1]
    assert UsersFile(state.users_file).verify("ana", password)
    again = start.sign_in(state, Settings(), "bo", {})
    assert again == "sign in as ana; forgotten? `almanac users passwd NAME`"
    assert UsersFile(state.users_file).names() == ["ana"]


def test_many_users_are_not_all_named(state: StateFolder) -> None:
    for number in range(7):
        UsersFile(state.users_file).add(f"user{number}")
    assert "user4 or one of 2 others" in start.sign_in(state, Settings(), None, {})


def test_the_shared_password_is_not_printed(state: StateFolder) -> None:
    settings = Settings.model_validate({"authentication": {"method": "demo"}})
    line = start.sign_in(state, settings, None, {})
    assert str(state.secrets / "demo-password") in line
    assert state.secret("demo-password") not in line
    assert not state.users_file.exists()


def test_the_first_user_s_name_comes_from_the_environment_or_the_account(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert start.default_user({"ALMANAC_FIRST_USER": "chris"}) == "chris"
    for account, name in [("Ana", "ana"), ("root", "admin"), ("CORP\\ana", "admin")]:
        monkeypatch.setattr(start.getpass, "getuser", lambda account=account: account)
        assert start.default_user({}) == name


def test_the_settings_file_is_the_chosen_one_or_the_named_one_or_our_own(tmp_path: Path) -> None:
    chosen = tmp_path / "mine.yaml"
    assert start.settings_file(chosen, {"ALMANAC_CONFIG": "/etc/a.yaml"}) == chosen
    assert start.settings_file(None, {"ALMANAC_CONFIG": "/etc/a.yaml"}) == Path("/etc/a.yaml")
    own = start.settings_file(None, {})
    assert own is not None
    assert own.parts[-2:] == ("config", "almanac.yaml")


def test_a_name_that_cannot_be_one_is_refused_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(PublicError, match="not a user name"):
        start.run(StateFolder(tmp_path / "state"), None, None, first_user="Ana Lucía")  # type: ignore[arg-type]
    assert not (tmp_path / "state").exists()


def test_a_state_folder_that_cannot_be_made_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(PublicError, match="cannot be made"):
        start.run(StateFolder(tmp_path / "file" / "state"), None, None)  # type: ignore[arg-type]


def test_the_parts_are_told_whether_others_can_reach_the_proxy() -> None:
    addresses = Addresses("0.0.0.0", 8000, 8001, 8081, 8082)
    endpoints = addresses.endpoints("http://127.0.0.1:8333")
    assert endpoints.listens_on == "0.0.0.0"
    # All but the proxy's own door stay on loopback.
    inner = (endpoints.hub_api_url, endpoints.proxy_api_url, endpoints.jobs_url)
    assert all(url.startswith("http://127.0.0.1:") for url in inner)
