"""Where the keys come from: given, in the environment, or handed out for a while.

One provider serves obstore and our own signed requests alike.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True)
class Keys:
    """What a request is signed with; good until ``expires`` (UTC), or for good."""

    access_key: str
    secret_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)
    expires: datetime | None = None


class CredentialsProvider(Protocol):
    async def keys(self) -> Keys:
        """Keys that are good for some minutes yet; fetched anew where they are not.

        Raises:
            Refused, StoreDown: there are none to be had, and why.
        """


class StaticKeys:
    """Keys that were given and do not change."""

    def __init__(self, access_key: str, secret_key: str, session_token: str | None = None):
        self._keys = Keys(access_key, secret_key, session_token or None)

    async def keys(self) -> Keys:
        return self._keys


def from_environment(environment: Mapping[str, str] = os.environ) -> CredentialsProvider:
    """Keys as the AWS SDKs find them in the environment."""
    return StaticKeys(
        environment["AWS_ACCESS_KEY_ID"],
        environment["AWS_SECRET_ACCESS_KEY"],
        environment.get("AWS_SESSION_TOKEN"),
    )
