"""Share links: who may make them, for how long, and how long they really hold.

A presigned address dies with the keys that signed it, and a server's own keys
live for an hour at most on a store that hands out sessions. In the platform's
bucket the job service therefore signs, with the platform's key; it says what is
allowed, too, and keeps a record. In any other bucket the server's keys sign, and
only such durations are offered as they can hold.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from traitlets import Bool, Integer, List, default
from traitlets.config import Configurable

from hub_ext.errors import Forbidden, Invalid, PublicError
from lab_extension.contents.rest.platform import Platform

if TYPE_CHECKING:
    from lab_extension.contents.objects.store import Store

LONGEST_VARIABLE = "ALMANAC_SHARE_SECONDS"
WEEK = 7 * 24 * 3600
"""Seconds. S3 signs for no longer than this."""
SHORTEST = 60
"""Seconds. Less is over before the address has reached anybody."""
# Kept back of what the keys have left: for the way to the store, and for clocks.
_MARGIN = timedelta(seconds=15)


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
    """An address, and when it ends (UTC).

    Attributes:
        note: as of `Offer`.
    """

    url: str
    expires: datetime
    note: str = ""


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

    def __init__(self, platform: Platform, **options: Any):
        super().__init__(**options)
        self._platform = platform

    async def offer(self, store: Store) -> Offer:
        """What can be chosen for a file of ``store`` now."""
        try:
            limit, _ = await self._limit(store)
        except PublicError as error:
            return Offer(False, [], None, str(error))
        if limit is None:
            return Offer(False, [], None, "Share links are switched off here.")
        choices = offered(self.choices, limit)
        return Offer(True, choices, min(choices, key=_from_a_day), on_one_machine(store))

    async def link(self, store: Store, key: str, seconds: int, version: str | None = None) -> Link:
        """An address for so long, or for as long as the keys live if that is less.

        Raises:
            SharingOff: they are not allowed.
            Invalid: longer than allowed, or shorter than makes sense.
            PublicError: the platform does not answer, or refuses.
        """
        limit, by_platform = await self._limit(store)
        if limit is None:
            raise SharingOff(
                "Share links are switched off here.",
                mend="Ask whoever runs this platform, or copy the file into a project you share.",
            )
        # What keys cannot hold is cut short; what is not allowed is refused.
        longest = limit if by_platform else min(self.longest, WEEK)
        if not min(SHORTEST, limit) <= seconds <= longest:
            raise Invalid(
                f"A share link holds from {SHORTEST} to {longest} seconds, not {seconds}.",
                mend="Choose another duration.",
                field="seconds",
            )
        sign = self._signed_by_platform if by_platform else self._signed_here
        return await sign(store, key, seconds, version)

    async def _limit(self, store: Store) -> tuple[int | None, bool]:
        """The most seconds a link can hold, None for no links; whether the platform signs."""
        if not self.allowed:
            return None, False
        longest = min(self.longest, WEEK)
        if (facts := await self._platform.facts(store.bucket)) is not None:
            limit = min(longest, facts.share_seconds)
            return (limit if limit >= SHORTEST else None), True
        return int(min(longest, (await _left(store)).total_seconds())), False

    async def _signed_by_platform(
        self, store: Store, key: str, seconds: int, version: str | None
    ) -> Link:
        assert self._platform.jobs is not None
        whole = store.uri(key).removeprefix(f"s3://{store.bucket}/")
        answer = await self._platform.jobs.post(
            "share", {"key": whole, "seconds": seconds, "version": version}
        )
        note = on_one_machine(store) if answer["reach"] == "machine" else ""
        return Link(str(answer["url"]), datetime.fromisoformat(answer["expires"]), note)

    async def _signed_here(self, store: Store, key: str, seconds: int, version: str | None) -> Link:
        seconds = int(min(seconds, (await _left(store)).total_seconds()))
        expires = datetime.now(UTC) + timedelta(seconds=seconds)
        url = await store.presign(key, seconds, version=version)
        return Link(url, expires, on_one_machine(store))


def offered(choices: Sequence[int], limit: int) -> list[int]:
    """Those of the choices that can hold, ascending; the limit itself where none can."""
    return sorted({choice for choice in choices if SHORTEST <= choice <= limit}) or [limit]


def _from_a_day(seconds: int) -> int:
    return abs(seconds - 24 * 3600)


async def _left(store: Store) -> timedelta:
    """How long the store's keys are good yet."""
    expires = await store.keys_end()
    if expires is None:
        return timedelta(seconds=WEEK)
    return max(expires - datetime.now(UTC) - _MARGIN, timedelta(seconds=1))


def on_one_machine(store: Store) -> str:
    """What to say of links to a store that other machines cannot reach; empty for any other."""
    host = urlsplit(store.settings.public_url or store.endpoint).hostname or ""
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
