"""People's servers as processes of this machine."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from jupyterhub.spawner import LocalProcessSpawner
from traitlets import Integer, Unicode, default

from hub_ext.processes import ProcessId
from hub_ext.spawners.homes import ONE_ACCOUNT_VARIABLE, home_of, prepare, server_arguments

KEPT_VARIABLES = ["LANG", "LC_ALL", "LC_CTYPE", "LD_LIBRARY_PATH", "PATH", "TMPDIR", "TZ"]

EXTENSION_MANAGER = "--LabApp.extension_manager"


class LocalSpawner(LocalProcessSpawner):  # type: ignore[misc]  # JupyterHub has no types
    """JupyterHub's local spawner for one account of the system.

    Everybody's server runs under the account that runs the hub: people are
    kept apart by the hub (each server lets in its own user alone), not by the
    system. Each has a folder of their own, ``<homes>/<slug>``, as HOME.

    Servers outlive the hub: one that starts again finds them by process id
    and start time, and so never takes another process for them.

    Example::

        c.JupyterHub.spawner_class = "hub_ext.spawners.local.LocalSpawner"
        c.LocalSpawner.homes = "/srv/almanac/homes"
    """

    homes = Unicode(
        config=True,
        help="Folder of people's folders: ``<homes>/<slug of the name>`` is somebody's HOME.",
    )
    examples = Unicode(
        config=True,
        help="Folder of notebooks that everybody gets a copy of with their first server; "
        "empty for none.",
    )
    logs = Unicode(
        config=True,
        help="Folder of the servers' logs, ``<logs>/<slug of the name>.log``; empty: the "
        "hub's own log.",
    )

    interrupt_timeout = Integer(5, config=True, help=LocalProcessSpawner.interrupt_timeout.help)
    term_timeout = Integer(5, config=True, help=LocalProcessSpawner.term_timeout.help)

    @default("cmd")  # type: ignore[untyped-decorator]
    def _default_cmd(self) -> list[str]:
        # By the interpreter, and not by the script beside it: the first line
        # of a script is cut off where the path is long.
        return [sys.executable, "-P", "-m", "hub_ext.quick", "jupyterhub.singleuser"]

    @default("env_keep")  # type: ignore[untyped-decorator]
    def _env_keep_default(self) -> list[str]:
        return KEPT_VARIABLES

    @default("notebook_dir")  # type: ignore[untyped-decorator]
    def _default_notebook_dir(self) -> str:
        # The folder above: what a server shows of it is `work`, beside the object storage.
        return str(self.home)

    @property
    def home(self) -> Path:
        return home_of(Path(self.homes), self.user.name)

    popen_kwargs: dict[str, Any]
    _process: ProcessId | None = None

    def make_preexec_fn(self, name: str) -> None:
        """None: no change of account. (Between fork and exec nothing is to be done.)"""
        return

    def get_args(self) -> list[str]:
        args: list[str] = super().get_args()
        if not any(argument.startswith(EXTENSION_MANAGER) for argument in args):
            # JupyterLab's would install into the environment that it runs in,
            # which is the platform's own, hub included.
            args.append(f"{EXTENSION_MANAGER}=readonly")
        args += server_arguments(args)
        if os.geteuid() == 0:
            # In a container, say: it is the account that the operator has chosen,
            # and Jupyter Server refuses to start under it without this.
            args.append("--allow-root")
        return args

    def user_env(self, env: dict[str, str]) -> dict[str, str]:
        env["USER"] = env["LOGNAME"] = self.user.name
        env["HOME"] = str(self.home)
        env[ONE_ACCOUNT_VARIABLE] = "1"
        env["SHELL"] = os.environ.get("SHELL") or "/bin/sh"
        return env

    async def move_certs(self, paths: dict[str, str]) -> dict[str, str]:
        """The certificates stay where the hub made them: it is the same account."""
        return paths

    async def start(self) -> tuple[str, int]:
        await asyncio.to_thread(prepare, self.home, Path(self.examples) if self.examples else None)
        own: dict[str, Any] = self.popen_kwargs
        log = self._open_log()
        try:
            self.popen_kwargs = {
                "cwd": str(self.home),
                "stdin": subprocess.DEVNULL,
                "stdout": log,
                "stderr": log,
                "umask": 0o077,
                **own,
            }
            address: tuple[str, int] = await super().start()
        finally:
            self.popen_kwargs = own
            if log is not None:
                os.close(log)
        self._process = ProcessId.of(self.pid)
        return address

    def _open_log(self) -> int | None:
        if not self.logs:
            return None
        folder = Path(self.logs)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return os.open(
            folder / f"{self.home.name}.log",
            os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC,
            0o600,
        )

    def get_state(self) -> dict[str, Any]:
        state: dict[str, Any] = super().get_state()
        if self.pid and self._process is not None:
            state["process"] = self._process.to_json()
        return state

    def load_state(self, state: dict[str, Any]) -> None:
        super().load_state(state)
        self._process = ProcessId.from_json(state.get("process"))
        if self._process is None:
            self.pid = 0

    def clear_state(self) -> None:
        super().clear_state()
        self._process = None

    async def poll(self) -> int | None:
        if self.proc is None and self._process is not None and not self._process.alive():
            # Gone, and perhaps its id belongs to another process by now.
            self.clear_state()
            return 0
        status: int | None = await super().poll()
        return status

    async def stop(self, now: bool = False) -> None:
        """Stop the server, then whatever it had started and did not end (kernels, terminals)."""
        server = self._process
        family = server.descendants() if server is not None else []
        await super().stop(now)
        await _gone(family, seconds=1)
        for number in (signal.SIGTERM, signal.SIGKILL):
            await _gone([process for process in family if process.signal(number)], seconds=2)


async def _gone(processes: list[ProcessId], *, seconds: float) -> None:
    """Wait until they have ended, or the time is over."""
    deadline = time.monotonic() + seconds
    # Not children of ours after a restart of the hub: nothing tells when they end.
    while (  # noqa: ASYNC110
        any(process.alive() for process in processes) and time.monotonic() < deadline
    ):
        await asyncio.sleep(0.05)
