"""Real object stores for tests: each on loopback, in a folder of its own, gone afterwards.

A plugin of pytest (see tests/conftest.py), with these fixtures:

- `seaweedfs`: the embedded store, always there;
- `versitygw`, `minio`: skipped, saying why, where `.ci/stores` has not built them;
- `any_store`: each of the three in turn; such tests carry the marker ``stores``;
- `place`: a prefix of any store's bucket that no other test uses.

The stores live as long as the process of tests and are shared: whoever wants to
stop one, or to set its bucket up otherwise, starts his own with `running_store`.
"""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import os
import random
import secrets
import shutil
import signal
import socket
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from hub_ext import toolchain
from hub_ext.errors import Unavailable
from hub_ext.state import StateFolder
from hub_ext.storage import signing
from hub_ext.storage.alone import store_alone
from hub_ext.storage.backup import key_pair
from hub_ext.storage.embedded import ensure_bucket

KINDS = ("seaweedfs", "versitygw", "minio")
REGION = "us-east-1"
BUCKET = "almanac"
START_SECONDS = 30
STOP_SECONDS = 5
_PR_SET_PDEATHSIG = 1
_numbers = itertools.count()


@dataclass(frozen=True)
class RunningStore:
    """An object store that runs now, and the keys that may do anything in it.

    Attributes:
        versioned: its bucket keeps versions.
        folder: where it keeps its data; of SeaweedFS, a state folder.
    """

    kind: str
    endpoint: str
    access_key: str
    secret_key: str = field(repr=False)
    folder: Path
    bucket: str = BUCKET
    region: str = REGION
    versioned: bool = True

    @property
    def keys(self) -> dict[str, str]:
        return {"access_key": self.access_key, "secret_key": self.secret_key}

    def send(self, method: str, path: str, body: bytes = b"") -> signing.httpx.Response:
        """A signed request; ``path`` after the endpoint, encoded, with its query."""
        return signing.send(
            method, f"{self.endpoint}/{path.lstrip('/')}", body, region=self.region, **self.keys
        )

    def new_bucket(self, name: str = "") -> str:
        """A further bucket, which keeps no versions; its name."""
        name = name or f"b-{uuid.uuid4().hex[:12]}"
        answer = self.send("PUT", name)
        assert answer.status_code == 200, answer.text
        return name


def binary(kind: str) -> Path | None:
    """The program of ``kind``, where it is installed or `.ci/stores` has built it."""
    if kind == "seaweedfs":
        return toolchain.weed()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = Path(os.environ.get("ALMANAC_STORES") or cache / "almanac" / "stores")
    built = [path for path in folder.glob(f"{kind}-v*/{kind}") if os.access(path, os.X_OK)]
    return max(built, key=lambda path: path.stat().st_mtime, default=None)


@contextlib.contextmanager
def running_store(
    kind: str, folder: Path, environment: Mapping[str, str] | None = None
) -> Iterator[RunningStore]:
    """Start the store of ``kind`` with its data in ``folder`` and an empty bucket with versions.

    ``environment`` is added to that of VersityGW or MinIO.

    Started again with the same folder it has the same data, keys and, where
    that is still free, port. It ends with the block, or with this thread.

    Raises:
        Unavailable: it does not start in `START_SECONDS`.
    """
    starting = (
        _seaweedfs(folder) if kind == "seaweedfs" else _program(kind, folder, environment or {})
    )
    with starting as store:
        ensure_bucket(
            store.endpoint, store.bucket, store.region, **store.keys, wait_seconds=START_SECONDS
        )
        yield store


@contextlib.contextmanager
def _seaweedfs(folder: Path) -> Iterator[RunningStore]:
    state = StateFolder(folder).create()
    with store_alone(state, toolchain.weed()) as endpoint:
        yield RunningStore("seaweedfs", endpoint, *key_pair(state), folder)


def _versitygw(program: Path, address: str, folder: Path) -> list[str]:
    data, versions = folder / "data", folder / "versions"
    data.mkdir(exist_ok=True)
    versions.mkdir(exist_ok=True)
    return [str(program), f"--port={address}", "posix", f"--versioning-dir={versions}", str(data)]


def _minio(program: Path, address: str, folder: Path) -> list[str]:
    return [str(program), "server", "--quiet", f"--address={address}", str(folder / "data")]


_COMMANDS: dict[str, Callable[[Path, str, Path], list[str]]] = {
    "versitygw": _versitygw,
    "minio": _minio,
}


@contextlib.contextmanager
def _program(kind: str, folder: Path, further: Mapping[str, str]) -> Iterator[RunningStore]:
    program = binary(kind)
    assert program is not None, f"{kind} is not built"
    folder.mkdir(parents=True, exist_ok=True)
    access_key, secret_key = _key("access", folder), _key("secret", folder)
    environment = {
        "HOME": str(folder),
        "PATH": os.defpath,
        "ROOT_ACCESS_KEY": access_key,
        "ROOT_SECRET_KEY": secret_key,
        "MINIO_ROOT_USER": access_key,
        "MINIO_ROOT_PASSWORD": secret_key,
        "MINIO_BROWSER": "off",
        "MINIO_UPDATE": "off",
        "MINIO_CALLHOME_ENABLE": "off",
        **further,
    }
    address = f"127.0.0.1:{_port(folder)}"
    with (folder / "log").open("ab") as log:
        running = subprocess.Popen(
            _COMMANDS[kind](program, address, folder),
            env=environment,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=end_with_parent,
        )
    try:
        _wait(running, address, folder / "log")
        yield RunningStore(kind, f"http://{address}", access_key, secret_key, folder)
    finally:
        running.terminate()
        try:
            running.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait()


def _key(name: str, folder: Path) -> str:
    path = folder / f"{name}-key"
    if not path.exists():
        path.write_text(secrets.token_hex(12))
        path.chmod(0o600)
    return path.read_text()


def _port(folder: Path) -> int:
    """The port that the folder's store had last, if it is free; else another.

    Below the range in which systems open connections of their own, so that
    nobody is given it before the store listens.
    """
    kept = folder / "port"
    last = [int(kept.read_text())] if kept.exists() else []
    for port in (*last, *random.sample(range(12_000, 22_000), 100)):
        with socket.socket() as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                trial.bind(("127.0.0.1", port))
            except OSError:
                continue
        kept.write_text(str(port))
        return port
    raise Unavailable("There is no free port on 127.0.0.1.")


def _wait(running: subprocess.Popen[bytes], address: str, log: Path) -> None:
    host, _, port = address.rpartition(":")
    deadline = time.monotonic() + START_SECONDS
    while running.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection((host, int(port)), timeout=1):
            return
        time.sleep(0.05)
    said = log.read_text(errors="replace")[-2000:]
    raise Unavailable(f"{running.args[0]} does not start: {said}")  # type: ignore[index]


def end_with_parent() -> None:
    """For ``preexec_fn``: the program ends with the thread that starts it, however that ends."""
    with contextlib.suppress(OSError, AttributeError):  # Linux alone has it
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _shared(kind: str, factory: pytest.TempPathFactory) -> Iterator[RunningStore]:
    if binary(kind) is None:
        pytest.skip(f"{kind} is not built here: `make test-stores` builds it (needs Go)")
    folder = factory.mktemp(kind)
    with running_store(kind, folder) as store:
        yield store
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def seaweedfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStore]:
    yield from _shared("seaweedfs", tmp_path_factory)


@pytest.fixture(scope="session")
def versitygw(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStore]:
    yield from _shared("versitygw", tmp_path_factory)


@pytest.fixture(scope="session")
def minio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStore]:
    yield from _shared("minio", tmp_path_factory)


@pytest.fixture(scope="session", params=KINDS)
def any_store(request: pytest.FixtureRequest) -> RunningStore:
    """Each kind of store in turn."""
    store: RunningStore = request.getfixturevalue(request.param)
    return store


@pytest.fixture
def place() -> str:
    """A prefix that no other test uses; ends with a slash."""
    return f"projects/test-{next(_numbers)}-{uuid.uuid4().hex[:6]}/"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "any_store" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.stores)
