"""Backends under test: each has to keep the same contract."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

from hub_ext.errors import NotFound
from hub_ext.jobs.backends.base import AttemptSpec, Backend
from hub_ext.jobs.backends.local import LocalBackend
from hub_ext.jobs.store import new_id

FAKE_RUNNER = Path(__file__).resolve().parents[1] / "fake_runner.py"


@dataclass
class Bench:
    """A backend, and what a test needs to see of its inside.

    Attributes:
        again: makes another backend of the same kind on the same place, as
            after a restart of the service.
        folder: where an attempt writes.
        changes: counts calls of ``changed``.
    """

    backend: Backend
    again: Callable[[], Backend]
    folder: Callable[[AttemptSpec], Path]
    changes: list[int] = field(default_factory=list)
    # Of its own: a backend ends what carries the name of an attempt it stopped.
    run_id: str = field(default_factory=new_id)

    def spec(self, do: str = "succeed", n: int = 1, **members: Any) -> AttemptSpec:
        return AttemptSpec(
            **{
                "run_id": self.run_id,
                "n": n,
                "fence": n,
                "bundle_sha256": "b" * 64,
                "parameters": {"do": do},
                "environment": {"ALMANAC_PROJECT": "prices"},
                "run_token": "almrun_secret",
                **members,
            }
        )


def until(condition: Callable[[], Any], seconds: float = 15.0) -> Any:
    """Wait for a condition, and fail where it does not come."""
    pause = threading.Event()
    for _ in range(round(seconds / 0.02)):
        found = condition()
        if found:
            return found
        pause.wait(0.02)
    raise AssertionError(f"not within {seconds} s: {condition}")


@pytest.fixture(name="until")
def until_fixture() -> Callable[..., Any]:
    return until


def local(root: Path, changes: list[int], **options: Any) -> LocalBackend:
    def fetch(sha256: str, path: Path) -> None:
        if sha256 != "b" * 64:
            raise NotFound("There is no such bundle.")
        path.write_bytes(b"bundle")

    return LocalBackend(
        root,
        command=[sys.executable, str(FAKE_RUNNER)],
        fetch=fetch,
        environments=root / "environments",
        uv=Path("/usr/bin/uv"),
        environment={"PATH": os.environ["PATH"], "LANG": "C.UTF-8"},
        changed=lambda: changes.append(1),
        **{"grace": 0.5, **options},
    )


@pytest.fixture(params=["local"])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    root = tmp_path / "attempts"
    changes: list[int] = []
    yield Bench(
        backend=local(root, changes),
        again=lambda: local(root, changes),
        folder=lambda spec: root / spec.run_id / str(spec.n),
        changes=changes,
    )
    for found in root.glob("*/*/process.json"):
        pid = json.loads(found.read_text())["pid"]
        if psutil.pid_exists(pid):
            psutil.Process(pid).kill()
