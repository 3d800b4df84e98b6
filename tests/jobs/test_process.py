"""The service as a process of its own, on a real store, with the real runner."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from hub_ext import toolchain
from hub_ext.bundles import bundle
from hub_ext.bundles.environment import Lock, LockedPackage, listing
from hub_ext.bundles.environment.made import MARKER
from hub_ext.bundles.kernels import KernelFinder
from hub_ext.bundles.snapshot import take
from hub_ext.errors import PublicError
from hub_ext.jobs.schemas import JobIn, RunOut, RunState
from hub_ext.jobs.store import Database
from hub_ext.jobs.usecases import Jobs
from hub_ext.names import Principal
from hub_ext.state import Endpoints, StateFolder
from hub_ext.storage.alone import store_alone
from hub_ext.storage.objects import ObjectStore

API = "/services/jobs/api/v1"
GOING = (RunState.QUEUED, RunState.RUNNING)

NOTEBOOK = """
import json, os, pathlib, time, urllib.request
request = urllib.request.Request(
    os.environ["AWS_CONTAINER_CREDENTIALS_FULL_URI"],
    headers={
        "Authorization": pathlib.Path(
            os.environ["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"]
        ).read_text()
    },
)
with urllib.request.urlopen(request, timeout=20) as answer:
    found = json.load(answer)
print("credentials:", sorted(found))
print("output:", os.environ["ALMANAC_OUTPUT_URI"])
pathlib.Path(ready).touch()
while not pathlib.Path(go).exists():
    time.sleep(0.05)
print("went on")
"""


@dataclass
class Machine:
    """One state folder, its store, and job services that come and go."""

    state: StateFolder
    endpoints: Endpoints
    processes: list[subprocess.Popen[bytes]]

    def start(self) -> subprocess.Popen[bytes]:
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.state.root),
            "LANG": "C.UTF-8",
            "ALMANAC_STATE": str(self.state.root),
        }
        with (self.state.logs / "jobs.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "hub_ext.jobs"],
                env=environment,
                cwd=self.state.root,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self.processes.append(process)
        self.wait(lambda: process.poll() is not None or self.healthy(), 60)
        assert process.poll() is None, self.log()
        return process

    def healthy(self) -> bool:
        try:
            answer = httpx.get(f"{self.endpoints.jobs_url}{API}/health", trust_env=False)
        except httpx.HTTPError:
            return False
        return answer.status_code == 200

    def stop(self, process: subprocess.Popen[bytes]) -> float:
        """SIGTERM; returns the seconds until it was gone."""
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        process.wait(20)
        return time.monotonic() - began

    def log(self) -> str:
        return (self.state.logs / "jobs.log").read_text(errors="replace")

    def wait(self, condition: Callable[[], Any], seconds: float) -> Any:
        pause = threading.Event()
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if found := condition():
                return found
            pause.wait(0.05)
        raise AssertionError(f"not within {seconds} s\n{self.log()[-5000:]}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    state = StateFolder(tmp_path / "state").create()
    jobs_url = f"http://127.0.0.1:{free_port()}"
    with store_alone(state, toolchain.weed()) as store_url:
        endpoints = Endpoints(
            # Runs ask at the public address; here the service itself is there.
            public_url=jobs_url,
            hub_api_url="http://127.0.0.1:9/hub/api",
            proxy_api_url="http://127.0.0.1:9",
            jobs_url=jobs_url,
            store_url=store_url,
            pid=os.getpid(),
        )
        endpoints.save(state)
        made = Machine(state, endpoints, [])
        yield made
        for process in made.processes:
            process.kill()
            process.wait(10)
        for found in state.attempts.glob("*/*/process.json"):
            pid = json.loads(found.read_text())["pid"]
            if psutil.pid_exists(pid):
                psutil.Process(pid).kill()


@pytest.fixture
def lock(machine: Machine) -> Lock:
    """The lock of the default environment, which is put where a run looks for it."""
    try:
        default = toolchain.python_environment()
        toolchain.runner_python()
    except PublicError as error:
        pytest.skip(str(error))
    found = listing(default / "bin" / "python")
    made = Lock(
        python=found.python,
        platform=found.platform,
        packages=tuple(
            LockedPackage(name=item.name, version=item.version, hashes=("sha256:" + "0" * 64,))
            for item in found.packages
        ),
    )
    final = machine.state.environments / made.sha256
    final.mkdir()
    for name in ("bin", "lib"):
        (final / name).symlink_to(default / name)
    (final / "pyvenv.cfg").write_text((default / "pyvenv.cfg").read_text())
    (final / MARKER).write_text("{}")
    return made


def use_cases(machine: Machine) -> Jobs:
    """The use cases on the same database and store: there is no hub to sign in at."""
    state = machine.state
    return Jobs(
        Database.at(state.jobs_database),
        objects=ObjectStore.connect(
            machine.endpoints.store_url,
            "almanac",
            "us-east-1",
            state.secret("store-admin-access-key"),
            state.secret("store-admin-secret-key"),
        ),
        clock=lambda: datetime.now(UTC),
        spools=None,  # type: ignore[arg-type]
        credentials=lambda **_: {},
    )


def test_a_real_run_outlives_the_service(machine: Machine, lock: Lock, ana: Principal) -> None:
    first = machine.start()
    jobs = use_cases(machine)
    folder = machine.state.root / "author"
    folder.mkdir()
    ready, go = folder / "ready", folder / "go"
    (folder / "gdp.ipynb").write_text(
        json.dumps(
            {
                "nbformat": 4,
                "nbformat_minor": 5,
                "metadata": {
                    "kernelspec": {"name": "python3", "display_name": "", "language": "python"}
                },
                "cells": [
                    {
                        "id": f"c{i}",
                        "cell_type": "code",
                        "metadata": {"tags": tags},
                        "execution_count": None,
                        "outputs": [],
                        "source": source,
                    }
                    for i, (source, tags) in enumerate(
                        [("ready = ''\ngo = ''", ["parameters"]), (NOTEBOOK, [])]
                    )
                ],
            }
        )
    )
    kernels = KernelFinder([toolchain.python_environment() / "share" / "jupyter" / "kernels"])
    snapshot = take(folder / "gdp.ipynb", owner="ana", kernels=kernels)
    made = bundle.write(snapshot, lock, folder)
    # The service makes the bucket when it starts.
    machine.wait(lambda: uploaded(jobs, ana, made.path), 30)
    job = jobs.create_job(
        ana,
        JobIn(
            name="GDP",
            project="prices",
            bundle=jobs.accept_bundle(ana, made.path).sha256,
            parameters={"ready": str(ready), "go": str(go)},
        ),
    )
    assert job.last_run is not None
    run_id = job.last_run.id

    def run() -> RunOut:
        return jobs.get_run(ana, run_id)

    machine.wait(lambda: ready.exists() or run().state not in GOING, 90)
    assert run().state is RunState.RUNNING, run()
    attempt = machine.state.attempts / run_id / "1"
    token = (attempt / "run-token").read_text().removeprefix("Bearer ")
    headers = {"Authorization": f"Bearer {token}"}
    with httpx.Client(base_url=machine.endpoints.jobs_url + API, trust_env=False) as client:
        me = client.get("/me", headers=headers).json()
        assert (me["kind"], me["name"]) == ("run", run_id)
        found = client.post("/introspect", headers=headers, json={"token": token}).json()
        assert found == {"active": True, "run": run_id, "job": job.id, "project": "prices"}
        assert client.get("/me").status_code == 401

    assert machine.stop(first) < 3
    assert (attempt / "exit.json").exists() is False
    second = machine.start()
    machine.wait(lambda: run().progress is not None, 20)
    assert run().state is RunState.RUNNING
    go.touch()
    machine.wait(lambda: run().state not in GOING, 60)
    ended = run()
    assert (ended.state, ended.reason) == (RunState.SUCCEEDED, "")
    assert [one.n for one in ended.attempts] == [1]
    assert {file.name for file in ended.files} == {"notebook.html", "notebook.ipynb"}
    executed = b"".join(jobs.open_file(ana, run_id, "notebook.ipynb").chunks).decode()
    assert "credentials: ['AccessKeyId', 'Expiration', 'SecretAccessKey', 'Token']" in executed
    assert f"output: s3://almanac/projects/prices/test/{run_id}" in executed
    assert "went on" in executed
    assert jobs.get_job(ana, job.id).active_version == 1
    machine.wait(lambda: not attempt.exists(), 20)
    assert machine.stop(second) < 3
    log = machine.log()
    assert token not in log
    assert "Traceback" not in log
    assert f"run.succeeded job={job.id} run={run_id} attempt=1" in log


def uploaded(jobs: Jobs, principal: Principal, path: Path) -> bool:
    try:
        return bool(jobs.accept_bundle(principal, path).sha256)
    except PublicError:
        return False


def test_a_request_that_hangs_does_not_keep_the_service(machine: Machine) -> None:
    process = machine.start()
    port = int(machine.endpoints.jobs_url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)) as hanging:
        hanging.sendall(f"POST {API}/bundles HTTP/1.1\r\nHost: x\r\n".encode())
        with socket.create_connection(("127.0.0.1", port)) as waiting:
            waiting.sendall(
                f"POST {API}/schedules/preview HTTP/1.1\r\nHost: x\r\n"
                "Content-Length: 100\r\n\r\n{".encode()
            )
            assert machine.healthy()
            assert machine.stop(process) < 3


def test_says_what_is_missing_and_exits(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "hub_ext.jobs"],
        env={"PATH": os.environ["PATH"], "ALMANAC_STATE": str(tmp_path / "state")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 2
    assert "almanac up" in result.stderr
    assert "Traceback" not in result.stderr
