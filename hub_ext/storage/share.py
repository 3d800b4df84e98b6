"""Links that let anybody read one object for a while: presigned GETs.

Signed with the platform's own key, since the credentials of people end within
the hour and take their links with them. Who may have one is decided before
(`hub_ext.jobs.usecases.storage`). A link cannot be taken back before it ends,
except by removing the object.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

from hub_ext.errors import NotFound
from hub_ext.loopback import on_this_machine
from hub_ext.sigv4 import presigned_url
from hub_ext.storage.requests import Bucket

LONGEST = timedelta(days=7)
"""S3 accepts no link that is good for longer."""


class Links:
    """Makes links to objects of one bucket. Safe to share between threads.

    Args:
        endpoint: the S3 API as those reach it who open the links.
    """

    def __init__(
        self,
        endpoint: str,
        bucket: str,
        region: str,
        access_key: str,
        secret_key: str,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ):
        self._bucket = Bucket(endpoint, bucket, region, access_key, secret_key)
        self._clock = clock

    @property
    def local(self) -> bool:
        """Whether the links can be opened on this machine alone."""
        return on_this_machine(self._bucket.endpoint)

    def __call__(
        self, key: str, *, seconds: int, version: str | None = None
    ) -> tuple[str, datetime]:
        """The link, and when it ends.

        It opens as a download, whatever the object is: shown in the browser, a
        page of somebody's could act from the store's address.

        Raises:
            NotFound: there is no such object, or no such version of it.
            Unavailable: the store does not answer.
        """
        query = {"versionId": version} if version else {}
        # 405: the version is a delete marker.
        found = self._bucket.send("HEAD", key, query=query, expected=(200, 400, 404, 405))
        if found.status_code != 200:
            raise NotFound(f"There is no {'such version of' if version else 'object'} {key}.")
        name = quote(key.rpartition("/")[2], safe="")
        query["response-content-disposition"] = f"attachment; filename*=UTF-8''{name}"
        now = self._clock()
        url = presigned_url(
            "GET",
            self._bucket.url(key, query),
            access_key=self._bucket.access_key,
            secret_key=self._bucket.secret_key,
            region=self._bucket.region,
            seconds=seconds,
            now=now,
        )
        return url, now.replace(microsecond=0) + timedelta(seconds=seconds)
