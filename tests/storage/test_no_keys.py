"""While people and jobs use object storage, its keys are nowhere that one could look.

On a running Almanac: process lists, environments, logs, notebooks. The token
that the hub gives a server is the one secret in that server's environment.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil
import pytest
from trees import ALMANAC, Tree

from hub_ext.client import JobsClient
from hub_ext.commands.demo.person import Person
from hub_ext.jobs.schemas import FINISHED, RunOut, RunState

pytestmark = pytest.mark.tree

JWT = re.compile(rb"eyJ[\w-]{15,}\.[\w-]{15,}\.[\w-]{15,}")
"""The form of a session token of the embedded store."""
KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")

NOTEBOOK = """\
import os, pathlib, time
import obstore
from obstore.store import from_url
store = from_url(os.environ["ALMANAC_PROJECT_URI"])
obstore.put(store, "keys-test.txt", b"written")
print(bytes(obstore.get(store, "keys-test.txt").bytes()))
print({name: value for name, value in os.environ.items() if name.startswith("AWS_")})
folder = pathlib.Path(FOLDER)
(folder / "ready").touch()
while not (folder / "go").exists():
    time.sleep(0.05)
"""


@dataclass
class Seen:
    """What was found of one process while all was at work."""

    kind: str
    command: bytes
    environment: bytes = field(repr=False)


KINDS = {
    "server": b"jupyterhub.singleuser",
    "kernel": b"ipykernel_launcher",
    "runner": b"hub_ext.runner",
}


@dataclass
class Scene:
    tree: Tree
    processes: list[Seen]
    secrets: dict[str, bytes]
    notebook: bytes

    def environments(self, kind: str) -> list[bytes]:
        return [seen.environment for seen in self.processes if seen.kind == kind]


@pytest.fixture(scope="module")
def scene(tree: Tree, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("keys")
    with Person(tree.url) as person:
        person.sign_in(tree.user, tree.password)
        person.start_server()
        token = person.make_token("keys")
        saved = person.write(
            "PUT",
            f"{person.server}api/contents/home/keys-test.txt",
            json={"type": "file", "format": "text", "content": "hello"},
        )
        assert saved.is_success, saved.text
        session = person.write(
            "POST",
            f"{person.server}api/sessions",
            json={"path": "x.ipynb", "name": "", "type": "notebook", "kernel": {"name": "python3"}},
        )
        assert session.is_success, session.text
        with JobsClient(f"{tree.url}/services/jobs", token) as jobs:
            run = _start_job(tree, token, folder, jobs)
            _until(lambda: (folder / "ready").exists() or _ended(jobs, run))
            issued = jobs._request("GET", "/credentials").json()
            processes = list(_look(tree))
            (folder / "go").touch()
            run = jobs.follow(run.id, timeout=60)
            assert run.state is RunState.SUCCEEDED, run
            notebook = jobs.file(run.id, "notebook.ipynb")
        secrets = {
            path.name: path.read_bytes().strip() for path in (tree.state / "secrets").iterdir()
        }
        secrets["session secret key"] = issued["SecretAccessKey"].encode()
        secrets["session token"] = issued["Token"].encode()
        yield Scene(tree, processes, secrets, notebook)
        person.write("DELETE", f"{person.server}api/sessions/{session.json()['id']}")
        person.write("DELETE", f"{person.server}api/contents/home/keys-test.txt")


def _start_job(tree: Tree, token: str, folder: Path, jobs: JobsClient) -> RunOut:
    path = folder / "keys.ipynb"
    cell = {
        "cell_type": "code",
        "id": "only",
        "execution_count": None,
        "metadata": {},
        "outputs": [],
        "source": NOTEBOOK.replace("FOLDER", repr(str(folder))),
    }
    kernel = {"name": "python3", "language": "python", "display_name": "Python 3"}
    document = {
        "cells": [cell],
        "metadata": {"kernelspec": kernel},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    path.write_text(json.dumps(document))
    done = subprocess.run(
        [ALMANAC, "productionize", path, "--name", f"keys {folder.name}", "--json"],
        env=os.environ | {"ALMANAC_STATE": str(tree.state), "ALMANAC_TOKEN": token},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    job = jobs.job_named(f"keys {folder.name}")
    return _until(lambda: next(iter(jobs.runs(job.id)), None))


def _ended(jobs: JobsClient, run: RunOut) -> bool:
    return jobs.run_of(run.id).state in FINISHED


def _until(condition, seconds: float = 100):  # type: ignore[no-untyped-def]
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.1)
    raise AssertionError(f"not within {seconds} s")


def _look(tree: Tree) -> Iterator[Seen]:
    """Every process of the tree, those that were handed on too."""
    ids = {child.pid for child in psutil.Process(tree.process.pid).children(recursive=True)}
    state = os.fsencode(tree.state)
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes()
            environment = (folder / "environ").read_bytes()
        except OSError:
            continue
        if int(folder.name) in ids or state in command or state in environment:
            kinds = [kind for kind, mark in KINDS.items() if mark in command]
            yield Seen(kinds[0] if kinds else "part", command, environment)


def test_all_was_at_work(scene: Scene) -> None:
    kinds = {seen.kind for seen in scene.processes}
    assert kinds == {*KINDS, "part"}
    assert b"written" in scene.notebook


def test_no_command_names_a_key(scene: Scene) -> None:
    for seen in scene.processes:
        for name, value in scene.secrets.items():
            assert value not in seen.command, (name, seen)
        assert not JWT.search(seen.command), seen
        for environment in scene.environments("server"):
            assert _variables(environment)["JUPYTERHUB_API_TOKEN"].encode() not in seen.command


@pytest.mark.parametrize("kind", KINDS)
def test_no_environment_holds_a_key(scene: Scene, kind: str) -> None:
    environments = scene.environments(kind)
    assert environments
    for environment in environments:
        variables = _variables(environment)
        assert not set(KEYS) & set(variables)
        for name, value in scene.secrets.items():
            assert value not in environment, (name, kind)
        assert not JWT.search(environment)


def test_the_servers_own_token_is_all_that_its_environment_holds(scene: Scene) -> None:
    """And it is good for that server's user alone, to read and submit."""
    for environment in scene.environments("server"):
        variables = _variables(environment)
        telling = {
            name
            for name in variables
            if re.search("token|secret|password|credential|(^|_)key", name, re.IGNORECASE)
        }
        assert telling <= {
            "JUPYTERHUB_API_TOKEN",
            "JPY_API_TOKEN",  # the same, by its old name
            "JUPYTERHUB_OAUTH_CLIENT_ALLOWED_SCOPES",
            # Names of places, not secrets.
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
        }


def test_no_log_holds_a_key(scene: Scene) -> None:
    logs = [path for path in (scene.tree.state / "logs").rglob("*") if path.is_file()]
    assert {"jobs.log", "store.log", "hub.log"} <= {path.name for path in logs}
    tokens = [
        _variables(environment)["JUPYTERHUB_API_TOKEN"].encode()
        for environment in scene.environments("server")
    ]
    for path in [*logs, *(scene.tree.state / "attempts").rglob("*.log")]:
        content = path.read_bytes()
        for name, value in scene.secrets.items():
            assert value not in content, (name, path)
        assert not JWT.search(content), path
        assert not any(token in content for token in tokens), path


def test_no_notebook_holds_a_key(scene: Scene) -> None:
    assert b"AWS_CONTAINER_CREDENTIALS_FULL_URI" in scene.notebook, "its environment was printed"
    for name, value in scene.secrets.items():
        assert value not in scene.notebook, name
    assert not JWT.search(scene.notebook)


def _variables(environment: bytes) -> dict[str, str]:
    pairs = environment.decode(errors="replace").split("\0")
    return dict(pair.split("=", 1) for pair in pairs if "=" in pair)


def test_a_kernel_fetches_credentials_for_all_projects_or_for_one(scene: Scene) -> None:
    for environment in scene.environments("kernel"):
        variables = _variables(environment)
        url = variables["AWS_CONTAINER_CREDENTIALS_FULL_URI"]
        file = Path(variables["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"])
        if not file.exists():
            continue  # of the run, which has ended, and its token with it
        token = file.read_text()
        statuses = {
            query: httpx.get(
                url + query, headers={"Authorization": token}, trust_env=False
            ).status_code
            for query in ("", "?project=macro", "?project=user-ana", "?project=trade")
        }
        assert statuses == {
            "": 200,
            "?project=macro": 200,
            "?project=user-ana": 200,
            "?project=trade": 404,
        }
        return
    raise AssertionError("no kernel of a server")
