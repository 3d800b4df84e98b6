"""How an attempt ended: ``exit.json`` and the exit status of the runner."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from enum import IntEnum
from typing import Any

from hub_ext.errors import PublicError


class ExitCode(IntEnum):
    SUCCEEDED = 0
    NOTEBOOK_FAILED = 1
    BUNDLE_REFUSED = 2
    ENVIRONMENT_FAILED = 3
    TIMED_OUT = 4
    BUG = 70
    """The runner itself failed; its log says more."""
    STOPPED = 143
    """SIGTERM: 128 + 15, as a shell reports it."""


_STATUS = {ExitCode.SUCCEEDED: "succeeded", ExitCode.STOPPED: "cancelled"}


@dataclass(frozen=True)
class Failure:
    """Where and why the notebook stopped.

    Attributes:
        cell: index in the executed notebook, from 0.
        traceback: lines as the kernel sent them, with ANSI escapes.
    """

    cell: int | None
    ename: str
    evalue: str
    traceback: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Outcome:
    """The end of an attempt.

    Attributes:
        message: one sentence for people; empty where it succeeded.
        progress: code cells that were finished, and code cells in all.
    """

    code: ExitCode
    message: str = ""
    failure: Failure | None = None
    progress: tuple[int, int] | None = None

    @property
    def status(self) -> str:
        """``succeeded``, ``failed`` or ``cancelled``."""
        return _STATUS.get(self.code, "failed")

    @classmethod
    def refused(cls, code: ExitCode, error: PublicError) -> Outcome:
        return cls(code, str(error))

    def document(self) -> dict[str, Any]:
        return {
            "exit_code": int(self.code),
            "status": self.status,
            "message": self.message,
            "failure": asdict(self.failure) if self.failure else None,
            "progress": (
                {"cell": self.progress[0], "cells": self.progress[1]} if self.progress else None
            ),
        }
