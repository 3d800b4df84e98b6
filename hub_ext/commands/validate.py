"""`almanac validate`: is almanac.yaml right, before anything starts with it?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hub_ext.commands.options import Json, State, settings_file, state_folder

if TYPE_CHECKING:
    from hub_ext.settings import Settings
    from hub_ext.state import StateFolder


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
    state: State = None,
    as_json: Json = False,
) -> None:
    """Check almanac.yaml and say, per mistake, where it is and what is expected.

    Where Almanac runs, its object store is tried as well: what it can do, and what
    Almanac does where it cannot.

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
    store = _store(loaded, state_folder(state))
    if as_json:
        document = {"file": str(path), "valid": True, "problems": [], "storage": store}
        typer.echo(json.dumps(document))
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
    _print_store(store)


def _store(settings: Settings, state: StateFolder) -> dict[str, Any] | None:
    """What the store of the Almanac that runs on ``state`` can do; None where none runs."""
    from hub_ext.capabilities import CAPABILITIES
    from hub_ext.errors import PublicError
    from hub_ext.state import Endpoints, NotRunning
    from hub_ext.storage.backup import key_pair
    from hub_ext.storage.credentials import CredentialsBroker
    from hub_ext.storage.probe import probe

    try:
        endpoint = Endpoints.load(state).store_url
    except NotRunning:
        return None
    place = (endpoint, settings.storage.bucket, settings.storage.region, *key_pair(state))
    try:
        found = probe(*place, CredentialsBroker(*place))
    except PublicError as error:
        return {"endpoint": endpoint, "error": str(error), "capabilities": []}
    return {
        "endpoint": endpoint,
        "error": None,
        "capabilities": [
            {
                "name": each.name,
                "title": each.title,
                "there": found[each.name],
                "means": each.gives if found[each.name] else each.without,
            }
            for each in CAPABILITIES
        ],
    }


def _print_store(store: dict[str, Any] | None) -> None:
    if store is None:
        typer.echo("Almanac does not run, so its object store was not tried.")
        return
    if store["error"]:
        typer.echo(f"The object store could not be tried: {store['error']}")
        return
    typer.echo(f"The object store at {store['endpoint']}:")
    for each in store["capabilities"]:
        typer.echo(f"  {'yes' if each['there'] else 'NO '}  {each['title']}: {each['means']}")
