"""The steps of the demo: from an empty folder to a notebook that has run by its schedule."""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import tempfile
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from hub_ext import toolchain, words
from hub_ext.client import API, PREFIX
from hub_ext.commands.demo import outputs
from hub_ext.commands.demo.person import Person
from hub_ext.commands.demo.report import Clock, DemoFailed, Failure, Recorder, Report, Step
from hub_ext.commands.demo.tree import Tree
from hub_ext.errors import NotFound, PublicError
from hub_ext.jobs.schemas import FINISHED, RunOut, RunState
from hub_ext.names import Project, TriggerKind
from hub_ext.settings import StorageSettings
from hub_ext.state import Endpoints

USER = "demo"
EXAMPLE = "seasonal-adjustment.ipynb"
PATH = f"work/{EXAMPLE}"
JOB = "Seasonal adjustment"
CRON = "* * * * *"
"""Every minute: the next tick after the test is never further away."""


def walk(
    *,
    limit_seconds: float,
    keep: bool,
    doing: Callable[[str], None] = lambda text: None,
    done: Callable[[Step], None] = lambda step: None,
) -> Report:
    """Do all of it, and whatever happens stop the tree and remove its folder.

    Args:
        limit_seconds: after which it has failed.
        keep: leave the folder where it is.
        doing: is told what is being done.
        done: is told each step that is done.
    """
    clock = Clock(limit_seconds)
    recorder = Recorder(clock, doing=doing, done=done)
    report = recorder.report
    folder = Path(tempfile.mkdtemp(prefix="almanac-demo-"))
    tree = Tree(folder)
    try:
        with _ended_in_order():
            try:
                _walk(recorder, tree)
                with recorder.step("Stop Almanac") as step:
                    left = tree.stop()
                    if left:
                        raise DemoFailed(
                            f"{left} processes outlived `almanac up`; they were ended."
                        )
                    step.outcome = "no process is left" + ("" if keep else ", nor any file")
            except PublicError as error:
                report.failure = failure(recorder.current, error, tree)
            except httpx.HTTPError as error:
                lost = DemoFailed(f"The connection was lost: {error or type(error).__name__}.")
                report.failure = failure(recorder.current, lost, tree)
            finally:
                tree.stop()
    finally:
        report.seconds = clock.elapsed()
        if keep:
            report.kept = folder
        else:
            shutil.rmtree(folder, ignore_errors=True)
    return report


def _walk(recorder: Recorder, tree: Tree) -> None:
    clock, say = recorder.clock, recorder.say
    with recorder.step("Start Almanac") as step:
        example = json.loads(example_file().read_text(encoding="utf-8"))
        password = tree.add_user(USER)
        tree.start()
        endpoints = tree.wait_ready(clock)
        step.outcome = f"ready at {endpoints.public_url}"
    with Person(endpoints.public_url) as person:
        with recorder.step("Sign in") as step:
            person.sign_in(USER, password)
            step.outcome = f"as {USER}, by the hub's form"
        with recorder.step("Start the user's server") as step:
            person.start_server(seen=say)
            step.outcome = f"ready at {person.server}"
        with recorder.step("Open the example") as step:
            person.save_notebook(PATH, example)
            step.outcome = f"{PATH}, {len(example['cells'])} cells"
        with recorder.step("Productionize") as step:
            job = person.productionize(
                {
                    "path": PATH,
                    "name": JOB,
                    "project": None,
                    "schedule": {"cron": CRON, "timezone": "UTC"},
                    "run_now": False,
                    "parameters": {},
                },
                submission=uuid.uuid4().hex,
            )
            step.facts = {"job": job["id"], "url": endpoints.public_url + job["url"]}
            step.outcome = f"{job['name']!r}, {_sentence(job)}"
        with recorder.step("Stop the user's server") as step:
            person.stop_server()
            clock.wait(lambda: not person.server_runs(), what="The end of the server", at_most=60)
            step.outcome = "nobody is at work; the job is on its own"
        with recorder.step("Test run") as step:
            person.enter_jobs()
            test = _wait_for(recorder, person, tree, job["id"], TriggerKind.TEST)
            step.facts = {"run": test.id}
            step.outcome = _how_it_went(test)
        with recorder.step("Scheduled run") as step:
            run = _wait_for(recorder, person, tree, job["id"], TriggerKind.TICK)
            step.facts = {"run": run.id, "scheduled_for": str(run.trigger.scheduled_for)}
            step.outcome = _how_it_went(run)
        with recorder.step("Find the outputs") as step:
            found = _outputs(endpoints, tree, run)
            step.facts = {
                "objects": [{"key": o.key, "size": o.size, **o.facts} for o in found],
            }
            step.outcome = "; ".join(output.sentence for output in found)
        with recorder.step("Look at the run's page") as step:
            step.outcome = _look_at_page(person, run)


def example_file() -> Path:
    """The example notebook: in the clone, or as installed with the distribution."""
    path = toolchain.config_folder() / "examples" / EXAMPLE
    if not path.is_file():
        raise NotFound(
            f"The example notebook is not at {path}.", mend="Install the distribution again."
        )
    return path


def newest(runs: list[RunOut], kind: TriggerKind) -> RunOut | None:
    """The run to follow: of this cause, and not one that was skipped before its time.

    Ticks that come while the test is under way are skipped, as they should be.
    """
    fitting = [run for run in runs if run.trigger.kind is kind]
    if kind is TriggerKind.TICK:
        fitting = [run for run in fitting if run.state is not RunState.SKIPPED]
    # The one that began first: a later tick must not start the wait anew.
    return min(fitting, key=lambda run: run.created_at, default=None)


def _wait_for(
    recorder: Recorder, person: Person, tree: Tree, job_id: str, kind: TriggerKind
) -> RunOut:
    """The job's run of this cause, once it has succeeded.

    Raises:
        DemoFailed: it ended otherwise; its log is attached.
    """

    def look() -> RunOut | None:
        tree.check_alive()
        page = person.api(f"/jobs/{job_id}/runs")
        run = newest([RunOut.model_validate(item, extra="ignore") for item in page["items"]], kind)
        if run is None:
            recorder.say("waiting for its time")
            return None
        recorder.say(" ".join(filter(None, (run.state.value, words.progress(run)))))
        return run if run.state in FINISHED else None

    what = "The test run's end" if kind is TriggerKind.TEST else "The scheduled run's end"
    run: RunOut = recorder.clock.wait(look, what=what, every=0.5)
    if run.state is not RunState.SUCCEEDED:
        log = person.file(f"{PREFIX}{API}/runs/{run.id}/log").decode("utf-8", "replace")
        raise DemoFailed(
            f"Run {run.id} is {run.state.value}: {run.reason or 'no reason was given'}.",
            lines=log.splitlines(),
        )
    return run


def _how_it_went(run: RunOut) -> str:
    assert run.started_at is not None
    due = run.trigger.scheduled_for
    late = f"due {due:%H:%M:%S} UTC, " if due else ""
    took = words.between(run.started_at, run.finished_at, datetime.now(UTC))
    return f"{late}started {run.started_at.astimezone(UTC):%H:%M:%S}, succeeded in {took}"


def _sentence(job: dict[str, Any]) -> str:
    schedule = job.get("schedule") or {}
    sentence = str(schedule.get("sentence", ""))
    return f"{sentence[:1].lower()}{sentence[1:]}"


def _outputs(endpoints: Endpoints, tree: Tree, run: RunOut) -> list[outputs.Output]:
    from hub_ext.storage.objects import ObjectStore

    defaults = StorageSettings()
    store = ObjectStore.connect(
        endpoints.store_url,
        defaults.bucket,
        defaults.region,
        tree.state.secret("store-admin-access-key"),
        tree.state.secret("store-admin-secret-key"),
    )
    assert run.started_at is not None
    return outputs.inspect(
        store,
        Project.of_user(USER).prefix + "outputs/",
        run.started_at,
        toolchain.python_environment() / "bin" / "python",
    )


def _look_at_page(person: Person, run: RunOut) -> str:
    page = person.page(run.url)
    html = next((file for file in run.files if file.name == "notebook.html"), None)
    if html is None or html.url not in page:
        raise DemoFailed(f"The page {run.url} does not show the executed notebook.")
    content = person.file(html.url)
    if len(content) < 1000:
        raise DemoFailed(f"The executed notebook at {html.url} is empty.")
    return f"{run.url} shows the executed notebook ({words.size(len(content))})"


def failure(step: str, error: PublicError, tree: Tree) -> Failure:
    """Why the demo stopped, with what the logs say that have to do with the step."""
    logs = {"the run's log": error.lines} if isinstance(error, DemoFailed) and error.lines else {}
    near = {
        "Start Almanac": ("hub.log", "proxy.log", "store.log", "jobs.log"),
        "Sign in": ("hub.log",),
        "Start the user's server": ("hub.log", f"server-{USER}.log"),
        "Open the example": (f"server-{USER}.log",),
        "Productionize": (f"server-{USER}.log", "jobs.log"),
        "Stop the user's server": ("hub.log",),
    }.get(step, ("jobs.log",))
    return Failure(step, error.message, error.mend, {**logs, **tree.log_tails(*near)})


@contextlib.contextmanager
def _ended_in_order() -> Iterator[None]:
    """Let SIGTERM unwind like Ctrl-C does, so that the tree is stopped then, too."""

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    try:
        before = signal.signal(signal.SIGTERM, interrupt)
    except ValueError:  # not in the main thread: the caller's business
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
