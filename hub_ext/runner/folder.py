"""The folder of one attempt: all that a backend and the runner say to each other.

The backend writes ``attempt.json``, ``bundle.tar.gz`` and ``run-token``; the
runner writes the rest. Files that are read while they are written are
replaced as a whole, or grow by whole lines.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hub_ext.errors import Invalid


class Attempt(BaseModel):
    """``attempt.json``."""

    model_config = ConfigDict(extra="ignore", frozen=True, use_attribute_docstrings=True)

    run_id: str
    n: int = 1
    fence: int = 1
    bundle_sha256: str
    parameters: dict[str, Any] = {}
    """As `hub_ext.bundles.parameters.resolve` gives them."""
    environment: dict[str, str] = {}
    """Variables for the kernel."""
    timeout_seconds: float = Field(default=24 * 3600, gt=0)
    """For the whole attempt, the building of its environment included."""
    cell_timeout_seconds: float | None = Field(default=None, gt=0)
    environments: Path
    """Folder of all environments, shared by all attempts."""
    uv: Path
    sockets: Path | None = None
    """A folder to make for the kernel's sockets where the attempt's own has too long a
    path; whoever gave it removes it if the runner could not. None: a new
    temporary one."""


@dataclass(frozen=True)
class AttemptFolder:
    """Paths below ``root``."""

    root: Path

    @property
    def attempt(self) -> Path:
        return self.root / "attempt.json"

    @property
    def bundle(self) -> Path:
        return self.root / "bundle.tar.gz"

    @property
    def unpacked(self) -> Path:
        """The bundle's own files, as they came."""
        return self.root / "bundle"

    @property
    def work(self) -> Path:
        """Working folder of the kernel; holds the files of the bundle."""
        return self.root / "work"

    @property
    def home(self) -> Path:
        """Home of the kernel: empty, so that no one's start-up files change the run."""
        return self.root / "home"

    @property
    def events(self) -> Path:
        return self.root / "events.jsonl"

    @property
    def results(self) -> Path:
        return self.root / "results"

    @property
    def notebook(self) -> Path:
        return self.results / "notebook.ipynb"

    @property
    def html(self) -> Path:
        return self.results / "notebook.html"

    @property
    def runner(self) -> Path:
        """``pid`` and ``start_time`` of the runner: together they name it, even
        after the system has given the number to another process."""
        return self.root / "runner.json"

    @property
    def exit(self) -> Path:
        """How it ended; its being there means that the attempt is over."""
        return self.root / "exit.json"

    def read(self) -> Attempt:
        """What is to be executed.

        Raises:
            Invalid: the file is missing or wrong.
        """
        try:
            return Attempt.model_validate_json(self.attempt.read_bytes())
        except OSError as error:
            raise Invalid(f"attempt.json cannot be read: {error.strerror}.") from error
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "the file"
            raise Invalid(f"attempt.json is wrong: {where}: {first['msg']}.") from error


def write_json(path: Path, value: Any) -> None:
    """Replace ``path`` as a whole, and on disk before anyone can see it."""
    write_bytes(path, json.dumps(value, ensure_ascii=False).encode(errors="replace") + b"\n", True)


def write_bytes(path: Path, content: bytes, durable: bool = False) -> None:
    pending = path.with_name(f".{path.name}.new")
    with pending.open("wb") as file:
        file.write(content)
        if durable:
            file.flush()
            os.fsync(file.fileno())
    pending.replace(path)


def start_time(pid: int) -> float:
    """When a process started, in seconds since 1970, as psutil's ``create_time``."""
    stat = Path(f"/proc/{pid}/stat").read_text()
    ticks = int(stat.rpartition(")")[2].split()[19])
    for line in Path("/proc/stat").read_text().splitlines():
        if line.startswith("btime "):
            return int(line.split()[1]) + ticks / os.sysconf("SC_CLK_TCK")
    raise OSError("/proc/stat has no btime")
