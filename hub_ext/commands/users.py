"""`almanac users`: who may sign in."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hub_ext.commands.options import Config, Json, State, settings_file, state_folder

if TYPE_CHECKING:
    from hub_ext.auth.passwords import UsersFile
    from hub_ext.settings import Settings
    from hub_ext.state import StateFolder

app = typer.Typer(
    name="users",
    help="Who may sign in: add and remove users, set passwords.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)

StdinOption = Annotated[
    bool, typer.Option("--password-stdin", help="Read the password from standard input.")
]
GenerateOption = Annotated[
    bool, typer.Option("--generate", help="Make up a password and show it once.")
]
NameArgument = Annotated[str, typer.Argument(help="User name: lower case.", show_default=False)]


@app.command()
def add(
    name: NameArgument,
    password_stdin: StdinOption = False,
    generate: GenerateOption = False,
    state: State = None,
    as_json: Json = False,
) -> None:
    """Add a user, who may then sign in.

    The password is asked for, read from standard input, or made up and shown
    once; it is never taken from the command line, where others could see it.
    """
    from hub_ext.auth.passwords import check_username
    from hub_ext.errors import Conflict

    users = _users(state)
    check_username(name)
    if name in users:  # before anybody types a password for nothing
        raise Conflict(
            f"User {name!r} is there already.",
            mend=f"`almanac users passwd {name}` sets a new password.",
        )
    chosen = _password(name, password_stdin, generate)
    password = users.add(name, chosen)
    _tell("added", name, password if chosen is None else None, as_json)


@app.command()
def passwd(
    name: NameArgument,
    password_stdin: StdinOption = False,
    generate: GenerateOption = False,
    state: State = None,
    as_json: Json = False,
) -> None:
    """Set somebody's password; ends the sessions begun with the old one.

    Tokens they made for their programs stay good, see the hub's token page.
    """
    users = _users(state)
    _must_exist(users, name)
    chosen = _password(name, password_stdin, generate)
    password = users.set_password(name, chosen)
    _tell("changed", name, password if chosen is None else None, as_json)


@app.command()
def remove(
    name: NameArgument,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    state: State = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Remove a user: ends their sessions, tokens and server.

    Their jobs go on running, since jobs belong to projects, and their files
    stay where they are.
    """
    from hub_ext.names import slugify

    users = _users(state)
    folder = state_folder(state)
    if name not in users and _forget_at_hub(folder, name) != "deleted":
        # It is an error unless it was left half done the last time.
        _must_exist(users, name)
    stays = [
        "their jobs, which belong to projects, keep running",
        f"their files stay in {folder.homes / slugify(name)} and in the object store",
    ]
    groups = _groups(name, config)
    if groups:
        stays.append(f"almanac.yaml still names them ({', '.join(groups)}): take them out there")
    if not yes:
        if not sys.stdin.isatty():
            from hub_ext.errors import Invalid

            raise Invalid(
                f"Removing {name} needs a yes.", mend="Add --yes where nobody can be asked."
            )
        typer.echo(f"{name} will not get in any more; sessions, tokens and server end. Stays:")
        for line in stays:
            typer.echo(f"  - {line}")
        typer.confirm(f"Remove {name}?", abort=True)
    # The file first: from now on nobody can sign in again while the hub forgets them.
    if name in users:
        users.remove(name)
    hub = _forget_at_hub(folder, name)
    if as_json:
        typer.echo(json.dumps({"removed": name, "hub": hub, "groups": groups}))
        return
    at_hub = {
        "deleted": "their server is stopped, their sessions and tokens are gone",
        "unknown": "the hub did not know them",
        "not running": "the hub is not running; it forgets them when it starts",
    }[hub]
    typer.echo(f"Removed {name}: {at_hub}.")
    for line in stays:
        typer.echo(f"  - {line}")


@app.command("list")
def list_users(state: State = None, config: Config = None, as_json: Json = False) -> None:
    """Show who may sign in and, with almanac.yaml at hand, what they belong to."""
    users = _users(state)
    rows = [
        {
            "name": name,
            "added": entry.added,
            "password_changed": entry.changed,
            "groups": _groups(name, config),
        }
        for name, entry in sorted(users.entries().items())
    ]
    if as_json:
        typer.echo(json.dumps(rows))
        return
    if not rows:
        typer.echo("Nobody may sign in yet. `almanac users add NAME` changes that.")
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for heading in ("user", "since", "password of", "member of"):
        table.add_column(heading)
    for name, entry in sorted(users.entries().items()):
        table.add_row(name, entry.added[:10], entry.changed[:10], ", ".join(_groups(name, config)))
    Console().print(table)


def _users(state: Path | None) -> UsersFile:
    from hub_ext.auth.passwords import UsersFile

    return UsersFile(state_folder(state).users_file)


def _must_exist(users: UsersFile, name: str) -> None:
    from hub_ext.errors import NotFound

    if name not in users:
        raise NotFound(
            f"There is no user {name!r} in {users.path}.",
            mend="`almanac users list` shows who there is.",
        )


def _password(name: str, from_stdin: bool, generate: bool) -> str | None:
    """The password that was given, or None for one to be made up."""
    from hub_ext.auth.passwords import check_password
    from hub_ext.errors import Invalid

    if from_stdin and generate:
        raise Invalid("--password-stdin and --generate exclude each other.")
    if from_stdin:
        # One line, and the line's end is not part of it.
        return check_password(sys.stdin.readline().rstrip("\r\n"))
    if generate or not sys.stdin.isatty():
        return None
    typed: str = typer.prompt(
        f"Password for {name} (empty: make one up)", hide_input=True, default="", show_default=False
    )
    if not typed:
        return None
    check_password(typed)
    if typer.prompt("Once more", hide_input=True) != typed:
        raise Invalid("The two passwords differ.", mend="Give the command again.")
    return typed


def _tell(what: str, name: str, made_up: str | None, as_json: bool) -> None:
    if as_json:
        document = {what: name} | ({"password": made_up} if made_up else {})
        typer.echo(json.dumps(document))
        return
    typer.echo(f"User {name}: {what}.")
    if made_up:
        typer.echo(f"Password (shown this once): {made_up}")


def _groups(name: str, config: Path | None) -> list[str]:
    """Memberships by almanac.yaml; none where the file cannot be used."""
    from hub_ext import settings
    from hub_ext.errors import PublicError

    file = settings_file(config)
    if file is None:
        return []
    try:
        loaded: Settings = settings.load(file)
    except PublicError:
        return []
    groups = loaded.groups_of(name)
    return groups + (["operators"] if name in loaded.authentication.admins else [])


def _forget_at_hub(folder: StateFolder, name: str) -> str:
    """``deleted``, ``unknown`` (to the hub) or ``not running``.

    Raises:
        PublicError: the hub runs and could not do it. The user is out of the
            users file all the same, and the message says so.
    """
    import psutil

    from hub_ext.auth.hub_admin import HubAdmin
    from hub_ext.auth.roles import OPERATOR_TOKEN
    from hub_ext.errors import PublicError, Unavailable
    from hub_ext.state import Endpoints

    try:
        endpoints = Endpoints.load(folder)
    except PublicError:
        return "not running"
    try:
        with HubAdmin(endpoints.hub_api_url, folder.secret(OPERATOR_TOKEN)) as hub:
            return "deleted" if hub.remove_user(name) else "unknown"
    except PublicError as error:
        if not psutil.pid_exists(endpoints.pid):
            return "not running"  # it was killed, and could not tidy up
        raise Unavailable(
            f"{name} cannot sign in any more and is refused within seconds, but the hub still "
            f"keeps their server or tokens: {error.message}",
            mend=error.mend or "The hub forgets them when it is started again.",
        ) from error
