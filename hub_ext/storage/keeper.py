"""The storage's housekeeper: measures sizes, and sweeps what has had its time.

One thread of the job service. It keeps nothing: sizes are measured again after
a restart, and when the last sweep was is asked of the audit trail.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

from hub_ext.errors import PublicError
from hub_ext.storage import retention, usage
from hub_ext.storage.objects import ObjectStore
from hub_ext.storage.retention import Swept
from hub_ext.storage.usage import RootUsage
from hub_ext.storage.versions import Versions

MEASURE_EVERY = timedelta(minutes=5)
MOST_OF_THE_TIME = 0.05
"""Part of the time that may go into it; where there is very much to list, it is less often."""
MEASURE_AGAIN_AFTER = timedelta(seconds=20)
"""So old a size has to be before it is measured again because somebody asks."""
SWEEP_EVERY = timedelta(days=1)
RETRY_AFTER = timedelta(seconds=30)

log = logging.getLogger("almanac.storage")


class Keeper:
    """The thread.

    Args:
        objects, versions: the platform's bucket, with the platform's own key.
        keep_days: for how long what was deleted is kept; 0 for ever.
        last_sweep: when one was last finished, or None.
        record: is told of each that was finished.
        clock: gives the time now, with a time zone.
    """

    def __init__(
        self,
        objects: ObjectStore,
        versions: Versions,
        *,
        keep_days: int,
        last_sweep: Callable[[], datetime | None],
        record: Callable[[Swept], None],
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ):
        self._objects = objects
        self._versions = versions
        self._keep_days = keep_days
        self._last_sweep = last_sweep
        self._record = record
        self._clock = clock
        self._usage: Mapping[str, RootUsage] = {}
        self._again: set[str] = set()
        self._changed = threading.Condition()
        self._stopping = False
        self._thread: threading.Thread | None = None

    # -- for the service

    def start(self) -> None:
        self._thread = threading.Thread(target=self._loop, name="almanac-storage", daemon=True)
        self._thread.start()

    def stop(self, *, timeout: float = 0.5) -> None:
        """Begin nothing more; what is under way is taken up after a restart."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(timeout)

    def usage(self) -> Mapping[str, RootUsage]:
        """Sizes by prefix, as last measured; empty before the first time."""
        return self._usage

    def look_again(self, prefix: str) -> None:
        """Measure ``prefix`` soon: its owner may just have made room."""
        known = self._usage.get(prefix)
        if known is not None:
            pause = max(MEASURE_AGAIN_AFTER, known.took / MOST_OF_THE_TIME)
            if known.as_of + known.took + pause > self._clock():
                return
        with self._changed:
            self._again.add(prefix)
            self._changed.notify_all()

    # -- the thread

    def _loop(self) -> None:
        measured = False
        next_pass = self._clock()
        while not self._stopping:
            try:
                if (began := self._clock()) >= next_pass:
                    self.step()
                    measured = True
                    took = self._clock() - began
                    next_pass = self._clock() + max(MEASURE_EVERY, took / MOST_OF_THE_TIME)
                self._measure_again()
            except PublicError as error:
                # The store may be starting: no reason for a warning at each start.
                log.log(logging.WARNING if measured else logging.INFO, "storage.waits %s", error)
                next_pass = self._clock() + RETRY_AFTER
            except Exception:
                log.exception("storage.failed")
                next_pass = self._clock() + MEASURE_EVERY
            pause = max(0.1, (next_pass - self._clock()).total_seconds())
            with self._changed:
                if not (self._again or self._stopping):
                    self._changed.wait(pause)

    def step(self) -> None:
        """Measure all, and sweep where that is due."""
        found = usage.measure_all(self._objects, self._clock, stopping=lambda: self._stopping)
        if found is None:
            return
        self._usage = found
        last = self._last_sweep()
        if last is None or last <= self._clock() - SWEEP_EVERY:
            swept = retention.sweep(
                self._versions,
                now=self._clock(),
                keep_days=self._keep_days,
                stopping=lambda: self._stopping,
            )
            if swept is not None:
                self._record(swept)

    def _measure_again(self) -> None:
        with self._changed:
            prefixes, self._again = self._again, set()
        for prefix in sorted(prefixes):
            if self._stopping:
                return
            found = usage.measure(self._objects, prefix, self._clock())
            self._usage = {**self._usage, prefix: found}
