"""What is promised of the whole, tried on the whole: real parts, real processes, real time."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from keepers import until
from trees import ALMANAC, Tree, start_tree, stop_tree

from hub_ext.client import JobsClient
from hub_ext.commands.demo.person import Person
from hub_ext.jobs.schemas import RunOut, RunState
from hub_ext.names import TriggerKind

pytestmark = [pytest.mark.tree, pytest.mark.xdist_group("own-tree"), pytest.mark.timeout(400)]

GOOD = "import os\nprint('due at', os.environ.get('ALMANAC_SCHEDULED_FOR'))"
BAD = "import os\nif 'ALMANAC_TEST' not in os.environ:\n    raise RuntimeError('no data today')"
A_TICK = 90
"""Seconds in which a job that runs every minute has run."""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    shutil.rmtree(tmp_path, ignore_errors=True)


def notebook(folder: Path, name: str, source: str) -> Path:
    path = folder / f"{name}.ipynb"
    cell = {
        "cell_type": "code",
        "id": "only",
        "execution_count": None,
        "metadata": {},
        "outputs": [],
        "source": source,
    }
    kernel = {"name": "python3", "display_name": "Python 3 (Almanac)", "language": "python"}
    content = {
        "cells": [cell],
        "metadata": {"kernelspec": kernel},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    path.write_text(json.dumps(content))
    return path


def token_of(tree: Tree) -> str:
    """A token as a person makes one on the hub's token page."""
    with Person(tree.url) as person:
        person.sign_in(tree.user, tree.password)
        return person.make_token("terminal")


def productionize(tree: Tree, token: str, path: Path) -> None:
    done = subprocess.run(
        [
            str(ALMANAC), "productionize", str(path), "--name", path.stem,
            "--cron", "* * * * *", "--wait",
        ],
        env=os.environ | {"ALMANAC_STATE": str(tree.state), "ALMANAC_TOKEN": token},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def ticks(jobs: JobsClient, name: str, since: datetime) -> list[RunOut]:
    """The ended runs by schedule that were started since then; skipped ones left out."""
    ended = (RunState.SUCCEEDED, RunState.FAILED)
    runs = jobs.runs(jobs.job_named(name).id)
    return [
        run
        for run in runs
        if run.trigger.kind is TriggerKind.TICK and run.state in ended and run.created_at > since
    ]


def test_jobs_run_by_themselves_after_a_restart_and_one_that_fails_hinders_none(
    folder: Path,
) -> None:
    tree = start_tree(folder)
    try:
        token = token_of(tree)
        for name, source in (("good", GOOD), ("bad", BAD)):
            productionize(tree, token, notebook(folder, name, source))
        stop_tree(tree)
        # Nobody signs in and no server is started from here on.
        tree, since = start_tree(folder), datetime.now(UTC)
        with JobsClient(f"{tree.url}/services/jobs", token) as jobs:
            until(lambda: ticks(jobs, "bad", since) and ticks(jobs, "good", since), A_TICK)
            failed, succeeded = ticks(jobs, "bad", since), ticks(jobs, "good", since)
            assert {run.state for run in failed} == {RunState.FAILED}
            assert {run.state for run in succeeded} == {RunState.SUCCEEDED}
            failure = failed[-1].failure
            assert failure is not None
            assert (failure.ename, failure.evalue) == ("RuntimeError", "no data today")
            for name in ("good", "bad"):
                due = [run.trigger.scheduled_for for run in ticks(jobs, name, since)]
                assert len(due) == len(set(due)), "a tick ran twice"
            page = jobs.file(succeeded[-1].id, "notebook.html").decode()
            assert "due at 20" in page
        for log in filter(Path.is_file, (tree.state / "logs").rglob("*")):
            text = log.read_text(errors="replace")
            assert token not in text, log
            # Of the hub's sign-in at the service or a server, as addresses hold them.
            assert not re.search(r"[?&](token|code|state)=(?!\[)[\w%-]{8,}", text), log
    finally:
        stop_tree(tree)
