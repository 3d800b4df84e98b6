"""A few threads for slow work; work of one name never runs twice at the same time."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable

log = logging.getLogger("almanac.jobs")


class Workers:
    """Daemon threads: a transfer that hangs never keeps the process from ending.

    (`concurrent.futures` waits for its threads at exit.)
    """

    def __init__(self, count: int, *, name: str):
        self._state = threading.Condition()
        self._queue: deque[tuple[str, Callable[[], None]]] = deque()
        self._names: set[str] = set()
        self._closed = False
        self._threads = [
            threading.Thread(target=self._work, name=f"{name}-{i}", daemon=True)
            for i in range(count)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, name: str, task: Callable[[], None]) -> bool:
        """Do the task soon; False, and nothing, while one of this name is under way."""
        with self._state:
            if self._closed or name in self._names:
                return False
            self._names.add(name)
            self._queue.append((name, task))
            self._state.notify()
            return True

    def busy(self) -> frozenset[str]:
        """The names of what waits or is being done."""
        with self._state:
            return frozenset(self._names)

    def idle(self, timeout: float) -> bool:
        """Wait until nothing is left to do; False where it took longer."""
        with self._state:
            return self._state.wait_for(lambda: not self._names, timeout)

    def close(self, timeout: float) -> None:
        """Begin nothing more; wait a moment for what is being done."""
        with self._state:
            self._closed = True
            for name, _ in self._queue:
                self._names.discard(name)
            self._queue.clear()
            self._state.notify_all()
            self._state.wait_for(lambda: not self._names, timeout)

    def _work(self) -> None:
        while True:
            with self._state:
                self._state.wait_for(lambda: self._queue or self._closed)
                if self._closed:
                    return
                name, task = self._queue.popleft()
            try:
                task()
            except Exception:
                log.exception("work.failed %s", name)
            finally:
                with self._state:
                    self._names.discard(name)
                    self._state.notify_all()
