"""The notebook's kernel: how it is started, what it gets to see, how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import shutil
import signal
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hub_ext.runner import leash
from hub_ext.runner import sockets as socket_paths
from hub_ext.runner.folder import AttemptFolder

START_TIMEOUT = 120.0
"""Seconds: the first start in a new environment compiles its modules."""

# How a process reaches the world from an institute's network. Package indexes
# are left out: their addresses may hold credentials, and nothing is installed.
_INHERITED = re.compile(
    r"(?i:https?_proxy|no_proxy|all_proxy|ftp_proxy)|"
    r"SSL_CERT_(FILE|DIR)|REQUESTS_CA_BUNDLE|CURL_CA_BUNDLE|AWS_CA_BUNDLE|GIT_SSL_CAINFO|"
    r"NODE_EXTRA_CA_CERTS|LANG|LC_ALL|TZ"
)
# Not by a shutdown request: ipykernel's control thread then flushes streams
# that its main thread is closing, and one exit in ten takes 10 s.
_LEAVE = "get_ipython().ask_exit()"
_PATH = "/usr/local/bin:/usr/bin:/bin"


def environment(
    given: Mapping[str, str],
    inherited: Mapping[str, str],
    *,
    python: Path,
    home: Path,
) -> dict[str, str]:
    """The environment variables of the kernel.

    Args:
        given: of the attempt; they win.
        inherited: of the runner; only the network's, language and time zone
            are taken.
        python: interpreter of the kernel; its folder comes first in ``PATH``.
        home: the kernel's home.
    """
    taken = {name: value for name, value in inherited.items() if _INHERITED.fullmatch(name)}
    if "UTF-8" not in (taken.get("LC_ALL") or taken.get("LANG") or "").upper():
        taken.pop("LC_ALL", None)
        taken["LANG"] = "C.UTF-8"
    # Caches that cost seconds to make (the list of fonts) are shared by all
    # runs in the same environment.
    return {
        **taken,
        "HOME": str(home),
        "PATH": f"{python.parent}:{_PATH}",
        "VIRTUAL_ENV": str(python.parent.parent),
        "PYTHONNOUSERSITE": "1",
        "IPYTHONDIR": str(home / ".ipython"),
        "MPLCONFIGDIR": str(python.parent.parent / "var" / "matplotlib"),
        **given,
    }


class Kernel:
    """One kernel for one attempt.

    Args:
        sockets: as `hub_ext.runner.folder.Attempt.sockets`.

    Attributes:
        manager, client: of jupyter_client; there once `start` has returned.
    """

    def __init__(
        self,
        folder: AttemptFolder,
        python: Path,
        env: Mapping[str, str],
        *,
        sockets: Path | None = None,
    ):
        self._folder = folder
        self._sockets_wanted = sockets
        self._python = python
        self._env = env
        self._sockets: Path | None = None
        self._process: Any = None
        self.manager: Any = None
        self.client: Any = None

    async def start(self) -> None:
        """Start it and wait until it answers.

        Raises:
            RuntimeError: it died, or did not answer in time.
        """
        from jupyter_client.kernelspec import KernelSpecManager
        from jupyter_client.manager import AsyncKernelManager

        specs = self._write_kernelspec()
        self._sockets = self._make_socket_folder()
        # Sockets of the file system, in a folder of mode 0700: no port to
        # race for, and no other account of the machine can connect.
        self.manager = AsyncKernelManager(
            kernel_name="almanac",
            kernel_spec_manager=KernelSpecManager(
                kernel_dirs=[str(specs)], ensure_native_kernel=False
            ),
            transport="ipc",
            ip=str(self._sockets / "k"),
            connection_file=str(self._sockets / "connection.json"),
        )
        await self.manager.start_kernel(env=dict(self._env), cwd=str(self._folder.work))
        self._process = self.manager.provisioner.process
        self.client = self.manager.client()
        self.client.start_channels()
        await self.client.wait_for_ready(timeout=START_TIMEOUT)
        self.client.allow_stdin = False

    async def interrupt(self) -> None:
        with contextlib.suppress(Exception):
            await self.manager.interrupt_kernel()

    async def end(self, *, gently: bool) -> None:
        """End the kernel and everything it started; within 5 s, or 10 s gently.

        Args:
            gently: ask the kernel first, so that what it has to do at its
                exit is done.
        """
        if self._process is None and self.manager is not None and self.manager.provisioner:
            self._process = self.manager.provisioner.process
        if self._process is not None:
            ended = False
            if gently:
                with contextlib.suppress(Exception):
                    self.client.execute(_LEAVE, silent=True, store_history=False)
                ended = await self._wait(5.0)
            if not ended:
                with contextlib.suppress(ProcessLookupError):
                    self._process.send_signal(signal.SIGTERM)
                ended = await self._wait(leash.GRACE + 2.0)
            if not ended:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self._process.pid, signal.SIGKILL)
                await self._wait(1.0)
        with contextlib.suppress(Exception):
            if self.client is not None:
                self.client.stop_channels()
            if self.manager is not None:
                await self.manager.cleanup_resources()
        if self._sockets is not None:
            shutil.rmtree(self._sockets, ignore_errors=True)

    def death(self) -> str:
        """Why the kernel is gone, in a sentence."""
        code = self._process.poll() if self._process is not None else None
        if code == -signal.SIGKILL:
            return (
                "The kernel was killed (SIGKILL). The system does that when memory runs out; "
                "a person may have done it too."
            )
        if code is not None and code < 0:
            return f"The kernel crashed ({signal.Signals(-code).name})."
        if code == 0:
            return "The notebook ended its own kernel (exit or quit)."
        if code is not None:
            return f"The kernel ended with status {code}."
        return "The kernel does not answer any more."

    async def _wait(self, seconds: float) -> bool:
        deadline = asyncio.get_running_loop().time() + seconds
        while self._process.poll() is None:
            if asyncio.get_running_loop().time() > deadline:
                return False
            await asyncio.sleep(0.02)
        return True

    def _write_kernelspec(self) -> Path:
        """A kernelspec for this attempt alone; returns the folder of kernelspecs."""
        specs = self._folder.root / "kernels"
        (specs / "almanac").mkdir(parents=True, exist_ok=True)
        spec = {
            "argv": [
                *(sys.executable, "-I", "-S", leash.__file__, str(os.getpid())),
                *(str(self._python), "-m", "ipykernel_launcher", "-f", "{connection_file}"),
                "--HistoryManager.enabled=False",
            ],
            "display_name": "Almanac",
            "language": "python",
        }
        (specs / "almanac" / "kernel.json").write_text(json.dumps(spec))
        return specs

    def _make_socket_folder(self) -> Path:
        root = self._folder.root
        if socket_paths.fits(root):
            return Path(tempfile.mkdtemp(prefix="k-", dir=root))
        if self._sockets_wanted is not None:
            with contextlib.suppress(OSError):
                self._sockets_wanted.mkdir(mode=0o700)
                return self._sockets_wanted
        return Path(tempfile.mkdtemp(prefix="almanac-", dir=socket_paths.temporary_folder()))
