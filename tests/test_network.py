"""One setting for an institute's network, and everything that has to hear of it does."""

from __future__ import annotations

from pathlib import Path

from traitlets.config import Config

from hub_ext.embedded.table import environment_of_parts
from hub_ext.hub import configure_hub
from hub_ext.jobs.app import runner_environment
from hub_ext.settings import parse
from hub_ext.state import Endpoints, StateFolder

NETWORK = """\
network:
  package_index: https://mirror.example.org/simple
  ca_bundle: /etc/ssl/certs/institute.pem
  https_proxy: http://proxy.example.org:3128
"""


def holds(environment: dict[str, str]) -> bool:
    """Whether a process with this environment goes by the institute's network."""
    return (
        environment["UV_DEFAULT_INDEX"] == "https://mirror.example.org/simple"
        and environment["PIP_INDEX_URL"] == "https://mirror.example.org/simple"
        and environment["SSL_CERT_FILE"] == "/etc/ssl/certs/institute.pem"
        and environment["https_proxy"] == "http://proxy.example.org:3128"
        and "127.0.0.1" in environment["no_proxy"]
    )


def test_runners_that_build_environments_go_by_it() -> None:
    environment = runner_environment(parse(NETWORK), {"PATH": "/bin", "AWS_SECRET_ACCESS_KEY": "x"})
    assert holds(environment)
    assert "AWS_SECRET_ACCESS_KEY" not in environment


def test_parts_of_the_tree_go_by_it(tmp_path: Path) -> None:
    state = StateFolder(tmp_path / "state").create()
    assert holds(environment_of_parts({"PATH": "/bin"}, parse(NETWORK).network, state, None))


def test_peoples_servers_go_by_it(tmp_path: Path) -> None:
    state = StateFolder(tmp_path / "state").create()
    local = "http://127.0.0.1"
    Endpoints(local, f"{local}:1/hub/api", f"{local}:2", f"{local}:3", f"{local}:4", 1).save(state)
    settings = tmp_path / "almanac.yaml"
    settings.write_text(NETWORK)
    c = Config()
    configure_hub(c, {"ALMANAC_STATE": str(state.root), "ALMANAC_CONFIG": str(settings)})
    values = dict(c.Spawner.environment)
    assert holds({name: value for name, value in values.items() if isinstance(value, str)})
