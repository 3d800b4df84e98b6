"""How fast passwords may be tried: a delay that grows, never a lock-out.

Attempts that share a name and an address are put in a row, the later ones
farther apart, so that trying many at once gains nothing. Somebody else's
attempts from elsewhere do not touch that row: nobody can be kept out of their
account by a stranger who types their name. Pure: time is an argument.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass


@dataclass(frozen=True)
class Rule:
    """How attempts of one kind are spaced.

    Attributes:
        free: failures without a delay.
        first: delay in seconds after those; doubles with each failure.
        longest: the delay grows no farther, in seconds.
    """

    free: int
    first: float
    longest: float

    def spacing(self, failures: int) -> float:
        if failures < self.free:
            return 0.0
        return min(self.longest, self.first * 2.0 ** min(failures - self.free, 32))


BY_NAME_AND_ADDRESS = Rule(free=3, first=1, longest=10)
# Many people may sit behind one address of an institute.
BY_ADDRESS = Rule(free=30, first=0.25, longest=2)

LONGEST_WAIT = 10.0
"""Who would have to wait longer (seconds) is turned away at once instead."""
FORGOTTEN_AFTER = 900.0
"""Seconds after which failures no longer count."""
KEPT = 10_000
"""Rows kept at most; the ones that were idle longest go first."""


@dataclass
class _Row:
    failures: int = 0
    free_at: float = 0.0
    seen: float = 0.0


class Throttle:
    def __init__(self) -> None:
        self._rows: OrderedDict[Hashable, _Row] = OrderedDict()

    def reserve(self, name: str, address: str, now: float) -> float | None:
        """Take a place in the row.

        Counts as a failure until `succeeded` says otherwise, or a hundred
        attempts at once would all be the first.

        Returns:
            Seconds to wait before the password is looked at, or None when
            the row is too long and the attempt is refused unlooked at.
        """
        rows = [
            (self._row((name, address), now), BY_NAME_AND_ADDRESS),
            (self._row((address,), now), BY_ADDRESS),
        ]
        start = max([now, *(row.free_at for row, _ in rows)])
        if start - now > LONGEST_WAIT:
            return None
        for row, rule in rows:
            row.failures += 1
            row.free_at = start + rule.spacing(row.failures)
            row.seen = now
        return start - now

    def succeeded(self, name: str, address: str) -> None:
        """The password was right: the row is cleared, the address gets its point back."""
        self._rows.pop((name, address), None)
        if row := self._rows.get((address,)):
            row.failures = max(0, row.failures - 1)

    def _row(self, key: Hashable, now: float) -> _Row:
        row = self._rows.get(key)
        if row is None or now - row.seen > FORGOTTEN_AFTER:
            row = self._rows[key] = _Row(seen=now)
        self._rows.move_to_end(key)
        while len(self._rows) > KEPT:
            self._rows.popitem(last=False)
        return row
