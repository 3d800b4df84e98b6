"""The commands about jobs: what the panel does, from a terminal or a script.

Every command talks to the job service as its user; nothing is decided here.
Results go to standard output (``--json``: the API's own objects), progress and
checks to standard error, so that a pipe holds nothing but the result.

Exit status: 0 done; 1 a run that was waited for did not succeed; 2 refused or
not reachable, with the reason and how to mend it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hub_ext.errors import Invalid

if TYPE_CHECKING:
    from pydantic import BaseModel

    from hub_ext.client import JobsClient
    from hub_ext.jobs.schemas import JobOut, RunOut

Json = Annotated[bool, typer.Option("--json", help="Print the API's objects, as JSON.")]
JobArgument = Annotated[
    str, typer.Argument(metavar="JOB", help="A job's name, `project/name`, or its id.")
]
ParameterOptions = Annotated[
    list[str] | None,
    typer.Option(
        "-p",
        "--parameter",
        metavar="NAME=VALUE",
        help="A parameter's value; once for each. The notebook's own type decides how it is read.",
    ),
]
WAIT_LIMIT_SECONDS = 24 * 3600.0


def login(
    url: Annotated[
        str | None,
        typer.Option(
            help="The job service's address, ending in `/services/jobs`; "
            "default: the Almanac that runs on this machine."
        ),
    ] = None,
    token_stdin: Annotated[
        bool, typer.Option("--token-stdin", help="Read the token from standard input.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Keep a token, so that the other commands know who you are.

    Make a token on the hub's token page (the command prints its address) and
    paste it: it is not shown, it is tried out at once, and it is kept in
    `~/.config/almanac/token`, which you alone can read.

    Example: `almanac login`

    In a script: `almanac login --token-stdin < token-file`
    """
    import sys

    from hub_ext.client import JobsClient
    from hub_ext.commands import account

    mine = account.of_this_process()
    named = url.rstrip("/") if url else mine.named_url()
    address = named or mine.url()
    if not address.startswith(("http://", "https://")):
        raise Invalid(
            f"{address!r} is not the address of a job service.",
            mend="It looks like http://127.0.0.1:8000/services/jobs.",
            field="url",
        )
    if token_stdin:
        token = sys.stdin.readline().strip()
    else:
        typer.echo(f"Make a token at {account.token_page(address)}", err=True)
        token = typer.prompt("Token", hide_input=True, err=True).strip()
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise Invalid(
            "This is not a token: it is empty, or holds spaces or special characters.",
            mend=f"Copy it from {account.token_page(address)} as it is shown there.",
            field="token",
        )
    with JobsClient(address, token) as client:
        me = client.me()
    mine.keep(token, url=named)
    if as_json:
        print_json(me)
        return
    own, shared = "your own", [project.slug for project in me.projects if not project.personal]
    typer.echo(f"Signed in to {address} as {me.name}. Projects: {', '.join([own, *shared])}.")


def productionize(
    notebook: Annotated[Path, typer.Argument(help="The notebook (.ipynb).")],
    name: Annotated[
        str | None, typer.Option(help="The job's name; default: the notebook's.")
    ] = None,
    project: Annotated[
        str | None, typer.Option(help="The project that will own it; default: your own.")
    ] = None,
    cron: Annotated[
        str | None,
        typer.Option(help="When it runs, as five cron fields: `0 6 * * 1-5`, or `@monthly`."),
    ] = None,
    timezone: Annotated[
        str | None,
        typer.Option(help="Time zone of the schedule; default: this machine's, else UTC."),
    ] = None,
    parameter: ParameterOptions = None,
    description: Annotated[str, typer.Option(help="What the job is for, in a sentence.")] = "",
    new_version: Annotated[
        str | None,
        typer.Option(
            metavar="JOB",
            help="Make it a new version of this job, which keeps its schedule and "
            "parameters where none are given.",
        ),
    ] = None,
    run_now: Annotated[
        bool, typer.Option("--run-now", help="Also run it once, as soon as its test has passed.")
    ] = False,
    wait: Annotated[
        bool,
        typer.Option(
            "--wait", help="Wait for the test run (and for --run-now's); exit 1 if it fails."
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Make a notebook a production job.

    Captures the notebook, its parameters and the exact environment of its
    kernel, shows what the checks found, and registers the job. It then runs
    once as a test; when that has succeeded, the schedule is in force.

    Example: `almanac productionize gdp.ipynb --name "GDP nowcast" --cron "0 6 * * 1-5"
    --timezone Europe/Paris -p year=2024`
    """
    from hub_ext.commands import submit

    if new_version and (name or project or description):
        raise Invalid(
            "--name, --project and --description belong to a new job, "
            "--new-version to one that exists.",
            mend="Leave out the one or the other.",
            field="new_version",
        )
    if timezone and not cron:
        raise Invalid(
            "--timezone says how the schedule is read, and there is no schedule.",
            mend='Give one: --cron "0 6 * * 1-5".',
            field="schedule.timezone",
        )
    wanted = submit.Wanted(
        notebook=notebook,
        name=name,
        project=project,
        cron=cron,
        timezone=timezone,
        assignments=tuple(parameter or ()),
        description=description,
        run_now=run_now,
    )
    with _client() as client:
        target = client.job_named(new_version) if new_version else None
        job = submit.submit(client, wanted, target=target, show=_note)
        if not as_json:
            _note(submit.what_happens_next(job, datetime.now(UTC)))
        runs = _wait_for_test(client, job, run_now=run_now) if wait else []
        job = client.job(job.id) if runs else job
        if as_json:
            print_json(job)
        else:
            typer.echo(_page_url(client, job.url))
    _exit_by(runs)


def list_jobs(
    project: Annotated[str | None, typer.Option(help="Only this project's.")] = None,
    as_json: Json = False,
) -> None:
    """List the jobs that you can see, with their last and next run.

    Example: `almanac jobs --project national-accounts`
    """
    from hub_ext import words

    with _client() as client:
        jobs = list(client.jobs(project=project))
    if as_json:
        print_json(jobs)
        return
    if not jobs:
        _note(
            "No jobs yet. In JupyterLab, open a notebook and press Productionize; "
            "or: almanac productionize NOTEBOOK"
        )
        return
    now = datetime.now(UTC)
    rows = []
    for job in jobs:
        zone = words.zone_of(job)
        last = job.last_run
        rows.append(
            (
                job.name,
                words.project(job.project),
                words.schedule(job) + (" (paused)" if job.paused else ""),
                f"{words.STATES[last.state]} {words.relative(last.created_at, now)}"
                if last
                else "–",
                words.moment(job.next_run, zone, now) if job.next_run else "–",
            )
        )
    print_table(("Job", "Project", "Schedule", "Last run", "Next run"), rows)


def list_runs(
    job: JobArgument,
    limit: Annotated[
        int, typer.Option("-n", "--limit", min=1, max=1000, help="How many, newest first.")
    ] = 20,
    as_json: Json = False,
) -> None:
    """List the runs of a job, newest first, and why each ended as it did.

    Example: `almanac runs "GDP nowcast" -n 5`
    """
    from hub_ext import words

    with _client() as client:
        found = client.job_named(job)
        runs = list(islice(client.runs(found.id, page_size=min(limit, 100)), limit))
    if as_json:
        print_json(runs)
        return
    if not runs:
        _note(f"{found.name!r} has not run yet.")
        return
    zone, now = words.zone_of(found), datetime.now(UTC)
    print_table(
        ("Run", "State", "Started", "Took", "Why", "Version", "Reason"),
        [
            (
                run.id,
                " ".join(filter(None, (words.STATES[run.state], words.progress(run)))),
                words.moment(run.started_at or run.created_at, zone, now),
                words.between(run.started_at, run.finished_at, now) or "–",
                words.cause(run.trigger),
                str(run.version),
                run.reason,
            )
            for run in runs
        ],
    )


def run_now(
    job: JobArgument,
    parameter: ParameterOptions = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait until it has finished; exit 1 if it fails.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Run a job once, now, with its active version.

    Parameters given here count for this run alone.

    Example: `almanac run "GDP nowcast" -p year=2023 --wait`
    """
    from hub_ext.commands import submit
    from hub_ext.jobs.schemas import RunIn

    with _client() as client:
        found = client.job_named(job)
        declared = submit.declared_in(found.latest_version.parameters)
        values = submit.assignments(tuple(parameter or ()), declared)
        run = client.run(found.id, RunIn(parameters=values))
        if wait:
            run = _follow(client, run)
        if as_json:
            print_json(run)
        else:
            _say_run(client, run)
    _exit_by([run] if wait else [])


def pause(job: JobArgument, as_json: Json = False) -> None:
    """Stop a job's schedule until `almanac resume`; what runs now runs to its end.

    Example: `almanac pause "GDP nowcast"`
    """
    with _client() as client:
        changed = client.pause(client.job_named(job).id)
    if as_json:
        print_json(changed)
    else:
        typer.echo(f"{changed.name} is paused: no run starts by its schedule.")


def resume(job: JobArgument, as_json: Json = False) -> None:
    """Let a paused job's schedule go on; ticks that were missed stay missed.

    Example: `almanac resume "GDP nowcast"`
    """
    from hub_ext import words

    with _client() as client:
        changed = client.resume(client.job_named(job).id)
    if as_json:
        print_json(changed)
        return
    if changed.next_run:
        zone, now = words.zone_of(changed), datetime.now(UTC)
        when = (
            f"next run {words.moment(changed.next_run, zone, now)} "
            f"({words.zone_name(zone)}, {words.relative(changed.next_run, now)})"
        )
    else:
        when = "it has no schedule; `almanac run` runs it"
    typer.echo(f"{changed.name} goes on: {when}.")


# -- what they share ------------------------------------------------------


def _client() -> JobsClient:
    from hub_ext.commands import account

    return account.of_this_process().client()


def _note(text: str) -> None:
    """Something for the person at the terminal, apart from the result."""
    typer.echo(text, err=True)


def print_json(result: BaseModel | Sequence[BaseModel]) -> None:
    data: Any = (
        [item.model_dump(mode="json") for item in result]
        if isinstance(result, Sequence)
        else result.model_dump(mode="json")
    )
    typer.echo(json.dumps(data, indent=2, ensure_ascii=False))


def print_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    # Cells are Text: markup in a job's name is a name, not a command to the
    # terminal, and so are control characters.
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 200
    table = Table(*header, box=box.SIMPLE_HEAD, pad_edge=False)
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    console.print(table)


def printable(text: str) -> str:
    """``text`` on one line, without what would steer a terminal."""
    return "".join(char if char.isprintable() else " " for char in text)


def _page_url(client: JobsClient, path: str) -> str:
    from hub_ext.client import PREFIX

    return client.url.removesuffix(PREFIX) + path


def _follow(client: JobsClient, run: RunOut) -> RunOut:
    """Wait for a run, with its progress on standard error."""
    from rich.console import Console

    from hub_ext import words
    from hub_ext.jobs.schemas import FINISHED

    console = Console(stderr=True, highlight=False, markup=False)
    said = ""
    with console.status("") as status:

        def seen(looked_at: RunOut) -> None:
            nonlocal said
            state = words.STATES[looked_at.state].lower()
            line = " ".join(filter(None, (state, words.progress(looked_at))))
            if line == said or looked_at.state in FINISHED:
                return
            said = line
            line = printable(f"{words.cause(looked_at.trigger)}: {line}")
            status.update(line)
            if not console.is_terminal:
                console.print(line)

        return client.follow(run.id, timeout=WAIT_LIMIT_SECONDS, seen=seen)


def _wait_for_test(client: JobsClient, job: JobOut, *, run_now: bool) -> list[RunOut]:
    """Wait for the test run of the newest version, and for the run asked for with it."""
    from hub_ext.jobs.schemas import RunState
    from hub_ext.names import TriggerKind

    number = job.latest_version.number
    kinds = (TriggerKind.TEST, TriggerKind.MANUAL) if run_now else (TriggerKind.TEST,)
    waiting: dict[TriggerKind, RunOut] = {}
    for run in islice(client.runs(job.id), 20):
        if run.version == number and run.trigger.kind in kinds:
            waiting.setdefault(run.trigger.kind, run)
    finished = []
    for kind in kinds:
        if kind not in waiting:
            continue
        run = _follow(client, waiting[kind])
        _say_run(client, run, err=True)
        finished.append(run)
        if run.state is not RunState.SUCCEEDED:
            break
    return finished


def _say_run(client: JobsClient, run: RunOut, *, err: bool = False) -> None:
    from hub_ext import words

    if run.failure:
        where = f"cell {run.failure.cell + 1}" if run.failure.cell is not None else "the notebook"
        why = f"{where} raised {run.failure.ename}: {run.failure.evalue}"
    else:
        why = run.reason
    state = words.STATES[run.state].lower()
    typer.echo(
        f"{words.cause(run.trigger)}: {state}" + (f": {printable(why)}" if why else ""), err=True
    )
    typer.echo(_page_url(client, run.url), err=err)


def _exit_by(runs: Sequence[RunOut]) -> None:
    from hub_ext.jobs.schemas import RunState

    if any(run.state is not RunState.SUCCEEDED for run in runs):
        raise typer.Exit(1)
