"""`almanac demo`: the whole path, headless, on a folder that is thrown away.

What it does is in `walk`, step by step; here is how it is asked for and shown.
The demo is an outside client of the running tree: it signs in through the
login form and sees what a person would see. Only the object store is looked
into directly, since outputs are to be found there and not merely announced.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from hub_ext.commands.options import Json

if TYPE_CHECKING:
    from rich.console import Console

    from hub_ext.commands.demo.report import Report, Step

LIMIT_SECONDS = 300.0
LOG_TAIL_LINES = 25


def demo(
    as_json: Json = False,
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep the state folder, to look around in it.")
    ] = False,
) -> None:
    """Show that it works: a notebook becomes a scheduled job and runs by itself.

    Starts an Almanac of its own on free ports and a throwaway folder, signs in
    as a user, starts that user's server, productionizes an example notebook on
    real data with a schedule due within a minute, stops the user's server,
    waits for the scheduled run and looks for its outputs in the object store.
    Takes about two minutes, five at most, and leaves nothing behind.

    Exits 0 when all of it happened; 1, with the reason and the end of the log
    that tells more, when something did not.
    """
    from rich.console import Console

    from hub_ext.commands.demo.walk import walk

    console = Console(stderr=True, highlight=False, markup=False)

    def done(step: Step) -> None:
        console.print(f"{step.finished:7.1f} s  {step.title}: {step.outcome}", soft_wrap=True)

    with console.status("Starting") as status:
        report = walk(
            limit_seconds=LIMIT_SECONDS,
            keep=keep,
            doing=status.update,
            done=done,
        )
    if as_json:
        typer.echo(json.dumps(report.as_json(), indent=2))
    elif report.failure is None:
        _print_report(report)
    if report.failure is not None:
        _print_failure(console, report)
        raise typer.Exit(1)


def _print_report(report: Report) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 160
    table = Table("At", "Took", "Step", "What happened", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in table.columns[:2]:
        column.justify = "right"
    for step in report.steps:
        table.add_row(
            f"{step.finished:.1f} s", f"{step.seconds:.1f} s", Text(step.title), Text(step.outcome)
        )
    console.print(table)
    console.print(f"The whole path works. It took {report.seconds:.0f} s.")
    if report.kept:
        console.print(f"Kept: {report.kept}", soft_wrap=True)


def _print_failure(console: Console, report: Report) -> None:
    from rich.text import Text

    failure = report.failure
    assert failure is not None
    console.print(Text(f"almanac demo: {failure.step} failed: {failure.message}"), soft_wrap=True)
    if failure.mend:
        console.print(Text(f"  {failure.mend}"), soft_wrap=True)
    for name, lines in failure.logs.items():
        console.print(Text(f"\nThe end of {name}:"))
        for line in lines[-LOG_TAIL_LINES:]:
            console.print(Text(f"  {line}"), soft_wrap=True)
    if report.kept:
        console.print(Text(f"Kept: {report.kept}"), soft_wrap=True)
