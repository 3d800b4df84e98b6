"""A throwaway Almanac as a child process: started, watched, and always ended."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import yaml

from hub_ext import settings
from hub_ext.client import API, PREFIX
from hub_ext.commands.demo.report import Clock, DemoFailed
from hub_ext.errors import PublicError
from hub_ext.processes import ProcessId
from hub_ext.state import Endpoints, StateFolder

STOP_SECONDS = 15.0


class Tree:
    """``almanac up`` on free ports and a state folder below ``folder``."""

    def __init__(self, folder: Path):
        self.state = StateFolder(folder / "state")
        self._config = folder / "almanac.yaml"
        self._output = folder / "up.log"
        self._process: subprocess.Popen[bytes] | None = None

    def add_user(self, name: str) -> str:
        """Make a user who may sign in; returns the password."""
        from hub_ext.auth.passwords import UsersFile

        self.state.create()
        password = secrets.token_urlsafe(18)
        UsersFile(self.state.users_file).add(name, password)
        return password

    def start(self) -> None:
        self._config.write_text(configuration(settings.from_environment().network))
        environment = {
            name: value
            for name, value in os.environ.items()
            # Those of a server in which the demo may be run, and of the
            # caller's own Almanac: neither is the one started here.
            if not name.startswith(("ALMANAC_", "JUPYTER"))
        }
        with self._output.open("wb") as output:
            self._process = subprocess.Popen(
                [
                    sys.executable, "-m", "hub_ext.cli", "up", "--port", "0",
                    "--state", str(self.state.root), "--config", str(self._config),
                ],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                # Ctrl-C reaches the demo, which then stops this in order.
                start_new_session=True,
            )  # fmt: skip

    def wait_ready(self, clock: Clock) -> Endpoints:
        """Wait until the login form and the job service answer."""
        endpoints: Endpoints | None = None

        def look() -> bool:
            nonlocal endpoints
            self.check_alive()
            try:
                endpoints = Endpoints.load(self.state)
            except PublicError:
                return False
            return all(
                answers(endpoints.public_url + path)
                for path in ("/hub/login", f"{PREFIX}{API}/health")
            )

        clock.wait(look, what="The start of Almanac", at_most=120)
        assert endpoints is not None
        return endpoints

    def check_alive(self) -> None:
        if self._process is not None and self._process.poll() is not None:
            raise DemoFailed(
                f"`almanac up` ended with status {self._process.returncode}.",
                lines=tail(self._output),
            )

    def stop(self) -> int:
        """End the tree, the hard way if it must be; returns how many processes were left.

        Safe to call again, and when it was never started.
        """
        process, self._process = self._process, None
        if process is None:
            return 0
        known = ProcessId.of(process.pid)
        children = known.descendants() if known else []
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        left = [child for child in children if child.signal(signal.SIGKILL)]
        return len(left)

    def log_tails(self, *names: str, lines: int = 25) -> dict[str, list[str]]:
        """The last lines of the logs of these names (``hub.log``), and of `almanac up` itself."""
        found = {name: tail(self.state.logs / name, lines) for name in names}
        found["almanac up"] = tail(self._output, lines)
        return {name: kept for name, kept in found.items() if kept}


def configuration(network: settings.NetworkSettings) -> str:
    """almanac.yaml of the throwaway Almanac: the caller's network, all else by default."""
    kept = network.model_dump(mode="json", exclude_defaults=True)
    return yaml.safe_dump({"network": kept} if kept else {})


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5.0, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def tail(path: Path, lines: int = 25) -> list[str]:
    """The last lines of a file that may be large, and may not be there."""
    try:
        with path.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - 64 * 1024))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return []
    return text.splitlines()[-lines:]
