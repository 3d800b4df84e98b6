"""The job service, as seen from a user's server: REST with the server's own token."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from hub_ext.errors import NotFound, PublicError, Unavailable

URL_VARIABLE = "ALMANAC_JOBS_URL"
TOKEN_VARIABLE = "JUPYTERHUB_API_TOKEN"  # noqa: S105

# Seconds. A bundle may be large and the line slow: reads and writes are
# bounded each, not the whole.
_TIMEOUT = httpx.Timeout(30, connect=5)
_UPLOAD_TIMEOUT = httpx.Timeout(120, connect=5)
_CHUNK = 1 << 20


class Refused(PublicError):
    """The job service said no; its problem document is passed on as it is."""

    def __init__(self, status: int, document: Mapping[str, Any]):
        super().__init__(
            str(document.get("title", "")),
            mend=str(document.get("mend", "")),
            field=document.get("field"),
        )
        self.status = status
        self.code = str(document.get("code", "refused"))
        self.document = dict(document)

    def problem(self) -> dict[str, Any]:
        return self.document


class JobService:
    """A client of ``<url>/api/v1``.

    Args:
        url: ``…/services/jobs``; empty where the server was not started by a
            hub with Almanac.
        token: the server's hub token.
    """

    def __init__(self, url: str, token: str):
        self._url = url.rstrip("/")
        self._token = token
        self._client: httpx.AsyncClient | None = None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> JobService:
        return cls(environment.get(URL_VARIABLE, ""), environment.get(TOKEN_VARIABLE, ""))

    async def get(self, path: str, **query: str) -> Any:
        """The JSON at ``path``, which is relative to ``api/v1/``."""
        return await self._json("GET", path, params=query)

    async def post(self, path: str, body: Any, *, idempotency_key: str | None = None) -> Any:
        headers = {"Idempotency-Key": idempotency_key} if idempotency_key else {}
        return await self._json("POST", path, json=body, headers=headers)

    async def upload(self, bundle: Path) -> Any:
        """Send a bundle, in pieces: it is never in memory as a whole."""
        size = (await asyncio.to_thread(bundle.stat)).st_size
        headers = {"Content-Type": "application/gzip", "Content-Length": str(size)}
        return await self._json(
            "POST", "bundles", content=_pieces(bundle), headers=headers, timeout=_UPLOAD_TIMEOUT
        )

    @asynccontextmanager
    async def forward(
        self, method: str, path: str, *, query: str = "", body: bytes = b"", content_type: str = ""
    ) -> AsyncIterator[httpx.Response]:
        """Send a request on; the answer is the service's own, whatever it is.

        Raises:
            Unavailable: there is no answer.
        """
        headers = {"Content-Type": content_type} if content_type else {}
        target = self._target(path) + (f"?{query}" if query else "")
        with _explained():
            request = self._connection().build_request(
                method, target, content=body or None, headers=self._authorised(headers)
            )
            response = await self._connection().send(request, stream=True)
        try:
            yield response
        finally:
            await response.aclose()

    async def _json(self, method: str, path: str, **options: Any) -> Any:
        options["headers"] = self._authorised(options.get("headers", {}))
        with _explained():
            response = await self._connection().request(method, self._target(path), **options)
        try:
            document = response.json()
        except ValueError:
            document = None
        if response.is_success and document is not None:
            return document
        if response.is_error and isinstance(document, dict) and "code" in document:
            raise Refused(response.status_code, document)
        # Not the service itself: the proxy in front of a service that is down.
        raise _unavailable(f"it answered {response.status_code}")

    def _target(self, path: str) -> str:
        if not self._url:
            raise Unavailable(
                "This server is not connected to a job service.",
                mend="Start it from the hub of an Almanac.",
            )
        segments = path.split("/")
        if any(segment in ("", ".", "..") for segment in segments):
            raise NotFound("There is no such thing at the job service.")
        return f"{self._url}/api/v1/" + "/".join(quote(segment, safe="") for segment in segments)

    def _authorised(self, headers: Mapping[str, str]) -> dict[str, str]:
        return {**headers, "Authorization": f"token {self._token}", "Accept": "application/json"}

    def _connection(self) -> httpx.AsyncClient:
        # Made on first use: an event loop runs then.
        if self._client is None:
            self._client = httpx.AsyncClient(timeout=_TIMEOUT, follow_redirects=False)
        return self._client


@contextmanager
def _explained() -> Iterator[None]:
    """Turns a failure of the network into words."""
    try:
        yield
    except httpx.TimeoutException as error:
        raise _unavailable("it took too long to answer") from error
    except httpx.TransportError as error:
        raise _unavailable("it does not answer") from error


def _unavailable(why: str) -> Unavailable:
    return Unavailable(
        f"The job service cannot be reached: {why}.",
        mend="It may be restarting; try again in a moment. Jobs keep their schedules meanwhile.",
    )


async def _pieces(path: Path) -> AsyncIterator[bytes]:
    with path.open("rb") as file:
        while piece := await asyncio.to_thread(file.read, _CHUNK):
            yield piece
