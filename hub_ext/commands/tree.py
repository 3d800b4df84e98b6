"""`almanac up` and `almanac status`: Almanac on this machine."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hub_ext.commands.options import Config, Json, State, settings_file, state_folder

if TYPE_CHECKING:
    from hub_ext.embedded.records import TreeStatus

ILL, NOT_RUNNING = 1, 3

SCARCE = 1 << 30
"""Bytes free on the state folder's disk below which that is said."""
TOO_LITTLE = 64 << 20
"""Bytes below which all is not well: databases and store can soon write nothing more."""


def up(
    state: State = None,
    config: Config = None,
    port: Annotated[
        int | None,
        typer.Option(
            "--port",
            min=0,
            max=65535,
            help="Where people reach it, instead of `server.port`; 0 finds a free port.",
            show_default=False,
        ),
    ] = None,
    first_user: Annotated[
        str | None,
        typer.Option(
            "--first-user",
            metavar="NAME",
            help="Who is made when there is no user yet, with a password that is shown once. "
            "Default: `$ALMANAC_FIRST_USER`, else your account's name.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Start Almanac on this machine and keep it running until Ctrl-C or SIGTERM.

    Then everything is stopped within ten seconds: people's servers and running
    jobs, too. Without a terminal it prints plain lines; the one that begins
    with `ready: ` holds the address and how to sign in.
    """
    from hub_ext.embedded import start
    from hub_ext.embedded.show import Lines, Screen

    show = Screen() if sys.stdout.isatty() else Lines()
    start.run(state_folder(state), settings_file(config), show, port=port, first_user=first_user)


def status(
    state: State = None,
    as_json: Json = False,
) -> None:
    """Say what runs, where, since when, and how often it had to be started again.

    Exits 0 when all is well, 1 when a part is not or the disk is full, 3 when Almanac
    does not run.
    """
    from hub_ext.embedded.lock import holder_of
    from hub_ext.embedded.records import Processes, TreeStatus
    from hub_ext.embedded.start import LOCK

    folder = state_folder(state)
    holder = holder_of(folder.runtime / LOCK)
    tree = TreeStatus.load(folder.runtime) if holder is not None else None
    if tree is None or tree.pid != holder:
        left = len(Processes.load(folder.runtime).living()) if holder is None else 0
        if as_json:
            typer.echo(
                json.dumps(
                    {"running": False, "state_folder": str(folder.root), "left_behind": left}
                )
            )
        elif holder is not None:
            typer.echo(f"Almanac is just starting or stopping on {folder.root} (process {holder}).")
        else:
            typer.echo(f"Almanac is not running on {folder.root}.")
            if left:
                typer.echo(
                    f"{left} processes of one that was killed still run, and nobody looks after "
                    "them: `almanac up` ends them before it starts."
                )
        raise typer.Exit(NOT_RUNNING)
    document = _document(tree, folder.root)
    if as_json:
        typer.echo(json.dumps(document, indent=1))
    else:
        _print(tree, document)
    raise typer.Exit(0 if document["well"] else ILL)


def _document(tree: TreeStatus, folder: Path) -> dict[str, Any]:
    import shutil

    from hub_ext.embedded.logs import tail
    from hub_ext.embedded.parts import PartState
    from hub_ext.embedded.records import part_document

    parts = []
    for part in tree.parts:
        item = part_document(part)
        if part.state is not PartState.RUNNING:
            item["last_lines"] = tail(part.log, 5)
        parts.append(item)
    free = shutil.disk_usage(folder).free
    return {
        "running": True,
        "ready": tree.ready,
        "well": tree.ready
        and all(part.state is PartState.RUNNING for part in tree.parts)
        and free >= TOO_LITTLE,
        "address": tree.public_url,
        "state_folder": str(folder),
        "free_bytes": free,
        "pid": tree.pid,
        "started_at": tree.started_at.isoformat(),
        "parts": parts,
    }


def _print(tree: TreeStatus, document: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    from hub_ext.embedded.parts import PartState

    now = datetime.now(UTC)
    word = "ready" if tree.ready else "starting"
    typer.echo(
        f"Almanac is {word} at {tree.public_url}, for {_ago(tree.started_at, now)} "
        f"(process {tree.pid})."
    )
    typer.echo(f"State: {document['state_folder']}")
    if (free := document["free_bytes"]) < SCARCE:
        from hub_ext.words import size

        typer.echo(f"Only {size(free)} left on its disk: without room nothing can be saved.")
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for heading in ("part", "state", "for", "process", "restarts", "address"):
        # An address that is cut short is none; one on two lines is.
        table.add_column(heading, overflow="fold")
    for part in tree.parts:
        colour = "green" if part.state is PartState.RUNNING else "red"
        table.add_row(
            part.title,
            f"[{colour}]{part.state}[/]",
            _ago(part.since, now),
            str(part.pid or "–"),
            str(part.restarts),
            part.address,
        )
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 200
    console.print(table)
    for item in document["parts"]:
        if lines := item.get("last_lines"):
            ended = f" It last {item['last_end']}." if item["last_end"] else ""
            typer.echo(f"\n{item['title']}: {item['state']}.{ended} The end of {item['log']}:")
            for line in lines:
                typer.echo(f"  {line}")


def _ago(then: datetime, now: datetime) -> str:
    from hub_ext.words import duration

    return duration(max(0, round((now - then).total_seconds())))
