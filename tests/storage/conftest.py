"""The real SeaweedFS, once per process of tests, started as the product starts it."""

from __future__ import annotations

import contextlib
import itertools
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from json import dumps
from pathlib import Path
from typing import Any

import brokers
import pytest
import stores

from hub_ext import toolchain
from hub_ext.state import StateFolder
from hub_ext.storage.alone import store_alone
from hub_ext.storage.backup import key_pair
from hub_ext.storage.credentials import CredentialsBroker
from hub_ext.storage.embedded import ensure_bucket
from hub_ext.storage.objects import ObjectStore

REGION = "us-east-1"
BUCKET = "almanac"
_numbers = itertools.count()


@dataclass(frozen=True)
class RunningStore:
    state: StateFolder
    endpoint: str
    access_key: str
    secret_key: str
    bucket: str = BUCKET
    region: str = REGION

    @property
    def keys(self) -> dict[str, str]:
        return {"access_key": self.access_key, "secret_key": self.secret_key}

    def connect(self, **keys: Any) -> ObjectStore:
        return ObjectStore.connect(self.endpoint, self.bucket, self.region, **(keys or self.keys))

    def broker(self) -> CredentialsBroker:
        return CredentialsBroker(self.endpoint, self.bucket, self.region, **self.keys)


@contextlib.contextmanager
def running_store(state: StateFolder) -> Iterator[RunningStore]:
    with store_alone(state, toolchain.weed()) as endpoint:
        keys = key_pair(state)
        ensure_bucket(endpoint, BUCKET, REGION, *keys)
        yield RunningStore(state, endpoint, *keys)


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStore]:
    state = StateFolder(tmp_path_factory.mktemp("state")).create()
    with running_store(state) as running:
        yield running


@pytest.fixture
def objects(store: RunningStore) -> ObjectStore:
    """The whole bucket, as the platform sees it."""
    return store.connect()


@pytest.fixture
def place() -> str:
    """A prefix of the shared bucket that no other test uses; ends with a slash."""
    return f"projects/test-{next(_numbers)}/"


@pytest.fixture(scope="session")
def federated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[brokers.Federated]:
    """A MinIO that trusts an identity provider."""
    if stores.binary("minio") is None:
        pytest.skip("minio is not built here: `make test-stores` builds it (needs Go)")
    folder = tmp_path_factory.mktemp("federated")
    with brokers.by_web_identity(folder) as running:
        yield running
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session", params=brokers.KINDS)
def brokered(request: pytest.FixtureRequest) -> brokers.Brokered:
    """Each kind of broker in turn, with its store."""
    if request.param == "minio-web-identity":
        found: brokers.Federated = request.getfixturevalue("federated")
        return found.brokered
    return brokers.by_key(request.getfixturevalue(request.param))


@dataclass
class CredentialsServer:
    """What the job service does for kernels: the container-credentials protocol."""

    url: str
    token_file: Path
    asked: list[str]


@pytest.fixture
def serve_credentials(tmp_path: Path) -> Iterator[Callable[..., CredentialsServer]]:
    servers: list[ThreadingHTTPServer] = []

    def serve(document: Callable[[], dict[str, Any]]) -> CredentialsServer:
        asked: list[str] = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked.append(self.headers.get("Authorization", ""))
                known = asked[-1] == "token of-a-server"
                body = dumps(document() if known else {}).encode()
                self.send_response(200 if known else 401)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: Any) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        token = tmp_path / "token"
        token.write_text("token of-a-server")
        return CredentialsServer(f"http://127.0.0.1:{server.server_port}/credentials", token, asked)

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()
