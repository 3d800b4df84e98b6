"""Contents managers on a store, in this process or in a real Jupyter Server of their own."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from nbformat.sign import MemorySignatureStore, NotebookNotary
from stores import RunningStore
from tornado.web import HTTPError

from lab_extension.contents.manager import S3ContentsManager
from lab_extension.contents.objects.store import Store

ROOT = Path(__file__).resolve().parents[2]
TOKEN = "contents"
START_SECONDS = 40
EXTENSIONS = (
    "jupyter_lsp",
    "jupyter_server_terminals",
    "jupyterlab",
    "lab_extension",
    "notebook_shim",
)
"""Of the environment; switched off: the manager is all that is looked at."""


def manager_of(store: Store, **traits: Any) -> S3ContentsManager:
    """A manager whose signatures of trusted notebooks are its own, and in memory."""
    manager = S3ContentsManager(store=store, **traits)
    manager.notary = NotebookNotary(
        secret=b"secret", db_file=":memory:", data_dir="", store_factory=MemorySignatureStore
    )
    return manager


def text(content: str = "", **more: Any) -> dict[str, Any]:
    """A model to save."""
    return {"type": "file", "format": "text", "content": content, **more}


@contextlib.contextmanager
def refused(status: int, *words: str) -> Iterator[None]:
    """What happens within is refused with that status, and says these words."""
    with pytest.raises(HTTPError) as raised:
        yield
    assert raised.value.status_code == status, raised.value
    for word in words:
        assert word in str(raised.value)


@dataclass
class Server:
    """A Jupyter Server with `S3ContentsManager`."""

    process: subprocess.Popen[bytes]
    client: httpx.Client
    log: Path

    def ask(self, method: str, path: str = "", body: Any = None, **query: Any) -> httpx.Response:
        return self.client.request(
            method,
            f"/api/contents/{quote(path)}".rstrip("/"),
            json=body,
            params=query,
        )

    def kill(self) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@contextlib.contextmanager
def running_server(
    running: RunningStore, folder: Path, prefix: str, *, config: str = "", **settings: Any
) -> Iterator[Server]:
    """Start one, with all that it writes in ``folder``.

    Args:
        config: more of its configuration file.
        settings: of the manager; given as they are in Python.
    """
    folder.mkdir(parents=True, exist_ok=True)
    settings = {
        "bucket": running.bucket,
        "prefix": prefix,
        "endpoint_url": running.endpoint,
        "region_name": running.region,
        "access_key_id": running.access_key,
        "secret_access_key": running.secret_key,
        **settings,
    }
    lines = [f"c.S3ContentsManager.{name} = {value!r}" for name, value in settings.items()]
    lines += [
        "c.ServerApp.contents_manager_class = 'lab_extension.contents.S3ContentsManager'",
        f"c.IdentityProvider.token = {TOKEN!r}",
        "c.ServerApp.port = 0",
        "c.ServerApp.allow_root = True",
        "c.ServerApp.open_browser = False",
        f"c.ServerApp.jpserver_extensions = {dict.fromkeys(EXTENSIONS, False)!r}",
        f"c.ServerApp.root_dir = {str(folder)!r}",
        config,
    ]
    (folder / "jupyter_server_config.py").write_text("\n".join(lines) + "\n")
    environment = {
        **os.environ,
        "HOME": str(folder),
        "JUPYTER_CONFIG_DIR": str(folder),
        "JUPYTER_DATA_DIR": str(folder / "data"),
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
        "PYTHONPATH": str(ROOT),
    }
    log = folder / "log"
    with log.open("ab") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "jupyter_server", "--no-browser"],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        info = folder / "runtime" / f"jpserver-{process.pid}.json"
        address = _address(process, info, log)
        with httpx.Client(
            base_url=address.rstrip("/"),
            headers={"Authorization": f"token {TOKEN}"},
            timeout=60,
            trust_env=False,
        ) as client:
            yield Server(process, client, log)
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def _address(process: subprocess.Popen[bytes], info: Path, log: Path) -> str:
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError, ValueError):
            address = str(json.loads(info.read_text())["url"])
            with contextlib.suppress(httpx.HTTPError):
                httpx.get(f"{address}api", timeout=5, trust_env=False)
                return address
        time.sleep(0.05)
    raise AssertionError(log.read_text(errors="replace")[-4000:])
