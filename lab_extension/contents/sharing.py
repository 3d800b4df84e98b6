"""Share links: who may make them, for how long, and how long they really hold.

A presigned address dies with the keys that signed it. A server's own keys live
for minutes on a store that hands out sessions, so the job service is asked
first: it signs with the platform's key, and says what the platform allows.
Where it does not, only such durations are offered as the server's keys hold.
"""

from __future__ import annotations

import ipaddress
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from traitlets import Bool, Integer, List, default
from traitlets.config import Configurable

from hub_ext.errors import Forbidden, Invalid, PublicError, Unavailable
from lab_extension.service import JobService

LONGEST_VARIABLE = "ALMANAC_SHARE_SECONDS"
WEEK = 7 * 24 * 3600
"""Seconds. S3 signs for no longer than this."""
SHORTEST = 60
"""Seconds. Less is over before the address has reached anybody."""
# Kept back of what the keys have left: for the way to the store, and for clocks.
_MARGIN = timedelta(seconds=15)
_REMEMBER = 300.0


class SharingOff(Forbidden):
    code = "sharing-off"


@dataclass(frozen=True)
class Offer:
    """What may be chosen.

    Attributes:
        choices: seconds, ascending; empty where nothing is allowed.
        default: one of the choices; None where there are none.
        note: a sentence for the person who shares; empty where there is nothing to say.
    """

    allowed: bool
    choices: list[int]
    default: int | None
    note: str = ""

    def document(self) -> dict[str, Any]:
        return {
            "allowed": self.allowed,
            "choices": self.choices,
            "default": self.default,
            "note": self.note,
        }


@dataclass(frozen=True)
class Link:
    """An address, and when it ends (UTC)."""

    url: str
    expires: datetime


class Sharing(Configurable):  # type: ignore[misc]
    """Links under which anybody who has them may read one file.

    Example::

        c.Sharing.allowed = False
        c.Sharing.longest = 24 * 3600
    """

    allowed = Bool(
        help=f"""Whether people may make share links at all.

        By default they may, unless the environment variable {LONGEST_VARIABLE} is 0.
        """,
    ).tag(config=True)

    longest = Integer(
        help=f"""How long a share link may hold at most, in seconds; at most 7 days.

        By default what the environment variable {LONGEST_VARIABLE} says, else 7 days.
        """,
    ).tag(config=True)

    choices = List(
        Integer(min=SHORTEST),
        [300, 900, 3600, 24 * 3600, WEEK],
        help="""The durations that people choose from, in seconds.

        Those that are longer than allowed, or than a link can hold, are left out.
        """,
    ).tag(config=True)

    @default("longest")  # type: ignore[untyped-decorator]
    def _longest_from_environment(self) -> int:
        text = os.environ.get(LONGEST_VARIABLE, "")
        return min(int(text), WEEK) if text.isdecimal() else WEEK

    @default("allowed")  # type: ignore[untyped-decorator]
    def _allowed_by_environment(self) -> bool:
        return bool(self.longest)

    def __init__(self, jobs: JobService | None = None, **options: Any):
        super().__init__(**options)
        self._jobs = jobs
        self._platform: tuple[float, dict[str, Any] | None] | None = None

    async def offer(self, store: Any) -> Offer:
        """What can be chosen for a file of ``store`` now."""
        limit, _ = await self._limit(store)
        if limit is None:
            return Offer(False, [], None, "Share links are switched off here.")
        choices = offered(self.choices, limit)
        return Offer(True, choices, min(choices, key=_from_a_day), on_one_machine(store.endpoint))

    async def link(self, store: Any, key: str, seconds: int, version: str | None = None) -> Link:
        """An address for so long, or for as long as the keys live if that is less.

        Raises:
            SharingOff: they are not allowed.
            Invalid: longer than allowed, or shorter than makes sense.
        """
        limit, platform = await self._limit(store)
        if limit is None:
            raise SharingOff(
                "Share links are switched off here.",
                mend="Ask whoever runs this platform, or copy the file into a project you share.",
            )
        # What keys cannot hold is cut short; what is not allowed is refused.
        longest = limit if platform else min(self.longest, WEEK)
        if not min(SHORTEST, limit) <= seconds <= longest:
            raise Invalid(
                f"A share link holds from {SHORTEST} to {longest} seconds, not {seconds}.",
                mend="Choose another duration.",
                field="seconds",
            )
        if platform:
            made = await self._signed_by_platform(store.uri(key), seconds, version)
            if made is not None:
                return made
        return await self._signed_here(store, key, seconds, version)

    async def _limit(self, store: Any) -> tuple[int | None, bool]:
        """The most seconds a link can hold, None for no links; whether the platform signs."""
        if not self.allowed:
            return None, False
        longest = min(self.longest, WEEK)
        if (platform := await self._ask_platform()) is not None:
            limit = min(longest, int(platform.get("longest", 0)))
            allowed = platform.get("allowed") and limit >= SHORTEST
            return (limit if allowed else None), True
        return int(min(longest, (await _left(store)).total_seconds())), False

    async def _ask_platform(self) -> dict[str, Any] | None:
        """What the job service says of links; None where it makes none."""
        if self._jobs is None:
            return None
        now = time.monotonic()
        if self._platform is None or now - self._platform[0] > _REMEMBER:
            try:
                answer = await self._jobs.get("share")
            except Unavailable:
                # For now: it is asked again the next time.
                return None
            except PublicError:
                answer = None
            self._platform = (now, answer if isinstance(answer, dict) else None)
        return self._platform[1]

    async def _signed_by_platform(self, uri: str, seconds: int, version: str | None) -> Link | None:
        assert self._jobs is not None
        wanted = {"uri": uri, "seconds": seconds, "version": version}
        try:
            answer = await self._jobs.post("share", wanted)
        except Unavailable:
            return None
        return Link(str(answer["url"]), datetime.fromisoformat(answer["expires"]))

    async def _signed_here(self, store: Any, key: str, seconds: int, version: str | None) -> Link:
        left = await _left(store)
        seconds = int(min(seconds, left.total_seconds()))
        now = datetime.now(UTC)
        return Link(
            await store.presign(key, seconds, version=version), now + timedelta(seconds=seconds)
        )


def offered(choices: Sequence[int], limit: int) -> list[int]:
    """Those of the choices that can hold, ascending; the limit itself where none can."""
    return sorted({choice for choice in choices if SHORTEST <= choice <= limit}) or [limit]


def _from_a_day(seconds: int) -> int:
    return abs(seconds - 24 * 3600)


async def _left(store: Any) -> timedelta:
    """How long the store's keys are good yet."""
    expires: datetime | None = await store.keys_expire()
    if expires is None:
        return timedelta(seconds=WEEK)
    return max(expires - datetime.now(UTC) - _MARGIN, timedelta(seconds=1))


def on_one_machine(endpoint: str) -> str:
    """What to say of links to a store that other machines cannot reach; empty for any other."""
    host = urlsplit(endpoint).hostname or ""
    try:
        local = ipaddress.ip_address(host).is_loopback
    except ValueError:
        local = host == "localhost" or host.endswith(".localhost")
    if not local:
        return ""
    return (
        f"The object store listens on {host}: the link works in a browser on this machine, "
        "and not elsewhere."
    )
