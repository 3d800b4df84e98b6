"""A real ``almanac up`` for tests, on a throwaway state folder and free ports."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[2]
ALMANAC = Path(sys.prefix) / "bin" / "almanac"
FIRST_USER = "ana"

SETTINGS = """\
authentication:
  refresh_seconds: 1
projects:
  - slug: macro
    title: Macroeconomic statistics
    owners: [ana]
    members: [bo]
"""


@dataclass
class Tree:
    """A running ``almanac up`` on a throwaway state folder and free ports.

    Attributes:
        process: the supervisor.
        state: its state folder.
        settings_file: its almanac.yaml.
        url: public address, no slash at the end.
        user: the first user's name.
        password: the first user's password.
        output: lines that it printed.
    """

    process: subprocess.Popen[str]
    state: Path
    settings_file: Path
    url: str = ""
    user: str = FIRST_USER
    password: str = ""
    output: list[str] = field(default_factory=list)

    def run(self, *arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
        """Run an ``almanac`` command against this tree's state folder."""
        environment = os.environ | {
            "ALMANAC_STATE": str(self.state),
            "ALMANAC_CONFIG": str(self.settings_file),
        }
        return subprocess.run(  # type: ignore[call-overload,no-any-return]
            [str(ALMANAC), *arguments],
            env=environment,
            text=True,
            capture_output=True,
            timeout=120,
            check=False,
            **options,
        )


def start_tree(folder: Path, *, settings: str = SETTINGS, timeout: float = 90) -> Tree:
    """Start ``almanac up --port 0`` and wait until it says that it is ready.

    Raises:
        RuntimeError: it ended or did not get ready in ``timeout`` seconds;
            with all that it printed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    settings_file = folder / "almanac.yaml"
    settings_file.write_text(settings)
    state = folder / "state"
    process = subprocess.Popen(
        [
            str(ALMANAC), "up", "--port", "0", "--state", str(state),
            "--config", str(settings_file), "--first-user", FIRST_USER,
        ],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
        text=True, cwd=folder,
    )  # fmt: skip
    tree = Tree(process, state, settings_file)
    ready = threading.Event()

    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            tree.output.append(line.rstrip("\n"))
            if "password" in line.lower() and not tree.password:
                tree.password = line.rstrip().rsplit(" ", 1)[-1]
            if line.startswith("ready: "):
                tree.url = line.split()[1].rstrip("/")
                ready.set()
        ready.set()

    threading.Thread(target=read, daemon=True).start()
    if not ready.wait(timeout) or not tree.url:
        stop_tree(tree)
        logs = "\n".join(
            f"--- {path.name}\n{path.read_text(errors='replace')[-3000:]}"
            for path in sorted((state / "logs").glob("*.log"))
        )
        raise RuntimeError("almanac up did not get ready:\n" + "\n".join(tree.output) + logs)
    return tree


def stop_tree(tree: Tree) -> None:
    """SIGTERM, and after 20 s the hard way, children included."""
    if tree.process.poll() is None:
        children = psutil.Process(tree.process.pid).children(recursive=True)
        tree.process.send_signal(signal.SIGTERM)
        try:
            tree.process.wait(20)
        except subprocess.TimeoutExpired:
            tree.process.kill()
            tree.process.wait(5)
        for child in children:
            if child.is_running():
                child.kill()
