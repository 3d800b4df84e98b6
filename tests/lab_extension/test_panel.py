"""The panel in a real browser, against a real Jupyter Server and a job service that can fail."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import expect

from .conftest import Lab, StandIn, eventually, parameters_cell

pytestmark = pytest.mark.browser

FRONT = ".jp-NotebookPanel:not(.lm-mod-hidden)"


def at(page: Any, mark: str) -> Any:
    return page.get_by_test_id(f"almanac-{mark}")


def open_notebook(page: Any, lab: Lab, path: str = "report.ipynb") -> None:
    page.goto(f"{lab.url}lab/tree/{path}?reset")
    page.locator(FRONT).get_by_role("button", name="Productionize").wait_for()


def productionize(page: Any, lab: Lab, path: str = "report.ipynb") -> None:
    open_notebook(page, lab, path)
    page.locator(FRONT).get_by_role("button", name="Productionize").click()
    at(page, "submit").wait_for()


def test_two_actions_make_a_scheduled_job_and_the_panel_follows_it_to_its_end(
    page: Any, lab: Lab, service: StandIn
) -> None:
    lab.notebook("report.ipynb", parameters_cell("year = 2024"), "print(year)")
    productionize(page, lab)
    expect(at(page, "next")).to_have_count(3)
    expect(at(page, "submit")).to_have_text("Schedule: At 06:00, Monday through Friday")
    at(page, "submit").click()

    card = at(page, "job")
    expect(card).to_have_attribute("data-state", "queued")
    assert service.jobs[0]["schedule"]["cron"] == "0 6 * * 1-5"
    service.jobs[0]["last_run"] |= {"state": "running", "progress": {"cell": 1, "cells": 3}}
    expect(card).to_have_attribute("data-state", "running")
    expect(card).to_contain_text("1 of 3 cells")
    service.finish(service.jobs[0])
    expect(card).to_have_attribute("data-state", "succeeded")
    expect(at(page, "done")).to_contain_text("report is in production")
    link = card.get_by_test_id("almanac-job-link")
    expect(link).to_have_attribute("href", "/services/jobs/jobs/job-1")
    expect(link).to_have_attribute("target", "_blank")
    expect(at(page, "jobs-row")).to_have_count(1)


def test_what_is_on_screen_is_saved_first(page: Any, lab: Lab, service: StandIn) -> None:
    path = lab.notebook("report.ipynb", "1")
    open_notebook(page, lab)
    page.locator(f"{FRONT} .jp-CodeCell .cm-content").first.click()
    page.keyboard.type("# typed just now ")
    page.locator(FRONT).get_by_role("button", name="Productionize").click()
    eventually(lambda: "typed just now" in path.read_text())
    at(page, "submit").click()
    expect(at(page, "job")).to_be_visible()


def test_each_fault_is_told_at_its_field_and_nothing_that_was_typed_is_lost(
    page: Any, lab: Lab, service: StandIn
) -> None:
    lab.notebook("report.ipynb", parameters_cell("year = 2024\ncountry = 'FR'"))
    productionize(page, lab)
    at(page, "field-name").fill("")
    at(page, "field-parameters.year").fill("soon")
    at(page, "field-parameters.country").fill("DE")
    at(page, "field-schedule.preset").select_option("cron")
    expect(at(page, "field-schedule.cron")).to_have_value("0 6 * * 1-5")
    at(page, "field-schedule.cron").fill("often")
    expect(at(page, "error-schedule.cron")).to_contain_text("'often' is not a schedule.")
    at(page, "submit").click()
    expect(at(page, "error-name")).to_be_visible()
    expect(at(page, "error-parameters.year")).to_contain_text("whole number")
    expect(at(page, "error-schedule.cron")).to_be_visible()
    expect(at(page, "field-name")).to_be_focused()
    expect(at(page, "field-name")).to_have_attribute("aria-invalid", "true")
    assert service.jobs == []

    at(page, "field-name").fill("Taken")
    at(page, "field-parameters.year").fill("2025")
    at(page, "field-schedule.cron").fill("0 6 * * *")
    service.problem(
        "jobs", 409, "job-name-taken", title="Taken.", mend="Choose another.", field="name"
    )
    expect(at(page, "sentence")).to_be_visible()
    at(page, "submit").click()
    expect(at(page, "error-name")).to_have_text("Taken. Choose another.")
    del service.refuse["jobs"]
    at(page, "field-name").fill("Free")
    expect(at(page, "error-name")).to_have_count(0)
    page.keyboard.press("Enter")
    expect(at(page, "job")).to_be_visible()
    assert service.jobs[0]["parameters"] == {"year": 2025, "country": "DE"}


def test_a_service_that_is_down_is_told_and_trying_again_works(
    page: Any, lab: Lab, service: StandIn
) -> None:
    lab.notebook("report.ipynb", "1")
    down = {"title": "The job service cannot be reached.", "mend": "Try again in a moment."}
    for path in ("me", "jobs", "bundles", "schedules/preview"):
        service.problem(path, 503, "unavailable", **down)
    productionize(page, lab)
    expect(at(page, "outage")).to_contain_text("cannot be reached")
    at(page, "field-name").fill("Mine")
    at(page, "submit").click()
    expect(at(page, "failure")).to_contain_text("cannot be reached")
    service.refuse.clear()
    at(page, "retry").click()
    expect(at(page, "outage")).to_have_count(0)
    expect(at(page, "next")).to_have_count(3)
    expect(at(page, "field-name")).to_have_value("Mine")
    at(page, "submit").click()
    expect(at(page, "job")).to_contain_text("Mine")


def test_a_notebook_that_is_a_job_gets_a_new_version_unless_a_new_job_is_asked_for(
    page: Any, lab: Lab, service: StandIn
) -> None:
    lab.notebook("report.ipynb", "1")
    productionize(page, lab)
    at(page, "submit").click()
    expect(at(page, "form-toggle")).to_have_attribute("aria-expanded", "false")

    productionize(page, lab)
    expect(at(page, "field-target-version")).to_be_checked()
    expect(at(page, "submit")).to_have_text("Update: At 06:00, Monday through Friday")
    at(page, "field-when-now").check()
    expect(at(page, "submit")).to_have_text("Run the new version now")
    at(page, "submit").click()
    expect(at(page, "done")).to_contain_text("new version")
    assert [job["latest_version"]["number"] for job in service.jobs] == [2]

    at(page, "form-toggle").click()
    at(page, "field-target-job").check()
    at(page, "field-name").fill("Another")
    at(page, "submit").click()
    eventually(lambda: len(service.jobs) == 2)


def test_a_run_that_waits_for_its_test_run_does_not_hide_how_that_failed(
    page: Any, lab: Lab, service: StandIn
) -> None:
    lab.notebook("report.ipynb", "1 / 0")
    productionize(page, lab)
    at(page, "field-when-now").check()
    expect(at(page, "submit")).to_have_text("Run now")
    at(page, "submit").click()
    expect(at(page, "done")).to_contain_text("is registered and being tested")
    job = service.jobs[0]
    failure = {"cell": 0, "ename": "ZeroDivisionError", "evalue": "by zero", "traceback": []}
    test = job["last_run"] | {"state": "failed", "failure": failure, "id": "test"}
    service.runs[job["id"]] = [test]
    job["last_run"] |= {"test": False, "state": "skipped", "reason": "not active"}
    expect(at(page, "done")).to_contain_text("did not succeed")
    expect(at(page, "job")).to_contain_text("Cell 1: ZeroDivisionError: by zero")
    expect(at(page, "job")).to_have_attribute("data-state", "failed")


def test_a_finding_that_stops_it_stops_the_button_until_it_is_mended(page: Any, lab: Lab) -> None:
    lab.notebook("report.ipynb", "def broken(:")
    productionize(page, lab)
    expect(at(page, "submit")).to_be_disabled()
    finding = at(page, "finding").first
    expect(finding).to_have_attribute("data-severity", "error")
    finding.get_by_role("button", name=re.compile("Cell 1")).click()
    page.locator(f"{FRONT} .jp-CodeCell .cm-content").first.click()
    page.keyboard.press("Control+A")
    page.keyboard.type("mended = 1")
    page.keyboard.press("Control+S")
    expect(at(page, "submit")).to_be_enabled()


def test_a_notebook_that_cannot_be_read_says_why(page: Any, lab: Lab) -> None:
    path = lab.notebook("report.ipynb", "1")
    open_notebook(page, lab)
    path.unlink()
    page.locator(FRONT).get_by_role("button", name="Productionize").click()
    expect(at(page, "failure")).to_contain_text("There is no notebook 'report.ipynb' here.")


def test_what_people_write_is_text_and_never_markup(page: Any, lab: Lab, service: StandIn) -> None:
    evil = "<img src=x onerror=window.hurt=1>"
    lab.notebook("report.ipynb", parameters_cell(f"note = '{evil}'"))
    productionize(page, lab)
    at(page, "field-name").fill(evil)
    at(page, "submit").click()
    expect(at(page, "job")).to_contain_text(evil)
    failure = {"cell": 0, "ename": evil, "evalue": evil, "traceback": []}
    service.finish(service.jobs[0], "failed", failure=failure)
    expect(at(page, "job")).to_have_attribute("data-state", "failed")
    assert page.evaluate("window.hurt") is None


def test_without_a_notebook_the_panel_says_what_it_is_for_and_lists_jobs(
    page: Any, lab: Lab
) -> None:
    page.goto(f"{lab.url}lab?reset")
    page.get_by_role("tab", name="Productionize").click()
    expect(at(page, "empty")).to_be_visible()
    expect(at(page, "jobs")).to_contain_text("None yet")
