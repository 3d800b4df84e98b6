"""Signed requests to one bucket: sent, repeated where that is right, their faults put in words."""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote

import httpx

from hub_ext.errors import PublicError
from hub_ext.loopback import on_this_machine
from hub_ext.sigv4 import presigned_url, signed_headers
from lab_extension.contents.objects import s3xml
from lab_extension.contents.objects.credentials import CredentialsProvider
from lab_extension.contents.objects.faults import (
    BadName,
    Refused,
    StoreDown,
    Where,
    from_answer,
    show,
)
from lab_extension.contents.objects.patience import patiently, seconds_of
from lab_extension.contents.objects.trust import Trust

TIMEOUT = httpx.Timeout(30, connect=3)
"""Of silence, not of the whole."""
SLOW = httpx.Timeout(300, connect=3)
"""For what the store works on before it answers: copies, and the end of an upload."""
CONNECTIONS = httpx.Limits(max_connections=32, max_keepalive_connections=16)
_ERROR = re.compile(rb"\s*(<\?xml[^>]*\?>)?\s*<Error[\s>]")
_PIECE = 256 * 1024
_EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@dataclass(frozen=True)
class Signing:
    """How requests are signed; ``credentials`` None signs nothing."""

    region: str
    credentials: CredentialsProvider | None


class S3Client:
    """Asks for whole keys of one bucket, in the path style that every store understands.

    Every method raises the faults of `faults.from_answer`.
    """

    def __init__(self, where: Where, signing: Signing, trust: Trust | None = None):
        self.where = where
        self._signing = signing
        self._trust = trust or Trust()
        self._client: httpx.AsyncClient | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def url(self, key: str, query: Mapping[str, str] | None = None) -> str:
        """The address of a key, or of the bucket, encoded as it goes over the wire.

        Raises:
            BadName: a segment of dots, which every HTTP library resolves: another
                object would be asked for.
        """
        if any(segment in (".", "..") for segment in key.split("/")):
            raise BadName(
                f"The object {show(key)} cannot be asked for: its name holds a segment of dots.",
                mend="Rename it with a command-line client of the object store.",
            )
        address = f"{self.where.endpoint}/{quote(self.where.bucket, safe='')}"
        if key:
            address += f"/{quote(key, safe='/-_.~')}"
        if query:
            pairs = sorted((_quoted(name), _quoted(value)) for name, value in query.items())
            address += "?" + "&".join(f"{name}={value}" for name, value in pairs)
        return address

    async def send(
        self,
        method: str,
        key: str = "",
        query: Mapping[str, str] | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | memoryview = b"",
        payload_hash: str | None = None,
        harmless: bool = True,
        slow: bool = False,
        renew: bool = True,
    ) -> httpx.Response:
        """Send a request and read its answer, which is a success.

        Args:
            key: whole; empty for the bucket itself.
            payload_hash: SHA-256 of the body in hex; computed here where it is None.
            harmless: sending it twice is as good as once.
            slow: the store may think for minutes before it answers.
            renew: fetch other keys where it refuses those as ended.
        """
        url = self.url(key, query)
        digest = _EMPTY if not body else payload_hash

        async def attempt() -> httpx.Response:
            return await self._attempt(method, key, url, headers or {}, body, digest, slow)

        try:
            return await patiently(attempt, harmless=harmless)
        except Refused as fault:
            if not (renew and fault.stale) or self._signing.credentials is None:
                raise
            self._signing.credentials.forget()
            return await patiently(attempt, harmless=harmless)

    async def _attempt(
        self,
        method: str,
        key: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | memoryview,
        payload_hash: str | None,
        slow: bool,
    ) -> httpx.Response:
        sent = dict(headers)
        if self._signing.credentials is not None:
            keys = await self._signing.credentials.keys()
            sent = signed_headers(
                method,
                url,
                bytes(body) if payload_hash is None else b"",
                region=self._signing.region,
                service="s3",
                headers=headers,
                payload_hash=payload_hash,
                access_key=keys.access_key,
                secret_key=keys.secret_key,
                session_token=keys.session_token,
            )
        if body:
            sent["content-length"] = str(len(body))
        try:
            answer = await self._connection().request(
                method,
                url,
                headers=sent,
                content=_pieces(body) if len(body) > _PIECE else bytes(body),
                timeout=SLOW if slow else TIMEOUT,
            )
        except httpx.HTTPError as error:
            raise self._silent(error) from error
        except httpx.InvalidURL as error:
            raise self.where.no_store() from error
        if answer.is_success and not _error_inside(answer):
            return answer
        raise self.fault_of(key, answer)

    def fault_of(self, key: str, answer: httpx.Response) -> PublicError:
        code, message = s3xml.fault(answer.content)
        # A copy or the end of an upload may fail after its "200 OK" has gone out.
        status = 500 if answer.is_success else answer.status_code
        after = seconds_of(answer.headers.get("retry-after"))
        return from_answer(self.where, key, status, code, message, after)

    def _silent(self, error: httpx.HTTPError) -> StoreDown:
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, socket.gaierror):
                return self.where.nowhere()
            if isinstance(cause, ssl.SSLCertVerificationError):
                return self.where.untrusted()
            cause = cause.__cause__ or cause.__context__
        if isinstance(error, httpx.UnsupportedProtocol):
            return self.where.no_store()
        unsent = isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout))
        return self.where.silent(untouched=unsent)

    async def presign(self, key: str, seconds: int, query: Mapping[str, str], at: str = "") -> str:
        """An address that reads ``key`` for so long, as long as the keys themselves are good.

        Args:
            at: the endpoint by which others reach the store; ours where it is empty.
        """
        url = self.url(key, query)
        if at:
            url = at.rstrip("/") + url[len(self.where.endpoint) :]
        if self._signing.credentials is None:
            return url
        keys = await self._signing.credentials.keys()
        return presigned_url(
            "GET",
            url,
            region=self._signing.region,
            seconds=seconds,
            access_key=keys.access_key,
            secret_key=keys.secret_key,
            session_token=keys.session_token,
        )

    async def keys_end(self) -> datetime | None:
        """When the keys now in use end; None if they do not, or there are none."""
        credentials = self._signing.credentials
        return (await credentials.keys()).expires if credentials is not None else None

    async def busy_for(self) -> float | None:
        """Seconds after which the store wants to be asked again; 0 if it answers now."""
        query = {"list-type": "2", "max-keys": "1", "prefix": "/"}
        try:
            await self._attempt("GET", "", self.url("", query), {}, b"", _EMPTY, False)
        except StoreDown as fault:
            return fault.retry_after
        except PublicError:
            pass
        return 0.0

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None and self._loop is asyncio.get_running_loop():
            await client.aclose()

    def _connection(self) -> httpx.AsyncClient:
        # Connections belong to the event loop they were opened in.
        loop = asyncio.get_running_loop()
        if self._client is None or self._loop is not loop:
            self._loop = loop
            tls = self.where.endpoint.startswith("https:")
            self._client = httpx.AsyncClient(
                verify=self._trust.context() if tls else False,
                limits=CONNECTIONS,
                timeout=TIMEOUT,
                follow_redirects=False,
                trust_env=not on_this_machine(self.where.endpoint),
            )
        return self._client


def _quoted(text: str) -> str:
    return quote(text, safe="-_.~")


def _error_inside(answer: httpx.Response) -> bool:
    return bool(_ERROR.match(answer.content[:512]))


async def _pieces(body: bytes | memoryview) -> AsyncIterator[bytes]:
    """A large body bit by bit: the event loop is never held by one long copy."""
    view = memoryview(body)
    for start in range(0, len(view), _PIECE):
        yield bytes(view[start : start + _PIECE])
