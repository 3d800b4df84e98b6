"""`almanac storage`: how much users and projects hold in the object store."""

from __future__ import annotations

from datetime import UTC, datetime

import typer

from hub_ext.commands.jobs import Json, print_json, print_table

app = typer.Typer(help="Files in the object store.", no_args_is_help=True)


@app.callback()
def _root() -> None:
    """Files in the object store."""


@app.command()
def usage(as_json: Json = False) -> None:
    """Say how much your files and those of your projects take, and how much they may.

    Those who operate Almanac (`authentication.admins`) see the sizes of all,
    and no names of files. Sizes are measured every few minutes.

    Example: `almanac storage usage`
    """
    from hub_ext import words
    from hub_ext.commands import account

    with account.of_this_process().client() as client:
        found = client.storage_usage()
    if as_json:
        print_json(found.items)
        return
    now = datetime.now(UTC)
    rows = []
    for item in found.items:
        limit = words.size(item.quota_bytes) if item.quota_bytes is not None else "none"
        full = item.quota_bytes is not None and item.size >= item.quota_bytes
        rows.append(
            (
                item.prefix.rstrip("/"),
                item.title,
                words.size(item.size) if item.as_of else "–",
                str(item.objects) if item.as_of else "–",
                limit + (" (full)" if full else ""),
                words.relative(item.as_of, now) if item.as_of else "not yet",
            )
        )
    print_table(("Place", "Title", "Size", "Files", "Limit", "Measured"), rows)
