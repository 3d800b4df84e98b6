"""The contract between the job service and the places where attempts execute."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path


class AttemptStatus(StrEnum):
    """What a backend knows of an attempt. ``LOST``: started once, gone without a result."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    LOST = "lost"


@dataclass(frozen=True)
class AttemptSpec:
    """All that a backend needs to execute one attempt; plain data.

    Attributes:
        run_id: the run; with ``n`` it names the attempt everywhere.
        n: number of the attempt, from 1.
        fence: grows with every attempt of a run; only the newest may publish.
        bundle_sha256: which bundle; the backend fetches it by this name.
        parameters: resolved parameters, JSON values, in the notebook's order.
        environment: variables for the kernel (never a secret).
        run_token: opaque token of this run; handed over in a file or a
            secret, never in argv.
        timeout_seconds: after which the runner is stopped.
        cell_timeout_seconds: longest time for one cell; None for no limit.
    """

    run_id: str
    n: int
    fence: int
    bundle_sha256: str
    parameters: Mapping[str, object] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    run_token: str = field(default="", repr=False)
    timeout_seconds: int = 24 * 3600
    cell_timeout_seconds: int | None = None

    @property
    def ref(self) -> str:
        """The backend's name of the attempt; derived, so starting twice is harmless."""
        return f"{self.run_id}-{self.n}"


@dataclass(frozen=True)
class Listed:
    """One attempt as the backend sees it now.

    Attributes:
        status: see `AttemptStatus`.
        exit_code: of the runner, once it has ended and where it is known.
        message: why, in a sentence, where the status alone does not say it.
        folder: where the runner's results lie, where the service can read them.
    """

    status: AttemptStatus
    exit_code: int | None = None
    message: str = ""
    folder: Path | None = None


class Backend(ABC):
    """Where attempts execute. A new backend implements these five methods.

    All of them may be called from several threads and again after a restart
    of the service: a backend finds its attempts again by their refs and keeps
    no state in memory that it could not do without. None raises for an
    attempt that is not there.
    """

    @abstractmethod
    def start(self, attempt: AttemptSpec) -> str:
        """Start the attempt and return its ref; harmless if it was started before."""

    @abstractmethod
    def stop(self, ref: str) -> None:
        """Ask it to end (the runner saves what there is), and end it after a grace of 10 s."""

    @abstractmethod
    def list(self) -> Mapping[str, Listed]:
        """Every attempt that is known here and not yet forgotten, by ref."""

    @abstractmethod
    def logs(self, ref: str) -> str:
        """What the runner printed, newest 1 MiB; empty if there is nothing."""

    @abstractmethod
    def forget(self, ref: str) -> None:
        """Remove what is kept of an attempt that has ended and was published."""
