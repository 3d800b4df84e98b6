"""What the job service of a running Almanac says and grants of object storage."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from trees import ALMANAC, Tree

from hub_ext.client import JobsClient
from hub_ext.commands.demo.person import Person
from hub_ext.errors import Forbidden, Invalid, NotFound
from hub_ext.state import Endpoints, StateFolder
from hub_ext.storage.objects import ObjectStore

pytestmark = pytest.mark.tree


@dataclass
class Ana:
    tree: Tree
    token: str
    jobs: JobsClient

    def ask(self, method: str, path: str, **options: Any) -> Any:
        return self.jobs._request(method, path, **options).json()

    def store(self, project: str | None = None) -> ObjectStore:
        """The bucket with the credentials that she gets."""
        query = {"project": project} if project else {}
        document = self.ask("GET", "/credentials", params=query)
        endpoint = Endpoints.load(StateFolder(self.tree.state)).store_url
        return ObjectStore.connect(
            endpoint,
            "almanac",
            "us-east-1",
            document["AccessKeyId"],
            document["SecretAccessKey"],
            document["Token"],
        )

    def command(self, *arguments: str) -> str:
        done = subprocess.run(
            [ALMANAC, *arguments],
            env=os.environ | {"ALMANAC_STATE": str(self.tree.state), "ALMANAC_TOKEN": self.token},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def ana(tree: Tree) -> Iterator[Ana]:
    with Person(tree.url) as person:
        person.sign_in(tree.user, tree.password)
        token = person.make_token("storage")
        with JobsClient(f"{tree.url}/services/jobs", token) as jobs:
            made = Ana(tree, token, jobs)
            yield made
            for folder in ("home/ana/storage-test", "projects/macro/storage-test"):
                made.store().delete_prefix(folder)


def test_credentials_reach_all_projects_or_the_one_that_is_named(ana: Ana) -> None:
    home, shared = "home/ana/storage-test/a", "projects/macro/storage-test/a"
    both = ana.store()
    for key in (home, shared):
        both.put(key, b"1")
    for project, own, other in (("user-ana", home, shared), ("macro", shared, home)):
        one = ana.store(project)
        assert one.get(own) == b"1"
        with pytest.raises(Forbidden):
            one.get(other)
        with pytest.raises(Forbidden):
            one.put(other, b"2")
    for stranger in ("user-bo", "trade"):
        with pytest.raises(NotFound):
            ana.store(stranger)


def test_me_tells_where_files_lie(ana: Ana) -> None:
    me = ana.jobs.me()
    places = {project.slug: (project.prefix, project.writable) for project in me.projects}
    assert places == {
        "user-ana": ("home/ana/", True),
        "macro": ("projects/macro/", True),
    }
    assert me.storage is not None
    assert me.storage.bucket == "almanac"


def test_a_link_lets_anybody_read_the_one_object(ana: Ana) -> None:
    key = "home/ana/storage-test/shared ü.txt"
    ana.store().put(key, b"for all")
    made = ana.ask("POST", "/share", json={"key": key, "seconds": 600})
    assert made["reach"] == "machine"
    assert httpx.get(made["url"], trust_env=False).content == b"for all"
    log = (ana.tree.state / "logs" / "jobs.log").read_text()
    assert "share.made" in log
    assert "shared ü" not in log
    assert "X-Amz-Signature" not in log
    with pytest.raises(NotFound):
        ana.ask("POST", "/share", json={"key": key + "x", "seconds": 600})
    with pytest.raises(NotFound):
        ana.ask("POST", "/share", json={"key": "home/bo/a", "seconds": 600})
    with pytest.raises(Invalid):
        ana.ask("POST", "/share", json={"key": key, "seconds": 10**9})


def test_sizes_are_measured_and_shown(ana: Ana) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        rows = {row["project"]: row for row in ana.ask("GET", "/storage/usage")["items"]}
        if rows["user-ana"]["as_of"]:
            break
        time.sleep(0.2)
    assert set(rows) == {"user-ana", "macro"}
    assert rows["user-ana"]["size"] > 0
    shown = json.loads(ana.command("storage", "usage", "--json"))
    assert {row["prefix"] for row in shown} == {"home/ana/", "projects/macro/"}
    assert "home/ana" in ana.command("storage", "usage")


def test_validate_tries_the_store_that_runs(ana: Ana) -> None:
    said = ana.command("validate", str(ana.tree.settings_file))
    assert "yes  Limited credentials (STS)" in said
    assert "NO " not in said


def test_the_first_sweep_is_in_the_log(ana: Ana) -> None:
    end = time.monotonic() + 30
    log = ana.tree.state / "logs" / "jobs.log"
    while "storage.swept" not in log.read_text():
        assert time.monotonic() < end
        time.sleep(0.2)
