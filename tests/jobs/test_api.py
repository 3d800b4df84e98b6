"""The REST API: statuses, headers, problem documents, downloads; rules are tested elsewhere."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.requests import Request

from hub_ext.errors import Unauthenticated
from hub_ext.jobs.app import INSPECTED, LARGEST_BODY, Service, create_app
from hub_ext.jobs.backends.base import Backend
from hub_ext.jobs.reconcile import Engine
from hub_ext.jobs.schemas import BundleOut, RunState
from hub_ext.jobs.store import Database
from hub_ext.jobs.usecases import Execution, Jobs
from hub_ext.jobs.usecases.wanted import Ended
from hub_ext.names import Principal

API = "/services/jobs/api/v1"
LIMIT = 1 << 20


class Nowhere(Backend):
    """A backend on which nothing is started."""

    def start(self, attempt: Any) -> str:
        return str(attempt.ref)

    def stop(self, ref: str) -> None:
        pass

    def list(self) -> dict[str, Any]:
        return {}

    def logs(self, ref: str) -> str:
        return ""

    def forget(self, ref: str) -> None:
        pass


class Names:
    """A sign-in by the name in the Authorization header."""

    def __init__(self, people: dict[str, Principal]):
        self._people = people

    async def principal(self, request: Request) -> Principal:
        name = request.headers.get("authorization", "").removeprefix("token ")
        if name not in self._people:
            raise Unauthenticated("Nobody is signed in.", mend="Sign in.")
        return self._people[name]


@pytest.fixture
def app(
    jobs: Jobs,
    execution: Execution,
    database: Database,
    objects: Any,
    tmp_path: Path,
    ana: Principal,
    eve: Principal,
) -> Any:
    uploads = tmp_path / "uploads"
    uploads.mkdir()
    service = Service(
        jobs=jobs,
        engine=Engine(execution, Nowhere(), objects, parallel=1, workers=1),
        database=database,
        login=Names({"ana": ana, "eve": eve}),
        uploads=uploads,
        upload_limit=LIMIT,
    )
    return create_app(service)


@pytest.fixture
async def client(app: Any) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(
        transport=transport,
        base_url=f"http://127.0.0.1{API}",
        headers={"Authorization": "token ana"},
    ) as made:
        yield made


async def uploaded(client: httpx.AsyncClient, path: Path) -> str:
    answer = await client.post(
        "/bundles", content=path.read_bytes(), headers={"Content-Type": "application/gzip"}
    )
    assert answer.status_code in (200, 201), answer.text
    return str(answer.json()["sha256"])


def is_problem(answer: httpx.Response, status: int, code: str, field: str | None = None) -> bool:
    document = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.status_code, document["code"], document.get("field")) == (status, code, field)
    assert document["status"] == status
    assert document["title"]
    return True


async def test_the_whole_way_of_a_job(
    client: httpx.AsyncClient, make_bundle: Callable[..., Path]
) -> None:
    path = make_bundle()
    first = await client.post("/bundles", content=path.read_bytes())
    assert (first.status_code, first.json()["created"]) == (201, True)
    again = await client.post("/bundles", content=path.read_bytes())
    assert (again.status_code, again.json()["created"]) == (200, False)
    wanted = {
        "name": "GDP",
        "project": "prices",
        "bundle": first.json()["sha256"],
        "schedule": {"cron": "0 6 * * 1-5", "timezone": "Europe/Paris"},
        "parameters": {"year": 2020},
        "run_now": True,
    }
    made = await client.post("/jobs", json=wanted, headers={"Idempotency-Key": "k"})
    assert made.status_code == 201
    job = made.json()
    assert job["url"] == f"/services/jobs/jobs/{job['id']}"
    assert job["next_run"] == "2026-03-03T05:00:00Z"
    assert job["schedule"]["next"][0] == "2026-03-03T06:00:00+01:00"
    repeated = await client.post("/jobs", json=wanted, headers={"Idempotency-Key": "k"})
    assert repeated.json()["id"] == job["id"]
    page = (await client.get("/jobs", params={"name": "GDP", "limit": 1})).json()
    assert [item["id"] for item in page["items"]] == [job["id"]]
    assert page["next"] is None
    runs = (await client.get(f"/jobs/{job['id']}/runs", params={"limit": 1})).json()
    assert runs["next"] is not None
    rest = await client.get(f"/jobs/{job['id']}/runs", params={"cursor": runs["next"]})
    assert [run["test"] for run in rest.json()["items"]] == [True]
    assert (await client.post(f"/jobs/{job['id']}/pause")).json()["paused"]
    assert not (await client.post(f"/jobs/{job['id']}/resume")).json()["paused"]
    changed = await client.patch(f"/jobs/{job['id']}", json={"schedule": None})
    assert changed.json()["schedule"] is None
    assert changed.json()["parameters"] == {"year": 2020}
    version = await client.post(f"/jobs/{job['id']}/versions", json={"bundle": wanted["bundle"]})
    assert version.status_code == 201
    assert version.json()["latest_version"]["number"] == 2
    versions = (await client.get(f"/jobs/{job['id']}/versions")).json()
    assert [item["number"] for item in versions["items"]] == [2, 1]
    run = await client.post(f"/jobs/{job['id']}/runs", json={"parameters": {"region": "DE"}})
    assert run.status_code == 201
    bare = await client.post(f"/jobs/{job['id']}/runs")
    assert bare.status_code == 201
    cancelled = await client.post(f"/runs/{run.json()['id']}/cancel")
    assert cancelled.json()["state"] == "cancelled"
    assert (await client.get(f"/runs/{run.json()['id']}")).json()["reason"] == "cancelled by ana"
    assert (await client.delete(f"/jobs/{job['id']}")).status_code == 204
    assert (await client.get(f"/jobs/{job['id']}")).json()["archived"]


async def test_the_small_ones(client: httpx.AsyncClient) -> None:
    assert (await client.get("/health", headers={"Authorization": ""})).json() == {"status": "ok"}
    me = (await client.get("/me")).json()
    assert me["name"] == "ana"
    preview = await client.post(
        "/schedules/preview", json={"cron": "@monthly", "timezone": "Europe/Paris"}
    )
    assert preview.json()["sentence"] == "At 00:00, on day 1 of the month (Europe/Paris)"
    assert len(preview.json()["next"]) == 3
    assert (await client.get("/credentials")).json()["AccessKeyId"] == "key"
    token = await client.post("/introspect", json={"token": "almrun_nothing"})
    assert token.json() == {"active": False, "run": None, "job": None, "project": None}
    described = (await client.get("/openapi.json")).json()
    assert f"{API}/jobs/{{job_id}}/runs" in described["paths"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": "x"}, "bundle"),
        ({"name": 3, "bundle": "0"}, "name"),
        ({"name": "x", "bundle": "0", "shedule": {}}, "shedule"),
        ({"name": "x", "bundle": "0", "schedule": {"cron": 6}}, "schedule.cron"),
        ({"name": "x", "bundle": "0", "schedule": {"cron": "6"}}, "schedule.cron"),
        ({"name": "x", "bundle": "0"}, "bundle"),
        ([], None),
    ],
)
async def test_a_body_that_does_not_fit_names_the_field(
    client: httpx.AsyncClient, body: Any, field: str | None
) -> None:
    assert is_problem(await client.post("/jobs", json=body), 422, "invalid", field)


async def test_everything_that_can_go_wrong_is_a_problem_document(
    client: httpx.AsyncClient,
) -> None:
    post, get = client.post, client.get
    json = {"Content-Type": "application/json"}
    is_problem(await post("/jobs", content=b"{", headers=json), 422, "invalid")
    is_problem(await post("/jobs"), 422, "invalid")
    is_problem(await get("/jobs/nothing"), 404, "not-found")
    is_problem(await get("/runs/nothing/files/x"), 404, "not-found")
    is_problem(await get("/nowhere"), 404, "not-found")
    is_problem(await client.put("/jobs"), 405, "method-not-allowed")
    is_problem(await get("/me", headers={"Authorization": ""}), 401, "unauthenticated")
    is_problem(await get("/jobs", params={"limit": "many"}), 422, "invalid", "limit")
    is_problem(await get("/jobs", params={"limit": "999"}), 422, "invalid", "limit")
    is_problem(await get("/jobs", params={"cursor": "/"}), 422, "invalid", "cursor")
    is_problem(await post("/bundles", content=b"no gzip"), 422, "bundle-refused")
    deep = b'{"name": "x", "bundle": "0", "parameters": ' + b'{"a":' * 100_000 + b"}" * 100_001
    assert (await post("/jobs", content=deep, headers=json)).status_code in (400, 413, 422)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/schedules/preview", b'{"cron": "\\ud800 * * * *", "timezone": "UTC"}'),
        ("/jobs", b'{"name": "x", "bundle": "\\ud800"}'),
        ("/jobs", b'{"name": "x", "bundle": "0", "project": "\\ud800"}'),
        ("/jobs", b'{"name": "x", "bundle": "0", "\\ud800": 1}'),
    ],
)
async def test_half_a_surrogate_pair_is_a_mistake_and_no_bug(
    client: httpx.AsyncClient, path: str, body: bytes
) -> None:
    answer = await client.post(path, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == "invalid"


async def test_only_so_many_uploads_are_looked_at_at_once(
    client: httpx.AsyncClient, app: Any, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    guard, at_once, most = threading.Lock(), 0, 0
    pause = threading.Event()

    def accept(principal: Principal, path: Path) -> BundleOut:
        nonlocal at_once, most
        with guard:
            at_once += 1
            most = max(most, at_once)
            if at_once == INSPECTED:
                pause.set()
        pause.wait(5)
        with guard:
            at_once -= 1
        return BundleOut(sha256="0" * 64, size=1, created=False)

    monkeypatch.setattr(jobs, "accept_bundle", accept)
    answers = await asyncio.gather(*(client.post("/bundles", content=b"x") for _ in range(8)))
    assert [answer.status_code for answer in answers] == [200] * 8
    assert most == INSPECTED


async def test_what_is_too_large_is_refused_before_it_is_read(
    client: httpx.AsyncClient, app: Any
) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while sent < 64 << 20:
            sent += 1 << 18
            yield b"x" * (1 << 18)

    is_problem(await client.post("/bundles", content=endless()), 413, "too-large", "bundle")
    assert sent <= LIMIT + (1 << 18)
    declared = {"Content-Length": str(LIMIT + 1)}
    answer = await client.post("/bundles", content=b"", headers=declared)
    is_problem(answer, 413, "too-large", "bundle")
    large = b'"' + b"x" * LARGEST_BODY + b'"'
    is_problem(await client.post("/jobs", content=large), 413, "too-large")
    sent = 0
    assert (await client.post("/jobs", content=endless())).status_code == 400
    assert sent <= LARGEST_BODY + (1 << 19)
    assert list(app.state.service.uploads.iterdir()) == []


async def test_a_bug_tells_nothing_and_is_logged(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("the secret of the house")

    monkeypatch.setattr(Jobs, "list_jobs", broken)
    answer = await client.get("/jobs")
    is_problem(answer, 500, "internal")
    assert "secret" not in answer.text
    assert "Traceback" not in answer.text


async def test_every_answer_has_the_headers_that_keep_browsers_honest(
    client: httpx.AsyncClient,
) -> None:
    for path in ("/health", "/me", "/nowhere", "/jobs"):
        headers = (await client.get(path)).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert headers["content-security-policy"].startswith("default-src 'none'")


async def test_files_of_a_run_are_sandboxed_and_notebooks_are_downloads(
    client: httpx.AsyncClient, office: Any, ana: Principal, objects: Any, execution: Execution
) -> None:
    run_id = office.test_run(ana, office.register(ana)).id
    execution.begin(run_id)
    names = {
        "notebook.html": b"<script>alert(1)</script>",
        "notebook.ipynb": b"{}",
        'Tabelle \xe4".csv'.encode().decode("latin-1"): b"a,b",
        "page.svg": b"<svg/>",
        "chart.js": b"alert(1)",
        "module.mjs": b"alert(1)",
        "page.css": b"*{}",
    }
    for name, content in names.items():
        target = objects.root / f"runs/{run_id}/1/{name}"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    files = [{"name": name, "size": len(content)} for name, content in names.items()]
    execution.finish(run_id, 1, 1, Ended(RunState.SUCCEEDED, files=files))
    run = (await client.get(f"/runs/{run_id}")).json()
    for file in run["files"]:
        answer = await client.get(f"http://127.0.0.1{file['url']}")
        assert answer.content == names[file["name"]]
        # Nothing that one of our own pages could be made to load and execute.
        executed = file["name"].endswith(("js", "css"))
        sent_as = "application/octet-stream" if executed else file["media_type"]
        assert answer.headers["content-type"] == sent_as
        assert int(answer.headers["content-length"]) == file["size"]
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("sandbox; default-src 'none';")
        assert "allow" not in policy
        assert "script-src" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        kind = answer.headers["content-disposition"].partition(";")[0]
        assert kind == ("inline" if file["name"] == "notebook.html" else "attachment")
    for name in ("runner.log", "../1/notebook.html", "%2e%2e/1/notebook.html", "nothing"):
        assert (await client.get(f"/runs/{run_id}/files/{name}")).status_code == 404
    eve = {"Authorization": "token eve"}
    is_problem(
        await client.get(f"/runs/{run_id}/files/notebook.html", headers=eve), 404, "not-found"
    )
    log = await client.get(f"/runs/{run_id}/log")
    assert log.headers["content-type"] == "text/plain; charset=utf-8"


async def test_events_come_by_after_and_by_cursor(
    client: httpx.AsyncClient, office: Any, ana: Principal, objects: Any, execution: Execution
) -> None:
    run_id = office.test_run(ana, office.register(ana)).id
    assert (await client.get(f"/runs/{run_id}/events")).json() == {"items": [], "next": None}
    execution.begin(run_id)
    target = objects.root / f"runs/{run_id}/1/events.jsonl"
    target.parent.mkdir(parents=True)
    event = '{"seq": %d, "time": "2026-03-02T06:00:00Z", "type": "stream", "data": {}}\n'
    lines = [event % seq for seq in range(1, 8)]
    target.write_text("".join([*lines[:3], "no event\n", "x" * (2 << 20) + "\n", *lines[3:], "{"]))
    execution.finish(run_id, 1, 1, Ended(RunState.SUCCEEDED, files=[]))
    first = (await client.get(f"/runs/{run_id}/events", params={"limit": 4})).json()
    assert [item["seq"] for item in first["items"]] == [1, 2, 3, 4]
    query = {"limit": 4, "cursor": first["next"], "after": 0}
    second = (await client.get(f"/runs/{run_id}/events", params=query)).json()
    assert [item["seq"] for item in second["items"]] == [5, 6, 7]
    assert second["next"] is None
    answer = await client.get(f"/runs/{run_id}/events", params={"cursor": "x"})
    is_problem(answer, 422, "invalid", "cursor")
    answer = await client.get(f"/runs/{run_id}/events", params={"after": -1})
    is_problem(answer, 422, "invalid", "after")


async def test_health_tells_of_a_loop_that_died(
    client: httpx.AsyncClient, app: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Engine, "alive", property(lambda self: False))
    is_problem(await client.get("/health"), 503, "unavailable")
