"""Keys for one project's prefix, from the job service, for the server itself."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from lab_extension.contents.credentials import Keys
from lab_extension.contents.places import Service

AHEAD = timedelta(minutes=3)
"""How long before they end new ones are fetched."""


class GrantedKeys:
    """A `CredentialsProvider` that asks the job service with the server's own token.

    Keys of one project each, and not of all at once: a policy of the store
    holds some 15 prefixes, and somebody may be in more projects than that.

    Args:
        project: the project's slug.
    """

    def __init__(self, service: Service, project: str):
        self._service = service
        self._project = project
        self._keys: Keys | None = None
        self._lock = asyncio.Lock()

    async def keys(self) -> Keys:
        """Raises PublicError: the service does not answer, or grants none."""
        async with self._lock:
            if self._keys is None or _ends_soon(self._keys):
                document = await self._service.get("credentials", project=self._project)
                self._keys = Keys(
                    document["AccessKeyId"],
                    document["SecretAccessKey"],
                    document.get("Token") or None,
                    datetime.fromisoformat(document["Expiration"]).astimezone(UTC),
                )
            return self._keys


def _ends_soon(keys: Keys) -> bool:
    return keys.expires is not None and keys.expires - datetime.now(UTC) < AHEAD
