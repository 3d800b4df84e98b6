"""What the panel is answered by its own server."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from hub_ext.bundles import bundle

from .conftest import TOKEN, Lab, StandIn, eventually, parameters_cell


@pytest.fixture
def key() -> str:
    """The id of a submission."""
    return str(uuid.uuid4())


def submission(path: str = "report.ipynb", **changes: Any) -> dict[str, Any]:
    schedule = {"cron": "0 6 * * 1-5", "timezone": "Europe/Paris"}
    return {
        "path": path,
        "name": "Report",
        "project": None,
        "schedule": schedule,
        "run_now": False,
        "parameters": {},
    } | changes


def submit(lab: Lab, body: dict[str, Any], *, key: str | None = None) -> httpx.Response:
    return lab.api.post("productionize", params={"submission": key or str(uuid.uuid4())}, json=body)


def test_a_notebook_is_described_with_parameters_findings_and_projects(lab: Lab) -> None:
    lab.notebook("prices/cpi.ipynb", parameters_cell("year = 2024"), "name = input()")
    found = lab.api.get("notebook", params={"path": "prices/cpi.ipynb"}).json()
    assert found["name"] == "cpi"
    assert found["kernel"]["language"] == "python"
    assert found["parameters"] == [{"name": "year", "type": "int", "default": 2024, "help": ""}]
    assert {finding["cell"] for finding in found["findings"]} >= {1}
    assert [project["slug"] for project in found["projects"]] == ["user-ana", "prices"]
    assert found["job"] is None
    assert found["service"] is None


def test_a_notebook_becomes_a_job_from_the_very_bytes_that_are_on_disk(
    lab: Lab, service: StandIn, key: str
) -> None:
    lab.notebook("report.ipynb", parameters_cell("year = 2024"), "print(year)")
    answer = submit(lab, submission(parameters={"year": 2023}), key=key)
    assert answer.status_code == 201, answer.text
    job = answer.json()
    assert (job["name"], job["parameters"]) == ("Report", {"year": 2023})
    assert job["schedule"]["timezone"] == "Europe/Paris"
    assert job["notebook_path"] == "report.ipynb"
    assert list(service.bundles) == [job["latest_version"]["bundle"]]
    method, _path, headers, _body = next(seen for seen in service.seen if seen[1] == "jobs")
    assert (method, headers["idempotency-key"]) == ("POST", key)

    found = lab.api.get("notebook", params={"path": "report.ipynb"}).json()
    assert found["job"]["id"] == job["id"]


def test_the_bundle_that_is_uploaded_holds_the_author_and_the_parameters(
    lab: Lab, service: StandIn, tmp_path: Any
) -> None:
    lab.notebook("report.ipynb", parameters_cell("year = 2024"))
    assert submit(lab, submission()).status_code == 201
    packed = tmp_path / "bundle.tar.gz"
    packed.write_bytes(next(iter(service.bundles.values())))
    manifest = bundle.read(packed)
    assert manifest.owner == "ana"
    assert [parameter.name for parameter in manifest.parameters] == ["year"]


def test_a_new_version_goes_to_the_job_it_is_of(lab: Lab) -> None:
    lab.notebook("report.ipynb", "1")
    job = submit(lab, submission()).json()
    lab.notebook("report.ipynb", "2")
    again = submit(lab, submission(job_id=job["id"], schedule=None, run_now=True)).json()
    assert again["id"] == job["id"]
    assert again["latest_version"]["number"] == 2
    assert again["schedule"] == job["schedule"]


def test_the_step_that_a_submission_is_at_can_be_asked(
    lab: Lab, service: StandIn, key: str
) -> None:
    lab.notebook("report.ipynb", "1")
    service.hold.clear()
    answers: list[httpx.Response] = []
    thread = threading.Thread(target=lambda: answers.append(submit(lab, submission(), key=key)))
    thread.start()
    try:
        eventually(lambda: lab.api.get(f"progress/{key}").json() == {"step": "uploading"})
    finally:
        service.hold.set()
        thread.join(60)
    assert answers[0].status_code == 201
    assert lab.api.get(f"progress/{key}").json() == {"step": None}


def test_a_submission_that_is_sent_again_is_made_once(lab: Lab, service: StandIn, key: str) -> None:
    lab.notebook("report.ipynb", "1")
    service.hold.clear()
    with pytest.raises(httpx.ReadTimeout):
        lab.api.post("productionize", params={"submission": key}, json=submission(), timeout=3)
    service.hold.set()
    answer = submit(lab, submission(), key=key)
    assert answer.status_code == 201
    assert submit(lab, submission(), key=key).json()["id"] == answer.json()["id"]
    assert len(service.jobs) == 1


def test_a_refusal_of_the_service_reaches_the_panel_unchanged(
    lab: Lab, service: StandIn, key: str
) -> None:
    lab.notebook("report.ipynb", "1")
    service.problem(
        "jobs",
        409,
        "job-name-taken",
        title="There is a job 'Report' already.",
        mend="Choose another name.",
        field="name",
        job_id="job-7",
    )
    answer = submit(lab, submission(), key=key)
    assert answer.status_code == 409
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["field"] == "name"
    assert answer.json()["job_id"] == "job-7"
    del service.refuse["jobs"]
    assert submit(lab, submission(), key=key).status_code == 201, "it may be tried again"


@pytest.mark.parametrize(
    ("path", "content", "code"),
    [
        ("broken.ipynb", "{ this is no JSON", "notebook-not-json"),
        (
            "bare.ipynb",
            '{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}',
            "notebook-no-kernel",
        ),
        ("nowhere.ipynb", None, "not-found"),
        ("../outside.ipynb", None, "not-found"),
        ("x" * 5000, None, "not-found"),
        ("a/../../outside.ipynb", None, "not-found"),
        ("/etc/passwd", None, "not-found"),
        (".hidden/secret.ipynb", "{}", "not-found"),
        ("s3:bucket/report.ipynb", None, "notebook-not-on-disk"),
        ("", None, "not-found"),
        ("nul\0.ipynb", None, "not-found"),
    ],
)
def test_what_is_no_notebook_here_is_refused_in_words_and_nothing_is_stored(
    lab: Lab, service: StandIn, path: str, content: str | None, code: str
) -> None:
    (lab.root.parent / "outside.ipynb").write_text("{}")
    if content is not None:
        (lab.root / path).parent.mkdir(exist_ok=True)
        (lab.root / path).write_text(content)
    for answer in (lab.api.get("notebook", params={"path": path}), submit(lab, submission(path))):
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["code"] == code
        assert answer.json()["title"]
        assert str(lab.root) not in answer.text
    assert service.bundles == {}


def test_a_kernel_that_is_not_there_is_named(lab: Lab) -> None:
    lab.notebook("report.ipynb", "1", kernel="julia-1.9")
    answer = lab.api.get("notebook", params={"path": "report.ipynb"})
    assert answer.json()["code"] == "kernel-unknown"
    assert "julia-1.9" in answer.json()["title"]
    assert answer.json()["mend"]


def test_a_finding_that_stops_it_stops_it_before_anything_is_sent(
    lab: Lab, service: StandIn
) -> None:
    lab.notebook("report.ipynb", "def broken(:")
    found = lab.api.get("notebook", params={"path": "report.ipynb"}).json()
    assert "error" in {finding["severity"] for finding in found["findings"]}
    answer = submit(lab, submission())
    assert answer.json()["code"] == "checks-failed"
    assert service.bundles == {}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"not json", None),
        (b"{}", "path"),
        (b'{"path": "a.ipynb", "name": "x", "schedule": {"cron": 3}}', "schedule.cron"),
        (b'{"path": "a.ipynb", "name": "x", "surprise": 1}', "surprise"),
        (b'{"path": "a.ipynb", "name": "x", "job_id": "../bundles"}', "job_id"),
    ],
)
def test_an_ill_formed_submission_names_the_field(
    lab: Lab, body: bytes, field: str | None, key: str
) -> None:
    answer = lab.api.post("productionize", params={"submission": key}, content=body)
    assert answer.status_code == 422
    assert answer.json().get("field") == field


def test_without_the_service_the_notebook_is_still_described_and_says_why_a_part_is_missing(
    start_lab: Callable[..., Lab],
) -> None:
    lab = start_lab(ALMANAC_JOBS_URL="http://127.0.0.1:9/services/jobs", JUPYTERHUB_API_TOKEN="t")
    lab.notebook("report.ipynb", "1")
    found = lab.api.get("notebook", params={"path": "report.ipynb"}).json()
    assert found["name"] == "report"
    assert found["service"]["code"] == "unavailable"
    assert found["service"]["mend"]
    for answer in (submit(lab, submission()), lab.api.get("jobs/jobs")):
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"schedule": {"cron": "often", "timezone": "UTC"}}, "schedule.cron"),
        ({"parameters": {"month": 3}}, "parameters.month"),
        ({"parameters": {"year": "soon"}}, "parameters.year"),
        ({"project": "prices", "name": "Taken"}, "name"),
    ],
)
def test_a_mistake_is_found_before_the_long_steps_and_before_anything_is_stored(
    lab: Lab, service: StandIn, changes: dict[str, Any], field: str
) -> None:
    lab.notebook("taken.ipynb", "1")
    submit(lab, submission("taken.ipynb", name="Taken", project="prices"))
    service.bundles.clear()
    lab.notebook("report.ipynb", parameters_cell("year = 2024"))
    answer = submit(lab, submission(**changes))
    assert answer.is_client_error
    assert answer.json()["field"] == field
    assert answer.json()["title"]
    assert service.bundles == {}


def test_a_proxy_that_answers_for_a_dead_service_is_told_as_such(
    lab: Lab, service: StandIn
) -> None:
    from fastapi.responses import HTMLResponse

    lab.notebook("report.ipynb", "1")
    service.refuse["bundles"] = HTMLResponse("<h1>Service Unavailable</h1>", status_code=503)
    answer = submit(lab, submission())
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert "<h1>" not in answer.text


def test_a_server_that_no_hub_started_says_so(start_lab: Callable[..., Lab]) -> None:
    answer = start_lab().api.get("jobs/jobs")
    assert answer.json()["title"] == "This server is not connected to a job service."


def test_jobs_are_asked_and_told_through_the_server_with_its_token_alone(
    lab: Lab, service: StandIn
) -> None:
    assert lab.api.get("jobs/jobs", params={"limit": "5"}).json() == {"items": [], "next": None}
    preview = lab.api.post(
        "jobs/schedules/preview", json={"cron": "0 6 * * 1-5", "timezone": "UTC"}
    )
    assert len(preview.json()["next"]) == 3
    refused = lab.api.post("jobs/schedules/preview", json={"cron": "often", "timezone": "UTC"})
    assert refused.status_code == 422
    assert refused.json()["field"] == "schedule.cron"
    for _, _, headers, _ in service.seen:
        assert headers["authorization"] == f"token {TOKEN}"
        assert "cookie" not in headers
    assert TOKEN not in preview.text + lab.log.read_text()


@pytest.mark.parametrize(
    "path",
    ["jobs/credentials", "jobs/bundles", "jobs/jobs/%2e%2e/credentials", "jobs/introspect"],
)
def test_the_rest_of_the_service_is_not_reached_through_the_panels_door(
    lab: Lab, service: StandIn, path: str
) -> None:
    assert lab.api.get(path).status_code == 404
    assert service.seen == []


def test_a_notebooks_html_is_not_served_under_the_users_own_address(
    lab: Lab, service: StandIn
) -> None:
    answer = lab.api.get("jobs/runs/run-1/files/notebook.html")
    assert answer.status_code == 404
    assert "<script>" not in answer.text
    assert "page" in answer.json()["mend"]


def test_strangers_and_forged_forms_are_refused(lab: Lab, service: StandIn, key: str) -> None:
    lab.notebook("report.ipynb", "1")
    with httpx.Client(base_url=lab.api.base_url) as stranger:
        assert stranger.get("notebook", params={"path": "report.ipynb"}).status_code == 403
        assert stranger.get("jobs/jobs").status_code == 403
    with httpx.Client(base_url=lab.api.base_url) as browser:
        # A browser is signed in by its cookie, which another site's form would send too.
        browser.get(f"{lab.url}tree", params={"token": lab.token})
        browser.get(f"{lab.url}api/status", params={"token": lab.token})
        body = submission()
        forged = browser.post("productionize", params={"submission": key}, json=body)
        assert forged.status_code == 403
        headers = {"X-XSRFToken": browser.cookies.get("_xsrf") or ""}
        assert browser.post("jobs/schedules/preview", json={}, headers={}).status_code == 403
        assert browser.get("jobs/jobs", headers=headers).status_code == 200
    assert service.bundles == {}


def test_the_panels_own_polling_is_no_sign_of_a_person(lab: Lab, key: str) -> None:
    def last_activity() -> str:
        return str(httpx.get(f"{lab.url}api/status?token=secret").json()["last_activity"])

    before = last_activity()
    lab.api.get("jobs/jobs")
    lab.api.get(f"progress/{key}")
    assert last_activity() == before
    lab.notebook("report.ipynb", "1")
    lab.api.get("notebook", params={"path": "report.ipynb"})
    assert last_activity() > before


def test_the_server_answers_while_a_notebook_is_captured(
    lab: Lab, service: StandIn, key: str
) -> None:
    lab.notebook("report.ipynb", "1")
    service.hold.clear()
    thread = threading.Thread(target=submit, args=(lab, submission()), kwargs={"key": key})
    thread.start()
    try:
        eventually(lambda: lab.api.get(f"progress/{key}").json()["step"])
        assert httpx.get(f"{lab.url}api", timeout=2).status_code == 200
    finally:
        service.hold.set()
        thread.join(60)
