from __future__ import annotations

import contextlib
import gzip
import io
import json
import os
import socket
import sqlite3
import stat
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import typer
from typer.testing import CliRunner

from hub_ext import toolchain
from hub_ext.commands import backup as commands
from hub_ext.embedded.lock import Lock
from hub_ext.embedded.start import LOCK
from hub_ext.errors import Conflict, PublicError
from hub_ext.state import Endpoints, StateFolder
from hub_ext.storage.alone import store_alone, wait_until_readable
from hub_ext.storage.archive import ArchiveReader, ArchiveWriter, Damaged
from hub_ext.storage.backup import backup, key_pair, restore
from hub_ext.storage.embedded import ensure_bucket
from hub_ext.storage.objects import ObjectStore

OBJECTS = {
    "bundles/" + "a" * 64: os.urandom(3_000_000),
    "runs/1/1/notebook.html": b"<p>executed</p>",
    "home/ana/data/größe in m².csv": b"a,b\n1,2\n",
    "home/ana/empty": b"",
}


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> StateFolder:
    """A state folder with something of everything; its store is stopped."""
    state = StateFolder(tmp_path_factory.mktemp("original")).create()
    with store_alone(state, toolchain.weed()) as endpoint:
        ensure_bucket(endpoint, "almanac", "us-east-1", *key_pair(state))
        store = connect(state, endpoint)
        store.put("runs/1/1/notebook.html", b"an older version")
        for key, content in OBJECTS.items():
            store.put(key, content)
        store.put("home/ana/typed", b"x", media_type="application/x-test")
    for path, rows in ((state.hub_database, 3), (state.jobs_database, 2000)):
        with contextlib.closing(sqlite3.connect(path)) as database:
            database.execute("PRAGMA journal_mode=WAL")
            database.execute("CREATE TABLE things (id INTEGER PRIMARY KEY, name TEXT)")
            database.executemany(
                "INSERT INTO things (name) VALUES (?)", [(f"thing {n}",) for n in range(rows)]
            )
            database.commit()
    state.users_file.write_text('{"users": {}}')
    state.users_file.chmod(0o600)
    work = state.homes / "ana" / "work"
    work.mkdir(parents=True)
    (work / "notebook.ipynb").write_text("{}")
    (work / "script.sh").write_text("#!/bin/sh\n")
    (work / "script.sh").chmod(0o755)
    (work / "empty").mkdir()
    (work / "link").symlink_to("notebook.ipynb")
    (work / "away").symlink_to("/somewhere/else")
    (state.homes / "ana" / ".cache").mkdir()
    (state.homes / "ana" / ".cache" / "large").write_bytes(bytes(1000))
    return state


def connect(state: StateFolder, endpoint: str) -> ObjectStore:
    return ObjectStore.connect(endpoint, "almanac", "us-east-1", *key_pair(state))


@pytest.fixture(scope="module")
def archive(original: StateFolder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backup of it, made by the command while Almanac does not run."""
    path = tmp_path_factory.mktemp("archive") / "almanac.tar.gz"
    result = run("backup", str(path), "--state", str(original.root), "--json")
    assert result["counts"]["objects"] == len(OBJECTS) + 1
    assert result["counts"]["databases"] == 2
    assert result["counts"]["homes"] == 2
    assert result["notes"] == []
    return path


def run(*words: str) -> dict[str, object]:
    outcome = invoke(*words)
    assert outcome.exit_code == 0, outcome.output
    document: dict[str, object] = json.loads(outcome.stdout)
    return document


def invoke(*words: str):
    app = typer.Typer()
    app.command()(commands.backup)
    app.command()(commands.restore)
    return CliRunner().invoke(app, words)


def test_everything_comes_back(original: StateFolder, archive: Path, tmp_path: Path) -> None:
    state = StateFolder(tmp_path / "again")
    result = run("restore", str(archive), "--state", str(state.root), "--json")
    assert result["counts"]["objects"] == len(OBJECTS) + 1  # type: ignore[index]
    for database, rows in ((state.hub_database, 3), (state.jobs_database, 2000)):
        with contextlib.closing(sqlite3.connect(database)) as opened:
            assert opened.execute("SELECT count(*) FROM things").fetchone() == (rows,)
    for secret in original.secrets.iterdir():
        again = state.secrets / secret.name
        assert again.read_text() == secret.read_text()
        assert stat.S_IMODE(again.stat().st_mode) == 0o600
    assert state.users_file.read_text() == '{"users": {}}'
    work = state.homes / "ana" / "work"
    assert (work / "notebook.ipynb").read_text() == "{}"
    assert os.access(work / "script.sh", os.X_OK)
    assert (work / "empty").is_dir()
    assert (work / "link").readlink() == Path("notebook.ipynb")
    assert (work / "away").readlink() == Path("/somewhere/else")
    assert not (state.homes / "ana" / ".cache").exists()
    assert stat.S_IMODE(state.root.stat().st_mode) == 0o700
    with store_alone(state, toolchain.weed()) as endpoint:
        store = connect(state, endpoint)
        wait_until_readable(store)
        found = {info.key: store.get(info.key) for info in store.list()}
        assert found == {**OBJECTS, "home/ana/typed": b"x"}
        assert store.open("home/ana/typed").media_type == "application/x-test"
        assert store.open("runs/1/1/notebook.html").media_type == "text/html"


def test_the_archive_is_the_owners_alone_and_lists_itself(archive: Path) -> None:
    assert stat.S_IMODE(archive.stat().st_mode) == 0o600
    assert [path.name for path in archive.parent.iterdir()] == [archive.name]
    with tarfile.open(archive) as tar:
        names = tar.getnames()
        manifest = json.load(tar.extractfile("manifest.json"))  # type: ignore[arg-type]
        files = {member.name for member in tar if member.isreg()}
    assert names[0] == "almanac-backup.json"
    assert names[-1] == "manifest.json"
    assert names.index("databases/jobs.sqlite") < min(
        number for number, name in enumerate(names) if name.startswith("objects/")
    ), "databases come before the objects they speak of"
    assert set(manifest["sha256"]) == files - {"almanac-backup.json", "manifest.json"}


def test_no_process_is_left_and_the_folder_is_free_again(original: StateFolder) -> None:
    here = [" ".join(one.cmdline()) for one in psutil.Process().children(recursive=True)]
    assert not any(str(original.root) in line for line in here)
    with Lock(original.runtime / LOCK):
        pass


def test_while_almanac_runs_its_own_store_is_asked(original: StateFolder, tmp_path: Path) -> None:
    archive = tmp_path / "running.tar.gz"
    with (
        Lock(original.runtime / LOCK),
        store_alone(original, toolchain.weed()) as endpoint,
        sqlite3.connect(original.jobs_database, isolation_level=None) as busy,
    ):
        endpoints = Endpoints("http://h", "http://h", "http://p", "http://j", endpoint, os.getpid())
        endpoints.save(original)
        busy.execute("BEGIN IMMEDIATE")
        busy.execute("INSERT INTO things (name) VALUES ('not committed')")
        try:
            result = run("backup", str(archive), "--state", str(original.root), "--json")
        finally:
            busy.execute("ROLLBACK")
            endpoints.remove(original)
    assert result["counts"]["objects"] == len(OBJECTS) + 1  # type: ignore[index]
    with tarfile.open(archive) as tar:
        tar.extract("databases/jobs.sqlite", tmp_path)
    with contextlib.closing(sqlite3.connect(tmp_path / "databases" / "jobs.sqlite")) as copy:
        assert copy.execute("SELECT count(*) FROM things").fetchone() == (2000,)


def test_a_folder_that_is_not_empty_is_refused_and_left_as_it_is(
    archive: Path, tmp_path: Path
) -> None:
    (tmp_path / "mine").write_text("mine")
    outcome = invoke("restore", str(archive), "--state", str(tmp_path))
    assert isinstance(outcome.exception, Conflict)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_an_archive_is_not_written_over_unless_that_is_asked_for(
    original: StateFolder, tmp_path: Path
) -> None:
    path = tmp_path / "there"
    path.write_text("mine")
    outcome = invoke("backup", str(path), "--state", str(original.root))
    assert isinstance(outcome.exception, Conflict)
    assert path.read_text() == "mine"


def test_a_folder_in_which_nothing_was_started_is_said(tmp_path: Path) -> None:
    for folder in (tmp_path / "nothing", tmp_path):
        outcome = invoke("backup", str(tmp_path / "a.tar.gz"), "--state", str(folder))
        assert isinstance(outcome.exception, PublicError)
        assert str(folder) in outcome.exception.message
    assert list(tmp_path.glob("*.tar.gz")) == []


def no_store(state: StateFolder, bucket: str) -> contextlib.AbstractContextManager[ObjectStore]:
    raise AssertionError("no object is in this archive")


def small(path: Path, members: dict[str, bytes] | None = None) -> Path:
    with ArchiveWriter(path, {"almanac": "0", "created": "2026", "bucket": "almanac"}) as writer:
        for name, data in (members or {"files/users.json": b"{}", "homes/a/b": b"text"}).items():
            writer.add_bytes(name, data)
    return path


def cut_short(data: bytes) -> bytes:
    return data[: len(data) // 2]


def changed(data: bytes) -> bytes:
    return gzip.compress(gzip.decompress(data).replace(b"text", b"tixt"))


def without_end(data: bytes) -> bytes:
    raw = gzip.decompress(data)
    return gzip.compress(raw[: raw.index(b"manifest.json")] + bytes(1024))


def another_file(data: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        tar.addfile(tarfile.TarInfo("anything"))
    return buffer.getvalue()


def no_archive(data: bytes) -> bytes:
    return b"not an archive at all"


def of_the_future(data: bytes) -> bytes:
    return gzip.compress(gzip.decompress(data).replace(b'"format": 1', b'"format": 9'))


@pytest.mark.parametrize(
    "harm", [cut_short, changed, without_end, another_file, no_archive, of_the_future]
)
def test_a_damaged_archive_leaves_an_empty_folder(
    harm: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    path = small(tmp_path / "a.tar.gz")
    path.write_bytes(harm(path.read_bytes()))
    state = StateFolder(tmp_path / "state")
    with pytest.raises(Damaged, match=str(path)):
        restore(path, state, open_store=no_store)
    assert list(state.root.iterdir()) == []


@pytest.mark.parametrize(
    "name",
    [
        "homes/../outside",
        "homes/a/../../../outside",
        "secrets/../outside",
        "files/a/b",
        "databases/..",
        "elsewhere/file",
        "file",
    ],
)
def test_names_that_lead_out_of_the_folder_are_refused(name: str, tmp_path: Path) -> None:
    path = small(tmp_path / "a.tar.gz", {name: b"x"})
    state = StateFolder(tmp_path / "state")
    with pytest.raises(Damaged):
        restore(path, state, open_store=no_store)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["a.tar.gz", "state"]
    assert list(state.root.iterdir()) == []


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    path = tmp_path / "a.tar.gz"
    (tmp_path / "outside").mkdir()
    with ArchiveWriter(path, {"almanac": "0", "created": "2026", "bucket": None}) as writer:
        writer.add_link("homes/a", str(tmp_path / "outside"))
        writer.add_bytes("homes/a/planted", b"x")
    with pytest.raises(Damaged):
        restore(path, StateFolder(tmp_path / "state"), open_store=no_store)
    assert list((tmp_path / "outside").iterdir()) == []


def test_a_database_that_is_none_is_refused(tmp_path: Path) -> None:
    path = small(tmp_path / "a.tar.gz", {"databases/jobs.sqlite": b"no database" * 100})
    with pytest.raises(Damaged, match=r"jobs\.sqlite"):
        restore(path, StateFolder(tmp_path / "state"), open_store=no_store)


def test_what_a_killed_restore_left_is_cleared_away(tmp_path: Path) -> None:
    state = StateFolder(tmp_path / "state")
    (state.root / ".restoring" / "secrets").mkdir(parents=True)
    outcome = restore(small(tmp_path / "a.tar.gz"), state, open_store=no_store)
    assert outcome.counts == {"files": 1, "homes": 1}
    assert (state.homes / "a" / "b").read_text() == "text"
    assert not (state.root / ".restoring").exists()


def test_a_file_that_changes_its_size_meanwhile_keeps_the_archive_readable(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.tar.gz"

    def chunks(*parts: bytes) -> Iterator[bytes]:
        yield from parts

    with ArchiveWriter(path, {}) as writer:
        for name, parts in (("grown", (b"1234", b"56")), ("shrunk", (b"1",)), ("same", (b"1234",))):
            whole = writer.add_stream(
                f"objects/{name}", 4, chunks(*parts), modified=0, media_type="text/plain"
            )
            assert whole == (name == "same")
    found = {member.name: b"".join(member.chunks()) for member in ArchiveReader(path).members()}
    assert found == {
        "objects/grown": b"1234",
        "objects/shrunk": b"1\0\0\0",
        "objects/same": b"1234",
    }


def test_a_failure_half_way_leaves_no_file(tmp_path: Path) -> None:
    def fail() -> None:
        with ArchiveWriter(tmp_path / "a.tar.gz", {}) as writer:
            writer.add_bytes("files/a", b"x")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_sockets_are_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = StateFolder(tmp_path / "s").create()
    (state.homes / "ana").mkdir()
    (state.homes / "ana" / "kept").write_text("x")
    monkeypatch.chdir(state.homes / "ana")  # a path to a socket is 107 bytes at most
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind("socket")
        outcome = backup(state, tmp_path / "a.tar.gz", store=None)
    assert outcome.counts == {"homes": 1}
