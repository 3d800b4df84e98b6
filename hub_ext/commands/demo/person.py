"""A person at a browser, by HTTP alone: the login form, the hub, the server, the pages.

Holds cookies and XSRF tokens as a browser does, and no token of any API: what
this can do, anybody who signs in can.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from http.cookiejar import Cookie
from types import TracebackType
from typing import Any
from urllib.parse import quote, urlsplit

import httpx

from hub_ext.client import PREFIX, error_of
from hub_ext.commands.demo.report import DemoFailed

XSRF_COOKIE = "_xsrf"
XSRF_HEADER = "X-XSRFToken"
_XSRF_FIELD = re.compile(r'name="_xsrf"[^>]*?value="([^"]*)"')


class Person:
    """One signed-in (or not yet signed-in) person.

    Args:
        url: public address of the hub, ``http://127.0.0.1:8000``.
        timeout: seconds that one answer may take.

    Attributes:
        http: the browser's session, cookies and all.
    """

    def __init__(self, url: str, *, timeout: float = 60.0):
        self.url = url.rstrip("/")
        self.name = ""
        self.http = httpx.Client(
            base_url=self.url,
            timeout=timeout,
            follow_redirects=True,
            # A neighbour: not by way of an institute's proxy.
            trust_env=False,
        )

    def __enter__(self) -> Person:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.http.close()

    def sign_in(self, name: str, password: str) -> None:
        """Fill in the hub's login form.

        Raises:
            DemoFailed: the hub did not let the person in.
        """
        form = self._expect(self.http.get("/hub/login"), "the login form")
        fields = {"username": name, "password": password}
        if hidden := _XSRF_FIELD.search(form.text):
            fields[XSRF_COOKIE] = hidden.group(1)
        answer = self.http.post("/hub/login", data=fields, params={"next": "/hub/home"})
        if not answer.is_success or urlsplit(str(answer.url)).path != "/hub/home":
            raise DemoFailed(
                f"The hub did not let {name} in: HTTP {answer.status_code} "
                f"at {urlsplit(str(answer.url)).path}."
            )
        self.name = name

    def make_token(self, note: str) -> str:
        """A token of the hub, as the form on its token page makes one."""
        api = f"/hub/api/users/{quote(self.name)}/tokens"
        answer = self._expect(self.write("POST", api, json={"note": note}), "the token")
        return str(answer.json()["token"])

    @property
    def server(self) -> str:
        """Path of the person's server; ends with a slash."""
        return f"/user/{quote(self.name)}/"

    def start_server(self, *, seen: Callable[[str], None] = lambda message: None) -> None:
        """Start the person's own server, unless it runs, and wait until it is ready.

        Args:
            seen: is told the messages of the spawner's progress.

        Raises:
            DemoFailed: it did not start; the message is the spawner's.
        """
        api = f"/hub/api/users/{quote(self.name)}/server"
        if not self.server_runs():
            self._expect(self.write("POST", api), "the start of the server")
        last = ""
        with self.http.stream("GET", f"{api}/progress") as answer:
            if not answer.is_success:
                answer.read()
                self._expect(answer, "the progress of the server's start")
            for event in progress_events(answer.iter_lines()):
                if message := str(event.get("message") or ""):
                    seen(message)
                    last = message
                if event.get("failed"):
                    raise DemoFailed(f"The server did not start: {last}")
                if event.get("ready"):
                    break
        # Through the server's own sign-in, as a browser would: it sets the
        # cookie and the XSRF token with which its API is used.
        self._expect(self.http.get(f"{self.server}lab"), "JupyterLab")

    def stop_server(self) -> None:
        """Ask for the end of the server; see `server_runs` for when it is gone."""
        api = f"/hub/api/users/{quote(self.name)}/server"
        self._expect(self.write("DELETE", api), "the end of the server")

    def server_runs(self) -> bool:
        model = self._expect(self.http.get(f"/hub/api/users/{quote(self.name)}"), "the user")
        return bool(model.json().get("servers"))

    def save_notebook(self, name: str, notebook: Mapping[str, Any]) -> None:
        """Put a notebook into one of the server's folders by the contents API."""
        body = {"type": "notebook", "format": "json", "content": notebook}
        path = f"{self.server}api/contents/{quote(name)}"
        self._expect(self.write("PUT", path, json=body), "saving the notebook")

    def productionize(self, request: Mapping[str, Any], *, submission: str) -> dict[str, Any]:
        """What the panel's button does; the job as the service tells it."""
        answer = self.write(
            "POST",
            f"{self.server}almanac/api/productionize",
            json=dict(request),
            params={"submission": submission},
            timeout=180.0,
        )
        job: dict[str, Any] = self._expect(answer, "Productionize").json()
        return job

    def enter_jobs(self) -> str:
        """Open the list of jobs, and with it sign in to the job service; its HTML."""
        return self.page(f"{PREFIX}/")

    def page(self, path: str) -> str:
        return self._expect(
            self.http.get(path, headers={"Accept": "text/html"}), f"the page {path}"
        ).text

    def api(self, path: str) -> Any:
        """An answer of the job service's API, with the session of its pages."""
        return self._expect(
            self.http.get(f"{PREFIX}/api/v1{path}", headers={"Accept": "application/json"}),
            f"the job service's {path}",
        ).json()

    def file(self, path: str) -> bytes:
        return self._expect(self.http.get(path), path).content

    # -- how --------------------------------------------------------------

    def write(self, method: str, path: str, **options: Any) -> httpx.Response:
        """A request that changes something, with the XSRF token that a page would send."""
        token = xsrf_for(path, self.http.cookies.jar)
        headers = {XSRF_HEADER: token} if token else {}
        return self.http.request(method, path, headers=headers, **options)

    def _expect(self, answer: httpx.Response, what: str) -> httpx.Response:
        """The answer, if it is a good one.

        Raises:
            PublicError: as the problem document says; `DemoFailed` without one.
        """
        if answer.is_success:
            return answer
        try:
            document = answer.json()
        except ValueError:
            document = None
        if isinstance(document, dict) and "code" in document:
            raise error_of(answer.status_code, document, place=what)
        said = document.get("message", "") if isinstance(document, dict) else ""
        raise DemoFailed(f"{what[0].upper()}{what[1:]}: HTTP {answer.status_code}. {said}".strip())


def xsrf_for(path: str, cookies: Iterable[Cookie]) -> str:
    """The XSRF token that a browser's script would send to ``path``.

    Hub and server each set a cookie of this name for their own path; the
    longest that contains ``path`` is meant.
    """
    fitting = [
        cookie for cookie in cookies if cookie.name == XSRF_COOKIE and path.startswith(cookie.path)
    ]
    best = max(fitting, key=lambda cookie: len(cookie.path), default=None)
    return best.value or "" if best else ""


def progress_events(lines: Iterable[str]) -> Iterable[dict[str, Any]]:
    """The events of the hub's progress stream (server-sent events with JSON)."""
    for line in lines:
        if line.startswith("data:"):
            try:
                event = json.loads(line[5:])
            except ValueError:
                continue
            if isinstance(event, dict):
                yield event
