"""Where the keys come from: given, in the environment, or handed out for a while.

One provider serves obstore and our own signed requests alike. Keys are in no
`repr`, no message and no log.
"""

from __future__ import annotations

import asyncio
import configparser
import ipaddress
import logging
import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import httpx

from hub_ext.loopback import on_this_machine
from lab_extension.contents.objects.faults import Refused, StoreDown

TIMEOUT = httpx.Timeout(10, connect=3)
RENEW_BEFORE = timedelta(minutes=5)
"""So long before keys end, new ones are fetched; at most half of the time they were given for."""
NO_KEYS_MEND = (
    "Set access_key_id and secret_access_key, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in "
    "the environment of the server; or anonymous, if the bucket is open to everybody."
)
_ECS = "http://169.254.170.2"
# Where the AWS libraries fetch keys over http: loopback, and what Amazon's own agents answer at.
_AGENTS = (ipaddress.ip_address("169.254.170.2"), ipaddress.ip_address("169.254.170.23"))

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Keys:
    """What a request is signed with; good until ``expires`` (UTC), or for good if that is None."""

    access_key: str
    secret_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)
    expires: datetime | None = None


class CredentialsProvider(Protocol):
    async def keys(self) -> Keys:
        """Keys that are good for some time yet; fetched anew where they are not.

        Raises:
            Refused, StoreDown: there are none to be had, and why.
        """

    def forget(self) -> None:
        """The store refused the keys: fetch others, if there may be any, at the next call."""


class StaticKeys:
    """Keys that were given and do not change."""

    def __init__(self, access_key: str, secret_key: str, session_token: str | None = None):
        self._keys = Keys(access_key, secret_key, session_token or None)

    async def keys(self) -> Keys:
        return self._keys

    def forget(self) -> None:
        pass


class RenewedKeys(ABC):
    """Keys that are good for a while: fetched when some are needed, and again before they end.

    One caller at a time fetches. While there are no new ones to be had, keys
    that are still good stay in use.
    """

    def __init__(self) -> None:
        self._keys: Keys | None = None
        self._fetched = datetime.min.replace(tzinfo=UTC)
        self._lock = asyncio.Lock()

    @abstractmethod
    async def fetch(self) -> Keys:
        """Raises Refused, StoreDown."""

    async def keys(self) -> Keys:
        if self._keys is not None and self._fresh(self._keys):
            return self._keys
        async with self._lock:  # whoever waited finds them renewed
            if self._keys is None or not self._fresh(self._keys):
                self._keys = await self._renewed()
            return self._keys

    def forget(self) -> None:
        self._keys = None

    def _fresh(self, keys: Keys) -> bool:
        if keys.expires is None:
            return True
        ahead = min(RENEW_BEFORE, (keys.expires - self._fetched) / 2)
        return datetime.now(UTC) < keys.expires - ahead

    async def _renewed(self) -> Keys:
        try:
            keys = await self.fetch()
        except (Refused, StoreDown) as fault:
            old = self._keys
            if old is None or old.expires is None or datetime.now(UTC) >= old.expires:
                raise
            log.warning("%s Those in use are good until %s.", fault.message, old.expires)
            return old
        self._fetched = datetime.now(UTC)
        return keys


class ContainerKeys(RenewedKeys):
    """Keys from the container-credentials endpoint of the AWS libraries.

    Args:
        url: ``AWS_CONTAINER_CREDENTIALS_FULL_URI``.
        token_file: its content goes into the Authorization header; read each
            time, as it may be renewed.
        token: the same, given; for want of a file.
    """

    def __init__(self, url: str, *, token_file: Path | None = None, token: str = ""):
        super().__init__()
        self._url = url
        self._token_file = token_file
        self._token = token

    def __repr__(self) -> str:
        return f"ContainerKeys({self._url!r})"

    async def fetch(self) -> Keys:
        _trusted(self._url)
        headers = {"Accept": "application/json"}
        token = await asyncio.to_thread(self._read_token)
        if token:
            headers["Authorization"] = token
        answer = await ask("GET", self._url, headers=headers)
        return parsed(answer, self._url)

    def _read_token(self) -> str:
        return read_token(self._token_file) if self._token_file is not None else self._token


class NoKeys:
    """There are none, which is said when the first are needed."""

    async def keys(self) -> Keys:
        raise Refused("This server has no access key for object storage.", mend=NO_KEYS_MEND)

    def forget(self) -> None:
        pass


def from_environment(environment: Mapping[str, str] = os.environ) -> CredentialsProvider:
    """Keys as the AWS libraries find them, in their order.

    Variables, a role by a token file (web identity), the shared file, the
    container's endpoint, the role of the machine. Nothing is fetched or refused
    here; the first request does.
    """
    access, secret = environment.get("AWS_ACCESS_KEY_ID"), environment.get("AWS_SECRET_ACCESS_KEY")
    if access and secret:
        return StaticKeys(access, secret, environment.get("AWS_SESSION_TOKEN"))
    from lab_extension.contents.objects import roles

    if web := roles.web_identity(environment):
        return web
    if shared := _from_shared_file(environment):
        return shared
    url = environment.get("AWS_CONTAINER_CREDENTIALS_FULL_URI", "")
    if relative := environment.get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"):
        url = _ECS + relative
    if url:
        name = environment.get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")
        return ContainerKeys(
            url,
            token_file=Path(name) if name else None,
            token=environment.get("AWS_CONTAINER_AUTHORIZATION_TOKEN", ""),
        )
    return roles.instance(environment) or NoKeys()


def _from_shared_file(environment: Mapping[str, str]) -> CredentialsProvider | None:
    named = environment.get("AWS_SHARED_CREDENTIALS_FILE")
    path = Path(named) if named else Path(environment.get("HOME", "/")) / ".aws" / "credentials"
    parser = configparser.RawConfigParser()
    try:
        parser.read(path)
        section = parser[environment.get("AWS_PROFILE") or "default"]
        return StaticKeys(
            section["aws_access_key_id"],
            section["aws_secret_access_key"],
            section.get("aws_session_token"),
        )
    except KeyError:
        return None
    except (configparser.Error, OSError, UnicodeDecodeError) as error:
        # The parser's own words would quote the line.
        log.warning("%s cannot be read (%s).", path, type(error).__name__)
        return None


def _trusted(url: str) -> None:
    """A token goes there: as the AWS libraries have it, over TLS or to this machine alone."""
    parts = urlsplit(url)
    if parts.scheme == "https" or on_this_machine(url):
        return
    try:
        if parts.scheme == "http" and ipaddress.ip_address(parts.hostname or "") in _AGENTS:
            return
    except ValueError:
        pass
    raise Refused(
        f"Credentials for object storage are not fetched from {_shown(url)}: it is neither "
        "https nor this machine.",
        mend="Who runs this platform can correct AWS_CONTAINER_CREDENTIALS_FULL_URI.",
    )


def _shown(url: str) -> str:
    """Without a query or a user's name, which may hold a secret."""
    parts = urlsplit(url)
    return parts._replace(query="", fragment="", netloc=parts.netloc.rpartition("@")[2]).geturl()


async def ask(
    method: str, url: str, *, headers: Mapping[str, str], body: bytes = b"", direct: bool = True
) -> httpx.Response:
    """Ask whoever hands out keys; the answer is a success.

    Args:
        direct: past the proxies of the environment.

    Raises:
        Refused, StoreDown
    """
    try:
        async with httpx.AsyncClient(timeout=TIMEOUT, trust_env=not direct) as client:
            answer = await client.request(method, url, headers=headers, content=body)
    except httpx.HTTPError as error:
        raise StoreDown(
            f"Nothing answers at {_shown(url)}, which hands out the credentials for object "
            "storage.",
            mend="It may be restarting: try again in a moment. If that does not help, restart "
            "your server.",
            untouched=True,
        ) from error
    if answer.status_code >= 500 or answer.status_code == 429:
        raise StoreDown(
            f"{_shown(url)} has no credentials for object storage at the moment "
            f"({answer.status_code}).",
            mend="Try again in a moment; if it stays so, tell who runs this platform.",
            untouched=True,
            busy=True,
        )
    if answer.status_code != 200:
        raise Refused(
            f"{_shown(url)} gives this server no credentials for object storage "
            f"({answer.status_code}).",
            mend="Restart your server. If that does not help, tell who runs this platform.",
        )
    return answer


def read_token(path: Path) -> str:
    """Blocks.

    Raises:
        Refused: there is none.
    """
    try:
        token = path.read_text().strip()
    except OSError as error:
        raise Refused(
            f"The file with the token for object storage cannot be read: {error.strerror} "
            f"({path}).",
            mend="Restart your server: it writes the file when it starts.",
        ) from error
    if "\n" in token or "\r" in token:
        raise Refused(f"{path} does not hold a token of one line.", mend="Restart your server.")
    return token


def parsed(answer: httpx.Response, url: str) -> Keys:
    """The keys in the document that the container and the machine's endpoint answer with.

    Raises:
        Refused: there are none.
    """
    try:
        document: Any = answer.json()
        return keys_of(
            document["AccessKeyId"],
            document["SecretAccessKey"],
            document.get("Token"),
            document.get("Expiration"),
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        # Not chained: the answer may hold half of a key.
        raise not_keys(url) from None


def not_keys(url: str) -> Refused:
    return Refused(
        f"What {_shown(url)} answers are no credentials.",
        mend="Who runs this platform can look at what it is.",
    )


def keys_of(access: Any, secret: Any, token: Any, expires: Any) -> Keys:
    """Raises ValueError, TypeError."""
    if not access or not secret:
        raise ValueError("empty")
    end = datetime.fromisoformat(expires).astimezone(UTC) if expires else None
    return Keys(str(access), str(secret), token or None, end)
