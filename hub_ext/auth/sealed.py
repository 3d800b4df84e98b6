"""What the browser keeps for us: sealed, so that it can neither be read nor changed.

Values are Fernet tokens (AES and HMAC, with the time of sealing inside). Each
kind has a key of its own, derived from the service's, so that a value made for
one purpose is refused for another. Pure apart from the clock and randomness.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from dataclasses import asdict, dataclass
from typing import Any

from cryptography.fernet import Fernet, InvalidToken


@dataclass(frozen=True)
class Session:
    """A browser signed in: the hub's token for it, and what its XSRF token is made from."""

    token: str
    id: str

    @classmethod
    def new(cls, token: str) -> Session:
        return cls(token=token, id=secrets.token_urlsafe(18))


@dataclass(frozen=True)
class Attempt:
    """A sign-in under way, one for each tab; kept in a cookie of its own.

    Attributes:
        id: names the cookie and is repeated in the state.
        verifier: the secret half of PKCE.
    """

    id: str
    verifier: str

    @classmethod
    def new(cls) -> Attempt:
        return cls(id=secrets.token_hex(8), verifier=secrets.token_urlsafe(48))

    @property
    def challenge(self) -> str:
        """The public half of PKCE, method S256 (RFC 7636, section 4.2)."""
        digest = hashlib.sha256(self.verifier.encode()).digest()
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


@dataclass(frozen=True)
class State:
    """What goes to the hub and back in the URL: no secret.

    Attributes:
        attempt: the id of the `Attempt`.
        next: where the browser wanted to go.
        again: how often this sign-in was begun anew because its cookie was
            gone; a browser without cookies would otherwise go round for ever.
    """

    attempt: str
    next: str
    again: int = 0


class Seals:
    """Seals and opens the values above with keys derived from ``key``.

    ``open_…`` return None for whatever was not sealed here, is too old
    (seconds), or was tampered with.
    """

    def __init__(self, key: str | bytes):
        self._key = key.encode() if isinstance(key, str) else key
        if len(self._key) < 32:
            raise ValueError("the cookie key needs at least 32 characters")
        self._sessions = Fernet(self._derived("session"))
        self._attempts = Fernet(self._derived("attempt"))
        self._states = Fernet(self._derived("state"))

    @property
    def fingerprint(self) -> str:
        """Short name of the key: cookies are shared by all ports of a host, and
        two Almanacs there must not overwrite each other's."""
        return hmac.new(self._key, b"fingerprint", hashlib.sha256).hexdigest()[:8]

    def seal_session(self, session: Session) -> str:
        return _seal(self._sessions, asdict(session))

    def open_session(self, value: str | None, *, max_age: int) -> Session | None:
        data = _open(self._sessions, value, max_age)
        return None if data is None else Session(**data)

    def seal_attempt(self, attempt: Attempt) -> str:
        return _seal(self._attempts, asdict(attempt))

    def open_attempt(self, value: str | None, *, max_age: int) -> Attempt | None:
        data = _open(self._attempts, value, max_age)
        return None if data is None else Attempt(**data)

    def seal_state(self, state: State) -> str:
        return _seal(self._states, asdict(state))

    def open_state(self, value: str | None, *, max_age: int) -> State | None:
        data = _open(self._states, value, max_age)
        return None if data is None else State(**data)

    def xsrf_token(self, session: Session) -> str:
        """What a page of this session must send with a write; bound to the session."""
        mac = hmac.new(self._derived("xsrf"), session.id.encode(), hashlib.sha256)
        return base64.urlsafe_b64encode(mac.digest()).rstrip(b"=").decode()

    def xsrf_matches(self, session: Session, given: str | None) -> bool:
        return bool(given) and hmac.compare_digest(
            self.xsrf_token(session).encode(), str(given).encode("utf-8", "surrogatepass")
        )

    def _derived(self, purpose: str) -> bytes:
        digest = hmac.new(self._key, f"almanac {purpose}".encode(), hashlib.sha256).digest()
        return base64.urlsafe_b64encode(digest)


def _seal(fernet: Fernet, data: dict[str, Any]) -> str:
    # Without padding: "=" in a cookie's value makes some parsers quote it.
    return fernet.encrypt(json.dumps(data).encode()).rstrip(b"=").decode()


def _open(fernet: Fernet, value: str | None, max_age: int) -> dict[str, Any] | None:
    if not value or not value.isascii():
        return None
    padded = value + "=" * (-len(value) % 4)
    try:
        data: dict[str, Any] = json.loads(fernet.decrypt(padded.encode(), ttl=max_age))
    except (InvalidToken, ValueError):
        return None
    return data
