"""`almanac backup` and `almanac restore`: all of an Almanac in one file."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hub_ext.commands.options import Config, Json, State, settings_file, state_folder

if TYPE_CHECKING:
    from hub_ext.settings import Settings
    from hub_ext.state import StateFolder
    from hub_ext.storage.backup import Outcome, Progress
    from hub_ext.storage.objects import ObjectStore


def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The archive to write: a tar.gz.")],
    state: State = None,
    config: Config = None,
    force: Annotated[bool, typer.Option("--force", help="Write over FILE if it is there.")] = False,
    as_json: Json = False,
) -> None:
    """Copy everything into one file: databases, objects, homes, users, secrets.

    While Almanac runs, or not (the object store is then started for the time
    of it). The databases are copied first and in one piece, so that every
    object they refer to is in the archive.

    The archive holds secrets and password hashes: it is made readable by you
    alone, keep it so. Of each object it has the newest version. Left out:
    environments, logs, `.cache` folders and the work of runs that are under
    way.
    """
    from hub_ext import settings as settings_module
    from hub_ext.errors import Conflict, NotFound
    from hub_ext.storage.backup import backup as copy

    folder = state_folder(state)
    if not folder.root.is_dir():
        raise NotFound(
            f"There is no state folder {folder.root}.", mend="Name it with `--state DIR`."
        )
    archive = file.expanduser().absolute()
    if archive.exists() and not force:
        raise Conflict(f"{archive} is there already.", mend="Write over it with `--force`.")
    chosen = settings_file(config)
    settings = settings_module.load(chosen)
    began = time.monotonic()
    with (
        _readable_errors(archive),
        _store(folder, settings) as store,
        _progress("Copying", quiet=as_json) as progress,
    ):
        outcome = copy(folder, archive, store=store, config=chosen, progress=progress)
    _tell(f"{archive}, {_size(archive.stat().st_size)}", outcome, archive, folder, began, as_json)
    if not as_json:
        typer.echo("It holds secrets and password hashes: keep it where you alone can read it.")


def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="An archive of `almanac backup`.")],
    state: Annotated[
        Path,
        typer.Option(
            "--state",
            metavar="DIR",
            help="The folder to make: not there yet, or empty.",
            show_default=False,
        ),
    ],
    as_json: Json = False,
) -> None:
    """Make a state folder from a backup; `almanac up --state DIR` then starts it.

    Every part of the archive is checked; what is damaged is refused and leaves
    the folder empty. Objects come back with one version each. Runs that were
    under way when the backup was made count as lost.
    """
    from hub_ext import toolchain
    from hub_ext.errors import NotFound
    from hub_ext.settings import StorageSettings
    from hub_ext.storage.backup import open_alone
    from hub_ext.storage.backup import restore as make

    archive = file.expanduser().absolute()
    if not archive.is_file():
        raise NotFound(f"There is no file {archive}.")
    folder = state_folder(state)
    began = time.monotonic()
    region = str(StorageSettings.model_fields["region"].default)
    with _readable_errors(folder.root), _progress("Restoring", quiet=as_json) as progress:
        outcome = make(
            archive, folder, open_store=open_alone(toolchain.weed(), region), progress=progress
        )
    _tell(f"{folder.root}, as of {outcome.created}", outcome, archive, folder, began, as_json)
    if not as_json:
        typer.echo(f"Start it with `almanac up --state {folder.root}`.")


@contextlib.contextmanager
def _store(folder: StateFolder, settings: Settings) -> Iterator[ObjectStore]:
    """The platform's bucket, of the running Almanac or of a store started for now."""
    from hub_ext import toolchain
    from hub_ext.embedded.lock import Lock, holder_of
    from hub_ext.embedded.start import LOCK
    from hub_ext.errors import PublicError
    from hub_ext.state import Endpoints
    from hub_ext.storage.alone import store_alone, wait_until_readable
    from hub_ext.storage.backup import key_pair
    from hub_ext.storage.objects import ObjectStore

    storage = settings.storage

    def connect(endpoint: str) -> ObjectStore:
        store = ObjectStore.connect(endpoint, storage.bucket, storage.region, *key_pair(folder))
        wait_until_readable(store)
        return store

    if holder_of(folder.runtime / LOCK) is not None:
        yield connect(Endpoints.load(folder).store_url)
        return
    if not any(folder.store.glob("*")):
        raise PublicError(
            f"{folder.root} holds no object store: nothing was ever started there.",
            mend="Is it the right folder? `--state DIR` names another.",
        )
    with Lock(folder.runtime / LOCK), store_alone(folder, toolchain.weed()) as endpoint:
        yield connect(endpoint)


@contextlib.contextmanager
def _progress(doing: str, *, quiet: bool) -> Iterator[Progress]:
    """A line that says what has been copied so far; nothing without a terminal."""
    if quiet or not sys.stderr.isatty():
        yield lambda kind, size: None
        return
    from rich.console import Console
    from rich.progress import Progress as Bar
    from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn

    counts: dict[str, int] = {}
    total = 0
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(doing)

        def told(kind: str, size: int) -> None:
            nonlocal total
            counts[kind] = counts.get(kind, 0) + 1
            total += size
            bar.update(task, description=f"{doing}: {_counts(counts)}, {_size(total)}")

        yield told


@contextlib.contextmanager
def _readable_errors(place: Path) -> Iterator[None]:
    """A full disk or a missing permission is the reader's to mend, not a traceback."""
    import sqlite3

    from hub_ext.errors import PublicError

    try:
        yield
    except OSError as error:
        raise PublicError(
            f"{error.filename or place}: {error.strerror or error}.",
            mend="Nothing was left behind.",
        ) from error
    except sqlite3.Error as error:
        raise PublicError(f"A database cannot be copied: {error}.") from error


def _tell(
    sentence: str,
    outcome: Outcome,
    archive: Path,
    folder: StateFolder,
    began: float,
    as_json: bool,
) -> None:
    seconds = round(time.monotonic() - began, 1)
    if as_json:
        document = {
            "file": str(archive),
            "file_bytes": archive.stat().st_size,
            "state_folder": str(folder.root),
            "created": outcome.created,
            "counts": outcome.counts,
            "bytes": outcome.bytes,
            "notes": outcome.notes,
            "seconds": seconds,
        }
        typer.echo(json.dumps(document, indent=1))
        return
    typer.echo(f"{sentence} ({seconds} s): {_counts(outcome.counts)}.")
    for note in outcome.notes:
        typer.echo(f"  {note}", err=True)


WORDS = {
    "databases": ("database", "databases"),
    "objects": ("object", "objects"),
    "homes": ("file of homes", "files of homes"),
    "secrets": ("secret", "secrets"),
}


def _counts(counts: dict[str, int]) -> str:
    parts = [
        f"{count} {WORDS[kind][count != 1]}" for kind, count in counts.items() if kind in WORDS
    ]
    return ", ".join(parts) or "nothing yet"


def _size(count: int) -> str:
    from hub_ext.words import size

    return size(count)
