"""`almanac productionize` on the real tree: snapshot, checks, lock, bundle, job, test run."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from trees import Tree

from hub_ext.commands.demo.person import Person
from hub_ext.commands.demo.walk import example_file

Run = Callable[..., Any]


@pytest.fixture
def almanac(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs ``almanac`` on the tree, with a token that its first user made on the hub."""
    with Person(tree.url) as person:
        person.sign_in(tree.user, tree.password)
        answer = person.write("POST", f"/hub/api/users/{tree.user}/tokens", json={"note": "test"})
        token = person._expect(answer, "a token").json()["token"]
    for variable in ("ALMANAC_JOBS_URL", "JUPYTERHUB_API_TOKEN", "JUPYTER_PATH"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("ALMANAC_TOKEN", token)
    return tree.run


def test_a_notebook_becomes_a_job_from_a_terminal(almanac: Run, tree: Tree) -> None:
    notebook = str(example_file())
    made = almanac(
        "productionize", notebook, "--name", "From a terminal", "--cron", "0 6 * * 1-5",
        "--timezone", "Europe/Paris", "-p", "start_year=2001", "--wait", "--json",
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    job = json.loads(made.stdout)
    assert job["name"] == "From a terminal"
    assert job["active_version"] == 1
    assert job["parameters"] == {"start_year": 2001}
    assert job["schedule"]["timezone"] == "Europe/Paris"
    assert job["next_run"]
    assert "Checks:" in made.stderr or "Warning:" in made.stderr or "Info:" in made.stderr
    assert "Test of version 1: succeeded" in made.stderr

    taken = almanac("productionize", notebook, "--name", "From a terminal")
    assert taken.returncode == 2
    assert "From a terminal" in taken.stderr
    assert taken.stdout == ""

    newer = almanac("productionize", notebook, "--new-version", "From a terminal")
    assert newer.returncode == 0, newer.stderr
    assert f"{tree.url}/services/jobs/jobs/{job['id']}" in newer.stdout
    changed = json.loads(almanac("jobs", "--json").stdout)
    (same,) = [item for item in changed if item["id"] == job["id"]]
    assert same["latest_version"]["number"] == 2
    assert same["parameters"] == {"start_year": 2001}
    paused = almanac("pause", "From a terminal")
    assert paused.returncode == 0, paused.stderr
