"""Whose token is this? Asked of the hub, remembered for a few seconds."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from typing import Any

import httpx

from hub_ext.auth.cache import BriefCache
from hub_ext.errors import Unauthenticated, Unavailable

CACHE_SECONDS = 10.0
"""How old an answer of the hub may be. With ``authentication.refresh_seconds``
(15 by default) this bounds how long a removed user is still let in: 25 s."""
CACHE_SIZE = 4096

log = logging.getLogger(__name__)


class HubUsers:
    """The hub as the place where tokens are looked up and made.

    Args:
        api_url: the hub's API, ``http://127.0.0.1:8081/hub/api``.
        client_id, client_secret: of this service as an OAuth client.
    """

    def __init__(
        self,
        api_url: str,
        client_id: str,
        client_secret: str,
        *,
        cache_seconds: float = CACHE_SECONDS,
        timeout: float = 10.0,
    ):
        self._api = api_url.rstrip("/")
        self._client_id = client_id
        self._client_secret = client_secret
        # Not by the environment's proxy settings: the hub is a neighbour.
        self._http = httpx.AsyncClient(
            timeout=timeout, trust_env=False, headers={"Accept": "application/json"}
        )
        # Refusals are remembered, too, but apart: a flood of made-up tokens
        # must not push out those of people.
        self._models: BriefCache[dict[str, Any]] = BriefCache(
            seconds=cache_seconds, size=CACHE_SIZE
        )
        self._refused: BriefCache[bool] = BriefCache(seconds=cache_seconds, size=CACHE_SIZE)
        self._under_way: dict[str, asyncio.Task[dict[str, Any] | None]] = {}

    async def whose(self, token: str) -> dict[str, Any]:
        """The hub's model of the token's owner: ``kind``, ``name``, ``groups``, ``scopes``…

        Raises:
            Unauthenticated: the hub does not know the token, or no longer.
            Unavailable: the hub did not answer.
        """
        key = _key(token)
        if (model := self._models.get(key)) is not None:
            return model
        if self._refused.get(key):
            raise _unknown_token()
        # A page asks for many things at once: they share one question.
        task = self._under_way.get(key)
        if task is None:
            task = asyncio.create_task(self._ask(key, token))
            self._under_way[key] = task
            task.add_done_callback(lambda done: self._answered(key, done))
        # Shielded: that one of those who wait goes away is no matter of the rest.
        model = await asyncio.shield(task)
        if model is None:
            raise _unknown_token()
        return model

    def forget(self, token: str) -> None:
        """Ask the hub anew the next time."""
        self._models.drop(_key(token))
        self._refused.drop(_key(token))

    async def exchange(self, code: str, verifier: str, redirect_uri: str) -> str:
        """A token for the code that the hub gave the browser (OAuth 2, with PKCE).

        Raises:
            Unauthenticated: the code is not good, or no longer.
            Unavailable: the hub did not answer.
        """
        response = await self._request(
            "POST",
            "/oauth2/token",
            data={
                "client_id": self._client_id,
                "client_secret": self._client_secret,
                "grant_type": "authorization_code",
                "code": code,
                "code_verifier": verifier,
                "redirect_uri": redirect_uri,
            },
        )
        if response.status_code != 200:
            log.warning("The hub refused a sign-in code: HTTP %s", response.status_code)
            raise Unauthenticated(
                "This sign-in was not finished in time, or was used before.",
                mend="Open the page again to sign in.",
            )
        return str(_document(response)["access_token"])

    async def aclose(self) -> None:
        await self._http.aclose()

    def _answered(self, key: str, task: asyncio.Task[dict[str, Any] | None]) -> None:
        self._under_way.pop(key, None)
        if not task.cancelled():
            task.exception()  # taken note of, should all who waited have gone away

    async def _ask(self, key: str, token: str) -> dict[str, Any] | None:
        asked = time.monotonic()
        response = await self._request("GET", "/user", headers={"Authorization": f"token {token}"})
        if response.status_code in (401, 403, 404):
            self._refused.put(key, True, since=asked)
            return None
        if response.status_code != 200:
            raise _no_answer(f"HTTP {response.status_code}")
        model = _document(response)
        self._models.put(key, model, since=asked)
        return model

    async def _request(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            response = await self._http.request(method, self._api + path, **options)
        except httpx.HTTPError as error:
            raise _no_answer(type(error).__name__) from error
        if response.status_code >= 500 or response.status_code == 429:
            raise _no_answer(f"HTTP {response.status_code}")
        return response


def _document(response: httpx.Response) -> dict[str, Any]:
    try:
        document: dict[str, Any] = response.json()
        return document
    except ValueError as error:
        raise _no_answer("not JSON") from error


def _key(token: str) -> str:
    # A dump of this process's caches need not hold tokens.
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def _unknown_token() -> Unauthenticated:
    return Unauthenticated(
        "The token is not known to the hub, has expired or was revoked.",
        mend="Sign in again, or make a new token on the hub's token page.",
    )


def _no_answer(why: str) -> Unavailable:
    log.warning("The hub did not answer: %s", why)
    return Unavailable(
        "The hub, which knows who you are, does not answer at the moment.",
        mend="Try again in a few seconds.",
    )
