"""Jupyter Servers to measure: real processes, alike but for their contents manager."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.support.stores import RunningStore, end_with_parent

ROOT = Path(__file__).resolve().parents[3]
START_SECONDS = 60
STOP_SECONDS = 10
REQUEST_SECONDS = 300
"""The longest that one request may take before its side has failed the measure."""

OBJECTS = """
c.ServerApp.root_dir = ""  # as the documentation of s3contents says
c.S3ContentsManager.endpoint_url = {endpoint!r}
c.S3ContentsManager.bucket = {bucket!r}
c.S3ContentsManager.prefix = {prefix!r}
c.S3ContentsManager.region_name = {region!r}
c.S3ContentsManager.access_key_id = {access_key!r}
c.S3ContentsManager.secret_access_key = {secret_key!r}
"""
MANAGERS = {
    "ours": "c.ServerApp.contents_manager_class = 'lab_extension.contents.S3ContentsManager'"
    + OBJECTS,
    "s3contents": "c.ServerApp.contents_manager_class = 's3contents.S3ContentsManager'" + OBJECTS,
    "disk": "c.ServerApp.root_dir = {root!r}\n"
    "c.FileContentsManager.delete_to_trash = False\n"
    "c.FileContentsManager.always_delete_dir = True\n",
}
COMMON = """
c.ServerApp.ip = "127.0.0.1"
c.ServerApp.port = {port}
c.ServerApp.port_retries = 0
c.ServerApp.open_browser = False
c.ServerApp.allow_root = True
c.ServerApp.log_level = "WARN"
c.IdentityProvider.token = {token!r}
c.ServerApp.jpserver_extensions = {{"tests.benchmarks.storage.loopmeter": True}}
"""


@dataclass(frozen=True)
class Server:
    name: str
    url: str
    token: str
    pid: int
    log: Path

    @property
    def options(self) -> dict[str, Any]:
        """For an httpx client, synchronous or not."""
        return {
            "base_url": self.url,
            "headers": {"Authorization": f"token {self.token}"},
            "timeout": httpx.Timeout(REQUEST_SECONDS, connect=10),
            "trust_env": False,
        }


@contextlib.contextmanager
def server(
    name: str,
    folder: Path,
    python: Path,
    *,
    store: RunningStore | None = None,
    prefix: str = "",
    endpoint: str | None = None,
    root: Path | None = None,
) -> Iterator[Server]:
    """Run one in ``folder``, with an environment of its own; it ends with the block.

    Args:
        name: which contents manager, of `MANAGERS`.
        endpoint: instead of the store's own, of a proxy before it.
        root: of the disk manager.

    Raises:
        RuntimeError: it does not start in `START_SECONDS`; the end of its log.
    """
    folder.mkdir(parents=True)
    token = secrets.token_hex(16)
    port = _free_port()
    values: dict[str, Any] = {"port": port, "token": token, "root": str(root), "prefix": prefix}
    if store:
        values |= {
            "endpoint": endpoint or store.endpoint,
            "bucket": store.bucket,
            "region": store.region,
            **store.keys,
        }
    config = folder / "config.py"
    config.touch(mode=0o600)
    config.write_text((COMMON + MANAGERS[name]).format(**values))
    log = folder / "log"
    with log.open("wb") as output:
        running = subprocess.Popen(
            [str(python), "-m", "jupyter_server", f"--config={config}"],
            env={
                "PATH": f"{python.parent}{os.pathsep}{os.defpath}",
                "PYTHONPATH": str(ROOT),
                "HOME": str(folder),
                "LANG": "C.UTF-8",
                "JUPYTER_NO_CONFIG": "1",
                "JUPYTER_CONFIG_DIR": str(folder / "config"),
                "JUPYTER_DATA_DIR": str(folder / "data"),
                "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
                "PYTHONDONTWRITEBYTECODE": "1",
            },
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            preexec_fn=end_with_parent,
        )
    made = Server(name, f"http://127.0.0.1:{port}", token, running.pid, log)
    try:
        _wait(running, made)
        yield made
    finally:
        running.send_signal(signal.SIGTERM)
        try:
            running.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait()


def _free_port() -> int:
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        port: int = trial.getsockname()[1]
        return port


def _wait(running: subprocess.Popen[bytes], made: Server) -> None:
    deadline = time.monotonic() + START_SECONDS
    while running.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(httpx.HTTPError):
            answer = httpx.get(
                f"{made.url}/api/contents/?content=0",
                headers=made.options["headers"],
                timeout=10,
                trust_env=False,
            )
            if answer.status_code == 200:
                return
        time.sleep(0.1)
    said = made.log.read_text(errors="replace")[-2000:]
    raise RuntimeError(f"Jupyter Server with {made.name} does not start:\n{said}")


@contextlib.contextmanager
def far_away(store: RunningStore, seconds: float) -> Iterator[str]:
    """An endpoint of the store at which each request takes ``seconds`` longer."""
    address = store.endpoint.removeprefix("http://")
    running = subprocess.Popen(
        [sys.executable, "-m", "tests.benchmarks.storage.delayproxy", address, str(seconds)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert running.stdin is not None
    assert running.stdout is not None
    try:
        yield f"http://127.0.0.1:{int(running.stdout.readline())}"
    finally:
        running.stdin.close()
        try:
            running.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait()
        running.stdout.close()
