"""The hub's configuration, as it follows from settings and state folder."""

from __future__ import annotations

import logging
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from jinja2 import ChoiceLoader, Environment, FileSystemLoader, PrefixLoader
from traitlets.config import Config

import hub_ext
from hub_ext.errors import PublicError
from hub_ext.hub import WithoutSessionIds, configure_hub
from hub_ext.settings import SettingsError
from hub_ext.state import Endpoints, NotRunning, StateFolder


@pytest.fixture
def state(tmp_path: Path) -> StateFolder:
    folder = StateFolder(tmp_path / "state").create()
    Endpoints(
        public_url="http://127.0.0.1:8000",
        hub_api_url="http://127.0.0.1:8081/hub/api",
        proxy_api_url="http://127.0.0.1:8001",
        jobs_url="http://127.0.0.1:8082",
        store_url="http://127.0.0.1:8333",
        pid=1,
    ).save(folder)
    return folder


def configured(state: StateFolder, **environment: str) -> Any:
    c = Config()
    configure_hub(c, {"ALMANAC_STATE": str(state.root), **environment})
    return c


def spawner(name: str, home: Path) -> Any:
    return SimpleNamespace(user=SimpleNamespace(name=name), home=home)


def test_proxy_and_services_are_external(state: StateFolder) -> None:
    c = configured(state)
    assert c.ConfigurableHTTPProxy.should_start is False
    assert c.ConfigurableHTTPProxy.api_url == "http://127.0.0.1:8001"
    assert c.JupyterHub.hub_bind_url == "http://127.0.0.1:8081"
    assert c.JupyterHub.bind_url == "http://127.0.0.1:8000"
    assert {service["name"] for service in c.JupyterHub.services} == {"jobs", "operator"}
    for service in c.JupyterHub.services:
        assert "command" not in service
        assert len(service["api_token"]) <= 64


def test_the_hubs_pages_wear_almanacs_name_and_lead_to_the_jobs(state: StateFolder) -> None:
    c = configured(state)
    logo = Path(c.JupyterHub.logo_file)
    assert logo.read_text().startswith("<svg")
    (folder,) = map(Path, c.JupyterHub.template_paths)
    upstream = Path(sys.prefix) / "share" / "jupyterhub" / "templates"
    # As JupyterHub itself loads them: ours first, its own under a prefix, too.
    loader = ChoiceLoader(
        [
            PrefixLoader({"templates": FileSystemLoader(upstream)}, "/"),
            FileSystemLoader([folder, upstream]),
        ]
    )
    pages = Environment(loader=loader, autoescape=True)
    pages.globals["static_url"] = lambda path, **_: f"/hub/static/{path}"
    context = {"base_url": "/hub/", "prefix": "/", "parsed_scopes": {}, "services": []}
    login = pages.get_template("login.html").render(context, authenticator=SimpleNamespace())
    assert "<title>Almanac</title>" in login.replace("\n", "")
    assert "JupyterHub logo" not in login
    ana = SimpleNamespace(name="ana", json_escaped_name="ana", spawner=SimpleNamespace())
    home = pages.get_template("home.html").render(
        context, user=ana, default_server=SimpleNamespace(active=False), no_spawner_check=True
    )
    assert home.count('href="/services/jobs/"') == 2
    assert "Start" in home


def test_servers_outlive_the_hub_and_are_never_turned_away(state: StateFolder) -> None:
    c = configured(state)
    assert c.JupyterHub.cleanup_servers is False
    assert c.JupyterHub.concurrent_spawn_limit == 0
    assert c.JupyterHub.tornado_settings["slow_spawn_timeout"] == 0


def test_what_the_hub_keeps_is_in_the_state_folder(state: StateFolder) -> None:
    c = configured(state)
    assert c.JupyterHub.db_url == f"sqlite:///{state.hub_database}"
    assert Path(c.JupyterHub.cookie_secret_file).stat().st_mode & 0o777 == 0o600
    assert Path(c.JupyterHub.cookie_secret_file).parent == state.secrets
    assert c.LocalSpawner.homes == str(state.homes)


def test_people_s_servers_find_jobs_and_data_and_no_secret(
    state: StateFolder, tmp_path: Path
) -> None:
    c = configured(state, HTTPS_PROXY="http://proxy:3128", AWS_SECRET_ACCESS_KEY="mine")
    ana = spawner("Ana Lucía", tmp_path / "home")
    environment = {
        name: value(ana) if callable(value) else value
        for name, value in c.Spawner.environment.items()
    }
    assert environment["ALMANAC_JOBS_URL"] == "http://127.0.0.1:8000/services/jobs"
    assert environment["ALMANAC_PROJECT_URI"].startswith("s3://almanac/home/ana-luc-a--")
    assert environment["ALMANAC_OUTPUT_URI"] == environment["ALMANAC_PROJECT_URI"] + "/outputs"
    assert environment["AWS_ENDPOINT_URL"] == "http://127.0.0.1:8333"
    assert environment["ALMANAC_STORE_BUCKET"] == "almanac"
    assert environment["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"].startswith(str(tmp_path / "home"))
    assert environment["HTTPS_PROXY"] == "http://proxy:3128"
    assert "AWS_SECRET_ACCESS_KEY" not in environment
    secrets = [path.read_text() for path in state.secrets.iterdir()]
    assert not [name for name, value in environment.items() if value in secrets]


def test_demo_does_not_begin_where_the_proxy_listens_for_others_already(
    state: StateFolder, tmp_path: Path
) -> None:
    replace(Endpoints.load(state), listens_on="0.0.0.0").save(state)
    changed = tmp_path / "almanac.yaml"
    changed.write_text("authentication: {method: demo}\n")
    with pytest.raises(PublicError, match="can be reached from other machines"):
        configured(state, ALMANAC_CONFIG=str(changed))
    for address in ("127.0.0.1", "::1"):
        replace(Endpoints.load(state), listens_on=address).save(state)
        configured(state, ALMANAC_CONFIG=str(changed))


def test_settings_that_are_wrong_stop_the_hub(state: StateFolder, tmp_path: Path) -> None:
    wrong = tmp_path / "almanac.yaml"
    wrong.write_text("sever: {}\n")
    with pytest.raises(SettingsError):
        configured(state, ALMANAC_CONFIG=str(wrong))


def test_without_a_running_tree_there_is_nothing_to_configure(tmp_path: Path) -> None:
    with pytest.raises(NotRunning):
        configured(StateFolder(tmp_path))


def test_the_one_call_is_the_package_s(state: StateFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALMANAC_STATE", str(state.root))
    monkeypatch.delenv("ALMANAC_CONFIG", raising=False)
    c = Config()
    hub_ext.configure(c)
    c.JupyterHub.concurrent_spawn_limit = 7  # the operator's own, after it, wins
    assert c.JupyterHub.concurrent_spawn_limit == 7
    assert c.JupyterHub.spawner_class == "hub_ext.spawners.local.LocalSpawner"


def test_the_hub_s_log_names_no_sessions() -> None:
    quiet = WithoutSessionIds()

    def record(module: str) -> logging.LogRecord:
        return logging.LogRecord("tornado.application", 20, f"/x/{module}.py", 1, "…", (), None)

    assert not quiet.filter(record("_xsrf_utils"))
    assert quiet.filter(record("base"))
