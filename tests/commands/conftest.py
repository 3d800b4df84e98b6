"""The `almanac` command against the real job service."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from job_service import JobService, running

from hub_ext import cli

Almanac = Callable[..., "Answer"]


@dataclass(frozen=True)
class Answer:
    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output, which must be JSON and nothing else."""
        return json.loads(self.out)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[JobService]:
    with running(tmp_path / "service") as found:
        yield found


@pytest.fixture
def almanac(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Almanac:
    """Runs ``almanac`` in a home of its own, signed in to nothing."""
    for variable in ("ALMANAC_JOBS_URL", "ALMANAC_TOKEN", "JUPYTERHUB_API_TOKEN", "JUPYTER_PATH"):
        monkeypatch.delenv(variable, raising=False)
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("ALMANAC_STATE", str(tmp_path / "no-state"))
    monkeypatch.setenv("TZ", "Europe/Paris")

    def run(*arguments: str, stdin: str = "", **variables: str) -> Answer:
        status = 0
        with monkeypatch.context() as patch:
            for name, value in variables.items():
                patch.setenv(name, value)
            patch.setattr(sys, "argv", ["almanac", *arguments])
            patch.setattr(sys, "stdin", io.StringIO(stdin))
            capsys.readouterr()
            try:
                cli.main()
            except SystemExit as ended:
                status = ended.code if isinstance(ended.code, int) else 0
        said = capsys.readouterr()
        return Answer(status, said.out, said.err)

    return run


@pytest.fixture
def ana(almanac: Almanac, service: JobService) -> Almanac:
    """Runs ``almanac`` as ana at the service."""

    def run(*arguments: str, **options: str) -> Answer:
        return almanac(
            *arguments,
            **{"ALMANAC_JOBS_URL": service.url, "ALMANAC_TOKEN": "token-ana", **options},
        )

    return run
