from __future__ import annotations

import json
import socket
import ssl
import stat
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import httpx
import psutil
import pytest

from hub_ext import toolchain
from hub_ext.errors import Forbidden, Unavailable
from hub_ext.state import StateFolder
from hub_ext.storage import embedded, embedded_files
from hub_ext.storage.alone import store_alone, wait_until_readable
from hub_ext.storage.backup import key_pair
from hub_ext.storage.embedded import StorePorts, StoreProcess, ensure_bucket, store_process
from hub_ext.storage.objects import ObjectStore

PORTS = StorePorts(
    s3=12001,
    s3_grpc=12002,
    master=12003,
    master_grpc=12004,
    volume=12005,
    volume_grpc=12006,
    filer=12007,
    filer_grpc=12008,
    admin=12009,
)


def test_the_command_names_every_port_and_holds_no_secret(tmp_path: Path) -> None:
    state = StateFolder(tmp_path).create()
    embedded.prepare(state, PORTS)
    process = store_process(state, PORTS, Path("/tools/weed"))
    line = " ".join(process.argv)
    for port in PORTS.all:
        assert f"={port}" in line
    assert "-ip.bind=127.0.0.1" in process.argv
    assert "-master.telemetry=false" in process.argv
    assert "-volume.preStopSeconds=0" in process.argv  # or stopping takes a second longer
    secrets = [path.read_text().strip() for path in state.secrets.iterdir()]
    assert len(secrets) == 3
    shown = line + json.dumps(dict(process.env))
    assert not any(secret in shown for secret in secrets)


def test_the_environment_is_the_stores_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "stray")
    monkeypatch.setenv("WEED_JWT_SIGNING_KEY", "stray")
    process = store_process(StateFolder(tmp_path), PORTS, Path("/tools/weed"))
    assert set(process.env) == {"HOME", "PATH", "LANG"}
    assert Path(process.env["HOME"]).is_relative_to(tmp_path)


def test_what_a_killed_store_left_outside_is_removed_unless_another_listens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sockets(ports: StorePorts) -> tuple[Path, ...]:
        return (tmp_path / f"s3-{ports.s3_grpc}", tmp_path / f"filer-{ports.filer_grpc}")

    monkeypatch.setattr(embedded, "_sockets", sockets)
    state = StateFolder(tmp_path / "state").create()
    embedded.prepare(state, PORTS)
    stale, listening = sockets(PORTS)
    for path in (stale, listening):
        with socket.socket(socket.AF_UNIX) as left:
            left.bind(str(path))
    with socket.socket(socket.AF_UNIX) as other:
        listening.unlink()
        other.bind(str(listening))
        other.listen()
        # The port was taken meanwhile: it starts again with others.
        embedded.prepare(state, StorePorts.free())
        assert not stale.exists()
        assert listening.exists()
    store_process(state, PORTS, Path("/tools/weed")).clean()
    assert not listening.exists()


def test_building_the_command_writes_nothing(tmp_path: Path) -> None:
    store_process(StateFolder(tmp_path / "state"), PORTS, Path("/tools/weed"))
    assert list(tmp_path.iterdir()) == []


def test_files_of_secrets_are_for_the_owner_alone(tmp_path: Path) -> None:
    state = StateFolder(tmp_path).create()
    embedded.prepare(state, PORTS)
    files = [path for path in embedded.configuration(state).iterdir() if path.is_file()]
    assert len(files) == 5
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}


def test_every_way_in_has_a_key_or_a_certificate(tmp_path: Path) -> None:
    security = tomllib.loads(embedded_files.security("ab" * 32, tmp_path / "certificate.pem"))
    keys = {
        security["jwt"]["signing"]["key"],
        security["jwt"]["signing"]["read"]["key"],
        security["jwt"]["filer_signing"]["key"],
        security["jwt"]["filer_signing"]["read"]["key"],
        security["admin"]["password"],
    }
    assert len(keys) == 5, "each is derived for its own purpose"
    assert all(len(key) == 64 for key in keys)
    for part in ("master", "volume", "filer", "s3", "admin"):
        assert security["grpc"][part]["cert"]
    for part in ("master", "admin"):
        assert security["https"][part]["ca"]


def test_ports_are_free_different_and_kept_from_one_start_to_the_next(tmp_path: Path) -> None:
    state = StateFolder(tmp_path).create()
    ports = StorePorts.of(state)
    assert len(set(ports.all)) == len(ports.all) == 10
    embedded.prepare(state, ports)
    assert StorePorts.of(state) == ports
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", ports.filer))
        taken.listen()
        other = StorePorts.of(state)
    assert ports.filer not in other.all


def test_only_loopback_is_listened_on_and_every_port_is_one_handed_in(store) -> None:
    found = listeners(store)
    assert {address for address, _ in found} == {"127.0.0.1"}
    assert {port for _, port in found} == set(StorePorts(**read_ports(store.state)).all)


def test_no_port_lists_reads_or_writes_anything_without_a_key(store, objects, place) -> None:
    key = f"{place}secret.txt"
    objects.put(key, b"nobody may read this")
    paths = {
        "GET": [
            "/",
            f"/{store.bucket}",
            f"/{store.bucket}/{key}",
            "/buckets/",
            f"/buckets/{store.bucket}/{key}",
            "/dir/status",
            "/dir/assign",
            "/dir/lookup?volumeId=1",
            "/cluster/status",
            "/vol/grow?count=1",
            f"/col/delete?collection={store.bucket}",
            "/ui/index.html",
            "/object-store/buckets",
            "/api/files/",
            "/metrics",
            "/debug/pprof/",
        ],
        "PUT": [f"/{store.bucket}/{key}", f"/buckets/{store.bucket}/{key}"],
        "POST": [f"/buckets/{store.bucket}/{place}planted", "/submit", "/"],
        "DELETE": [
            f"/{store.bucket}/{key}",
            f"/buckets/{store.bucket}/{key}",
            f"/buckets/{store.bucket}?recursive=true",
        ],
    }
    asked = 0
    for _, port in listeners(store):
        for scheme in ("http", "https"):
            with httpx.Client(
                base_url=f"{scheme}://127.0.0.1:{port}", verify=False, trust_env=False, timeout=5
            ) as client:
                for method, those in paths.items():
                    for path in those:
                        try:
                            answer = client.request(method, path)
                        except httpx.HTTPError:
                            continue  # refused before it was HTTP
                        asked += 1
                        assert answer.status_code in (400, 401, 403, 404, 405), (port, method, path)
                        assert b"nobody" not in answer.content
    assert asked > 50
    assert objects.get(key) == b"nobody may read this"
    assert [info.key for info in objects.list(place)] == [key]


def test_what_speaks_tls_demands_our_certificate(store) -> None:
    ports = StorePorts(
        **json.loads((embedded.configuration(store.state) / "ports.json").read_text())
    )
    stranger = ssl.create_default_context()
    stranger.check_hostname, stranger.verify_mode = False, ssl.CERT_NONE
    ours = ssl.create_default_context(cafile=certificate(store))
    ours.load_cert_chain(certificate(store))
    grpc = (ports.s3_grpc, ports.master_grpc, ports.volume_grpc, ports.filer_grpc)
    for port in (*grpc, ports.admin_grpc, ports.master, ports.admin):
        assert spoken_to(port, ours), port
        assert not spoken_to(port, stranger), port


def certificate(store) -> str:
    return str(embedded.configuration(store.state) / "certificate.pem")


def spoken_to(port: int, context: ssl.SSLContext) -> bool:
    """Whether the server answers after the handshake (TLS 1.3 refuses clients only then)."""
    context.set_alpn_protocols(["h2", "http/1.1"])
    try:
        with (
            socket.create_connection(("127.0.0.1", port), timeout=5) as raw,
            context.wrap_socket(raw, server_hostname="127.0.0.1") as tls,
        ):
            if tls.selected_alpn_protocol() == "h2":
                tls.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\x04" + bytes(5))
            else:
                tls.sendall(b"GET / HTTP/1.0\r\n\r\n")
            return bool(tls.recv(1))
    except OSError:
        return False


def listeners(store) -> list[tuple[str, int]]:
    port = httpx.URL(store.endpoint).port
    (process,) = [
        one
        for one in psutil.Process().children(recursive=True)
        if any(f"-s3.port={port}" == word for word in one.cmdline())
    ]
    # The admin server comes a moment after the S3 API.
    deadline = time.monotonic() + 20
    while True:
        found = sorted(
            (connection.laddr.ip, connection.laddr.port)
            for connection in process.net_connections("tcp")
            if connection.status == psutil.CONN_LISTEN
        )
        if len(found) >= len(PORTS.all) or time.monotonic() > deadline:
            return found
        time.sleep(0.05)


def test_the_bucket_is_made_once_and_keeps_versions(store, objects, place) -> None:
    assert ensure_bucket(store.endpoint, store.bucket, store.region, *store.keys.values())
    objects.put(f"{place}a", b"1")
    first = objects.head(f"{place}a").version
    objects.put(f"{place}a", b"2")
    assert objects.head(f"{place}a").version not in (None, first)


def test_the_bucket_is_not_made_with_a_wrong_key(store) -> None:
    with pytest.raises(Forbidden, match=store.endpoint):
        ensure_bucket(store.endpoint, store.bucket, store.region, store.access_key, "wrong")


def test_a_store_that_does_not_answer_is_waited_for_and_then_named() -> None:
    began = time.monotonic()
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1:9"):
        ensure_bucket("http://127.0.0.1:9", "b", "r", "a", "s", wait_seconds=0.5)
    assert time.monotonic() - began < 5


def test_starts_and_stops_in_seconds_and_leaves_nothing_behind(tmp_path: Path) -> None:
    state = StateFolder(tmp_path).create()
    began = time.monotonic()
    with store_alone(state, toolchain.weed()) as endpoint:
        assert time.monotonic() - began < 10
        process = store_process(state, StorePorts(**read_ports(state)), toolchain.weed())
        assert process.endpoint == endpoint
        assert all(path.exists() for path in process.leftovers[:3])
        (running,) = [
            one
            for one in psutil.Process().children()
            if str(state.store) in " ".join(one.cmdline())
        ]
        assert running.memory_info().rss < 400e6
    assert not running.is_running()
    assert not any(path.exists() for path in process.leftovers)


def read_ports(state: StateFolder) -> dict[str, int]:
    ports: dict[str, int] = json.loads((embedded.configuration(state) / "ports.json").read_text())
    return ports


def test_what_was_acknowledged_is_there_after_a_kill(tmp_path: Path) -> None:
    state = StateFolder(tmp_path).create()
    process = started(state)
    store_ = ObjectStore.connect(process[0].endpoint, "almanac", "us-east-1", *key_pair(state))
    written = []
    try:
        for number in range(50):
            store_.put(f"a/{number:03}", b"x" * 1000 * number)
            written.append(f"a/{number:03}")
    finally:
        process[1].kill()
        process[1].wait()
        process[0].clean()
    with store_alone(state, toolchain.weed()) as endpoint:
        again = ObjectStore.connect(endpoint, "almanac", "us-east-1", *key_pair(state))
        wait_until_readable(again)
        assert [info.key for info in again.list("a")] == written
        for number, key in enumerate(written):
            assert again.get(key) == b"x" * 1000 * number


def started(state: StateFolder) -> tuple[StoreProcess, subprocess.Popen[bytes]]:
    ports = StorePorts.of(state)
    process = store_process(state, ports, toolchain.weed())
    embedded.prepare(state, ports)
    running = subprocess.Popen(
        process.argv,
        env=dict(process.env),
        cwd=process.cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        ensure_bucket(process.endpoint, "almanac", "us-east-1", *key_pair(state), wait_seconds=20)
    except BaseException:
        running.kill()
        running.wait()
        raise
    return process, running


def test_it_ends_with_the_process_that_needed_it_even_if_that_is_killed(tmp_path: Path) -> None:
    code = f"""
import sys
from pathlib import Path
from hub_ext import toolchain
from hub_ext.state import StateFolder
from hub_ext.storage.alone import store_alone
with store_alone(StateFolder(Path({str(tmp_path)!r})).create(), toolchain.weed()) as endpoint:
    print(endpoint, flush=True)
    sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline().startswith("http://127.0.0.1:")
        (running,) = psutil.Process(parent.pid).children()
        parent.kill()
    psutil.wait_procs([running], timeout=10)
    assert not running.is_running()
    store_process(
        StateFolder(tmp_path), StorePorts(**read_ports(StateFolder(tmp_path))), Path("/weed")
    ).clean()


def test_a_bucket_without_objects_has_nothing_to_wait_for(store) -> None:
    keys = (store.access_key, store.secret_key)
    ensure_bucket(store.endpoint, "nothing-yet", store.region, *keys)
    empty = ObjectStore.connect(store.endpoint, "nothing-yet", store.region, *keys)
    wait_until_readable(empty, seconds=0)


def test_waiting_for_a_store_that_is_gone_ends(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(Unavailable):
            wait_until_readable(ObjectStore.connect(endpoint, "almanac", "us-east-1", "k", "s"), 1)
