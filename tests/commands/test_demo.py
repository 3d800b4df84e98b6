"""`almanac demo`: that it tells the truth, stops when it must, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from http.cookiejar import Cookie
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from hub_ext import settings
from hub_ext.commands import demo
from hub_ext.commands.demo import outputs, walk
from hub_ext.commands.demo.person import progress_events, xsrf_for
from hub_ext.commands.demo.report import Clock, DemoFailed, Failure, Recorder, Report, Step
from hub_ext.commands.demo.tree import Tree, configuration, tail
from hub_ext.jobs.schemas import RunOut, RunState, Trigger
from hub_ext.names import TriggerKind
from hub_ext.storage.objects import ObjectInfo

NOW = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)
ALMANAC = Path(sys.prefix) / "bin" / "almanac"


# -- the pure parts -----------------------------------------------------------


def a_run(run_id: str, kind: TriggerKind, minutes: int, state: RunState) -> RunOut:
    return RunOut(
        id=run_id,
        job_id="j",
        job_name="x",
        project="user-demo",
        version=1,
        trigger=Trigger(kind=kind, key=f"{kind}:1", scheduled_for=None, by="service:jobs"),
        state=state,
        reason="",
        test=kind is TriggerKind.TEST,
        parameters={},
        created_at=NOW + timedelta(minutes=minutes),
        started_at=None,
        finished_at=None,
        progress=None,
        failure=None,
        attempts=[],
        files=[],
        url=f"/services/jobs/runs/{run_id}",
    )


def test_ticks_that_came_before_the_test_had_passed_are_not_waited_for() -> None:
    runs = [
        a_run("later", TriggerKind.TICK, 3, RunState.QUEUED),
        a_run("wanted", TriggerKind.TICK, 2, RunState.RUNNING),
        a_run("early", TriggerKind.TICK, 1, RunState.SKIPPED),
        a_run("test", TriggerKind.TEST, 0, RunState.SUCCEEDED),
    ]
    wanted = walk.newest(runs, TriggerKind.TICK)
    assert wanted is not None
    assert wanted.id == "wanted"
    test = walk.newest(runs, TriggerKind.TEST)
    assert test is not None
    assert test.id == "test"
    assert walk.newest(runs[2:], TriggerKind.TICK) is None


def a_cookie(path: str, value: str, name: str = "_xsrf") -> Cookie:
    return Cookie(
        0, name, value, None, False, "127.0.0.1", False, False, path, True, False, None, False,
        None, None, {},
    )  # fmt: skip


def test_the_xsrf_token_is_that_of_the_nearest_path() -> None:
    jar = [a_cookie("/hub/", "hub"), a_cookie("/user/demo/", "server"), a_cookie("/", "x", "other")]
    assert xsrf_for("/hub/api/users/demo/server", jar) == "hub"
    assert xsrf_for("/user/demo/almanac/api/productionize", jar) == "server"
    assert xsrf_for("/services/jobs/", jar) == ""


def test_progress_is_read_from_the_hubs_stream() -> None:
    lines = ['data: {"progress": 0, "message": "x"}', "", ": comment", "data: {broken", "data: [1]"]
    assert list(progress_events(lines)) == [{"progress": 0, "message": "x"}]


def test_the_throwaway_almanac_takes_the_callers_network_and_nothing_else() -> None:
    assert yaml.safe_load(configuration(settings.NetworkSettings())) == {}
    network = settings.NetworkSettings(package_index="https://mirror.example.org/simple")
    text = configuration(network)
    assert settings.parse(text).network == network


def test_a_logs_end_is_found_in_a_large_file(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    log.write_text("".join(f"line {n}\n" for n in range(50_000)))
    assert tail(log, 2) == ["line 49998", "line 49999"]
    assert tail(tmp_path / "none.log") == []


def test_only_what_was_written_since_counts() -> None:
    def item(key: str, seconds: int) -> ObjectInfo:
        return ObjectInfo(key, 10, NOW + timedelta(seconds=seconds))

    found = outputs.written_since([item("old.csv", -30), item("new.csv", 4)], NOW)
    assert [entry.key for entry in found] == ["new.csv"]


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        ("home/demo/outputs/t.parquet", "table"),
        ("t.CSV", "table"),
        ("c.png", "chart"),
        ("x.txt", None),
    ],
)
def test_outputs_are_known_by_their_names(key: str, kind: str | None) -> None:
    assert outputs.kind_of(key) == kind


def test_waiting_ends_when_the_time_is_up() -> None:
    now = [0.0]

    def later() -> float:
        now[0] += 0.5
        return now[0]

    clock = Clock(limit=5, now=later)
    with pytest.raises(DemoFailed, match="The end did not happen within"):
        clock.wait(lambda: False, what="The end", every=0)
    assert clock.left() == 0
    assert Clock(limit=5, now=later).wait(lambda: "found", what="x") == "found"


def test_a_step_that_raises_is_not_told_as_done() -> None:
    done: list[Step] = []
    recorder = Recorder(Clock(5), doing=lambda text: None, done=done.append)
    with recorder.step("First") as step:
        step.outcome = "well"
    with pytest.raises(DemoFailed), recorder.step("Second"):
        raise DemoFailed("no")
    assert [step.title for step in done] == ["First"]
    assert recorder.current == "Second"


def test_the_report_is_one_json_object() -> None:
    report = Report(steps=[Step("A", 0.0, 1.5, "done", {"x": 1})], seconds=2.25)
    document = json.loads(json.dumps(report.as_json()))
    assert document["ok"] is True
    assert document["steps"] == [
        {"title": "A", "started": 0.0, "finished": 1.5, "outcome": "done", "facts": {"x": 1}}
    ]
    report.failure = Failure("B", "It broke.", "Mend it.", {"hub.log": ["a"]})
    assert report.as_json()["ok"] is False
    assert report.as_json()["failure"]["logs"] == {"hub.log": ["a"]}


def test_a_failure_is_told_with_the_end_of_the_log(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [f"line {n} [b]" for n in range(40)]
    report = Report(failure=Failure("Sign in", "No.", "Look.", {"hub.log": lines}))
    monkeypatch.setattr(walk, "walk", lambda **options: report)
    with pytest.raises(demo.typer.Exit) as ended:
        demo.demo()
    assert ended.value.exit_code == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert "almanac demo: Sign in failed: No." in said.err
    assert "line 39 [b]" in said.err
    assert "line 3 [b]" not in said.err


def test_the_example_is_where_the_distribution_has_it() -> None:
    example = json.loads(walk.example_file().read_text())
    assert example["cells"]
    assert example["metadata"]["kernelspec"]["name"] == "python3"


# -- the walk itself ----------------------------------------------------------


def left_behind(folder: Path) -> list[Any]:
    """Files of the demo, and processes that have to do with its folder."""
    processes = [
        process.info["cmdline"]
        for process in psutil.process_iter(["cmdline", "pid"])
        if process.info["pid"] != os.getpid()
        and str(folder) in " ".join(process.info["cmdline"] or [])
    ]
    return [*folder.glob("almanac-demo-*"), *processes]


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the demo puts its throwaway folder."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return folder


@pytest.mark.tree
@pytest.mark.timeout(360)
def test_the_whole_path_works_and_leaves_nothing_behind(scratch: Path) -> None:
    done = subprocess.run(
        [str(ALMANAC), "demo", "--json"], capture_output=True, text=True, timeout=330, check=False
    )
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["ok"]
    titles = [step["title"] for step in document["steps"]]
    assert titles == [
        "Start Almanac",
        "Sign in",
        "Start the user's server",
        "Open the example",
        "Productionize",
        "Stop the user's server",
        "Test run",
        "Scheduled run",
        "Find the outputs",
        "Look at the run's page",
        "Stop Almanac",
    ]
    objects = document["steps"][8]["facts"]["objects"]
    assert any(item.get("rows", 0) > 0 for item in objects)
    assert any(item.get("width", 0) > 0 for item in objects)
    assert all("/outputs/" in item["key"] for item in objects)
    assert left_behind(scratch) == []


@pytest.mark.tree
@pytest.mark.timeout(300)
def test_a_notebook_that_raises_fails_the_demo_with_its_reason(
    scratch: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    example = json.loads(walk.example_file().read_text())
    example["cells"][-1] = {**example["cells"][-1], "cell_type": "code"}
    example["cells"][-1] |= {"source": "1 / 0", "outputs": [], "execution_count": None}
    broken = tmp_path / "broken.ipynb"
    broken.write_text(json.dumps(example))
    monkeypatch.setattr(walk, "example_file", lambda: broken)
    report = walk.walk(limit_seconds=240, keep=False)
    assert report.failure is not None
    assert report.failure.step == "Test run"
    assert "ZeroDivisionError" in report.failure.message
    assert report.failure.logs["jobs.log"]
    assert [step.title for step in report.steps][-1] == "Stop the user's server"
    assert left_behind(scratch) == []


@pytest.mark.tree
def test_a_demo_that_is_told_to_stop_takes_its_tree_along(scratch: Path) -> None:
    process = subprocess.Popen(
        [str(ALMANAC), "demo"], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )
    try:
        assert process.stderr is not None
        for line in process.stderr:
            if "Sign in" in line:
                break
        process.send_signal(signal.SIGTERM)
        process.stderr.read()
        assert process.wait(30) == 130
    finally:
        process.kill()
        process.wait()
    assert left_behind(scratch) == []


@pytest.mark.tree
def test_an_almanac_that_cannot_start_is_told_with_its_own_words(scratch: Path) -> None:
    tree = Tree(scratch)
    tree.state.create()
    # Not a users file: `almanac up` says so and ends.
    tree.state.users_file.write_text("[")
    tree.start()
    try:
        with pytest.raises(DemoFailed, match="`almanac up` ended with status 2") as raised:
            tree.wait_ready(Clock(60))
    finally:
        tree.stop()
    assert any("users.json" in line for line in raised.value.lines)
