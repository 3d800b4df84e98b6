"""almanac.yaml and the state folder, translated into JupyterHub's configuration."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from hub_ext import settings as settings_module
from hub_ext import toolchain
from hub_ext.auth import roles
from hub_ext.errors import PublicError
from hub_ext.names import Project
from hub_ext.settings import Settings
from hub_ext.spawners.homes import BUCKET_VARIABLE
from hub_ext.state import Endpoints, StateFolder, default_state

JOBS_PREFIX = "/services/jobs"
TOKEN_FILE = ".almanac/hub-token"  # noqa: S105  # where it lies, below HOME


def configure_hub(c: Any, environment: Mapping[str, str] = os.environ) -> None:
    """Set up the hub of an Almanac on one machine.

    Args:
        c: JupyterHub's configuration object.
        environment: holds ``ALMANAC_STATE`` and ``ALMANAC_CONFIG``.

    Raises:
        hub_ext.errors.PublicError: almanac.yaml is wrong, a tool is missing,
            or the state folder says nothing of where the parts are.
    """
    settings = settings_module.from_environment(environment)
    state = StateFolder(default_state(dict(environment)))
    endpoints = Endpoints.load(state)
    # The file may have changed since the proxy was told where to listen, and a
    # hub that is started again would read it anew.
    try:
        settings_module.refuse_weak_sign_in(settings.authentication.method, endpoints.listens_on)
    except ValueError as error:
        raise PublicError(f"{error}.", mend="Or end Almanac and start it again.") from None
    logging.getLogger("tornado.application").addFilter(WithoutSessionIds())
    network(c, state, endpoints)
    pages(c)
    sign_in(c, state, environment.get(settings_module.SETTINGS_FILE_VARIABLE, ""))
    services(c, state, endpoints)
    spawning(c, state)
    servers(c, state, settings, endpoints, environment)


class WithoutSessionIds(logging.Filter):
    """Leaves out the line in which the hub names the session of each new XSRF cookie."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.module != "_xsrf_utils"


def network(c: Any, state: StateFolder, endpoints: Endpoints) -> None:
    """Where the hub listens, and the proxy that somebody else starts."""
    hub = urlsplit(endpoints.hub_api_url)
    c.JupyterHub.bind_url = endpoints.public_url
    c.JupyterHub.hub_bind_url = f"{hub.scheme}://{hub.netloc}"
    c.ConfigurableHTTPProxy.should_start = False
    c.ConfigurableHTTPProxy.api_url = endpoints.proxy_api_url
    c.ConfigurableHTTPProxy.auth_token = state.secret("proxy-auth-token")
    # A proxy that was started again has lost its routes, and the hub looks for
    # that as often as it asks for people's activity: servers have to be
    # reachable again within five seconds.
    c.JupyterHub.last_activity_interval = 2

    c.JupyterHub.db_url = f"sqlite:///{state.hub_database}"
    c.JupyterHub.upgrade_db = True
    state.secret("hub-cookie-secret")
    c.JupyterHub.cookie_secret_file = str(state.secrets / "hub-cookie-secret")
    c.CryptKeeper.keys = [bytes.fromhex(state.secret("auth-state-key"))]


def pages(c: Any) -> None:
    """Almanac's name and mark on the hub's pages, by JupyterHub's own means."""
    here = Path(__file__).resolve().parent
    c.JupyterHub.logo_file = str(here / "jobs" / "pages" / "static" / "almanac.svg")
    c.JupyterHub.template_paths = [str(here / "hub_pages")]


def sign_in(c: Any, state: StateFolder, settings_file: str) -> None:
    """Who may come in, and what they may do (`hub_ext.auth`)."""
    c.JupyterHub.authenticator_class = "hub_ext.auth.authenticator.AlmanacAuthenticator"
    c.AlmanacAuthenticator.users_file = str(state.users_file)
    c.AlmanacAuthenticator.settings_file = settings_file
    c.AlmanacAuthenticator.demo_password_file = str(state.secrets / "demo-password")
    c.JupyterHub.custom_scopes = roles.custom_scopes()
    c.JupyterHub.load_roles = roles.load_roles()
    c.Spawner.server_token_scopes = list(roles.SERVER_TOKEN_SCOPES)


def services(c: Any, state: StateFolder, endpoints: Endpoints) -> None:
    """Our services, all of them external: the hub neither starts nor stops them."""
    c.JupyterHub.services = roles.services(
        jobs_url=endpoints.jobs_url,
        jobs_token=state.secret("jobs-api-token"),
        operator_token=state.secret("operator-api-token"),
    )


def spawning(c: Any, state: StateFolder) -> None:
    """How servers are started."""
    c.JupyterHub.spawner_class = "hub_ext.spawners.local.LocalSpawner"
    c.LocalSpawner.homes = str(state.homes)
    c.LocalSpawner.examples = str(toolchain.config_folder() / "examples")
    c.LocalSpawner.logs = str(state.logs / "servers")
    # They outlive the hub. What ends with Almanac is ended by `almanac up`.
    c.JupyterHub.cleanup_servers = False
    # Over its limit JupyterHub answers 429 and forgets; it has no queue.
    c.JupyterHub.concurrent_spawn_limit = 0
    # The page that shows progress at once, and not after ten seconds of nothing.
    c.JupyterHub.tornado_settings = {"slow_spawn_timeout": 0}
    # The first start of JupyterLab on a cold disk takes its time.
    c.Spawner.start_timeout = 120
    c.Spawner.http_timeout = 90
    c.Spawner.default_url = "/lab"


def servers(
    c: Any,
    state: StateFolder,
    settings: Settings,
    endpoints: Endpoints,
    environment: Mapping[str, str],
) -> None:
    """What people's servers find in their environment; nothing secret in it."""
    from hub_ext.storage.environment import kernel_environment

    jobs_url = endpoints.public_url + JOBS_PREFIX
    bucket = settings.storage.bucket

    def token_file(spawner: Any) -> str:
        return str(spawner.home / TOKEN_FILE)

    def project_uri(spawner: Any) -> str:
        return f"s3://{bucket}/{Project.of_user(spawner.user.name).prefix.rstrip('/')}"

    def outputs(spawner: Any) -> str:
        return f"{project_uri(spawner)}/outputs"

    values: dict[str, str | Callable[[Any], str]] = {
        **settings.network.environment(environment),
        "ALMANAC_JOBS_URL": jobs_url,
        # So that "python3" means the notebooks' environment, and not ours.
        "JUPYTER_PATH": str(toolchain.python_environment() / "share" / "jupyter"),
        **kernel_environment(
            endpoints.store_url,
            settings.storage.region,
            f"{jobs_url}/api/v1/credentials",
            "",
        ),
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": token_file,
        BUCKET_VARIABLE: bucket,
        "ALMANAC_PROJECT_URI": project_uri,
        "ALMANAC_OUTPUT_URI": outputs,
    }
    c.Spawner.environment = values
