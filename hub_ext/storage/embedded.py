"""The embedded object store: SeaweedFS as one process on loopback.

`weed mini` runs master, volume server, filer, S3 gateway and admin server in
one process, and each of them listens. Only the S3 port is meant for anyone
else, so every other door is shut by the keys and certificates that are made
here (tried against 4.48, and held by tests/storage/test_embedded.py):

- HTTP of the volume server and the filer: every request needs a signed token;
- HTTP of the master and the admin server, which know no tokens (a master hands
  tokens out to whoever asks): TLS that demands our own client certificate;
- gRPC of all of them, on ports and on the sockets that `weed` puts into /tmp:
  mutual TLS with the same certificate;
- WebDAV, Iceberg, Lance, the admin pages, the IAM API and the telemetry that
  is on by default: off.

`weed server`, which would run without the admin server, is no alternative: it
starts volume server and filer in a race, and where the filer wins it does not
stop on SIGTERM.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import socket
import tempfile
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from hub_ext.errors import Conflict, Unavailable
from hub_ext.state import StateFolder
from hub_ext.storage import signing
from hub_ext.storage.embedded_files import certificate, identities, roles, security

ACCESS_KEY = "store-admin-access-key"
SECRET_KEY = "store-admin-secret-key"  # noqa: S105 - its name
SIGNING_KEY = "store-signing-key"
"""Names of the secrets in the state folder."""

STOP_SECONDS = 4
"""How long to wait after SIGTERM before SIGKILL. It stops in about 1 s, or, where a
connection between its own parts is left half open, not for half a minute; by then
everything but that connection is closed, so that killing it loses nothing."""

_WORKER_OFFSET = 10_000
"""The maintenance worker looks for the admin server's gRPC at its HTTP port plus this."""
_PORTS = range(12_000, 22_000)
"""Where ports are taken from: below the range in which systems open connections
of their own, so that nobody is given ours between the choice and the start."""


@dataclass(frozen=True)
class StorePorts:
    """One free port for each thing of the store that listens.

    ``s3`` is the one that others talk to. The admin server's gRPC is at
    ``admin`` plus 10000.
    """

    s3: int
    s3_grpc: int
    master: int
    master_grpc: int
    volume: int
    volume_grpc: int
    filer: int
    filer_grpc: int
    admin: int

    @property
    def admin_grpc(self) -> int:
        return self.admin + _WORKER_OFFSET

    @property
    def all(self) -> tuple[int, ...]:
        return (*asdict(self).values(), self.admin_grpc)

    @classmethod
    def free(cls) -> StorePorts:
        """Ports that are free on loopback now.

        Raises:
            Unavailable: there are not enough.
        """
        with contextlib.ExitStack() as held:
            names = [field.name for field in fields(cls) if field.name != "admin"]
            return cls(
                **{name: _hold(held) for name in names}, admin=_hold(held, 0, _WORKER_OFFSET)
            )

    @classmethod
    def of(cls, state: StateFolder) -> StorePorts:
        """The ports that this state's store had last, if they are free; else others.

        They are kept because people's notebooks remember the endpoint.
        """
        if last := _last_ports(state):
            with contextlib.suppress(OSError), contextlib.ExitStack() as held:
                for port in last.all:
                    _bind(held, port)
                return last
        return cls.free()


def _last_ports(state: StateFolder) -> StorePorts | None:
    try:
        return StorePorts(**json.loads((configuration(state) / PORTS).read_text()))
    except (OSError, ValueError, TypeError):
        return None


def _bind(held: contextlib.ExitStack, port: int) -> None:
    listener = held.enter_context(socket.socket())
    # Connections of a store that has just ended linger; a listener still refuses us.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(1)  # SO_REUSEADDR lets a second socket bind, but not listen


def _hold(held: contextlib.ExitStack, *offsets: int) -> int:
    """A port that is free, and so is each at one of ``offsets`` above it; held by sockets."""
    for port in random.sample(_PORTS, 500):
        with contextlib.ExitStack() as trial:
            try:
                for offset in offsets or (0,):
                    _bind(trial, port + offset)
            except OSError:
                continue
            held.enter_context(trial.pop_all())
            return port
    raise Unavailable("There are not enough free ports on 127.0.0.1 for the object store.")


@dataclass(frozen=True)
class StoreProcess:
    """How to run the store; plain data for a supervisor. Holds no secret.

    Attributes:
        argv: the command; names files of secrets, never a secret.
        env: its whole environment; nothing is to be added.
        cwd: where it has to be started.
        endpoint: address of its S3 API.
        health_url: answers 200 to GET once the S3 API is up, about 0.8 s after
            the start.
        leftovers: sockets outside the state folder (the place is its choice and
            cannot be set) which it removes when it is stopped and leaves when
            it is killed.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: Path
    endpoint: str
    health_url: str
    ports: StorePorts
    leftovers: tuple[Path, ...]

    def clean(self) -> None:
        """Remove what a killed store left behind; call it with the store stopped."""
        _remove_sockets(self.leftovers)


def configuration(state: StateFolder) -> Path:
    """The folder of the files that the store reads at its start."""
    return state.runtime / "store"


def store_process(state: StateFolder, ports: StorePorts, weed: Path) -> StoreProcess:
    """The command that runs the store of ``state`` on ``ports``; call `prepare` before it.

    Args:
        weed: the SeaweedFS binary.
    """
    folder = configuration(state)
    flags = {
        "ip": "127.0.0.1",
        "ip.bind": "127.0.0.1",
        "dir": state.store,
        "s3.port": ports.s3,
        "s3.port.grpc": ports.s3_grpc,
        "master.port": ports.master,
        "master.port.grpc": ports.master_grpc,
        "volume.port": ports.volume,
        "volume.port.grpc": ports.volume_grpc,
        "filer.port": ports.filer,
        "filer.port.grpc": ports.filer_grpc,
        "admin.port": ports.admin,
        "admin.port.grpc": ports.admin_grpc,
        "s3.config": folder / IDENTITIES,
        "s3.iam.config": folder / ROLES,
        # Relative to the working folder: a path to a socket is 107 bytes at most.
        "s3.localSocket": "s3.sock",
        "filer.localSocket": "filer.sock",
        # Seconds for other servers to learn that this one goes; there are none.
        "volume.preStopSeconds": 0,
        # Off: what nobody asked for.
        "admin.ui": "false",
        "filer.exposeDirectoryData": "false",
        "master.telemetry": "false",
        "s3.autoCreateBucket": "false",
        "s3.iam": "false",
        "s3.port.iceberg": 0,
        "s3.port.lance": 0,
        "webdav": "false",
    }
    endpoint = f"http://127.0.0.1:{ports.s3}"
    return StoreProcess(
        argv=(
            str(weed),
            "-logtostderr",
            f"-config_dir={folder}",
            "mini",
            *(f"-{name}={value}" for name, value in flags.items()),
        ),
        # Its own HOME, and nothing of ours: it reads ~/.seaweedfs, WEED_* and AWS_*.
        env={"HOME": str(folder), "PATH": os.defpath, "LANG": "C.UTF-8"},
        cwd=folder,
        endpoint=endpoint,
        health_url=f"{endpoint}/healthz",
        ports=ports,
        leftovers=_sockets(ports),
    )


def _sockets(ports: StorePorts) -> tuple[Path, ...]:
    return tuple(
        Path(f"/tmp/seaweedfs-{part}-grpc-{port}.sock")  # noqa: S108 - its choice, not ours
        for part, port in (
            ("master", ports.master_grpc),
            ("volume", ports.volume_grpc),
            ("filer", ports.filer_grpc),
            ("s3", ports.s3_grpc),
            ("admin", ports.admin_grpc),
        )
    )


def _remove_sockets(paths: Iterable[Path]) -> None:
    """Remove the sockets that nobody listens on.

    Whoever listens is the store of another Almanac that was given our port
    meanwhile; without the socket its parts could not reach each other.
    """
    for path in paths:
        with socket.socket(socket.AF_UNIX) as trial:
            trial.settimeout(1)
            try:
                trial.connect(str(path))
            except ConnectionRefusedError:
                path.unlink(missing_ok=True)
            except OSError:
                continue


SECURITY = "security.toml"
IDENTITIES = "identities.json"
ROLES = "roles.json"
PORTS = "ports.json"
_CERTIFICATE = "certificate.pem"


def prepare(state: StateFolder, ports: StorePorts) -> None:
    """Write the files that the store reads at its start: keys, roles, certificate.

    Call it before each start, with the store stopped. All of them follow from
    the state folder's secrets but the certificate, which lives as long as the
    process. Mode 0600.
    """
    folder = configuration(state)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    state.store.mkdir(mode=0o700, parents=True, exist_ok=True)
    # One that was killed may have had other ports.
    if last := _last_ports(state):
        _remove_sockets(_sockets(last))
    signing_key = state.secret(SIGNING_KEY)
    for name, content in (
        (_CERTIFICATE, certificate()),
        (SECURITY, security(signing_key, folder / _CERTIFICATE)),
        (IDENTITIES, identities(state.secret(ACCESS_KEY), state.secret(SECRET_KEY))),
        (ROLES, roles(signing_key)),
        (PORTS, json.dumps(asdict(ports))),
    ):
        _write(folder / name, content)
    # The master keeps its election log per port; of a single master it is worth nothing.
    for log in state.store.glob("m[0-9]*"):
        if log.name != f"m{ports.master}":
            shutil.rmtree(log)


def _write(path: Path, content: str) -> None:
    descriptor, name = tempfile.mkstemp(dir=path.parent)
    with os.fdopen(descriptor, "w") as file:
        file.write(content)
    Path(name).replace(path)


def ensure_bucket(
    endpoint: str,
    bucket: str,
    region: str,
    access_key: str,
    secret_key: str,
    *,
    wait_seconds: float = 10,
) -> bool:
    """Make the bucket where it is missing and switch versions on; safe to repeat.

    Waits for a store that is just starting: its S3 API answers before it takes
    writes.

    Returns:
        Whether the bucket keeps versions; False where the store has none.

    Raises:
        Unavailable: the store did not answer in ``wait_seconds``.
        Forbidden, Conflict: it refuses the key, or to make the bucket.
    """

    def send(method: str, path: str, body: bytes = b"") -> int:
        return signing.send(
            method,
            f"{endpoint}/{path}",
            body,
            access_key=access_key,
            secret_key=secret_key,
            region=region,
        ).status_code

    versions = (
        b'<VersioningConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        b"<Status>Enabled</Status></VersioningConfiguration>"
    )
    deadline = time.monotonic() + wait_seconds
    while True:
        try:
            if send("HEAD", bucket) != 200:
                made = send("PUT", bucket)
                if made not in (200, 409):
                    raise Conflict(
                        f"The object store at {endpoint} refuses to make {bucket} ({made}).",
                        mend="Is the name taken by another account?",
                    )
            return send("PUT", f"{bucket}?versioning=", versions) == 200
        except Unavailable:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
