"""The client of the job service's REST API: what it sends and what it makes of answers.

The service itself stands in `tests/commands`; here it is a table of answers,
so that faults can be had which a healthy service does not give.
"""

from __future__ import annotations

import json
from collections.abc import Callable

import httpx
import pytest

from hub_ext.client import JobsClient, error_of
from hub_ext.errors import (
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    PublicError,
    Unauthenticated,
    Unavailable,
)
from hub_ext.jobs.schemas import RunIn, ScheduleIn

URL = "http://almanac.test/services/jobs"
ME = {"name": "ana", "kind": "user", "projects": [], "rights": []}
PREVIEW = {"cron": "@daily", "timezone": "UTC", "sentence": "At 00:00", "next": []}

Answer = Callable[[httpx.Request], httpx.Response]


def client(answer: Answer, **options: object) -> JobsClient:
    settings: dict[str, object] = {"pause": 0.001, **options}
    return JobsClient(URL, "secret", transport=httpx.MockTransport(answer), **settings)  # type: ignore[arg-type]


def job(job_id: str, name: str, project: str = "user-ana") -> dict[str, object]:
    version = {
        "number": 1,
        "bundle": "ab" * 32,
        "state": "active",
        "created_at": "2026-11-23T09:00:00Z",
        "created_by": "user:ana",
        "reason": "",
        "parameters": [],
    }
    return {
        "id": job_id,
        "name": name,
        "project": project,
        "description": "",
        "notebook_path": "",
        "created_at": "2026-11-23T09:00:00Z",
        "created_by": "user:ana",
        "paused": False,
        "archived": False,
        "schedule": None,
        "parameters": {},
        "active_version": 1,
        "latest_version": version,
        "last_run": None,
        "next_run": None,
        "url": f"/services/jobs/jobs/{job_id}",
    }


def test_the_token_travels_in_a_header_and_nowhere_else() -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json=ME)

    with client(answer) as jobs:
        assert jobs.me().name == "ana"
    (request,) = seen
    assert str(request.url) == f"{URL}/api/v1/me"
    assert request.headers["authorization"] == "token secret"


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, Unauthenticated),
        (403, Forbidden),
        (404, NotFound),
        (409, Conflict),
        (422, Invalid),
        (503, Unavailable),
        (418, PublicError),
    ],
)
def test_a_problem_document_is_raised_as_it_was(status: int, kind: type[PublicError]) -> None:
    raised = kind("Too short.", mend="Make it longer.", field="name", job_id="j-1")
    raised.code, raised.status = "a-code", status
    error = error_of(status, json.loads(json.dumps(raised.problem())), place="x")
    assert type(error) is kind
    assert error.problem() == raised.problem()


def test_an_answer_without_an_explanation_still_makes_sense() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(502, text="<h1>Bad gateway</h1>")

    with client(answer) as jobs, pytest.raises(Unavailable, match="HTTP status 502") as raised:
        jobs.me()
    assert raised.value.status == 502
    assert "<h1>" not in str(raised.value)


def test_a_redirect_to_a_login_page_is_not_followed_with_the_token() -> None:
    seen = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.url.path)
        return httpx.Response(302, headers={"location": "http://elsewhere.test/"})

    with client(answer) as jobs, pytest.raises(Unauthenticated):
        jobs.me()
    assert seen == ["/services/jobs/api/v1/me"]


def test_reads_are_tried_again_when_the_connection_fails() -> None:
    faults = [httpx.ConnectError("refused"), httpx.ReadError("reset"), None]

    def answer(request: httpx.Request) -> httpx.Response:
        if fault := faults.pop(0):
            raise fault
        return httpx.Response(200, json=ME)

    with client(answer) as jobs:
        assert jobs.me().name == "ana"
    assert faults == []


def test_a_service_that_is_down_is_given_up_in_words() -> None:
    tries = []

    def answer(request: httpx.Request) -> httpx.Response:
        tries.append(request)
        raise httpx.ConnectError("[Errno 111] Connection refused")

    with client(answer, tries=3) as jobs, pytest.raises(Unavailable) as raised:
        jobs.me()
    assert len(tries) == 3
    assert URL in raised.value.message
    assert "nothing answers there" in raised.value.message
    assert "almanac status" in raised.value.mend


def test_a_write_that_may_have_arrived_is_not_sent_twice() -> None:
    tries = []

    def answer(request: httpx.Request) -> httpx.Response:
        tries.append(request.headers["idempotency-key"])
        raise httpx.ReadError("reset")

    with client(answer) as jobs, pytest.raises(Unavailable):
        jobs.run("j-1", RunIn())
    assert len(tries) == 1


def test_a_write_that_never_left_is_sent_again_with_the_same_key() -> None:
    keys = []

    def answer(request: httpx.Request) -> httpx.Response:
        keys.append(request.headers["idempotency-key"])
        if len(keys) < 3:
            raise httpx.ConnectError("refused")
        return httpx.Response(200, json=PREVIEW)

    with client(answer) as jobs:
        jobs.preview(ScheduleIn(cron="@daily"))
    assert len(keys) == 3
    assert len(set(keys)) == 1


def test_pages_are_followed_to_their_end() -> None:
    asked = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(dict(request.url.params))
        cursor = request.url.params.get("cursor")
        n = int(cursor or 0)
        following = str(n + 1) if n < 2 else None
        return httpx.Response(200, json={"items": [job(f"j-{n}", "x")], "next": following})

    with client(answer) as jobs:
        assert [found.id for found in jobs.jobs(project="p")] == ["j-0", "j-1", "j-2"]
    assert asked == [
        {"project": "p"},
        {"project": "p", "cursor": "1"},
        {"project": "p", "cursor": "2"},
    ]


def test_events_are_followed_by_their_number() -> None:
    def event(seq: int) -> dict[str, object]:
        return {"seq": seq, "time": "2026-11-23T09:00:00Z", "type": "stream", "data": {}}

    def answer(request: httpx.Request) -> httpx.Response:
        after = int(request.url.params["after"])
        items = [event(seq) for seq in range(after + 1, min(after + 3, 6))]
        return httpx.Response(
            200, json={"items": items, "next": str(items[-1]["seq"]) if after < 3 else None}
        )

    with client(answer) as jobs:
        assert [e.seq for e in jobs.events("r-1")] == [1, 2, 3, 4, 5]


def test_members_that_a_newer_service_adds_are_passed_over() -> None:
    with client(lambda request: httpx.Response(200, json={**ME, "colour": "blue"})) as jobs:
        assert jobs.me().name == "ana"


def test_an_answer_of_another_shape_is_explained() -> None:
    with (
        client(lambda request: httpx.Response(200, json={"nothing": 1})) as jobs,
        pytest.raises(Unavailable, match="not a MeOut"),
    ):
        jobs.me()


def by_query(*found: dict[str, object]) -> Answer:
    def answer(request: httpx.Request) -> httpx.Response:
        path, query = request.url.path.removeprefix("/services/jobs/api/v1"), request.url.params
        if path == "/jobs":
            items = [
                item
                for item in found
                if query.get("name") in (None, item["name"])
                and query.get("project") in (None, item["project"])
            ]
            return httpx.Response(200, json={"items": items, "next": None})
        for item in found:
            if path == f"/jobs/{item['id']}":
                return httpx.Response(200, json=item)
        missing = NotFound("There is no such job.")
        return httpx.Response(404, json=missing.problem())

    return answer


@pytest.mark.parametrize(
    ("reference", "found"),
    [
        ("Retail index", "j-1"),
        ("user-ana/Retail index", "j-1"),
        ("macro/GDP", "j-3"),
        ("j-2", "j-2"),
        ("A/B test", "j-4"),
        ("user-ana/A/B test", "j-4"),
    ],
)
def test_a_job_is_found_by_name_project_and_name_or_id(reference: str, found: str) -> None:
    service = by_query(
        job("j-1", "Retail index"),
        job("j-2", "GDP"),
        job("j-3", "GDP", "macro"),
        job("j-4", "A/B test"),
    )
    with client(service) as jobs:
        assert jobs.job_named(reference).id == found


def test_an_ambiguous_name_lists_the_jobs_it_could_mean() -> None:
    with (
        client(by_query(job("j-2", "GDP"), job("j-3", "GDP", "macro"))) as jobs,
        pytest.raises(Conflict) as raised,
    ):
        jobs.job_named("GDP")
    assert raised.value.code == "job-ambiguous"
    assert "user-ana/GDP (id j-2)" in raised.value.mend
    assert "macro/GDP (id j-3)" in raised.value.mend


@pytest.mark.parametrize("reference", ["nothing", "no/such job", "../me", "", "a b"])
def test_a_job_that_is_not_there_is_said_to_be_so(reference: str) -> None:
    with (
        client(by_query(job("j-1", "Retail index"))) as jobs,
        pytest.raises(NotFound, match="no job"),
    ):
        jobs.job_named(reference)


def test_names_cannot_leave_their_place_in_an_address() -> None:
    seen = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.url.raw_path.decode())
        return httpx.Response(200, content=b"x")

    with client(answer) as jobs:
        jobs.log("../../secrets?x=1")
        jobs.file("r-1", "a b/ü.csv")
    assert seen == [
        "/services/jobs/api/v1/runs/..%2F..%2Fsecrets%3Fx%3D1/log",
        "/services/jobs/api/v1/runs/r-1/files/a%20b/%C3%BC.csv",
    ]
