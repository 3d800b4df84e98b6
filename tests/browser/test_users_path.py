"""The path of a user, with clicks alone: sign in, open a notebook, Productionize, see it run."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect
from trees import Tree

Shot = Callable[[Page, str], Path]
IMAGES = Path(__file__).resolve().parents[2] / "docs" / "images"
RUN_ENDS = 150_000
"""Milliseconds for a first run: the job's environment is built in it."""


def mark(page: Page, name: str) -> Locator:
    return page.get_by_test_id(f"almanac-{name}")


def sign_in(page: Page, tree: Tree) -> None:
    """Sign in by the form and wait for JupyterLab; the server starts if it does not run."""
    page.goto(tree.url)
    page.get_by_label("Username").fill(tree.user)
    page.get_by_label("Password").fill(tree.password)
    page.get_by_role("button", name="Sign in").click()
    expect(page.locator("#jp-main-dock-panel")).to_be_visible(timeout=90_000)
    # The curtain of JupyterLab lifts when it is restored.
    expect(page.locator("#jupyterlab-splash")).to_have_count(0)


def open_notebook(page: Page, *path: str) -> None:
    """Open a notebook by double clicks in the file browser, folder by folder."""
    listing = page.locator(".jp-DirListing-content")
    for step in path:
        listing.get_by_text(step, exact=True).dblclick()
    expect(page.locator(".jp-NotebookPanel-toolbar:visible")).to_be_visible()
    expect(page.locator(".jp-Notebook:visible .jp-Cell").first).to_be_visible()


def go_to_notebook(page: Page, tree: Tree, name: str) -> None:
    """Open one of ``work/`` by its address, in a JupyterLab that restores nothing of before."""
    page.goto(f"{tree.url}/user/{tree.user}/lab/tree/work/{name}?reset")
    expect(page.locator("#jupyterlab-splash")).to_have_count(0)
    expect(page.locator(".jp-NotebookPanel-toolbar:visible")).to_be_visible()
    expect(page.locator(".jp-Notebook:visible .jp-Cell").first).to_be_visible()


def write_notebook(tree: Tree, name: str, *sources: str, parameters: str = "") -> None:
    """Put a notebook of code cells onto the user's disk, as an upload would."""
    cells: list[dict[str, Any]] = [
        {
            "cell_type": "code",
            "id": f"cell-{index}",
            "execution_count": None,
            "metadata": {"tags": ["parameters"]} if parameters and index == 0 else {},
            "outputs": [],
            "source": source,
        }
        for index, source in enumerate([*([parameters] if parameters else []), *sources])
    ]
    kernel = {"name": "python3", "display_name": "Python 3 (Almanac)", "language": "python"}
    notebook = {
        "cells": cells,
        "metadata": {"kernelspec": kernel, "language_info": {"name": "python"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    work = tree.state / "homes" / tree.user / "work"
    work.mkdir(parents=True, exist_ok=True)
    (work / name).write_text(json.dumps(notebook))


def productionize(page: Page) -> None:
    """Press the button in the notebook's toolbar and wait for the form."""
    toolbar = page.locator(".jp-NotebookPanel-toolbar:visible")
    toolbar.get_by_role("button", name="Productionize").click()
    expect(mark(page, "form")).to_be_visible()


@pytest.fixture
def lab(page: Page, tree: Tree) -> Page:
    sign_in(page, tree)
    return page


def test_from_sign_in_to_the_executed_notebook(page: Page, tree: Tree, shot: Shot) -> None:
    page.goto(tree.url)
    expect(page.get_by_label("Password")).to_be_visible()
    shot(page, "sign-in")
    sign_in(page, tree)
    shot(page, "jupyterlab")

    open_notebook(page, "examples", "seasonal-adjustment.ipynb")
    shot(page, "notebook")
    productionize(page)
    expect(mark(page, "field-name")).to_have_value(re.compile("seasonal"))
    mark(page, "field-when-schedule").check()
    expect(mark(page, "sentence")).to_contain_text(re.compile("at", re.IGNORECASE))
    expect(mark(page, "next")).to_have_count(3)
    picture = shot(page, "panel")
    if os.environ.get("ALMANAC_UPDATE_IMAGES"):
        shutil.copy(picture, IMAGES / "panel.png")

    mark(page, "field-when-now").check()
    expect(mark(page, "submit")).to_have_text("Run now")
    shot(page, "run-now")
    mark(page, "submit").click()
    expect(mark(page, "job")).to_be_visible(timeout=60_000)
    shot(page, "submitted")
    expect(mark(page, "job").first).to_have_attribute("data-state", "succeeded", timeout=RUN_ENDS)
    shot(page, "succeeded")

    with page.context.expect_page() as opened:
        mark(page, "run-link").first.click()
    run = opened.value
    expect(run.get_by_role("heading", level=1)).to_contain_text("seasonal")
    expect(run.locator("body")).to_contain_text("Succeeded")
    notebook = run.frame_locator("iframe.notebook")
    expect(notebook.locator("body")).to_contain_text("easonal")
    expect(notebook.locator("img").first).to_be_visible()
    shot(run, "run")
    assert "token" not in run.url

    run.get_by_role("link", name="Jobs").first.click()
    expect(run.get_by_role("table")).to_contain_text("seasonal")
    shot(run, "jobs")


def test_a_cell_that_raises_is_shown_with_its_traceback(lab: Page, tree: Tree, shot: Shot) -> None:
    write_notebook(tree, "raises.ipynb", "print('so far so good')", "1 / 0")
    go_to_notebook(lab, tree, "raises.ipynb")
    productionize(lab)
    mark(lab, "field-when-now").check()
    mark(lab, "submit").click()
    expect(mark(lab, "job").first).to_have_attribute("data-state", "failed", timeout=RUN_ENDS)
    shot(lab, "panel")
    with lab.context.expect_page() as opened:
        mark(lab, "job-link").first.click()
    job = opened.value
    expect(job.locator("body")).to_contain_text("Failed")
    shot(job, "job")
    job.get_by_role("row", name="Test of version 1").get_by_role("link").click()
    expect(job.locator("body")).to_contain_text("ZeroDivisionError: division by zero")
    trace = job.get_by_label("Traceback")
    expect(trace).to_contain_text("1 / 0")
    expect(trace).not_to_contain_text("\x1b")
    expect(trace.locator("span").first).to_be_visible()
    expect(job.frame_locator("iframe.notebook").locator("body")).to_contain_text("so far so good")
    shot(job, "run")


def test_mistakes_are_shown_at_their_fields_and_nothing_is_lost(
    lab: Page, tree: Tree, shot: Shot
) -> None:
    write_notebook(tree, "prices.ipynb", "print(year)", parameters="year = 2024  # reference year")
    go_to_notebook(lab, tree, "prices.ipynb")
    productionize(lab)
    mark(lab, "field-name").fill("Consumer prices")
    mark(lab, "field-parameters.year").fill("2023")
    mark(lab, "field-when-schedule").check()
    mark(lab, "field-schedule.preset").select_option("cron")
    mark(lab, "field-schedule.cron").fill("0 25 * * *")
    expect(mark(lab, "error-schedule.cron")).to_contain_text(re.compile("hour", re.IGNORECASE))
    shot(lab, "cron")
    mark(lab, "field-schedule.cron").fill("0 6 * * 1-5")
    expect(mark(lab, "sentence")).to_contain_text("Monday through Friday")
    mark(lab, "field-schedule.timezone").fill("Europe/Pariss")
    expect(mark(lab, "error-schedule.timezone")).to_contain_text("Europe/Paris")
    shot(lab, "timezone")
    mark(lab, "field-schedule.timezone").fill("Europe/Paris")
    mark(lab, "submit").click()
    expect(mark(lab, "job")).to_be_visible(timeout=60_000)
    shot(lab, "scheduled")

    write_notebook(tree, "other.ipynb", "print(1)")
    go_to_notebook(lab, tree, "other.ipynb")
    productionize(lab)
    mark(lab, "field-name").fill("Consumer prices")
    mark(lab, "field-when-now").check()
    mark(lab, "submit").click()
    expect(mark(lab, "error-name")).to_contain_text("Consumer prices", timeout=60_000)
    expect(mark(lab, "field-name")).to_have_value("Consumer prices")
    shot(lab, "name-taken")
