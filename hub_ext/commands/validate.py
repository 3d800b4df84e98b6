"""`almanac validate`: is almanac.yaml right, before anything starts with it?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from hub_ext.commands.options import Json, settings_file


def validate(
    file: Annotated[
        Path | None,
        typer.Argument(
            help="The settings file; default: `$ALMANAC_CONFIG`, else the distribution's own "
            "`config/almanac.yaml`."
        ),
    ] = None,
    schema: Annotated[
        bool, typer.Option("--schema", help="Print the JSON Schema of the file and exit.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Check almanac.yaml and say, per mistake, where it is and what is expected.

    Exits 0 when the file is valid, 2 when it is not.
    """
    from hub_ext import settings
    from hub_ext.errors import NotFound

    if schema:
        typer.echo(json.dumps(settings.Settings.model_json_schema(), indent=2))
        return
    path = file or settings_file(None)
    if path is None:
        raise NotFound("There is no almanac.yaml.", mend="Name the file to check.")
    try:
        loaded = settings.load(path)
    except settings.SettingsError as error:
        if as_json:
            typer.echo(json.dumps({"file": str(path), "valid": False, "problems": error.problems}))
            raise typer.Exit(2) from None
        raise
    if as_json:
        typer.echo(json.dumps({"file": str(path), "valid": True, "problems": []}))
        return
    people = {
        name
        for project in loaded.projects
        for name in (*project.members, *project.owners, *project.approvers)
    }
    typer.echo(
        f"{path} is valid: {len(loaded.projects)} project(s), {len(people)} member(s); "
        f"listens on {loaded.server.address}:{loaded.server.port}, "
        f"sign-in by {loaded.authentication.method}"
    )
