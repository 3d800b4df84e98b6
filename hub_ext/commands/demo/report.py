"""What the demo did, step by step, and why it stopped if it did."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hub_ext.errors import PublicError


@dataclass
class Step:
    """One step. ``started`` and ``finished`` are seconds since the demo began."""

    title: str
    started: float
    finished: float = 0.0
    outcome: str = ""
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        return self.finished - self.started


@dataclass(frozen=True)
class Failure:
    """The step that failed, why, and the last lines of the logs that tell more."""

    step: str
    message: str
    mend: str = ""
    logs: dict[str, list[str]] = field(default_factory=dict)


@dataclass
class Report:
    steps: list[Step] = field(default_factory=list)
    seconds: float = 0.0
    failure: Failure | None = None
    kept: Path | None = None

    def as_json(self) -> dict[str, Any]:
        """The report as one JSON object; times in seconds."""
        return {
            "ok": self.failure is None,
            "seconds": round(self.seconds, 2),
            "steps": [
                {
                    "title": step.title,
                    "started": round(step.started, 2),
                    "finished": round(step.finished, 2),
                    "outcome": step.outcome,
                    **({"facts": step.facts} if step.facts else {}),
                }
                for step in self.steps
            ],
            "failure": None
            if self.failure is None
            else {
                "step": self.failure.step,
                "message": self.failure.message,
                "mend": self.failure.mend,
                "logs": self.failure.logs,
            },
            "kept": str(self.kept) if self.kept else None,
        }


class DemoFailed(PublicError):
    """A step did not come to what it should have."""

    code, status = "demo-failed", 500

    def __init__(self, message: str, *, mend: str = "", lines: list[str] | None = None):
        super().__init__(message, mend=mend)
        self.lines = lines or []


class Clock:
    """Seconds since the demo began, and how many are left of those it may take."""

    def __init__(self, limit: float, now: Callable[[], float] = time.monotonic):
        self._now = now
        self._start = now()
        self._limit = limit

    def elapsed(self) -> float:
        return self._now() - self._start

    def left(self) -> float:
        return max(0.0, self._limit - self.elapsed())

    def wait(
        self, look: Callable[[], Any], *, what: str, every: float = 0.3, at_most: float = 1e9
    ) -> Any:
        """The first true result of ``look``.

        Args:
            what: what is waited for, for the message.
            every: seconds between two looks.
            at_most: seconds, where that is less than what is left of all.

        Raises:
            DemoFailed: it did not come in time.
        """
        began = self.elapsed()
        while True:
            if found := look():
                return found
            if self.elapsed() - began >= at_most or self.left() <= 0:
                raise DemoFailed(f"{what} did not happen within {self.elapsed() - began:.0f} s.")
            time.sleep(every)


class Recorder:
    """Records steps as they are done."""

    def __init__(
        self,
        clock: Clock,
        *,
        doing: Callable[[str], None],
        done: Callable[[Step], None],
    ):
        self.report = Report()
        self.clock = clock
        self.current = ""
        self._doing = doing
        self._done = done

    @contextmanager
    def step(self, title: str) -> Iterator[Step]:
        """A step; its ``outcome`` is to be set inside. One that raises is not recorded."""
        self.current = title
        step = Step(title, started=self.clock.elapsed())
        self._doing(title)
        yield step
        step.finished = self.clock.elapsed()
        self.report.steps.append(step)
        self._done(step)

    def say(self, text: str) -> None:
        """How far the current step is."""
        self._doing(f"{self.current}: {text}")
