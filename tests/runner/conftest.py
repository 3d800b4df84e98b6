"""Attempts, executed by the real runner in its own environment."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

from hub_ext.bundles import bundle, snapshot
from hub_ext.bundles.environment import Lock, LockedPackage, listing
from hub_ext.bundles.environment.made import MARKER
from hub_ext.bundles.snapshot import KernelFinder
from hub_ext.runner.folder import AttemptFolder

ENVIRONMENTS = Path(sys.prefix) / "share" / "almanac" / "environments"
RUNNER = ENVIRONMENTS / "runner" / "bin" / "python"
UV = Path(sys.prefix) / "bin" / "uv"
MARK = "ALMANAC_TEST_MARK"


@dataclass(frozen=True)
class Made:
    """An environment that needs no building: the default one under a lock's name."""

    lock: Lock
    folder: Path
    kernels: KernelFinder


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    default = ENVIRONMENTS / "python"
    if not RUNNER.exists() or not (default / "bin" / "python").exists():
        pytest.skip("the environments are not there: run `make setup`")
    found = listing(default / "bin" / "python")
    lock = Lock(
        python=found.python,
        platform=found.platform,
        packages=tuple(
            LockedPackage(name=item.name, version=item.version, hashes=("sha256:" + "0" * 64,))
            for item in found.packages
        ),
    )
    folder = tmp_path_factory.mktemp("environments")
    final = folder / lock.sha256
    final.mkdir()
    for name in ("bin", "lib"):
        (final / name).symlink_to(default / name)
    (final / "pyvenv.cfg").write_text((default / "pyvenv.cfg").read_text())
    (final / MARKER).write_text("{}")
    return Made(lock, folder, KernelFinder([default / "share" / "jupyter" / "kernels"]))


@dataclass
class Running:
    """One attempt: its folder and its runner's process."""

    folder: AttemptFolder
    mark: str
    process: subprocess.Popen[bytes] = field(init=False)

    def start(self, env: dict[str, str] | None = None) -> Running:
        with (self.folder.root / "log").open("wb") as log:
            self.process = subprocess.Popen(
                [RUNNER, "-m", "hub_ext.runner", self.folder.root],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={**os.environ, **(env or {})},
            )
        return self

    def wait(self, seconds: float = 60) -> int:
        return self.process.wait(seconds)

    def run(self, env: dict[str, str] | None = None) -> int:
        return self.start(env).wait()

    @property
    def log(self) -> str:
        return (self.folder.root / "log").read_text(errors="replace")

    @property
    def events(self) -> list[dict[str, Any]]:
        try:
            text = self.folder.events.read_text()
        except FileNotFoundError:
            return []
        return [json.loads(line) for line in text.splitlines(keepends=True) if line[-1] == "\n"]

    def of_type(self, *kinds: str) -> list[dict[str, Any]]:
        return [event["data"] for event in self.events if event["type"] in kinds]

    def printed(self) -> str:
        return "".join(event["text"] for event in self.of_type("stream"))

    @property
    def exit(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.folder.exit.read_text())
        return document

    @property
    def notebook(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.folder.notebook.read_text())
        return document

    def until(self, condition: Callable[[], Any], seconds: float = 30) -> Any:
        deadline = time.monotonic() + seconds
        while not (value := condition()):
            assert self.process.poll() is None, self.log
            assert time.monotonic() < deadline, self.log
            time.sleep(0.02)
        return value

    def until_printed(self, text: str) -> None:
        self.until(lambda: text in self.printed())

    def processes(self) -> list[psutil.Process]:
        """What still runs of the kernel and its children, whoever their parent is."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.environ().get(MARK) == self.mark:
                    found.append(process)
        return found


Attempting = Callable[..., Running]


def code(source: str, *tags: str) -> dict[str, Any]:
    return {
        "cell_type": "code",
        "execution_count": None,
        "metadata": {"tags": list(tags)},
        "outputs": [],
        "source": source,
    }


@pytest.fixture
def attempting(tmp_path: Path, made: Made) -> Iterator[Attempting]:
    """Makes an attempt from sources of cells; ``source, "tag"`` pairs for tagged ones."""
    all_of_them: list[Running] = []

    def make(
        *cells: str | tuple[str, ...],
        files: dict[str, bytes] | None = None,
        parameters: dict[str, Any] | None = None,
        environment: dict[str, str] | None = None,
        lock: Lock | None = None,
        root: Path | None = None,
        **more: Any,
    ) -> Running:
        root = root or tmp_path / f"attempt-{len(all_of_them)}"
        source = tmp_path / f"source-{len(all_of_them)}"
        root.mkdir(parents=True)
        source.mkdir()
        made_cells = [code(cell) if isinstance(cell, str) else code(*cell) for cell in cells]
        notebook = {
            "cells": [{**cell, "id": f"c{n}"} for n, cell in enumerate(made_cells)],
            "metadata": {
                "kernelspec": {"name": "python3", "display_name": "P", "language": "python"}
            },
            "nbformat": 4,
            "nbformat_minor": 5,
        }
        (source / "note.ipynb").write_text(json.dumps(notebook))
        for name, content in (files or {}).items():
            (source / name).parent.mkdir(exist_ok=True)
            (source / name).write_bytes(content)
        taken = snapshot.take(
            source / "note.ipynb", files=[Path(n) for n in files or {}], kernels=made.kernels
        )
        packed = bundle.write(taken, lock or made.lock, root / "bundle.tar.gz")
        mark = f"{root}"
        attempt = {
            "run_id": "run-1",
            "n": 1,
            "fence": 1,
            "bundle_sha256": packed.sha256,
            "parameters": parameters or {},
            "environment": {MARK: mark, **(environment or {})},
            "timeout_seconds": 60,
            "cell_timeout_seconds": None,
            "environments": str(made.folder),
            "uv": str(UV),
            **more,
        }
        (root / "attempt.json").write_text(json.dumps(attempt))
        running = Running(AttemptFolder(root), mark)
        all_of_them.append(running)
        return running

    yield make
    for running in all_of_them:
        if hasattr(running, "process") and running.process.poll() is None:
            running.process.send_signal(signal.SIGTERM)
            try:
                running.process.wait(12)
            except subprocess.TimeoutExpired:
                running.process.kill()
                running.process.wait()
        for process in running.processes():
            with contextlib.suppress(psutil.Error):
                process.kill()
