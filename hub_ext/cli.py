"""The `almanac` command. Each subcommand lives in a module of `hub_ext.commands`.

Those modules import what is heavy inside their functions, so that `almanac
--help` answers at once; a test holds this.
"""

from __future__ import annotations

import sys

import typer

from hub_ext import __version__
from hub_ext.commands import backup, demo, jobs, storage, tree, users, validate
from hub_ext.errors import PublicError

app = typer.Typer(
    name="almanac",
    help="A notebook becomes a scheduled, reproducible, monitored production job.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

THIS_MACHINE = "This machine"
JOBS = "Jobs"

app.command(rich_help_panel=THIS_MACHINE)(tree.up)
app.command(rich_help_panel=THIS_MACHINE)(tree.status)
app.command(rich_help_panel=THIS_MACHINE)(demo.demo)
app.command(rich_help_panel=THIS_MACHINE)(validate.validate)
app.command(rich_help_panel=THIS_MACHINE)(backup.backup)
app.command(rich_help_panel=THIS_MACHINE)(backup.restore)
app.add_typer(users.app, name="users", rich_help_panel=THIS_MACHINE)

app.command(rich_help_panel=JOBS)(jobs.login)
app.command(rich_help_panel=JOBS)(jobs.productionize)
app.command("jobs", rich_help_panel=JOBS)(jobs.list_jobs)
app.command("runs", rich_help_panel=JOBS)(jobs.list_runs)
app.command("run", rich_help_panel=JOBS)(jobs.run_now)
app.command(rich_help_panel=JOBS)(jobs.pause)
app.command(rich_help_panel=JOBS)(jobs.resume)
app.add_typer(storage.app, name="storage", rich_help_panel=JOBS)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"almanac {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Print the version and exit."
    ),
) -> None:
    pass


def main() -> None:
    """Run the command; a `PublicError` becomes a message and exit status 2."""
    try:
        app()
    except PublicError as error:
        for line in error.extra.get("problems", []):
            print(line, file=sys.stderr)
        print(f"almanac: {error.message}", file=sys.stderr)
        if error.mend:
            print(f"  {error.mend}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
