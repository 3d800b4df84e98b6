"""The pages in a real Chromium: they stay up to date, and nothing runs that is not ours."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from job_service import JobService, wait
from playwright.sync_api import Browser, BrowserContext, Page, expect

from hub_ext.jobs.schemas import RunIn, ScheduleIn

ATTACK = "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"
DAILY = ScheduleIn(cron="0 6 * * *", timezone="Europe/Paris")

Open = Callable[..., Page]


@pytest.fixture
def contexts(service: JobService, chromium: Browser) -> Iterator[Callable[..., BrowserContext]]:
    opened: list[BrowserContext] = []

    def signed_in(name: str = "ana", **options: object) -> BrowserContext:
        context = chromium.new_context(**options)  # type: ignore[arg-type]
        opened.append(context)
        key, value = service.cookie(name)
        context.add_cookies([{"name": key, "value": value, "url": service.origin}])
        return context

    yield signed_in
    for context in opened:
        context.close()


@pytest.fixture
def open_page(service: JobService, contexts: Callable[..., BrowserContext]) -> Iterator[Open]:
    """Opens pages in a browser of their own.

    None may have complained by the end of the test: of a script or style that
    the policy refused, or of a fault in ours. ``quiet=False`` is for pages
    that are to meet trouble.
    """
    complaints: list[str] = []

    def opened(path: str, *, quiet: bool = True, **options: object) -> Page:
        page = contexts(**options).new_page()
        if quiet:
            page.on("console", lambda message: complaints.append(message.text))
            page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(service.origin + path)
        return page

    yield opened
    assert not [text for text in complaints if "the server responded with a status" not in text]


def a_waiting_run(service: JobService, **wanted: object) -> tuple[str, str]:
    """Paths of a job and of its run that goes on until it is released."""
    job = service.active_job(**wanted)
    with service.client() as client:
        run = client.run(job.id, RunIn(parameters={"outcome": "wait"}))
        wait(lambda: client.run_of(run.id).progress, "the run to make progress")
    return job.url, run.url


def test_a_run_is_seen_to_end_without_a_reload(service: JobService, open_page: Open) -> None:
    _, url = a_waiting_run(service)
    page = open_page(url)
    page.evaluate("window.same = true")
    expect(page.get_by_label("State")).to_contain_text("now at cell 2 of 2")
    expect(page.get_by_label("Output")).to_contain_text("Reading…")
    service.backend.release()
    expect(page.get_by_label("State")).to_contain_text("Every cell ran", timeout=15_000)
    frame = page.frame_locator("iframe.notebook")
    expect(frame.get_by_role("heading", name="Executed")).to_be_visible()
    expect(page).to_have_title("Succeeded: Retail index · Almanac")
    assert page.evaluate("window.same"), "the page was loaded again"
    expect(page.get_by_role("button", name="Cancel this run")).to_have_count(0)


def test_buttons_that_came_later_work_too(service: JobService, open_page: Open) -> None:
    url, _ = a_waiting_run(service, schedule=DAILY)
    page = open_page(url)
    page.evaluate("window.same = true")
    with service.client() as client:
        client.pause(url.rpartition("/")[2])
    resume = page.get_by_role("button", name="Resume")
    expect(resume).to_be_visible(timeout=15_000)
    assert page.evaluate("window.same")
    resume.click()
    expect(page.get_by_role("status").first).to_contain_text("Resumed")
    service.backend.release()


def test_a_job_is_run_by_keyboard_alone(service: JobService, open_page: Open) -> None:
    job = service.active_job()
    page = open_page("/services/jobs/")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.get_by_role("link", name="Retail index").focus()
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Run now").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_contain_text("By hand, ana")
    assert "/services/jobs/runs/" in page.url
    expect(page.get_by_label("State")).to_contain_text("Every cell ran", timeout=15_000)
    assert job.name in page.title()


def test_nothing_that_users_wrote_is_run(
    service: JobService, open_page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    html = f"<!DOCTYPE html><body>{ATTACK}<script>parent.document.title='owned'</script>Shown"
    monkeypatch.setattr("job_service.NOTEBOOK_HTML", html.encode())
    service.backend.printed = ATTACK
    service.backend.failure = {"ename": ATTACK, "evalue": ATTACK, "traceback": [ATTACK]}
    job = service.active_job(name=f"J{ATTACK}"[:100], description=ATTACK, notebook_path=ATTACK)
    with service.client() as client:
        run = client.run(job.id, RunIn(parameters={"outcome": "fail"}))
    service.finished(run.id)
    for path in ("/services/jobs/", job.url):
        page = open_page(path)
        assert "owned" not in page.title().replace("'owned'", "")
    # Of the notebook's own scripts Chromium says that it refused them.
    page = open_page(run.url, quiet=False)
    expect(page.frame_locator("iframe.notebook").get_by_text("Shown")).to_be_visible()
    assert page.title() != "owned"
    assert page.locator("main img").count() == 0


def test_a_service_that_is_away_is_said_to_be_so(service: JobService, open_page: Open) -> None:
    _, url = a_waiting_run(service)
    page = open_page(url, quiet=False)
    page.route("**/runs/*", lambda route: route.abort())
    note = page.locator("#live-note")
    expect(note).to_contain_text("cannot be reached", timeout=20_000)
    page.unroute("**/runs/*")
    service.backend.release()
    expect(page.get_by_label("State")).to_contain_text("Every cell ran", timeout=20_000)
    expect(note).to_be_hidden()


def test_a_session_that_ended_is_said_to_be_so(service: JobService, open_page: Open) -> None:
    _, url = a_waiting_run(service)
    page = open_page(url, quiet=False)
    service.people.gone.add("ana")
    expect(page.locator("#live-note")).to_contain_text("signed out", timeout=20_000)
    service.backend.release()


def test_without_script_the_pages_are_whole(service: JobService, open_page: Open) -> None:
    url, run = a_waiting_run(service)
    page = open_page(run, java_script_enabled=False)
    expect(page.get_by_label("State")).to_contain_text("now at cell 2 of 2")
    page.goto(service.origin + url)
    page.get_by_role("button", name="Run now").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("By hand, ana")
    service.backend.release()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_pages_fit_the_screen(
    service: JobService, open_page: Open, width: int, scheme: str
) -> None:
    url, run = a_waiting_run(
        service,
        name="A job with a long name, as people give them: Donaudampfschifffahrtsgesellschaft",
        schedule=DAILY,
        description="x" * 300,
    )
    page = open_page(
        "/services/jobs/", viewport={"width": width, "height": 800}, color_scheme=scheme
    )
    for path in ("/services/jobs/", url, run, "/services/jobs/nothing"):
        page.goto(service.origin + path)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
    service.backend.release()
