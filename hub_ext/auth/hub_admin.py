"""What the ``almanac`` command asks of the running hub, with the operator service's token."""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import quote

import httpx

from hub_ext.errors import PublicError, Unavailable

STOP_SECONDS = 60.0


class HubAdmin:
    """The hub's API for operators; a context manager.

    Args:
        api_url: ``http://127.0.0.1:PORT/hub/api``.
        token: of the service ``operator``.
    """

    def __init__(self, api_url: str, token: str):
        self._http = httpx.Client(
            base_url=api_url.rstrip("/"),
            headers={"Authorization": f"token {token}"},
            trust_env=False,
            timeout=30,
        )

    def __enter__(self) -> HubAdmin:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def user(self, name: str) -> dict[str, Any] | None:
        """The hub's model of a user, servers included; None if it knows none."""
        response = self._request("GET", _path(name), known=(200, 404))
        return None if response.status_code == 404 else dict(response.json())

    def remove_user(self, name: str, *, timeout: float = STOP_SECONDS) -> bool:
        """Stop the user's servers, then delete the user and all of their tokens.

        Returns:
            Whether the hub knew the user.

        Raises:
            Unavailable: the hub does not answer, or a server does not stop
                within ``timeout`` seconds.
        """
        deadline = time.monotonic() + timeout
        while (model := self.user(name)) is not None:
            servers = model.get("servers") or {}
            for server, state in servers.items():
                if state.get("pending") is None and not state.get("stopped"):
                    self._request("DELETE", _server_path(name, server), known=(202, 204, 400, 404))
            # 400: a server is still stopping or starting.
            if self._request("DELETE", _path(name), known=(204, 400, 404)).status_code != 400:
                return True
            if time.monotonic() > deadline:
                raise Unavailable(
                    f"The server of {name} did not stop within {timeout:.0f} s.",
                    mend="They cannot sign in any more; give the same command again later.",
                )
            time.sleep(0.25)
        return False

    def _request(self, method: str, path: str, *, known: tuple[int, ...]) -> httpx.Response:
        try:
            response = self._http.request(method, path)
        except httpx.HTTPError as error:
            raise Unavailable(
                f"The hub does not answer ({type(error).__name__}).",
                mend="`almanac status` shows what runs.",
            ) from error
        if response.status_code not in known:
            raise PublicError(
                f"The hub refused {method} {path}: HTTP {response.status_code}.",
                mend="Its log says more.",
            )
        return response


def _path(name: str) -> str:
    return f"/users/{quote(name, safe='')}"


def _server_path(name: str, server: str) -> str:
    return f"{_path(name)}/servers/{quote(server, safe='')}" if server else f"{_path(name)}/server"
