"""What the platform says of object storage as a whole: asked of the job service, remembered."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hub_ext.errors import PublicError
from lab_extension.service import JobService

REMEMBER = 300.0
"""Seconds for which an answer is good."""


@dataclass(frozen=True)
class Facts:
    """What holds for every place in the platform's bucket.

    Attributes:
        share_seconds: for how long a share link may be good at most; 0 for no links.
        keep_deleted_days: for how long what was deleted can be had back; 0 for ever.
    """

    bucket: str
    share_seconds: int
    keep_deleted_days: int


class Platform:
    """Asks.

    Args:
        jobs: None where this server was not started by a hub with Almanac.
        now: a clock in seconds.
    """

    def __init__(self, jobs: JobService | None, *, now: Callable[[], float] = time.monotonic):
        self.jobs = jobs
        self._now = now
        self._heard = 0.0
        self._facts: Facts | None = None

    async def facts(self, bucket: str) -> Facts | None:
        """What it says; None where there is no platform, or ``bucket`` is not the platform's.

        Raises:
            PublicError: it does not answer now, and never has.
        """
        if self.jobs is None:
            return None
        if self._facts is None or self._now() - self._heard > REMEMBER:
            try:
                self._facts = _facts(await self.jobs.get("me"))
                self._heard = self._now()
            except PublicError:
                if self._facts is None:
                    raise
        return self._facts if self._facts and self._facts.bucket == bucket else None


def _facts(me: dict[str, Any]) -> Facts | None:
    found = me.get("storage")
    if not isinstance(found, dict):
        return None
    return Facts(str(found["bucket"]), int(found["share_seconds"]), int(found["keep_deleted_days"]))
