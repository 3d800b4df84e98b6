"""Keys for one project's prefix, from the job service, for the server itself."""

from __future__ import annotations

from datetime import UTC, datetime

from hub_ext.errors import PublicError, Unavailable
from lab_extension.contents.objects.credentials import Keys, RenewedKeys
from lab_extension.contents.objects.faults import Refused, StoreDown
from lab_extension.contents.roots.places import Service


class GrantedKeys(RenewedKeys):
    """Asked for with the server's own token, wherever the job service is.

    Keys of one project each, and not of all at once: a policy of the store
    holds some 15 prefixes, and somebody may be in more projects than that.

    Args:
        project: the project's slug.
    """

    def __init__(self, service: Service, project: str):
        super().__init__()
        self._service = service
        self._project = project

    def __repr__(self) -> str:
        return f"GrantedKeys({self._project!r})"

    async def fetch(self) -> Keys:
        try:
            document = await self._service.get("credentials", project=self._project)
        except Unavailable as error:
            raise StoreDown(error.message, mend=error.mend) from error
        except PublicError as error:
            raise Refused(error.message, mend=error.mend) from error
        return Keys(
            document["AccessKeyId"],
            document["SecretAccessKey"],
            document.get("Token") or None,
            datetime.fromisoformat(document["Expiration"]).astimezone(UTC),
        )
