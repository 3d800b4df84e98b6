"""The pages over HTTP, on the real service: sign-in, forms, headers, errors."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

import httpx
from job_service import JobService, wait

from hub_ext.jobs.schemas import RunIn, ScheduleIn

Browser = Callable[..., httpx.Client]

ATTACK = "<script>alert(1)</script>"
WEEKDAYS = ScheduleIn(cron="0 6 * * 1-5", timezone="Europe/Paris")


def form_of(html: str, action: str) -> dict[str, str]:
    """The hidden fields of the form with this action."""
    form = re.search(rf'<form method="post" action="{re.escape(action)}">(.*?)</form>', html, re.S)
    assert form, f"there is no form for {action}"
    return dict(re.findall(r'name="([^"]+)" value="([^"]*)"', form[1]))


def test_who_is_not_signed_in_is_sent_to_the_hub(service: JobService, browser: Browser) -> None:
    answer = browser(None).get("/services/jobs/jobs/x")
    assert answer.status_code == 302
    assert answer.headers["location"].startswith("/hub/api/oauth2/authorize?")


def test_a_sign_in_that_fails_is_told_on_a_page(service: JobService, browser: Browser) -> None:
    stranger = browser(None)
    to_the_hub = stranger.get("/services/jobs/").headers["location"]
    state = parse_qs(urlsplit(to_the_hub).query)["state"][0]
    answer = stranger.get(
        "/services/jobs/oauth_callback", params={"state": state, "error": "access_denied"}
    )
    assert answer.status_code == 403
    assert answer.headers["content-type"].startswith("text/html")
    assert answer.headers["x-frame-options"] == "DENY"
    assert "The hub did not let you in here." in answer.text
    assert "Ask your operator" in answer.text


def test_an_empty_list_teaches(service: JobService, browser: Browser) -> None:
    answer = browser().get("/services/jobs/")
    assert answer.status_code == 200
    assert "No jobs yet" in answer.text
    assert "Productionize" in answer.text


def test_the_list_shows_jobs_of_my_projects_alone(service: JobService, browser: Browser) -> None:
    service.job("Shared one", project="macro", schedule=WEEKDAYS)
    service.job("Private one")
    mine = browser("ana").get("/services/jobs/").text
    theirs = browser("bo").get("/services/jobs/").text
    assert "Shared one" in mine
    assert "Private one" in mine
    assert "Monday through Friday" in mine
    assert "Shared one" in theirs
    assert "Private one" not in theirs


def test_the_list_filters_by_project_and_state(service: JobService, browser: Browser) -> None:
    service.active_job("Good one", project="macro")
    bad = service.job("Bad one", parameters={"outcome": "fail"})
    with service.client() as client:
        wait(
            lambda: (run := client.job(bad.id).last_run) and run.state == "failed",
            "the test to fail",
        )
    ana = browser()
    failed = ana.get("/services/jobs/", params={"state": "failed"}).text
    assert "Bad one" in failed
    assert "Good one" not in failed
    macro = ana.get("/services/jobs/", params={"project": "macro"}).text
    assert "Good one" in macro
    assert "Bad one" not in macro
    assert "No job fits" in ana.get("/services/jobs/", params={"state": "cancelled"}).text
    # What is no state filters nothing; what is no cursor is refused in words.
    assert "Good one" in ana.get("/services/jobs/", params={"state": "<x>"}).text
    odd = ana.get("/services/jobs/", params={"cursor": ATTACK})
    assert odd.status_code == 422
    assert ATTACK not in odd.text


def test_every_page_holds_the_strict_headers(service: JobService, browser: Browser) -> None:
    job = service.active_job()
    with service.client() as client:
        run = next(client.runs(job.id))
    for path in ("/services/jobs/", job.url, run.url, "/services/jobs/jobs/none"):
        headers = browser().get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert headers["content-type"] == "text/html; charset=utf-8"


def test_a_job_is_run_by_its_button_once_however_often_it_is_pressed(
    service: JobService, browser: Browser
) -> None:
    job = service.active_job()
    ana = browser()
    page = ana.get(job.url).text
    fields = form_of(page, f"{job.url}/run")
    first = ana.post(f"{job.url}/run", data=fields)
    again = ana.post(f"{job.url}/run", data=fields)
    assert first.status_code == again.status_code == 303
    assert first.headers["location"] == again.headers["location"]
    run = service.finished(first.headers["location"].rpartition("/")[2])
    assert run.state == "succeeded"
    assert run.trigger.by == "user:ana"
    shown = ana.get(run.url).text
    assert "By hand, ana" in shown
    assert '<iframe class="notebook" sandbox src="' in shown


def test_pause_and_resume_lead_back_to_the_job(service: JobService, browser: Browser) -> None:
    job = service.active_job(schedule=WEEKDAYS)
    ana = browser()
    page = ana.get(job.url).text
    paused = ana.post(f"{job.url}/pause", data=form_of(page, f"{job.url}/pause"))
    assert paused.status_code == 303
    page = ana.get(paused.headers["location"]).text
    assert "Paused. No run starts" in page
    resumed = ana.post(f"{job.url}/resume", data=form_of(page, f"{job.url}/resume"))
    page = ana.get(resumed.headers["location"]).text
    assert "Resumed." in page
    assert "Next runs" in page


def test_a_form_without_the_token_of_the_session_does_nothing(
    service: JobService, browser: Browser
) -> None:
    job = service.active_job(schedule=WEEKDAYS)
    ana, bo = browser("ana"), browser("bo")
    for fields in ({}, {"_xsrf": "guessed"}):
        answer = ana.post(f"{job.url}/pause", data=fields)
        assert answer.status_code == 403
        assert "does not come from a page of this session" in answer.text
    # Nor does somebody else's token, or a request from another site.
    fields = form_of(ana.get(job.url).text, f"{job.url}/pause")
    assert bo.post(f"{job.url}/pause", data=fields).status_code == 403
    foreign = ana.post(f"{job.url}/pause", data=fields, headers={"Sec-Fetch-Site": "cross-site"})
    assert foreign.status_code == 403
    with service.client() as client:
        assert not client.job(job.id).paused


def test_a_fetched_page_holds_no_token_for_forms(service: JobService, browser: Browser) -> None:
    job = service.active_job(schedule=WEEKDAYS)
    fetched = browser().get(job.url, headers={"Sec-Fetch-Mode": "cors"}).text
    assert form_of(fetched, f"{job.url}/pause") == {"_xsrf": ""}
    assert "data-xsrf" not in fetched


def test_a_member_sees_no_buttons_for_what_is_not_allowed(
    service: JobService, browser: Browser
) -> None:
    job = service.active_job(project="macro", schedule=WEEKDAYS)
    page = browser("bo").get(job.url).text
    assert f'action="{job.url}/run"' in page
    assert f'action="{job.url}/pause"' not in page
    assert browser("eve").get(job.url).status_code == 404


def test_a_running_run_can_be_watched_and_stopped(service: JobService, browser: Browser) -> None:
    job = service.active_job()
    with service.client() as client:
        run = client.run(job.id, RunIn(parameters={"outcome": "wait"}))
        wait(
            lambda: (now := client.run_of(run.id)).progress and now.progress.cells == 2,
            "the run to make progress",
        )
    ana = browser()
    page = ana.get(run.url).text
    assert 'data-live="2"' in page
    assert "now at cell 2 of 2" in page
    assert "Reading…" in page
    stopped = ana.post(f"{run.url}/cancel", data=form_of(page, f"{run.url}/cancel"))
    assert stopped.headers["location"] == run.url
    assert service.finished(run.id).state == "cancelled"
    page = ana.get(run.url).text
    assert "data-live" not in page
    assert "cancelled by ana" in page
    with service.client() as client:
        test = next(found for found in client.runs(job.id) if found.test)
    late = ana.post(f"{test.url}/cancel", data={"_xsrf": _xsrf(page)})
    assert late.status_code == 409
    assert "ended already" in late.text


def test_a_failed_run_shows_cell_and_traceback_as_text(
    service: JobService, browser: Browser
) -> None:
    service.backend.failure = {
        "ename": f"E{ATTACK}",
        "evalue": ATTACK,
        "traceback": [f"\x1b[31m{ATTACK}\x1b[0m"],
    }
    service.backend.printed = f"{ATTACK}\n"
    job = service.active_job(description=ATTACK, name=f"J {ATTACK}", notebook_path=ATTACK)
    with service.client() as client:
        run = client.run(job.id, RunIn(parameters={"outcome": "fail"}))
    run = service.finished(run.id)
    page = browser().get(run.url).text
    assert "Cell 2 raised" in page
    assert "The notebook, as far as it ran" in page
    assert '<span class="ansi-fg-1">&lt;script&gt;alert(1)&lt;/script&gt;</span>' in page
    for path in (run.url, job.url, "/services/jobs/"):
        assert ATTACK not in browser().get(path).text


def test_the_notebooks_html_is_served_without_rights(service: JobService, browser: Browser) -> None:
    job = service.active_job()
    with service.client() as client:
        run = next(client.runs(job.id))
    page = browser().get(run.url).text
    source = re.search(r'<iframe class="notebook" sandbox src="([^"]+)"', page)
    assert source
    answer = browser().get(source[1])
    assert answer.status_code == 200
    assert "Executed" in answer.text
    assert answer.headers["content-security-policy"].startswith("sandbox;")
    assert "frame-ancestors 'self'" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_older_runs_are_on_pages_of_their_own(service: JobService, browser: Browser) -> None:
    job = service.active_job()
    with service.client() as client:
        for _ in range(31):
            client.run(job.id)
        newest = next(client.runs(job.id))
    ana = browser()
    page = ana.get(job.url).text
    more = re.search(r'href="([^"]+cursor=[^"]+)#runs"', page)
    assert more
    assert newest.url in page
    older = ana.get(more[1].replace("&amp;", "&")).text
    assert "Test of version 1" in older
    assert newest.url not in older
    assert "Newest runs" in older


def test_what_is_not_there_is_a_page_that_says_so(service: JobService, browser: Browser) -> None:
    for path in ("/services/jobs/jobs/none", "/services/jobs/runs/none", "/services/jobs/oops/x"):
        answer = browser().get(path)
        assert answer.status_code == 404
        assert "There is nothing here" in answer.text
        assert "All jobs" in answer.text
    api = browser().get("/services/jobs/api/v1/oops")
    assert api.status_code == 404
    assert api.headers["content-type"] == "application/problem+json"


def test_a_fault_of_ours_is_a_page_without_a_traceback(
    service: JobService, browser: Browser
) -> None:
    service.jobs.list_jobs = None  # type: ignore[assignment,method-assign]
    answer = browser().get("/services/jobs/")
    assert answer.status_code == 500
    assert "on our side" in answer.text
    assert "NoneType" not in answer.text


def test_a_session_that_ended_sends_pages_to_sign_in_and_scripts_away(
    service: JobService, browser: Browser
) -> None:
    ana = browser()
    service.people.gone.add("ana")
    assert ana.get("/services/jobs/").status_code == 302
    fetched = ana.get("/services/jobs/", headers={"Sec-Fetch-Mode": "cors"})
    assert fetched.status_code == 401
    posted = ana.post("/services/jobs/jobs/x/run", data={"_xsrf": "x"})
    assert posted.status_code in (401, 403)


def test_static_files_are_kept_for_long_under_their_version(
    service: JobService, browser: Browser
) -> None:
    page = browser().get("/services/jobs/").text
    sheet = re.search(r'<link rel="stylesheet" href="([^"]+)"', page)
    assert sheet
    outsider = browser(None)
    answer = outsider.get(sheet[1])
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/css; charset=utf-8"
    assert "immutable" in answer.headers["cache-control"]
    assert "immutable" not in outsider.get(sheet[1].partition("?")[0]).headers["cache-control"]
    assert outsider.get("/services/jobs/static/../router.py").status_code == 404
    assert outsider.get("/services/jobs/static/none.css").status_code == 404


def test_the_prefix_without_its_slash_leads_to_the_list(
    service: JobService, browser: Browser
) -> None:
    answer = browser().get("/services/jobs")
    assert answer.status_code == 307
    assert answer.headers["location"] == "/services/jobs/"


def _xsrf(page: str) -> str:
    found = re.search(r'name="_xsrf" value="([^"]*)"', page)
    assert found
    return found[1]
