"""What the extension does once: at a server's start, and when it is installed."""

from __future__ import annotations

import json
import logging
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from tornado.log import app_log

import lab_extension
from lab_extension import credentials, install, logs

from .conftest import TOKEN, Lab

LOG = logging.getLogger(__name__)


def test_kernels_find_the_servers_token_in_a_file_that_only_the_user_reads(tmp_path: Path) -> None:
    file = tmp_path / "run" / "token"
    environment = {"JUPYTERHUB_API_TOKEN": TOKEN, credentials.FILE_VARIABLE: str(file)}
    assert credentials.write_token_file(log=LOG, environment=environment) == file
    assert file.read_text() == f"token {TOKEN}"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [item.name for item in file.parent.iterdir()] == ["token"]


def test_a_token_of_an_earlier_server_is_replaced_whatever_its_mode(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("token old")
    file.chmod(0o644)
    environment = {"JUPYTERHUB_API_TOKEN": TOKEN, credentials.FILE_VARIABLE: str(file)}
    credentials.write_token_file(log=LOG, environment=environment)
    assert file.read_text() == f"token {TOKEN}"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize("given", ["JUPYTERHUB_API_TOKEN", credentials.FILE_VARIABLE])
def test_without_both_token_and_place_nothing_is_written(tmp_path: Path, given: str) -> None:
    environment = {given: str(tmp_path / "token")}
    assert credentials.write_token_file(log=LOG, environment=environment) is None
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_written_is_a_warning_and_names_the_file_not_the_token(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    environment = {
        "JUPYTERHUB_API_TOKEN": TOKEN,
        credentials.FILE_VARIABLE: str(tmp_path / "file" / "token"),
    }
    assert credentials.write_token_file(log=LOG, environment=environment) is None
    assert "file/token" in caplog.text
    assert TOKEN not in caplog.text


def test_a_server_writes_the_token_file_at_its_start(
    start_lab: Callable[..., Lab], tmp_path: Path
) -> None:
    file = tmp_path / "token"
    lab = start_lab(JUPYTERHUB_API_TOKEN=TOKEN, **{credentials.FILE_VARIABLE: str(file)})
    assert file.read_text() == f"token {TOKEN}"
    assert TOKEN not in lab.log.read_text()


def test_the_ids_of_sessions_stay_out_of_a_servers_log() -> None:
    logs.protect()
    logs.protect()
    filters = [item for item in app_log.filters if isinstance(item, logs.WithoutSessionIds)]
    assert len(filters) == 1

    def kept(module: str, level: int) -> bool:
        path = f"/site-packages/jupyterhub/{module}.py"
        record = logging.LogRecord("ServerApp", level, path, 130, "…", (), None)
        return bool(app_log.filter(record))

    # "Setting new xsrf cookie for <session id>:<user>"
    assert not kept("_xsrf_utils", logging.INFO)
    assert kept("_xsrf_utils", logging.WARNING)
    assert kept("log", logging.INFO)


def test_installing_twice_makes_the_links_once_and_leaves_a_wheels_files_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = install.install(tmp_path)
    assert {link.resolve() for link in made} == set(install.links(tmp_path).values())
    assert install.install(tmp_path) == []
    config = tmp_path / "etc/jupyter/jupyter_server_config.d/almanac.json"
    assert json.loads(config.read_text())["ServerApp"]["jpserver_extensions"]["lab_extension"]
    config.unlink()
    config.write_text("{}")
    monkeypatch.setattr(install, "checkout", lambda: False)
    assert install.install(tmp_path) == []
    assert config.read_text() == "{}"


def test_what_an_editable_install_has_copied_gives_way_to_the_link(tmp_path: Path) -> None:
    copy = tmp_path / "share/jupyter/labextensions/almanac"
    (copy / "static").mkdir(parents=True)
    (copy / "package.json").write_text("{}")
    assert copy in install.install(tmp_path)
    assert copy.readlink() == install.HERE / "labextension"


def test_a_link_of_another_checkout_is_turned_to_this_one(tmp_path: Path) -> None:
    link = tmp_path / "share/jupyter/labextensions/almanac"
    link.parent.mkdir(parents=True)
    link.symlink_to(tmp_path / "elsewhere")
    assert link in install.install(tmp_path)
    assert link.readlink() == install.HERE / "labextension"


def test_jupyter_is_told_where_server_side_and_frontend_are() -> None:
    assert lab_extension._jupyter_server_extension_points() == [{"module": "lab_extension"}]
    (paths,) = lab_extension._jupyter_labextension_paths()
    package = json.loads((install.HERE / "frontend" / "package.json").read_text())
    assert paths["dest"] == package["name"]
    output = install.HERE / "frontend" / package["jupyterlab"]["outputDir"]
    assert output.resolve() == install.HERE / paths["src"]
