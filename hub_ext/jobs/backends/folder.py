"""The folder of one attempt: the names in it, and how its runner says that it ended.

The notebook's code runs under the same account and can write there: what is
read is bounded, checked, and never followed anywhere else.
"""

from __future__ import annotations

import json
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hub_ext.jobs.schemas import Failure, Progress

ATTEMPT, BUNDLE, TOKEN = "attempt.json", "bundle.tar.gz", "run-token"
RUNNER, EXIT, EVENTS, LOG, RESULTS = (
    "runner.json",
    "exit.json",
    "events.jsonl",
    "runner.log",
    "results",
)

LARGEST_EXIT = 16 << 20
LONGEST_TEXT = 10_000
LONGEST_TRACEBACK = 300
"""Lines kept of a traceback: the newest, where the error is."""


class _Exit(BaseModel):
    model_config = ConfigDict(extra="ignore")

    exit_code: int = Field(ge=0, le=255)
    message: str = ""
    failure: Any = None
    progress: Any = None


@dataclass(frozen=True)
class Exit:
    """How a runner says that it ended; the truth about an attempt.

    Attributes:
        exit_code: 0 succeeded, 1 notebook failed, 2 bundle refused, 3 no
            environment, 4 timed out, 143 stopped.
    """

    exit_code: int
    message: str = ""
    failure: dict[str, Any] | None = field(default=None, repr=False)
    progress: dict[str, Any] | None = None


def read_exit(folder: Path) -> Exit | None:
    """``exit.json`` of the attempt; None where there is none that can be read."""
    try:
        descriptor = os.open(folder / EXIT, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return None
            found = _Exit.model_validate(_storable(json.loads(file.read(LARGEST_EXIT))))
    except (OSError, ValueError, RecursionError):
        return None
    return Exit(
        exit_code=found.exit_code,
        message=found.message[:LONGEST_TEXT],
        failure=_failure(found.failure),
        progress=_progress(found.progress),
    )


def _failure(found: Any) -> dict[str, Any] | None:
    if not isinstance(found, dict):
        return None
    known = {name: value for name, value in found.items() if name in _FAILURE}
    try:
        failure = Failure.model_validate(known)
    except ValidationError:
        return None
    lines = [line[:LONGEST_TEXT] for line in failure.traceback[-LONGEST_TRACEBACK:]]
    return Failure(
        cell=failure.cell,
        ename=failure.ename[:LONGEST_TEXT],
        evalue=failure.evalue[:LONGEST_TEXT],
        traceback=lines,
    ).model_dump()


def _progress(found: Any) -> dict[str, Any] | None:
    try:
        return Progress.model_validate(found).model_dump() if found else None
    except ValidationError:
        return None


_FAILURE = frozenset(Failure.model_fields)


def _storable(value: Any) -> Any:
    """Without what no database takes in a text: lone surrogates and NUL."""
    if isinstance(value, str):
        return value.encode(errors="replace").decode(errors="replace").replace("\0", "\ufffd")
    if isinstance(value, list):
        return [_storable(item) for item in value]
    if isinstance(value, dict):
        return {name: _storable(item) for name, item in value.items()}
    return value
