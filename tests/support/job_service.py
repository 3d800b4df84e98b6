"""The real job service in a thread, with the two things at its edge that a unit need not have.

Use cases, database, loop, API, pages and the sign-in's cookies are real, and
so is the socket. In place of the hub stands a list of people, and in place of
runners a backend that leaves at once what a runner would have left.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import uvicorn

from hub_ext.auth import roles
from hub_ext.auth.asgi import HubLogin
from hub_ext.auth.sealed import Session
from hub_ext.bundles import bundle, snapshot
from hub_ext.bundles.environment import Lock
from hub_ext.bundles.kernels import KernelFinder
from hub_ext.client import JobsClient
from hub_ext.errors import NotFound, Unauthenticated
from hub_ext.jobs import pages
from hub_ext.jobs.app import assemble, create_app
from hub_ext.jobs.backends.base import AttemptSpec, AttemptStatus, Backend, Listed
from hub_ext.jobs.schemas import FINISHED, JobIn, JobOut, RunOut
from hub_ext.jobs.store import Database
from hub_ext.jobs.usecases import Jobs
from hub_ext.jobs.usecases.ports import Options

# User names and the hub groups they are in; tokens are ``token-<name>``.
PEOPLE = {"ana": ["macro"], "bo": ["macro"], "eve": []}

NOTEBOOK_HTML = b"<!DOCTYPE html><title>Notebook</title><h1>Executed</h1><p>Table 1</p>"


class People:
    """The hub, as `HubUsers` is asked."""

    def __init__(self) -> None:
        self.gone: set[str] = set()

    async def whose(self, token: str) -> dict[str, Any]:
        name = token.removeprefix("token-")
        if name not in PEOPLE or name in self.gone or name == token:
            raise Unauthenticated("The hub does not know this token.", mend="Sign in again.")
        return {
            "kind": "user",
            "name": name,
            "groups": PEOPLE[name],
            "scopes": [roles.ACCESS_JOBS, *roles.BROWSER_SCOPES],
        }

    async def aclose(self) -> None:
        pass


class Folder:
    """A bucket on disk."""

    def __init__(self, root: Path):
        self.root = root

    def get_file(self, key: str, path: Path) -> None:
        shutil.copyfile(self._path(key), path)

    def put_file(self, key: str, path: Path) -> None:
        target = self.root / key
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)

    def exists(self, key: str) -> bool:
        return (self.root / key).is_file()

    def stream(self, key: str) -> Iterator[bytes]:
        return iter([self._path(key).read_bytes()])

    def _path(self, key: str) -> Path:
        if not self.exists(key):
            raise NotFound(f"There is no object {key!r}.")
        return self.root / key


class NoCredentials:
    """There is no object store behind this service."""

    def __call__(self, **wanted: Any) -> dict[str, Any]:
        return {}

    def fitting(self, prefixes: list[str]) -> list[str]:
        return prefixes


@dataclass
class Scripted(Backend):
    """Leaves what a runner leaves; how it ends is a run's parameter ``outcome``.

    ``ok``, ``fail`` (cell 2 raises), or ``wait``: it runs until `release`.
    """

    root: Path
    failure: dict[str, Any] = field(default_factory=dict)
    printed: str = "Reading…\n"
    _waiting: set[str] = field(default_factory=set)
    _attempts: dict[str, AttemptSpec] = field(default_factory=dict)

    def start(self, attempt: AttemptSpec) -> str:
        self._attempts[attempt.ref] = attempt
        folder = self._folder(attempt.ref)
        (folder / "results").mkdir(parents=True, exist_ok=True)
        outcome = attempt.parameters.get("outcome", "ok")
        if outcome == "wait":
            self._waiting.add(attempt.ref)
            self._events(attempt.ref, finished=False)
        else:
            self._end(attempt.ref, ok=outcome == "ok")
        return attempt.ref

    def stop(self, ref: str) -> None:
        if ref in self._waiting:
            self._waiting.discard(ref)
            self._exit(ref, 143, "It was stopped.", None)

    def release(self) -> None:
        for ref in list(self._waiting):
            self._waiting.discard(ref)
            self._end(ref, ok=True)

    def list(self) -> Mapping[str, Listed]:
        found = {}
        for ref in list(self._attempts):
            folder = self._folder(ref)
            try:
                code = json.loads((folder / "exit.json").read_text())["exit_code"]
            except OSError:
                found[ref] = Listed(AttemptStatus.RUNNING, folder=folder)
                continue
            status = AttemptStatus.SUCCEEDED if code == 0 else AttemptStatus.FAILED
            found[ref] = Listed(status, exit_code=code, folder=folder)
        return found

    def logs(self, ref: str) -> str:
        try:
            return (self._folder(ref) / "runner.log").read_text()
        except OSError:
            return ""

    def forget(self, ref: str) -> None:
        self._attempts.pop(ref, None)

    def _folder(self, ref: str) -> Path:
        return self.root / ref

    def _events(self, ref: str, *, finished: bool) -> None:
        kinds: list[tuple[str, dict[str, Any]]] = [
            ("attempt.started", {}),
            ("environment.ready", {}),
            ("cell.started", {"cell": 0, "code_cell": 1, "of": 2}),
            ("stream", {"cell": 0, "name": "stdout", "text": self.printed}),
            ("cell.finished", {"cell": 0}),
            ("cell.started", {"cell": 1, "code_cell": 2, "of": 2}),
        ]
        if finished:
            kinds += [("cell.finished", {"cell": 1}), ("attempt.finished", {"status": "succeeded"})]
        lines = [
            {"seq": n, "time": datetime.now(UTC).isoformat(), "type": kind, "data": data}
            for n, (kind, data) in enumerate(kinds, start=1)
        ]
        folder = self._folder(ref)
        (folder / "events.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        (folder / "runner.log").write_text("the runner's own words\n")

    def _end(self, ref: str, *, ok: bool) -> None:
        results = self._folder(ref) / "results"
        (results / "notebook.html").write_bytes(NOTEBOOK_HTML)
        (results / "notebook.ipynb").write_text("{}")
        self._events(ref, finished=ok)
        failure = {
            "cell": 1,
            "ename": "ValueError",
            "evalue": "no data",
            "traceback": ["\x1b[31mValueError\x1b[39m: no data"],
            **self.failure,
        }
        if ok:
            self._exit(ref, 0, "", None)
        else:
            self._exit(ref, 1, f"Cell 2 raised {failure['ename']}.", failure)

    def _exit(self, ref: str, code: int, message: str, failure: dict[str, Any] | None) -> None:
        path = self._folder(ref) / "exit.json"
        new = path.with_suffix(".new")
        document = {
            "exit_code": code,
            "message": message,
            "failure": failure,
            "progress": {"cell": 2 if code == 0 else 1, "cells": 2},
        }
        new.write_text(json.dumps(document))
        new.replace(path)


@dataclass
class JobService:
    """The running service.

    Attributes:
        url: ``http://127.0.0.1:PORT/services/jobs``.
    """

    url: str
    folder: Path
    jobs: Jobs
    login: HubLogin
    people: People
    backend: Scripted

    @property
    def origin(self) -> str:
        return self.url.removesuffix("/services/jobs")

    def client(self, name: str = "ana") -> JobsClient:
        return JobsClient(self.url, f"token-{name}")

    def cookie(self, name: str = "ana") -> tuple[str, str]:
        """Name and value of the cookie that signs ``name`` in on the pages."""
        session = Session.new(f"token-{name}")
        return self.login._session_cookie, self.login._seals.seal_session(session)

    def job(self, name: str = "Retail index", *, by: str = "ana", **wanted: Any) -> JobOut:
        """Register a job; it is not waited for."""
        with self.client(by) as client:
            uploaded = client.upload(self.bundle())
            return client.create(JobIn(name=name, bundle=uploaded.sha256, **wanted))

    def active_job(self, name: str = "Retail index", **wanted: Any) -> JobOut:
        """A job whose test has succeeded."""
        job = self.job(name, **wanted)
        with self.client(wanted.get("by", "ana")) as client:
            wait(lambda: client.job(job.id).active_version == 1, "the job to become active")
            return client.job(job.id)

    def finished(self, run_id: str) -> RunOut:
        with self.client() as client:
            return wait(
                lambda: (run := client.run_of(run_id)).state in FINISHED and run, "the run to end"
            )

    def bundle(self) -> Path:
        """A bundle of a notebook with the parameters ``outcome`` and ``year``."""
        kernels = self.folder / "kernels"
        spec = kernels / "python3" / "kernel.json"
        if not spec.exists():
            spec.parent.mkdir(parents=True)
            argv = ["python3", "-m", "ipykernel_launcher", "-f", "{connection_file}"]
            spec.write_text(
                json.dumps({"argv": argv, "display_name": "Python 3", "language": "python"})
            )
        path = self.folder / "retail.ipynb"
        path.write_text(json.dumps(notebook()))
        taken = snapshot.take(path, owner="ana", kernels=KernelFinder([kernels]))
        lock = Lock(python="3.11.2", platform="linux-x86_64")
        return bundle.write(taken, lock, self.folder).path


def notebook() -> dict[str, Any]:
    def cell(source: str, **metadata: Any) -> dict[str, Any]:
        digest = hashlib.sha256(source.encode()).hexdigest()[:8]
        return {
            "cell_type": "code",
            "id": digest,
            "execution_count": None,
            "metadata": metadata,
            "outputs": [],
            "source": source,
        }

    return {
        "nbformat": 4,
        "nbformat_minor": 5,
        "metadata": {
            "kernelspec": {"name": "python3", "language": "python", "display_name": "Python 3"}
        },
        "cells": [
            cell('outcome = "ok"  # how it ends\nyear = 2024', tags=["parameters"]),
            cell("print(year)"),
        ],
    }


def wait(look: Callable[[], Any], what: str, *, seconds: float = 20) -> Any:
    """The first true result of ``look``."""
    deadline = time.monotonic() + seconds
    while True:
        if found := look():
            return found
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.02)


@contextlib.contextmanager
def running(folder: Path) -> Iterator[JobService]:
    """The job service on a free port, until the block ends."""
    folder.mkdir(parents=True, exist_ok=True)
    database = Database.at(folder / "jobs.sqlite")
    database.upgrade()
    backend = Scripted(folder / "attempts")
    people = People()

    def login(jobs: Jobs) -> HubLogin:
        made = HubLogin(
            service="jobs",
            prefix="/services/jobs/",
            api_token="a" * 40,
            hub_api_url="http://127.0.0.1:1/hub/api",
            public_url="http://127.0.0.1",
            cookie_key="k" * 64,
            lookup_run_token=jobs.lookup_run_token,
        )
        made._users = people  # type: ignore[assignment]
        return made

    service = assemble(
        database,
        Folder(folder / "bucket"),
        Options(titles={"macro": "Macroeconomic statistics"}),
        backend=lambda changed: backend,
        parallel=2,
        credentials=NoCredentials(),
        login=login,
        uploads=folder / "uploads",
        upload_limit=10 << 20,
    )
    assert isinstance(service.login, HubLogin)
    app = create_app(
        service,
        pages=pages.router(service.jobs, service.login),
        install_login=service.login.install,
    )
    server = uvicorn.Server(
        uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning", access_log=False)
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        wait(lambda: server.started, "the service to start")
        port = server.servers[0].sockets[0].getsockname()[1]
        yield JobService(
            url=f"http://127.0.0.1:{port}/services/jobs",
            folder=folder,
            jobs=service.jobs,
            login=service.login,
            people=people,
            backend=backend,
        )
    finally:
        server.should_exit = True
        thread.join(10)
