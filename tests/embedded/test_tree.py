"""The whole tree of real parts: what `almanac up` promises.

These tests stop and kill parts, so they have a tree of their own.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from keepers import until
from trees import ALMANAC, FIRST_USER, Tree, start_tree, stop_tree

from hub_ext.commands.demo.person import Person
from hub_ext.embedded.parts import PartState, PartStatus
from hub_ext.embedded.records import PROCESSES, TreeStatus
from hub_ext.processes import ProcessId
from hub_ext.state import Endpoints, StateFolder

pytestmark = [pytest.mark.tree, pytest.mark.xdist_group("own-tree")]

BACK_WITHIN = 5.0
STOPPED_WITHIN = 10.0


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tree]:
    folder = tmp_path_factory.mktemp("own")
    running = start_tree(folder)
    yield running
    stop_tree(running)
    shutil.rmtree(folder, ignore_errors=True)


class Analyst(Person):
    """Signed in, with a running server and a kernel in it."""

    def __init__(self, tree: Tree, name: str = FIRST_USER, password: str = ""):
        super().__init__(tree.url)
        self.sign_in(name, password or tree.password)
        self.start_server()

    def start_kernel(self) -> None:
        answer = self.write("POST", f"{self.server}api/kernels", json={})
        assert answer.status_code == 201, answer.text

    def kernels(self) -> int | None:
        """How many kernels the server has; None while it cannot be reached."""
        try:
            answer = self.http.get(f"{self.server}api/kernels", follow_redirects=False)
        except httpx.HTTPError:
            return None
        return len(answer.json()) if answer.status_code == 200 else None

    def server_process(self, state: Path) -> ProcessId:
        """The process of the server."""
        for process in _recorded(state):
            if "jupyterhub.singleuser" in _read(process, "cmdline") and (
                f"JUPYTERHUB_USER={self.name}\0" in _read(process, "environ")
            ):
                return process
        raise AssertionError("no server is recorded")


@pytest.fixture(scope="module")
def person(own: Tree) -> Iterator[Analyst]:
    signed_in = Analyst(own)
    signed_in.start_kernel()
    yield signed_in
    signed_in.http.close()


def status(tree: Tree) -> dict[str, Any]:
    answer = tree.run("status", "--json", "--state", str(tree.state))
    document: dict[str, Any] = json.loads(answer.stdout)
    assert answer.returncode == (0 if document.get("well") else 1 if document["running"] else 3)
    return document


def _recorded(state: Path) -> list[ProcessId]:
    document = json.loads((state / "run" / PROCESSES).read_text())
    items = [*document["others"], *(item for group in document["parts"].values() for item in group)]
    return [process for item in items if (process := ProcessId.from_json(item)) is not None]


def test_the_first_user_is_told_the_password_once_and_nobody_else(own: Tree) -> None:
    ready = [line for line in own.output if line.startswith("ready: ")]
    assert len(ready) == 1
    assert ready[0].startswith(f"ready: {own.url} ")
    assert FIRST_USER in ready[0]
    assert own.password
    for path in own.state.rglob("*"):
        if path.is_file() and not path.is_relative_to(own.state / "store"):
            assert own.password.encode() not in path.read_bytes(), path


def test_status_says_what_runs_and_where(own: Tree) -> None:
    document = status(own)
    assert document["well"]
    assert document["address"] == own.url
    assert document["pid"] == own.process.pid
    assert {item["name"] for item in document["parts"]} == {"store", "proxy", "hub", "jobs"}
    text = own.run("status", "--state", str(own.state)).stdout
    assert own.url in text
    for part in document["parts"]:
        assert f"{part['address']}\n" in text.replace(" ", ""), "cut short, it is none"
    assert "Job service" in text


def test_everything_listens_on_loopback_only(own: Tree) -> None:
    import psutil

    listening = [
        connection.laddr
        for process in _recorded(own.state)
        for connection in psutil.Process(process.pid).net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert listening
    assert {address.ip for address in listening} <= {"127.0.0.1", "::1"}


def test_no_secret_is_in_a_command_line_or_a_log_and_each_file_is_private(own: Tree) -> None:
    secrets = {path.name: path.read_text() for path in (own.state / "secrets").iterdir()}
    assert "hub-cookie-secret" in secrets
    commands = b"".join(
        Path(f"/proc/{process.pid}/cmdline").read_bytes() for process in _recorded(own.state)
    )
    logs = b"".join(path.read_bytes() for path in (own.state / "logs").rglob("*.log"))
    for name, value in secrets.items():
        assert value.encode() not in commands, name
        assert value.encode() not in logs, name
    assert own.state.stat().st_mode & 0o077 == 0
    for path in [*(own.state / "secrets").iterdir(), Endpoints.path(StateFolder(own.state))]:
        assert path.stat().st_mode & 0o777 == 0o600, path


def test_people_s_servers_know_none_of_the_platform_s_secrets(own: Tree, person: Analyst) -> None:
    until(lambda: any("singleuser" in _read(item, "cmdline") for item in _recorded(own.state)))
    environment = Path(f"/proc/{person.server_process(own.state).pid}/environ").read_text()
    for path in (own.state / "secrets").iterdir():
        assert path.read_text() not in environment, path.name
    names = {line.partition("=")[0] for line in environment.split("\0")}
    assert {"ALMANAC_JOBS_URL", "ALMANAC_PROJECT_URI", "JUPYTER_PATH", "HOME"} <= names
    assert "ALMANAC_STATE" not in names


def test_kernels_run_in_the_notebooks_environment(own: Tree, person: Analyst) -> None:
    specs = person.http.get(f"{person.server}api/kernelspecs").json()["kernelspecs"]
    assert "share/almanac/environments/python" in specs["python3"]["spec"]["argv"][0]


@pytest.mark.parametrize("name", ["proxy", "hub", "jobs", "store"])
def test_a_killed_part_is_back_in_five_seconds_and_servers_stay(
    own: Tree, person: Analyst, name: str
) -> None:
    runtime = own.state / "run"

    def seen() -> PartStatus:
        tree = TreeStatus.load(runtime)
        assert tree is not None
        return next(item for item in tree.parts if item.name == name)

    before = seen()
    assert before.pid is not None
    server = person.server_process(own.state)
    kernels = person.kernels()
    os.kill(before.pid, signal.SIGKILL)
    began = time.monotonic()
    if name != "proxy":
        assert person.kernels() == kernels  # reachable all the time
    until(lambda: seen().restarts == before.restarts + 1 and seen().state is PartState.RUNNING, 30)
    until(lambda: person.kernels() == kernels, 30)
    took = time.monotonic() - began
    assert took < BACK_WITHIN
    assert status(own)["well"]
    assert person.server_process(own.state) == server
    # Through the proxy and signed in: the hub still knows whose server it is.
    assert person.http.get(f"{person.server}lab").url.path == f"{person.server}lab"


def test_a_second_one_on_the_same_folder_is_refused(own: Tree) -> None:
    second = own.run("up", "--state", str(own.state), "--port", "0")
    assert second.returncode == 2
    assert str(own.process.pid) in second.stderr
    assert "Traceback" not in second.stderr


def test_a_port_that_is_taken_is_named(own: Tree, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        answer = own.run("up", "--state", str(tmp_path / "other"), "--port", str(port))
    assert answer.returncode == 2
    assert f"Port {port} on 127.0.0.1 is taken" in answer.stderr
    assert "--port 0" in answer.stderr


def test_stopping_a_server_ends_its_kernels_too(own: Tree) -> None:
    password = own.run("users", "add", "bo", "--password-stdin", input="a long enough one\n")
    assert password.returncode == 0, password.stderr
    person = Analyst(own, "bo", "a long enough one")
    person.start_kernel()
    server = person.server_process(own.state)
    family = [server, *server.descendants()]
    assert len(family) >= 2
    token = (own.state / "secrets" / "operator-api-token").read_text()
    endpoints = Endpoints.load(StateFolder(own.state))
    answer = httpx.delete(
        f"{endpoints.hub_api_url}/users/bo/server",
        headers={"Authorization": f"token {token}"},
        timeout=30,
    )
    assert answer.status_code in (202, 204), answer.text
    until(lambda: not any(process.alive() for process in family), 30)


def test_stopping_leaves_nothing_and_the_next_start_forgets_nothing(tmp_path: Path) -> None:
    running = start_tree(tmp_path)
    try:
        person = Analyst(running)
        person.start_kernel()
        until(lambda: len(_recorded(running.state)) >= 6)  # parts, server, kernel
        processes = _recorded(running.state)
        began = time.monotonic()
        running.process.send_signal(signal.SIGTERM)
        running.process.wait(20)
        assert time.monotonic() - began < STOPPED_WITHIN
        assert running.process.returncode == 0
        assert [process for process in processes if process.alive()] == []
        assert not Endpoints.path(StateFolder(running.state)).exists()
        assert status(running) == {
            "running": False,
            "state_folder": str(running.state),
            "left_behind": 0,
        }
        again = start_tree(tmp_path)
        again.password = running.password
        Analyst(again).start_kernel()
    finally:
        stop_tree(running)
        if "again" in locals():
            stop_tree(again)


def test_what_a_killed_supervisor_left_is_ended_by_the_next(tmp_path: Path) -> None:
    first = start_tree(tmp_path)
    try:
        person = Analyst(first)
        person.start_kernel()
        until(
            lambda: any(
                "ipykernel" in _read(process, "cmdline") for process in _recorded(first.state)
            )
        )
        processes = _recorded(first.state)
        first.process.kill()
        first.process.wait(5)
        # Four parts, a server and its kernel; what else is recorded may have been
        # a short-lived helper of one of them.
        assert len([process for process in processes if process.alive()]) >= 6
        left = status(first)
        assert not left["running"]
        assert left["left_behind"] >= 6
        began = time.monotonic()
        second = start_tree(tmp_path)
        try:
            assert time.monotonic() - began < 25
            assert [process for process in processes if process.alive()] == []
            assert any("of an Almanac that was killed" in line for line in second.output)
            assert "sign in as ana" in second.output[-1]
            assert not second.password  # the user is there already
        finally:
            stop_tree(second)
    finally:
        for process in processes:
            process.signal(signal.SIGKILL)


def test_it_stops_when_it_is_told_to_while_it_starts(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [str(ALMANAC), "up", "--port", "0", "--state", str(tmp_path / "state")],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if "starting" in line:
            break
    until(lambda: (tmp_path / "state" / "run" / PROCESSES).exists())
    processes = _recorded(tmp_path / "state")
    process.send_signal(signal.SIGINT)
    rest = process.stdout.read()
    assert process.wait(15) == 0, rest
    assert [item for item in processes if item.alive()] == []


def _read(process: ProcessId, what: str) -> str:
    try:
        return Path(f"/proc/{process.pid}/{what}").read_text()
    except OSError:
        return ""
