"""A real Jupyter Server with the extension, and a job service that can be told to fail.

The job service here speaks the real one's shapes (hub_ext.jobs.schemas) over
real HTTP and keeps jobs in memory: it stands in where a test needs faults. The
whole path with the real service is in the tests of the tree.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import nbformat
import pytest
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response

from hub_ext.bundles import bundle
from hub_ext.jobs import schemas

ROOT = Path(__file__).resolve().parents[2]
TOKEN = "the-servers-own-token"


def eventually(condition: Callable[[], Any], *, seconds: float = 30) -> Any:
    """The first true value of ``condition``; fails after ``seconds``."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := condition():
            return value
        threading.Event().wait(0.05)
    raise AssertionError(f"not within {seconds} s: {condition}")


@dataclass
class StandIn:
    """The job service's part of the conversation, in memory.

    Attributes:
        refuse: path (below ``api/v1``) to the answer that it gives instead.
        hold: uploads wait for it; set by default.
    """

    url: str
    folder: Path
    jobs: list[dict[str, Any]] = field(default_factory=list)
    runs: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    bundles: dict[str, bytes] = field(default_factory=dict)
    seen: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)
    refuse: dict[str, Response] = field(default_factory=dict)
    hold: threading.Event = field(default_factory=threading.Event)
    projects: list[dict[str, Any]] = field(
        default_factory=lambda: [
            {"slug": "user-ana", "title": "ana", "roles": ["member", "owner"], "personal": True},
            {"slug": "prices", "title": "Price statistics", "roles": ["member"], "personal": False},
        ]
    )

    def reset(self) -> None:
        """As it was at the start."""
        self.jobs.clear()
        self.runs.clear()
        self.bundles.clear()
        self.seen.clear()
        self.refuse.clear()
        self.hold.set()

    def problem(self, path: str, status: int, code: str, **members: Any) -> None:
        document = {"type": f"about:blank#{code}", "status": status, "code": code, **members}
        self.refuse[path] = JSONResponse(
            document, status_code=status, media_type="application/problem+json"
        )

    def finish(self, job: dict[str, Any], state: str = "succeeded", **members: Any) -> None:
        now = datetime.now(UTC)
        job["last_run"] |= {
            "state": state,
            "started_at": (now - timedelta(seconds=4)).isoformat(),
            "finished_at": now.isoformat(),
            **members,
        }
        if state == "succeeded" and job["last_run"]["test"]:
            job["active_version"] = job["latest_version"]["number"]
            job["latest_version"]["state"] = "active"


def _schedule(given: dict[str, Any] | None) -> dict[str, Any] | None:
    if given is None:
        return None
    start = datetime(2031, 3, 3, 6, tzinfo=UTC)
    return {
        **given,
        "sentence": "At 06:00, Monday through Friday",
        "next": [(start + timedelta(days=day)).isoformat() for day in range(3)],
    }


def _run(job: dict[str, Any], *, test: bool) -> dict[str, Any]:
    return schemas.RunOut(
        id=f"run-{job['id']}",
        job_id=job["id"],
        job_name=job["name"],
        project=job["project"],
        version=job["latest_version"]["number"],
        trigger=schemas.Trigger(kind="test", key="test:1", scheduled_for=None, by="user:ana"),
        state=schemas.RunState.QUEUED,
        reason="",
        test=test,
        parameters={},
        created_at=datetime.now(UTC),
        started_at=None,
        finished_at=None,
        progress=None,
        failure=None,
        attempts=[],
        files=[],
        url=f"/services/jobs/runs/run-{job['id']}",
    ).model_dump(mode="json")


def _service(state: StandIn) -> FastAPI:
    app = FastAPI()

    @app.middleware("http")
    async def listen(request: Request, call_next: Any) -> Response:
        path = request.url.path.removeprefix("/services/jobs/api/v1/")
        body = await request.body()
        state.seen.append((request.method, path, dict(request.headers), body))
        if request.headers.get("authorization") != f"token {TOKEN}":
            return JSONResponse({"code": "unauthenticated", "title": "Who?"}, status_code=401)
        return state.refuse.get(path) or await call_next(request)

    prefix = "/services/jobs/api/v1"

    @app.get(f"{prefix}/me")
    def me() -> Any:
        return {"name": "ana", "kind": "user", "projects": state.projects, "rights": []}

    @app.post(f"{prefix}/bundles", status_code=201)
    async def upload(request: Request) -> Any:
        body = await request.body()
        await asyncio.to_thread(state.hold.wait, 30)
        path = state.folder / "received.tar.gz"
        await asyncio.to_thread(path.write_bytes, body)
        contents = await asyncio.to_thread(bundle.load, path)
        state.bundles[contents.sha256] = body
        return {"sha256": contents.sha256, "size": len(body), "created": True}

    @app.post(f"{prefix}/jobs", status_code=201)
    async def register(request: Request) -> Any:
        given = schemas.JobIn.model_validate(await request.json())
        number = len(state.jobs) + 1
        job: dict[str, Any] = {
            "id": f"job-{number}",
            "name": given.name,
            "project": given.project or "user-ana",
            "description": "",
            "notebook_path": given.notebook_path,
            "created_at": datetime.now(UTC).isoformat(),
            "created_by": "user:ana",
            "paused": False,
            "archived": False,
            "schedule": _schedule(given.schedule.model_dump() if given.schedule else None),
            "parameters": given.parameters,
            "active_version": None,
            "latest_version": _version(given.bundle, 1),
            "last_run": None,
            "next_run": "2031-03-03T06:00:00+00:00" if given.schedule else None,
            "url": f"/services/jobs/jobs/job-{number}",
        }
        job["last_run"] = _run(job, test=True)
        state.jobs.append(job)
        schemas.JobOut.model_validate(job)
        return job

    @app.post(prefix + "/jobs/{job_id}/versions", status_code=201)
    async def version(job_id: str, request: Request) -> Any:
        given = schemas.VersionIn.model_validate(await request.json())
        job = next(job for job in state.jobs if job["id"] == job_id)
        job["latest_version"] = _version(given.bundle, job["latest_version"]["number"] + 1)
        if given.schedule:
            job["schedule"] = _schedule(given.schedule.model_dump())
        job["last_run"] = _run(job, test=True)
        return job

    @app.get(f"{prefix}/jobs")
    def list_jobs(
        notebook_path: str | None = None, name: str | None = None, limit: int = 50
    ) -> Any:
        found = [
            job
            for job in state.jobs
            if notebook_path in (None, job["notebook_path"]) and name in (None, job["name"])
        ]
        return {"items": found[:limit], "next": None}

    @app.get(prefix + "/jobs/{job_id}")
    def one_job(job_id: str) -> Any:
        return next(job for job in state.jobs if job["id"] == job_id)

    @app.get(prefix + "/jobs/{job_id}/runs")
    def list_runs(job_id: str) -> Any:
        return {"items": state.runs.get(job_id, []), "next": None}

    @app.get(prefix + "/runs/{run_id}/files/notebook.html")
    def html(run_id: str) -> Any:
        return HTMLResponse("<script>parent.evil()</script>")

    @app.post(f"{prefix}/schedules/preview")
    async def preview(request: Request) -> Any:
        given = schemas.ScheduleIn.model_validate(await request.json())
        if len(given.cron.split()) != 5:
            document = {
                "code": "invalid",
                "title": f"{given.cron!r} is not a schedule.",
                "mend": "Give five fields.",
                "field": "schedule.cron",
                "status": 422,
            }
            return JSONResponse(document, status_code=422, media_type="application/problem+json")
        return _schedule(given.model_dump())

    return app


def _version(bundle: str, number: int) -> dict[str, Any]:
    return schemas.VersionOut(
        number=number,
        bundle=bundle,
        state=schemas.VersionState.DRAFT,
        created_at=datetime.now(UTC),
        created_by="user:ana",
        reason="",
        parameters=[],
    ).model_dump(mode="json")


@pytest.fixture(scope="session")
def standing_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/services/jobs"
    state = StandIn(url, tmp_path_factory.mktemp("service"))
    server = uvicorn.Server(uvicorn.Config(_service(state), log_level="warning", lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        eventually(lambda: server.started)
        yield state
    finally:
        state.reset()
        server.should_exit = True
        thread.join(20)
        listener.close()


@pytest.fixture
def service(standing_service: StandIn) -> Iterator[StandIn]:
    """The job service, with nothing in it."""
    standing_service.reset()
    yield standing_service
    standing_service.reset()


@dataclass
class Lab:
    """A user's server.

    Attributes:
        root: the folder that it shows.
        api: a client of ``/almanac/api/`` that is signed in.
    """

    url: str
    token: str
    root: Path
    log: Path
    api: httpx.Client

    def notebook(self, name: str = "report.ipynb", *cells: Any, kernel: str = "python3") -> Path:
        """Put a notebook there; ``cells`` are sources, or cells of nbformat."""
        made = [
            nbformat.v4.new_code_cell(cell) if isinstance(cell, str) else cell for cell in cells
        ]
        notebook = nbformat.v4.new_notebook(
            cells=made,
            metadata={"kernelspec": {"name": kernel, "display_name": kernel, "language": "python"}},
        )
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(notebook, path)
        return path


def parameters_cell(source: str) -> Any:
    return nbformat.v4.new_code_cell(source, metadata={"tags": ["parameters"]})


@pytest.fixture(scope="session")
def kernel_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a small environment: nothing in it has to be asked of an index."""
    folder = tmp_path_factory.mktemp("kernel") / "env"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    return folder / "bin" / "python"


@contextmanager
def running_lab(
    folder: Path, kernel_python: Path, *, app: str = "jupyter_server", **environment: str
) -> Iterator[Lab]:
    """A user's server in ``folder``, with ``environment`` as a hub would give it."""
    root = folder / "work"
    root.mkdir(parents=True)
    spec = folder / "share/kernels/python3/kernel.json"
    spec.parent.mkdir(parents=True)
    argv = [str(kernel_python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec.write_text(json.dumps({"argv": argv, "display_name": "Python 3", "language": "python"}))
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("JUPYTER", "ALMANAC", "AWS_CONTAINER"))
    }
    log = folder / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", app, *_ARGUMENTS, f"--ServerApp.root_dir={root}"],
            cwd=folder,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={
                **inherited,
                "HOME": str(folder),
                "JUPYTER_TOKEN": "secret",
                "JUPYTER_PATH": str(folder / "share"),
                "JUPYTER_RUNTIME_DIR": str(folder / "run"),
                "JUPYTER_CONFIG_DIR": str(folder / "config"),
                "JUPYTERHUB_USER": "ana",
                **environment,
            },
        )
    client = httpx.Client(headers={"Authorization": "token secret"}, timeout=60)

    def address() -> str | None:
        assert process.poll() is None, log.read_text()
        for file in (folder / "run").glob("jpserver-*.json"):
            try:
                url = str(json.loads(file.read_text())["url"])
                client.get(f"{url}api").raise_for_status()
            except (ValueError, KeyError, httpx.HTTPError):
                continue
            return url
        return None

    try:
        url = eventually(address, seconds=60)
        client.base_url = httpx.URL(f"{url}almanac/api/")
        yield Lab(url=url, token="secret", root=root, log=log, api=client)
    finally:
        client.close()
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


_ARGUMENTS = (
    "--no-browser",
    "--ip=127.0.0.1",
    "--ServerApp.port=0",
    "--ServerApp.allow_root=True",
    "--ServerApp.jpserver_extensions=lab_extension=True",
)


@pytest.fixture(scope="session")
def standing_lab(
    tmp_path_factory: pytest.TempPathFactory, kernel_python: Path, standing_service: StandIn
) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("lab")
    environment = {"ALMANAC_JOBS_URL": standing_service.url, "JUPYTERHUB_API_TOKEN": TOKEN}
    with running_lab(folder, kernel_python, app="jupyterlab", **environment) as lab:
        yield lab


@pytest.fixture
def lab(standing_lab: Lab, service: StandIn) -> Lab:
    """A user's server that is connected to the job service, its folder empty."""
    for item in standing_lab.root.iterdir():
        if item.is_dir():
            shutil.rmtree(item)
        else:
            item.unlink()
    return standing_lab


@pytest.fixture
def start_lab(tmp_path: Path, kernel_python: Path) -> Iterator[Callable[..., Lab]]:
    """Starts a user's server with an environment of one's own."""
    with ExitStack() as stack:
        yield lambda **environment: stack.enter_context(
            running_lab(tmp_path / "lab", kernel_python, **environment)
        )


@pytest.fixture
def page(chromium: Any, lab: Lab) -> Iterator[Any]:
    """A signed-in page; it fails the test where the panel's own script raised an error."""
    context = chromium.new_context(viewport={"width": 1280, "height": 800}, locale="en-GB")
    context.set_default_timeout(30_000)
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(f"{lab.url}lab?token={lab.token}&reset")
    page.locator("#main").wait_for()
    yield page
    context.close()
    assert errors == []
