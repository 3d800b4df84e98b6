"""The loop with a real database, real processes and a bucket that can go away."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest

from hub_ext.errors import Unavailable
from hub_ext.jobs import place
from hub_ext.jobs.backends.local import LocalBackend
from hub_ext.jobs.reconcile import Engine
from hub_ext.jobs.schemas import JobOut, RunIn, RunOut, RunState
from hub_ext.jobs.store.tables import attempts
from hub_ext.jobs.store.tables import runs as runs_table
from hub_ext.jobs.usecases import Execution, Jobs, Options
from hub_ext.names import Principal

FAKE_RUNNER = Path(__file__).with_name("fake_runner.py")


@dataclass
class Floor:
    """A service with everything but its web side; `restart` is another one on the same state."""

    database: Any
    objects: Any
    clock: Any
    options: Options
    root: Path
    office: Any
    parallel: int = 2
    engines: list[Engine] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        if self.engines:
            self.engine.stop(timeout=5)
        backend = LocalBackend(
            self.root,
            command=[sys.executable, str(FAKE_RUNNER)],
            fetch=lambda sha256, path: self.objects.get_file(place.bundle_key(sha256), path),
            environments=self.root / "environments",
            uv=Path("/usr/bin/uv"),
            environment={"PATH": os.environ["PATH"]},
            grace=0.5,
        )
        self.engine = Engine(
            Execution(self.database, clock=self.clock, options=self.options),
            backend,
            self.objects,
            parallel=self.parallel,
            clock=self.clock,
        )
        self.engines.append(self.engine)
        self.jobs = Jobs(
            self.database,
            objects=self.objects,
            clock=self.clock,
            spools=self.engine,
            credentials=lambda **_: {},
            options=self.options,
        )

    def step(self) -> None:
        self.engine.step()
        assert self.engine.settle(20)

    def until(self, condition: Callable[[], Any], seconds: float = 20.0) -> Any:
        pause = threading.Event()
        for _ in range(round(seconds / 0.03)):
            self.step()
            if found := condition():
                return found
            pause.wait(0.03)
        raise AssertionError(f"not within {seconds} s")

    def register(self, principal: Principal, do: str = "succeed", **members: Any) -> JobOut:
        bundle = self.office.upload(principal, parameters="do = 'succeed'")
        job: JobOut = self.office.register(
            principal, bundle=bundle, parameters={"do": do}, **members
        )
        return job

    def active(self, principal: Principal, **members: Any) -> JobOut:
        job = self.register(principal, **members)
        self.until(lambda: self.jobs.get_job(principal, job.id).active_version == 1)
        return self.jobs.get_job(principal, job.id)

    def run(self, principal: Principal, run_id: str) -> RunOut:
        return self.jobs.get_run(principal, run_id)

    def ended(self, principal: Principal, run_id: str) -> RunOut:
        going = (RunState.QUEUED, RunState.RUNNING)
        self.until(lambda: self.run(principal, run_id).state not in going)
        return self.run(principal, run_id)

    def folder(self, run_id: str, n: int = 1) -> Path:
        return self.root / run_id / str(n)


@pytest.fixture
def floor(
    database: Any, objects: Any, clock: Any, options: Options, tmp_path: Path, office: Any
) -> Iterator[Floor]:
    root = tmp_path / "attempts"
    made = Floor(database, objects, clock, options, root, office)
    yield made
    for engine in made.engines:
        engine.stop(timeout=5)
    for found in root.glob("*/*/process.json"):
        pid = json.loads(found.read_text())["pid"]
        if psutil.pid_exists(pid):
            psutil.Process(pid).kill()


def test_from_registered_to_active_and_then_on_schedule(
    floor: Floor, ana: Principal, clock: Any
) -> None:
    job = floor.active(ana, cron="* * * * *")
    test = job.last_run
    assert test is not None
    assert test.state is RunState.SUCCEEDED
    assert test.reason == ""
    assert [file.name for file in test.files] == ["notebook.html", "notebook.ipynb"]
    assert test.files[0].media_type.startswith("text/html")
    assert test.files[0].url == f"/services/jobs/api/v1/runs/{test.id}/files/notebook.html"
    assert test.progress is not None
    assert (test.progress.cell, test.progress.cells) == (1, 2)
    assert [(a.n, a.state) for a in test.attempts] == [(1, "succeeded")]
    opened = floor.jobs.open_file(ana, test.id, "notebook.html")
    assert b"".join(opened.chunks) == b"<p>executed</p>"
    events = floor.jobs.list_events(ana, test.id)
    assert [event.type for event in events.items] == [
        "attempt.started",
        "cell.started",
        "cell.finished",
        "attempt.finished",
    ]
    assert "doing succeed" in floor.jobs.run_log(ana, test.id)
    clock.turn(minutes=1)
    run_id = floor.until(
        lambda: [
            run.id for run in floor.jobs.list_runs(ana, job.id).items if run.trigger.kind == "tick"
        ]
    )[0]
    run = floor.ended(ana, run_id)
    assert run.state is RunState.SUCCEEDED
    # The attempts' folders are cleared away, tokens with them.
    floor.until(lambda: not list(floor.root.glob("*/*")))
    assert {key.rpartition("/")[2] for key in floor.objects.names() if run_id in key} == {
        "notebook.html",
        "notebook.ipynb",
        "events.jsonl",
        "runner.log",
    }


def test_a_failing_test_run_shows_why_and_skips_what_waited(
    floor: Floor, ana: Principal, office: Any
) -> None:
    job = floor.register(ana, do="fail", run_now=True)
    test = floor.ended(ana, office.test_run(ana, job).id)
    assert test.state is RunState.FAILED
    assert test.reason == "Cell 2 raised ValueError: no data"
    assert test.failure is not None
    assert (test.failure.cell, test.failure.ename) == (1, "ValueError")
    assert [file.name for file in test.files] == ["notebook.html", "notebook.ipynb"]
    waited = next(run for run in floor.jobs.list_runs(ana, job.id).items if not run.test)
    run = floor.ended(ana, waited.id)
    assert (run.state, run.reason) == (RunState.SKIPPED, "not active")
    seen = floor.jobs.get_job(ana, job.id)
    assert seen.active_version is None
    # What was skipped for the failure must not hide the failure.
    assert seen.last_run is not None
    assert seen.last_run.id == test.id


def test_while_it_runs_progress_events_and_log_can_be_seen(
    floor: Floor, ana: Principal, office: Any
) -> None:
    job = floor.register(ana, do="wait")
    run_id = office.test_run(ana, job).id
    floor.until(lambda: floor.run(ana, run_id).progress is not None)
    run = floor.run(ana, run_id)
    assert run.state is RunState.RUNNING
    assert run.attempts[0].state == "running"
    assert run.progress is not None
    assert (run.progress.cell, run.progress.cells) == (1, 2)
    first = floor.jobs.list_events(ana, run_id, limit=2)
    assert [event.seq for event in first.items] == [1, 2]
    assert first.next == "2"
    rest = floor.jobs.list_events(ana, run_id, after=2)
    assert [event.seq for event in rest.items] == [3]
    assert rest.next is None
    assert "doing wait" in floor.jobs.run_log(ana, run_id)
    assert run.files == []
    (floor.folder(run_id) / "go").touch()
    assert floor.ended(ana, run_id).state is RunState.SUCCEEDED


def test_a_run_that_is_cancelled_keeps_what_was_executed(
    floor: Floor, ana: Principal, office: Any
) -> None:
    job = floor.register(ana, do="hang")
    run_id = office.test_run(ana, job).id
    floor.until((floor.folder(run_id) / "ready").exists)
    floor.jobs.cancel_run(ana, run_id)
    run = floor.ended(ana, run_id)
    assert (run.state, run.reason) == (RunState.CANCELLED, "cancelled by ana")
    assert [file.name for file in run.files] == ["notebook.html", "notebook.ipynb"]
    assert floor.jobs.get_job(ana, job.id).active_version is None


def test_a_service_that_is_restarted_takes_its_runs_up_again(
    floor: Floor, ana: Principal, office: Any
) -> None:
    job = floor.register(ana, do="wait")
    run_id = office.test_run(ana, job).id
    floor.until((floor.folder(run_id) / "ready").exists)
    floor.restart()
    floor.step()
    assert floor.run(ana, run_id).state is RunState.RUNNING
    (floor.folder(run_id) / "go").touch()
    run = floor.ended(ana, run_id)
    assert run.state is RunState.SUCCEEDED
    assert len(run.attempts) == 1


def test_what_ended_while_the_service_was_away_is_published(
    floor: Floor, ana: Principal, office: Any
) -> None:
    job = floor.register(ana, do="wait")
    run_id = office.test_run(ana, job).id
    floor.until((floor.folder(run_id) / "ready").exists)
    floor.engine.stop(timeout=5)
    (floor.folder(run_id) / "go").touch()
    pause = threading.Event()
    while not (floor.folder(run_id) / "exit.json").exists():
        pause.wait(0.02)
    floor.restart()
    assert floor.ended(ana, run_id).state is RunState.SUCCEEDED


def test_a_crash_between_claiming_and_starting_is_made_up_for(
    floor: Floor, ana: Principal, office: Any, clock: Any
) -> None:
    run_id = office.test_run(ana, floor.register(ana)).id
    assert office.execution.begin(run_id) is not None  # and then the service died
    floor.step()
    assert floor.run(ana, run_id).attempts[0].state == "starting"
    clock.turn(seconds=16)
    run = floor.ended(ana, run_id)
    assert run.state is RunState.SUCCEEDED
    assert len(run.attempts) == 1


def test_a_lost_attempt_is_tried_again_and_not_for_ever(
    floor: Floor, ana: Principal, office: Any
) -> None:
    run = floor.ended(ana, office.test_run(ana, floor.register(ana, do="vanish")).id)
    assert run.state is RunState.FAILED
    assert [attempt.state for attempt in run.attempts] == ["lost", "lost", "failed"]
    assert run.reason.startswith("3 attempts were lost. The last: The runner ended without")


def test_results_wait_for_a_store_that_is_down(
    floor: Floor, ana: Principal, office: Any, clock: Any
) -> None:
    run_id = office.test_run(ana, floor.register(ana, do="wait")).id
    floor.until((floor.folder(run_id) / "ready").exists)
    floor.objects.down = True
    (floor.folder(run_id) / "go").touch()
    floor.until(lambda: floor.run(ana, run_id).attempts[0].message)
    run = floor.run(ana, run_id)
    assert run.state is RunState.RUNNING
    assert "wait for the object store" in run.attempts[0].message
    floor.objects.down = False
    clock.turn(minutes=1)
    run = floor.ended(ana, run_id)
    assert run.state is RunState.SUCCEEDED
    assert run.attempts[0].message == ""


def test_runs_wait_for_a_store_that_is_down_and_use_up_no_attempt(
    floor: Floor, ana: Principal, office: Any, clock: Any
) -> None:
    run_id = office.test_run(ana, floor.register(ana)).id
    floor.objects.down = True
    for _ in range(5):
        floor.step()
        clock.turn(seconds=20)
    run = floor.run(ana, run_id)
    assert [attempt.state for attempt in run.attempts] == ["starting"]
    assert "could not be started yet" in run.attempts[0].message
    floor.objects.down = False
    assert floor.ended(ana, run_id).state is RunState.SUCCEEDED


def test_a_bundle_that_is_gone_fails_the_run_and_says_so(
    floor: Floor, ana: Principal, office: Any
) -> None:
    job = floor.register(ana)
    (floor.objects.root / "bundles" / job.latest_version.bundle).unlink()
    run = floor.ended(ana, office.test_run(ana, job).id)
    assert run.state is RunState.FAILED
    assert "bundle" in run.reason


def test_one_upload_that_hangs_keeps_nobody_waiting(
    floor: Floor, ana: Principal, office: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow, quick = floor.register(ana, name="slow"), floor.register(ana, name="quick")
    slow_run, quick_run = office.test_run(ana, slow).id, office.test_run(ana, quick).id
    release = threading.Event()
    put_file = floor.objects.put_file

    def hanging(key: str, path: Path) -> None:
        if slow_run in key:
            release.wait(30)
        put_file(key, path)

    monkeypatch.setattr(floor.objects, "put_file", hanging)
    pause = threading.Event()
    for _ in range(600):
        floor.engine.step()
        if floor.run(ana, quick_run).state is RunState.SUCCEEDED:
            break
        pause.wait(0.03)
    assert floor.run(ana, quick_run).state is RunState.SUCCEEDED
    assert floor.run(ana, slow_run).state is RunState.RUNNING
    release.set()
    assert floor.ended(ana, slow_run).state is RunState.SUCCEEDED


def test_a_row_that_cannot_be_read_holds_up_nobody(
    floor: Floor, ana: Principal, office: Any, caplog: pytest.LogCaptureFixture
) -> None:
    poisoned, good = floor.register(ana, name="poisoned"), floor.register(ana, name="good")
    with floor.database.writing() as connection:
        connection.execute(
            runs_table.update()
            .where(runs_table.c.id == office.test_run(ana, poisoned).id)
            .values(trigger_key="nonsense:1")
        )
    assert floor.ended(ana, office.test_run(ana, good).id).state is RunState.SUCCEEDED
    assert "run.unreadable" in caplog.text


def test_a_fault_of_one_run_holds_up_nobody(
    floor: Floor, ana: Principal, office: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = floor.register(ana, name="first"), floor.register(ana, name="second")
    broken = office.test_run(ana, first).id
    begin = Execution.begin

    def begin_or_break(self: Execution, run_id: str) -> Any:
        if run_id == broken:
            raise RuntimeError("a bug of ours")
        return begin(self, run_id)

    monkeypatch.setattr(Execution, "begin", begin_or_break)
    assert floor.ended(ana, office.test_run(ana, second).id).state is RunState.SUCCEEDED


def test_no_more_attempts_at_once_than_allowed(floor: Floor, ana: Principal, office: Any) -> None:
    tests = [
        office.test_run(ana, floor.register(ana, do="wait", name=f"job {i}")).id for i in range(4)
    ]
    floor.until(lambda: sum((floor.folder(run) / "ready").exists() for run in tests) == 2)
    floor.step()
    states = [floor.run(ana, run).state for run in tests]
    assert states == ["running", "running", "queued", "queued"]
    for run in tests:
        floor.until((floor.folder(run) / "ready").exists)
        (floor.folder(run) / "go").touch()
    for run in tests:
        assert floor.ended(ana, run).state is RunState.SUCCEEDED


def test_an_attempt_that_takes_too_long_is_stopped(
    floor: Floor, ana: Principal, office: Any, clock: Any
) -> None:
    run_id = office.test_run(ana, floor.register(ana, do="hang")).id
    floor.until((floor.folder(run_id) / "ready").exists)
    clock.now += timedelta(days=1, minutes=3)
    run = floor.ended(ana, run_id)
    assert (run.state, run.reason) == (RunState.FAILED, "It took too long and was stopped.")
    assert run.files


def test_a_zombie_that_comes_back_publishes_nothing(
    floor: Floor, ana: Principal, office: Any
) -> None:
    run_id = office.test_run(ana, floor.register(ana, do="wait")).id
    floor.until((floor.folder(run_id) / "ready").exists)
    # Given up by mistake: it still runs.
    office.execution.lost(run_id, 1, "not seen for a minute")
    floor.until((floor.folder(run_id, 2) / "ready").exists)
    (floor.folder(run_id, 2) / "go").touch()
    run = floor.ended(ana, run_id)
    assert [attempt.state for attempt in run.attempts] == ["lost", "succeeded"]
    floor.until(lambda: not floor.folder(run_id).exists())
    assert not [key for key in floor.objects.names() if key.startswith(f"runs/{run_id}/1/")]


def test_the_loop_wakes_for_what_is_asked_and_survives_a_database_that_is_away(
    floor: Floor, ana: Principal, office: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = threading.Event()
    wanted = Execution.wanted

    def wanted_or_gone(self: Execution) -> Any:
        if failing.is_set():
            raise Unavailable("The job database does not answer.")
        return wanted(self)

    monkeypatch.setattr(Execution, "wanted", wanted_or_gone)
    failing.set()
    floor.engine.start()
    job = floor.register(ana)
    failing.clear()
    floor.engine.wake()
    pause = threading.Event()
    for _ in range(600):
        if floor.jobs.get_job(ana, job.id).active_version == 1:
            break
        pause.wait(0.03)
    assert floor.jobs.get_job(ana, job.id).active_version == 1
    assert floor.engine.alive


def test_results_are_plain_files_and_nothing_else(
    floor: Floor, ana: Principal, office: Any, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    run_id = office.test_run(ana, floor.register(ana, do="wait")).id
    floor.until((floor.folder(run_id) / "ready").exists)
    results = floor.folder(run_id) / "results"
    (results / "link.html").symlink_to(secret)
    (results / "folder").symlink_to(tmp_path)
    os.mkfifo(results / "pipe")
    (results / "charts").mkdir()
    (results / "charts" / "gdp.png").write_bytes(b"png")
    (floor.folder(run_id) / "go").touch()
    run = floor.ended(ana, run_id)
    assert [file.name for file in run.files] == [
        "charts/gdp.png",
        "notebook.html",
        "notebook.ipynb",
    ]


def test_a_run_of_an_archived_job_is_stopped(
    floor: Floor, ana: Principal, office: Any, database: Any
) -> None:
    job = floor.active(ana)
    run_id = floor.jobs.run_now(ana, job.id, RunIn(parameters={"do": "hang"})).id
    floor.until((floor.folder(run_id) / "ready").exists)
    floor.jobs.delete_job(ana, job.id)
    assert floor.ended(ana, run_id).state is RunState.CANCELLED
    with database.reading() as connection:
        assert len(connection.execute(attempts.select()).all()) == 2
