"""Notebooks that run, and notebooks that fail by themselves."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import psutil
import pytest


def outputs(cell: dict[str, Any]) -> str:
    return "".join("".join(item.get("text", "")) for item in cell["outputs"])


def test_a_notebook_runs_with_its_parameters_and_files(attempting: Any) -> None:
    running = attempting(
        ("year = 2024\nrate = 0.5", "parameters"),
        "import helper, os\nprint('größe 🚀', year, rate, helper.x, open('data/a.csv').read())",
        "",
        "year + 1",
        files={"helper.py": b"x = 7\n", "data/a.csv": b"1,2"},
        parameters={"year": 2025, "rate": "nan"},
        environment={"ALMANAC_RUN_ID": "run-1"},
    )
    assert running.run() == 0, running.log
    assert running.exit == {
        "exit_code": 0,
        "status": "succeeded",
        "message": "",
        "failure": None,
        "progress": {"cell": 4, "cells": 4},
    }
    cells = running.notebook["cells"]
    assert "".join(cells[1]["source"]) == 'year = 2025\nrate = float("nan")'
    assert outputs(cells[2]) == "größe 🚀 2025 nan 7 1,2\n"
    assert cells[4]["outputs"][0]["data"]["text/plain"] == ["2026"]
    assert [cell["execution_count"] for cell in cells] == [1, 2, 3, None, 4]
    assert running.notebook["metadata"]["language_info"]["name"] == "python"
    assert running.processes() == []
    assert not list(running.folder.root.glob("k-*"))


def test_events_tell_the_whole_story_in_order(attempting: Any) -> None:
    running = attempting(("x = 1", "parameters"), "print(x)", parameters={"x": 2})
    assert running.run() == 0, running.log
    events = running.events
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert all(re.match(r"20\d\d-.*\+00:00$", event["time"]) for event in events)
    assert [event["type"] for event in events] == [
        "attempt.started",
        "environment.ready",
        *["cell.started", "cell.finished"] * 2,
        "cell.started",
        "stream",
        "cell.finished",
        "attempt.finished",
    ]
    assert events[0]["data"]["parameters"] == {"x": 2}
    assert events[1]["data"]["reused"] is True
    assert running.of_type("cell.started")[-1] == {"cell": 2, "code_cell": 3, "of": 3}
    assert running.of_type("stream") == [{"cell": 2, "name": "stdout", "text": "2\n"}]
    assert events[-1]["data"] == {"status": "succeeded", "message": ""}


def test_what_is_printed_is_told_while_the_cell_runs(attempting: Any) -> None:
    running = attempting(
        "import time, pathlib\nprint('first', flush=True)\n"
        "while not pathlib.Path('go').exists(): time.sleep(0.02)\nprint('second')"
    ).start()
    running.until_printed("first")
    assert running.of_type("cell.finished") == []
    (running.folder.work / "go").touch()
    assert running.wait() == 0
    assert running.printed() == "first\nsecond\n"


def test_the_runner_names_itself(attempting: Any) -> None:
    running = attempting("import time, pathlib\nwhile not pathlib.Path('go').exists():\n"
                         "    time.sleep(0.02)").start()  # fmt: skip
    running.until(lambda: running.of_type("cell.started"))
    named = json.loads(running.folder.runner.read_text())
    assert named["pid"] == running.process.pid
    assert abs(named["start_time"] - psutil.Process(running.process.pid).create_time()) < 1
    (running.folder.work / "go").touch()
    assert running.wait() == 0


def test_the_kernel_sees_its_own_variables_and_none_of_the_runners(attempting: Any) -> None:
    running = attempting(
        "import os, sys, json\nprint(json.dumps([dict(os.environ), sys.path, os.getcwd()]))",
        environment={"ALMANAC_RUN_ID": "run-1", "TZ": "Europe/Paris"},
    )
    runner = {
        "RUNNER_SECRET": "s3cret",
        "JUPYTERHUB_API_TOKEN": "s3cret",
        "PIP_INDEX_URL": "https://a:s3cret@mirror/simple",
        "HTTPS_PROXY": "http://proxy:3128",
        "SSL_CERT_FILE": "/etc/ssl/cert.pem",
        "LANG": "C",
        "PYTHONPATH": "/nowhere",
        "TZ": "UTC",
    }
    assert running.run(runner) == 0, running.log
    env, path, folder = json.loads(running.printed())
    assert "s3cret" not in str(env)
    assert env["HTTPS_PROXY"] == "http://proxy:3128"
    assert env["SSL_CERT_FILE"] == "/etc/ssl/cert.pem"
    assert (env["ALMANAC_RUN_ID"], env["TZ"]) == ("run-1", "Europe/Paris")
    assert env["LANG"] == "C.UTF-8"
    assert env["HOME"] == str(running.folder.home)
    assert "/nowhere" not in path
    assert folder == str(running.folder.work)
    everything = running.folder.events.read_text() + running.folder.notebook.read_text()
    assert "s3cret" not in everything


def test_a_failing_cell_ends_the_run_and_what_was_done_is_kept(attempting: Any) -> None:
    running = attempting("print('before')", "def f():\n    1 / 0\nf()", "print('never')")
    assert running.run() == 1
    exit_ = running.exit
    assert exit_["status"] == "failed"
    assert exit_["message"] == "Cell 2 raised ZeroDivisionError: division by zero"
    assert exit_["progress"] == {"cell": 1, "cells": 3}
    failure = exit_["failure"]
    assert (failure["cell"], failure["ename"]) == (1, "ZeroDivisionError")
    assert failure["evalue"] == "division by zero"
    assert any("\x1b[" in line for line in failure["traceback"])
    assert all("\n" not in line for line in failure["traceback"])
    assert "f()" in re.sub(r"\x1b\[[0-9;]*m", "", "".join(failure["traceback"]))
    cells = running.notebook["cells"]
    assert outputs(cells[0]) == "before\n"
    assert cells[1]["outputs"][0]["output_type"] == "error"
    assert cells[2]["outputs"] == []
    assert running.of_type("cell.failed") == [failure]
    page = running.folder.html.read_text()
    assert "ZeroDivisionError" in page
    assert "\x1b" not in page


def test_tags_let_errors_pass_and_skip_cells(attempting: Any) -> None:
    running = attempting(("1/0", "raises-exception"), ("1/0", "skip-execution"), "print('on')")
    assert running.run() == 0, running.log
    assert running.exit["progress"] == {"cell": 2, "cells": 2}
    assert running.printed() == "on\n"


def test_a_syntax_error_and_an_endless_message_are_failures_like_others(attempting: Any) -> None:
    running = attempting("raise ValueError('x' * 3_000_000)")
    assert running.run() == 1
    assert len(running.folder.exit.read_text()) < 200_000
    assert running.exit["failure"]["ename"] == "ValueError"
    running = attempting("x = (")
    assert running.run() == 1
    assert running.exit["failure"]["ename"] == "SyntaxError"


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", "memory"),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)", "crashed (SIGSEGV)"),
        ("import os\nos._exit(3)", "status 3"),
        ("import os\nos._exit(0)", "ended its own kernel"),
    ],
)
def test_a_kernel_that_dies_is_explained(attempting: Any, source: str, words: str) -> None:
    running = attempting("print('before')", source, "print('never')")
    assert running.run() == 1
    assert words in running.exit["message"]
    assert running.exit["failure"]["cell"] == 1
    assert running.exit["failure"]["ename"] == "KernelDied"
    cells = running.notebook["cells"]
    assert outputs(cells[0]) == "before\n"
    assert cells[1]["outputs"][-1]["ename"] == "KernelDied"
    assert running.of_type("cell.failed")


def test_a_question_to_a_person_fails_at_once(attempting: Any) -> None:
    running = attempting("input('name?')")
    assert running.run() == 1
    assert running.exit["failure"]["ename"] == "StdinNotImplementedError"


def test_what_is_printed_without_end_is_cut_and_said_to_be(attempting: Any) -> None:
    running = attempting(
        "for n in range(3000): print('x' * 1000)",
        "import sys\nfor n in range(2000): print(f'\\r{n} of 2000', end='', file=sys.stderr)",
        "from IPython.display import display, HTML\n"
        "for n in range(1200): display(n)\ndisplay(HTML('y' * 30_000_000))",
        "print('end')",
    )
    assert running.run() == 0, running.log[-2000:]
    assert running.folder.events.stat().st_size < 1_500_000
    assert "more output" in running.printed()
    cells = running.notebook["cells"]
    assert 1024 * 1024 <= len(outputs(cells[0])) < 1024 * 1024 + 100
    assert "first 1 MiB" in outputs(cells[0])
    assert outputs(cells[1]) == "1999 of 2000"
    assert len(cells[2]["outputs"]) == 1001
    assert "first 1000 outputs" in outputs(cells[2])
    assert outputs(cells[3]) == "end\n"
    assert running.folder.notebook.stat().st_size < 2_000_000


def test_text_that_is_no_unicode_breaks_nothing(attempting: Any) -> None:
    running = attempting("print('a\\ud800b')", "raise ValueError('\\udcff')")
    assert running.run() == 1
    assert running.exit["failure"]["cell"] in (0, 1)
    running.folder.notebook.read_bytes().decode()
    running.folder.events.read_bytes().decode()


def test_output_that_is_updated_and_cleared(attempting: Any) -> None:
    running = attempting(
        "from IPython.display import display, clear_output\n"
        "h = display('a', display_id=True)\nh.update('b')",
        "print('gone')\nclear_output(wait=True)\nprint('kept')",
    )
    assert running.run() == 0, running.log
    cells = running.notebook["cells"]
    assert cells[0]["outputs"][0]["data"]["text/plain"] == ["'b'"]
    assert outputs(cells[1]) == "kept\n"


def test_an_attempt_that_is_over_is_not_executed_again(attempting: Any) -> None:
    running = attempting("open('count', 'a').write('x')")
    assert running.run() == 0
    events = running.events
    assert running.run() == 0
    assert (running.folder.work / "count").read_text() == "x"
    assert running.events == events


def test_a_folder_with_a_long_name_is_no_obstacle(attempting: Any, tmp_path: Path) -> None:
    running = attempting("print(1)", root=tmp_path / ("long-" * 30) / "é b")
    assert running.run() == 0, running.log


def test_a_chart_comes_out_as_a_picture(attempting: Any) -> None:
    running = attempting("import matplotlib.pyplot as plt\nplt.plot([1, 2]);")
    assert running.run() == 0, running.log
    (output,) = running.notebook["cells"][0]["outputs"]
    assert output["data"]["image/png"]
    assert "data:image/png;base64" in running.folder.html.read_text()


def test_sockets_that_need_a_shorter_path_lie_where_the_backend_says(
    attempting: Any, tmp_path: Path
) -> None:
    sockets = tmp_path / "sockets"
    running = attempting(
        f"import os; print(sorted(os.listdir({str(sockets)!r})))",
        root=tmp_path / ("long-" * 30),
        sockets=str(sockets),
    )
    assert running.run() == 0, running.log
    assert "connection.json" in running.printed()
    assert not sockets.exists()
