"""`almanac users`: on a state folder, and with a hub that runs."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from hub_ext.auth.passwords import UsersFile

Run = Callable[..., subprocess.CompletedProcess[str]]
MAIN = """
import sys
from hub_ext.commands.users import app
from hub_ext.errors import PublicError
try:
    app()
except PublicError as error:
    print(f"almanac: {error}", file=sys.stderr)
    sys.exit(2)
"""


def run_in(state: Path, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", MAIN, *arguments],
        env={"PATH": os.environ["PATH"], "HOME": str(state), "ALMANAC_STATE": str(state)},
        **{"input": "", "text": True, "capture_output": True, "timeout": 60} | options,
    )


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return lambda *arguments, **options: run_in(tmp_path, *arguments, **options)


@pytest.fixture
def users(tmp_path: Path) -> UsersFile:
    return UsersFile(tmp_path / "users.json")


def test_made_up_password_is_shown_once_and_works(run: Run, users: UsersFile) -> None:
    done = run("add", "ada")
    assert done.returncode == 0, done.stderr
    password = done.stdout.rsplit(" ", 1)[-1].strip()
    assert users.verify("ada", password)
    assert password not in run("list").stdout + run("list", "--json").stdout


def test_password_from_standard_input(run: Run, users: UsersFile) -> None:
    done = run("add", "ada", "--password-stdin", input="correct horse\n")
    assert done.returncode == 0
    assert "correct horse" not in done.stdout
    assert users.verify("ada", "correct horse")
    done = run("passwd", "ada", "--password-stdin", "--json", input="battery staple")
    assert json.loads(done.stdout) == {"changed": "ada"}
    assert users.verify("ada", "battery staple")


def test_password_typed_twice_without_echo(tmp_path: Path, users: UsersFile) -> None:
    pid, terminal = pty.fork()
    if pid == 0:  # pragma: no cover  # the child becomes the command
        os.environ["ALMANAC_STATE"] = str(tmp_path)
        os.execv(sys.executable, [sys.executable, "-c", MAIN, "add", "ada"])
    shown = b""
    try:
        for prompt in (b"make one up): ", b"Once more: "):
            while prompt not in shown:
                shown += os.read(terminal, 1024)
            os.write(terminal, b"correct horse\n")
        while True:
            try:
                part = os.read(terminal, 1024)
            except OSError:  # the other side is closed
                break
            if not part:
                break
            shown += part
    finally:
        os.close(terminal)
        _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0, shown
    assert b"correct horse" not in shown
    assert users.verify("ada", "correct horse")


@pytest.mark.parametrize(
    ("arguments", "given", "says"),
    [
        (["add", "Ada"], "", "'ada' would do"),
        (["add", "a/b"], "", "not a user name"),
        (["add", "ada", "--password-stdin"], "short\n", "shorter than 8"),
        (["add", "ada", "--password-stdin"], "", "shorter than 8"),
        (["add", "ada", "--password-stdin", "--generate"], "x" * 9, "exclude each other"),
        (["passwd", "bob"], "", "no user 'bob'"),
        (["remove", "bob", "--yes"], "", "no user 'bob'"),
    ],
)
def test_mistakes_are_explained_and_change_nothing(
    run: Run, users: UsersFile, arguments: list[str], given: str, says: str
) -> None:
    done = run(*arguments, input=given)
    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert users.names() == []


def test_password_is_no_argument(run: Run) -> None:
    assert run("add", "ada", "correct horse").returncode == 2
    assert run("add", "ada", "--password", "correct horse").returncode == 2


def test_list_shows_memberships(run: Run, tmp_path: Path, users: UsersFile) -> None:
    users.add("ada")
    users.add("bob")
    config = tmp_path / "almanac.yaml"
    config.write_text("authentication: {admins: [bob]}\nprojects: [{slug: gdp, owners: [ada]}]\n")
    rows = json.loads(run("list", "--json", "--config", str(config)).stdout)
    assert [(row["name"], row["groups"]) for row in rows] == [
        ("ada", ["gdp", "gdp:owner"]),
        ("bob", ["operators"]),
    ]
    assert "gdp:owner" in run("list", "--config", str(config)).stdout


def test_remove_asks_first_and_says_what_stays(run: Run, users: UsersFile) -> None:
    users.add("ada")
    done = run("remove", "ada")
    assert done.returncode == 2
    assert "--yes" in done.stderr
    assert "ada" in users
    done = run("remove", "ada", "--yes")
    assert done.returncode == 0, done.stderr
    assert "keep running" in done.stdout
    assert "not running" in done.stdout
    assert "ada" not in users


def test_remove_ends_server_sessions_and_tokens(hub: Any) -> None:
    name, password = hub.new_user()
    browser = hub.signed_in(name, password)
    browser.get("/hub/spawn")
    model = hub.wait_until(
        lambda: (
            (found := hub.as_operator("GET", f"/users/{name}").json()["servers"].get("", {}))
            and found.get("ready")
            and found
        )
    )
    assert model
    token = hub.token_of(browser, name)
    assert httpx.get(f"{hub.url}/user/{name}/").status_code == 200

    state = hub.here  # its users.json is the hub's
    (state / "secrets").mkdir(exist_ok=True)
    (state / "secrets" / "operator-api-token").write_text(hub.operator_token)
    (state / "run").mkdir(exist_ok=True)
    (state / "run" / "endpoints.json").write_text(
        json.dumps(
            {
                "public_url": hub.url,
                "hub_api_url": hub.api,
                "proxy_api_url": f"http://127.0.0.1:{hub.ports['proxy_api']}",
                "jobs_url": f"http://127.0.0.1:{hub.ports['jobs']}",
                "store_url": "http://127.0.0.1:1",
                "pid": os.getpid(),
            }
        )
    )
    done = run_in(state, "remove", name, "--yes", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["hub"] == "deleted"
    assert hub.as_operator("GET", f"/users/{name}").status_code == 404
    hub.wait_until(lambda: httpx.get(f"{hub.url}/user/{name}/").status_code != 200)
    hub.wait_until(lambda: hub.me(token).status_code == 401)
    # The same name for somebody else: nothing of the old one comes back.
    hub.users.add(name, "somebody else")
    assert hub.browser().sign_in(name, "somebody else").status_code == 200
    assert hub.me(token).status_code == 401
    assert "/hub/login" in str(browser.get("/hub/home").url)
