"""What a backup holds, and how it becomes an Almanac again.

Databases first, each in one piece by SQLite's own backup; then the objects.
Results and bundles are written to the store before the database speaks of
them, and are never changed, so that every object which the copied databases
mean is among those copied after them.

    databases/<name>    hub.sqlite, jobs.sqlite
    files/users.json    users and their password hashes
    secrets/<name>      the platform's keys
    homes/<user>/…      people's disks, without ``.cache``
    objects/<key>       the bucket, newest versions
    config/<name>       almanac.yaml, for reference

Not in it: environments (built again when needed), logs, the work folders of
runs that are under way (they count as lost after a restore).
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

from hub_ext import __version__
from hub_ext.errors import Conflict, NotFound
from hub_ext.state import StateFolder
from hub_ext.storage.archive import ArchiveReader, ArchiveWriter, Damaged, Member
from hub_ext.storage.objects import ObjectStore

LEFT_OUT = frozenset({".cache"})
"""Folders of a home that are not copied: caches, by the XDG convention."""
STAGING = ".restoring"
CONFIG_COPY = "almanac.yaml.of-backup"

Progress = Callable[[str, int], None]
"""Told what kind of thing has been copied, and how many bytes of it."""


@dataclass
class Outcome:
    """What was copied.

    Attributes:
        counts, bytes: of files by kind: databases, objects, homes, secrets…
        notes: what was not copied as it should be; sentences.
        created: when the backup was made, RFC 3339.
    """

    counts: dict[str, int]
    bytes: dict[str, int]
    created: str
    notes: list[str] = field(default_factory=list)


def backup(
    state: StateFolder,
    archive: Path,
    *,
    store: ObjectStore | None,
    config: Path | None = None,
    progress: Progress = lambda kind, size: None,
) -> Outcome:
    """Copy ``state`` into ``archive``, which appears when it is whole.

    Args:
        store: the bucket; None leaves the objects out (a bucket of your own).
        config: almanac.yaml.

    Raises:
        Unavailable: the store went away meanwhile.
        OSError: a database cannot be read, or the archive cannot be written.
    """
    created = datetime.now(UTC).isoformat(timespec="seconds")
    header: dict[str, Any] = {"almanac": __version__, "created": created}
    header["bucket"] = store.bucket if store else None
    notes: list[str] = []
    with ArchiveWriter(archive, header) as writer:
        for database in (state.hub_database, state.jobs_database):
            _database(writer, database, progress)
        if state.users_file.exists():
            writer.add_file(f"files/{state.users_file.name}", state.users_file)
        for secret in sorted(state.secrets.glob("*")):
            if secret.is_file():
                writer.add_file(f"secrets/{secret.name}", secret)
        if config is not None and config.is_file():
            writer.add_file(f"config/{config.name}", config)
        if store is not None:
            _objects(writer, store, progress, notes)
        _homes(writer, state.homes, progress, notes)
    return Outcome(dict(writer.counts), dict(writer.bytes), created, notes)


def _database(writer: ArchiveWriter, path: Path, progress: Progress) -> None:
    if not path.exists():
        return
    with tempfile.TemporaryDirectory(prefix=".backup-", dir=path.parent) as folder:
        copy = Path(folder) / path.name
        with (
            contextlib.closing(sqlite3.connect(path, timeout=30)) as source,
            contextlib.closing(sqlite3.connect(copy)) as target,
        ):
            source.backup(target)
        writer.add_file(f"databases/{path.name}", copy)
        progress("databases", copy.stat().st_size)


def _objects(
    writer: ArchiveWriter, store: ObjectStore, progress: Progress, notes: list[str]
) -> None:
    for listed in store.list():
        try:
            found = store.open(listed.key)
        except NotFound:
            # Removed since it was listed, or the empty marker of a folder.
            continue
        name = f"objects/{listed.key}"
        whole = writer.add_stream(
            name,
            found.info.size,
            found.chunks,
            modified=found.info.modified.timestamp(),
            media_type=found.media_type,
        )
        if not whole:
            notes.append(f"{name} was not whole.")
        progress("objects", found.info.size)


def _homes(writer: ArchiveWriter, homes: Path, progress: Progress, notes: list[str]) -> None:
    for folder, folders, files in os.walk(homes):
        here = Path(folder)
        folders[:] = sorted(set(folders) - LEFT_OUT)
        for name in sorted(folders):
            path = here / name
            if path.is_symlink():
                writer.add_link(_home_name(homes, path), str(path.readlink()))
            else:
                writer.add_folder(_home_name(homes, path), path)
        for name in sorted(files):
            path, member = here / name, _home_name(homes, here / name)
            try:
                if path.is_symlink():
                    writer.add_link(member, str(path.readlink()))
                elif path.is_file():  # no sockets, no pipes
                    if not writer.add_file(member, path):
                        notes.append(f"{path} changed while it was copied.")
                    progress("homes", path.stat().st_size)
            except FileNotFoundError:
                continue  # removed since it was listed
            except PermissionError:
                notes.append(f"{path} cannot be read; it was left out.")


def _home_name(homes: Path, path: Path) -> str:
    return f"homes/{path.relative_to(homes)}"


def restore(
    archive: Path,
    state: StateFolder,
    *,
    open_store: Callable[[StateFolder, str], contextlib.AbstractContextManager[ObjectStore]],
    progress: Progress = lambda kind, size: None,
) -> Outcome:
    """Make ``state`` from ``archive``; all of it or nothing.

    Args:
        open_store: runs the store of a state folder and opens a bucket of it;
            called when the secrets are there, left before the end.

    Raises:
        Conflict: the folder is not empty.
        Damaged: the archive is not what was written; the folder is left empty.
    """
    _require_empty(state.root)
    state.root.mkdir(mode=0o700, parents=True, exist_ok=True)
    staging = StateFolder(state.root / STAGING)
    try:
        staging.create()
        reader = ArchiveReader(archive)
        with contextlib.ExitStack() as opened:
            _Restoring(staging, reader, opened, open_store, progress).all()
        for path in sorted(staging.root.iterdir()):
            path.rename(state.root / path.name)
    finally:
        shutil.rmtree(staging.root, ignore_errors=True)
    state.create()
    return Outcome(
        dict(reader.manifest["counts"]),
        dict(reader.manifest["bytes"]),
        str(reader.header["created"]),
    )


def _require_empty(folder: Path) -> None:
    if not folder.exists():
        return
    there = [path.name for path in folder.iterdir()] if folder.is_dir() else [folder.name]
    if there == [STAGING]:
        shutil.rmtree(folder / STAGING)  # of a restore that was killed
    elif there:
        raise Conflict(
            f"{folder} is not empty: a backup is restored into a folder of its own.",
            mend="Name one that is not there yet with `--state DIR`.",
        )


@dataclass
class _Restoring:
    """One pass over an archive, into a folder that nobody sees yet."""

    state: StateFolder
    reader: ArchiveReader
    opened: contextlib.ExitStack
    open_store: Callable[[StateFolder, str], contextlib.AbstractContextManager[ObjectStore]]
    progress: Progress
    store: ObjectStore | None = None

    def all(self) -> None:
        folders: list[tarfile.TarInfo] = []
        for member in self.reader.members():
            kind, _, rest = member.name.partition("/")
            if kind == "objects":
                self._object(member, rest)
            elif kind == "homes":
                self._home(member, rest)
                if member.entry.isdir():
                    folders.append(member.entry)
            elif "/" in rest or rest in ("", ".", "..") or not member.entry.isreg():
                raise Damaged(f"{self.reader.path} holds {member.name}, which is no part of one.")
            elif kind == "databases":
                _write(member, self.state.root / rest)
                _check_database(self.state.root / rest)
            elif kind == "secrets":
                _write(member, self.state.secrets / rest)
            elif kind == "files":
                _write(member, self.state.root / rest)
            elif kind == "config":
                _write(member, self.state.root / CONFIG_COPY)
            else:
                raise Damaged(f"{self.reader.path} holds {member.name}, which is no part of one.")
            self.progress(kind, member.entry.size)
        # At the end, or a folder that nobody may write into could not be filled.
        for entry in folders:
            (self.state.root / entry.name).chmod(entry.mode & 0o755 | 0o700)

    def _object(self, member: Member, key: str) -> None:
        if self.store is None:
            bucket = str(self.reader.header["bucket"])
            self.store = self.opened.enter_context(self.open_store(self.state, bucket))
        self.store.put_stream(key, member.chunks(), media_type=member.media_type or None)

    def _home(self, member: Member, name: str) -> None:
        # By hand: the filters of tarfile came with Python 3.11.4, Debian 12 has 3.11.2.
        entry, path = member.entry, self.state.homes / name
        homes = self.state.homes.resolve()
        if (
            name.startswith("/")
            or ".." in PurePosixPath(name).parts
            # Through a link that the archive itself has brought.
            or not path.resolve().is_relative_to(homes)
        ):
            raise Damaged(f"{self.reader.path} holds {member.name}, which leads away.")
        path.parent.mkdir(parents=True, exist_ok=True)
        if entry.isdir():
            path.mkdir(exist_ok=True)
        elif entry.issym():
            path.symlink_to(entry.linkname)
        elif entry.isreg():
            _write(member, path)
            path.chmod((entry.mode or 0o600) & 0o755)
            os.utime(path, (entry.mtime, entry.mtime))
        else:
            raise Damaged(f"{self.reader.path} holds {member.name}, which is no file.")


def _write(member: Member, path: Path) -> None:
    # Exclusive and not through links: what is there was written by this restore.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        for chunk in member.chunks():
            file.write(chunk)


def _check_database(path: Path) -> None:
    try:
        with contextlib.closing(sqlite3.connect(path)) as database:
            (verdict,) = database.execute("PRAGMA quick_check").fetchone()
    except sqlite3.DatabaseError as error:
        verdict = str(error)
    if verdict != "ok":
        raise Damaged(f"The copy of {path.name} is damaged: {verdict}.")


def key_pair(state: StateFolder) -> tuple[str, str]:
    """The platform's own key to the store of ``state``: access key and secret key."""
    from hub_ext.storage.embedded import ACCESS_KEY, SECRET_KEY

    return state.secret(ACCESS_KEY), state.secret(SECRET_KEY)


def open_alone(
    weed: Path, region: str
) -> Callable[[StateFolder, str], contextlib.AbstractContextManager[ObjectStore]]:
    """An ``open_store`` for `restore`: the embedded store by itself, with an empty bucket."""

    @contextlib.contextmanager
    def opened(state: StateFolder, bucket: str) -> Iterator[ObjectStore]:
        from hub_ext.storage.alone import store_alone
        from hub_ext.storage.embedded import ensure_bucket

        keys = key_pair(state)
        with store_alone(state, weed) as endpoint:
            ensure_bucket(endpoint, bucket, region, *keys)
            yield ObjectStore.connect(endpoint, bucket, region, *keys)

    return opened
