"""What the supervisor is told about a part, as plain data."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum, StrEnum
from pathlib import Path


class Stops(IntEnum):
    """When a part is stopped, relative to what the parts have started.

    What is to start nothing new goes first; then people's servers and running
    attempts, which may still be saving; then what those still need to save.
    """

    BEFORE_WORK = 0
    AFTER_WORK = 1


@dataclass(frozen=True)
class Check:
    """A part is well when this address answers.

    Attributes:
        url: asked with GET; plain http.
        statuses: HTTP statuses that mean "well".
    """

    url: str
    statuses: frozenset[int] = frozenset({200})


@dataclass(frozen=True)
class Restarts:
    """How soon a part that ended is started again, in seconds.

    At once the first time; a part that keeps ending soon after its start is
    given longer and longer, up to ``longest``. One that ran for ``stable``
    seconds starts with a clean slate.
    """

    base: float = 0.5
    longest: float = 30.0
    stable: float = 30.0
    loop_after: int = 3

    def failures(self, before: int, ran: float) -> int:
        """How many times in a row it has ended early, this time included."""
        return 1 if ran >= self.stable else before + 1

    def delay(self, failures: int) -> float:
        """How long to wait after so many failures in a row."""
        if failures <= 1:
            return 0.0
        return min(self.base * 2.0 ** min(failures - 2, 30), self.longest)

    def looping(self, failures: int) -> bool:
        """Whether it ends so often that a person should look at it."""
        return failures >= self.loop_after


@dataclass(frozen=True)
class Part:
    """One process of the tree.

    Attributes:
        name: short, also the name of its log file.
        title: for people.
        command: what to run; holds no secret, since everybody on the machine
            can read it.
        environment: all of its environment; nothing is inherited.
        check: how to ask whether it is well.
        address: where it is, for people.
        after: parts that must be well before it is started the first time.
        stops: when it is stopped.
        stop_signal, grace: how, and for how many seconds it may take.
        restarts: how soon it is started again.
        start_limit: seconds in which it must be well after its start; a
            longer start counts as failed.
        silence_limit: seconds without an answer after which a part that runs
            is taken for hung, and killed.
        before: called before each start, to put away what a killed
            predecessor left; may raise OSError.
        afterwards: called when all has been stopped, to put away what it left
            in case it had to be killed; may raise OSError.
    """

    name: str
    title: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    check: Check
    address: str = ""
    cwd: Path | None = None
    after: tuple[str, ...] = ()
    stops: Stops = Stops.AFTER_WORK
    stop_signal: signal.Signals = signal.SIGTERM
    grace: float = 3.0
    restarts: Restarts = field(default_factory=Restarts)
    start_limit: float = 60.0
    silence_limit: float = 60.0
    before: Callable[[], None] | None = None
    afterwards: Callable[[], None] | None = None


class PartState(StrEnum):
    WAITING = "waiting"
    """for another part, before its first start"""
    STARTING = "starting"
    """its process runs and does not answer yet"""
    RUNNING = "running"
    """it answers"""
    SILENT = "not answering"
    """its process runs, it answered before and does not now"""
    RESTARTING = "restarting"
    """it ended and is about to be started again"""
    LOOPING = "keeps failing"
    """it ends again and again; the next try is put off"""
    STOPPING = "stopping"
    STOPPED = "stopped"


@dataclass(frozen=True)
class PartStatus:
    """What `almanac status` says of a part.

    Attributes:
        since: when it came into this state.
        restarts: how many times it was started again since ``almanac up``.
        last_end: how the last process ended, in words; empty if none has.
        retry_at: when it is started again, if that is put off.
        log: its log file.
    """

    name: str
    title: str
    state: PartState
    since: datetime
    pid: int | None
    address: str
    restarts: int
    last_end: str
    retry_at: datetime | None
    log: Path
