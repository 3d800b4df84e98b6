"""Object storage in JupyterLab, by clicks: no save is lost, nothing that was deleted is gone."""

from __future__ import annotations

import hashlib
import json
import random
import re
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, Route, expect
from trees import Tree

Shot = Callable[[Page, str], Path]
MIB = 1 << 20
CONTROL = "ControlOrMeta"

DIGEST = """async url => {
  const token = document.cookie.match('(?:^|; )_xsrf=([^;]*)')[1];
  const answer = await fetch(`${url}?_xsrf=${token}`);
  const digest = await crypto.subtle.digest('SHA-256', await answer.arrayBuffer());
  return Array.from(new Uint8Array(digest), byte => byte.toString(16).padStart(2, '0')).join('');
}"""


@dataclass
class Lab:
    """A tab with JupyterLab in it, and what a test does there."""

    page: Page
    tree: Tree
    folder: str

    @property
    def base(self) -> str:
        return f"{self.tree.url}/user/{self.tree.user}"

    def another(self) -> Lab:
        """The same person in another tab, with a layout of its own."""
        tab = Lab(self.page.context.new_page(), self.tree, self.folder)
        tab.go()
        return tab

    def go(self, name: str = "") -> None:
        """Show the test's folder, or a file of it."""
        space = f"lab/workspaces/{uuid.uuid4().hex}/tree/{self.folder}"
        self.page.goto(f"{self.base}/{space}/{name}".rstrip("/"))
        expect(self.page.locator("#jupyterlab-splash")).to_have_count(0, timeout=60_000)
        # The menus know what is object storage once this is there.
        expect(mark(self.page, "storage-usage")).to_be_visible()

    def call(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """A request of the person's browser, past every page: status, and the JSON answered."""
        context = self.page.context
        tokens = [c["value"] for c in context.cookies(f"{self.base}/") if c["name"] == "_xsrf"]
        answer = context.request.fetch(
            f"{self.base}/{path}",
            method=method,
            headers={"X-XSRFToken": tokens[0]},
            data=None if body is None else json.dumps(body),
        )
        # Jupyter Server answers some 404 in plain text, and calls it JSON.
        text = answer.text()
        return answer.status, json.loads(text) if text.startswith(("{", "[")) else text

    def write(self, name: str, content: str) -> None:
        """Put a file into the folder as any program would, unconditionally."""
        model = {"type": "file", "format": "text", "content": content}
        status, answer = self.call("PUT", f"api/contents/{self.folder}/{name}", model)
        assert status in (200, 201), answer

    def write_notebook(self, name: str, source: str) -> None:
        kernel = {"name": "python3", "display_name": "Python 3 (Almanac)", "language": "python"}
        cell = {
            "cell_type": "code", "id": "cell", "metadata": {}, "source": source,
            "outputs": [], "execution_count": None,
        }  # fmt: skip
        content = {
            "cells": [cell], "nbformat": 4, "nbformat_minor": 5,
            "metadata": {"kernelspec": kernel, "language_info": {"name": "python"}},
        }  # fmt: skip
        model = {"type": "notebook", "format": "json", "content": content}
        status, answer = self.call("PUT", f"api/contents/{self.folder}/{name}", model)
        assert status in (200, 201), answer

    def stored(self, name: str) -> str:
        """The text of a file, the first cell's source of a notebook, as it is stored."""
        status, model = self.call("GET", f"api/contents/{self.folder}/{name}?content=1")
        assert status == 200, model
        if model["type"] == "notebook":
            return "".join(model["content"]["cells"][0]["source"])
        return str(model["content"])

    def versions(self, name: str) -> list[dict[str, Any]]:
        path = f"almanac/api/storage/versions?path={self.folder}/{name}"
        status, answer = self.call("GET", path)
        assert status == 200, answer
        items: list[dict[str, Any]] = answer["items"]
        return items

    def refresh(self) -> None:
        """Let the file browser read its folder now, and not in some seconds."""
        self.page.get_by_role("button", name=re.compile("^Refresh")).first.click()

    @property
    def files(self) -> Locator:
        return self.page.locator(".jp-DirListing-content")

    @property
    def dialog(self) -> Locator:
        return self.page.locator(".jp-Dialog")

    @property
    def editor(self) -> Locator:
        """Where one types: the first cell of the notebook in front, or the text."""
        return self.page.locator(".jp-MainAreaWidget:not(.lm-mod-hidden) .cm-content").first

    def file(self, name: str) -> Locator:
        return self.files.get_by_text(name, exact=True)

    def choose(self, name: str, *entries: str) -> None:
        """Open a file's menu and go through it."""
        expect(self.file(name)).to_be_visible()
        self.file(name).click(button="right")
        self.pick(*entries)

    def choose_for_folder(self, *entries: str) -> None:
        """Open the menu of the space below the files."""
        box = self.files.bounding_box()
        assert box is not None
        self.page.mouse.click(
            box["x"] + box["width"] / 2, box["y"] + box["height"] - 12, button="right"
        )
        self.pick(*entries)

    def entry(self, label: str) -> Locator:
        text = self.page.locator(".lm-Menu-itemLabel", has_text=label)
        return self.page.locator(".lm-Menu-item:visible").filter(has=text).first

    def pick(self, *entries: str) -> None:
        *through, last = entries
        for label in through:
            self.entry(label).hover()
        self.entry(last).click()

    def type(self, text: str) -> None:
        """Replace what the editor holds."""
        self.editor.click()
        self.page.keyboard.press(f"{CONTROL}+a")
        self.page.keyboard.type(text)
        expect(self.unsaved).to_have_count(1)

    @property
    def unsaved(self) -> Locator:
        """The tab in front, while what it holds is not saved."""
        return self.page.locator(".lm-TabBar-tab.jp-mod-current.jp-mod-dirty")

    def save(self) -> None:
        self.page.keyboard.press(f"{CONTROL}+s")

    def save_and_wait(self) -> None:
        with self.page.expect_response(
            lambda answer: answer.request.method == "PUT" and "/api/contents/" in answer.url
        ) as saved:
            self.save()
        assert saved.value.ok
        expect(self.unsaved).to_have_count(0)

    def answer(self, button: str) -> None:
        """Press a button of the dialog; it goes away."""
        self.dialog.get_by_role("button", name=button, exact=True).click()

    def rows(self) -> Locator:
        return self.page.locator("[data-testid=almanac-storage-row]:visible")


@dataclass
class Held:
    """Saves of a tab that are kept from leaving the browser."""

    lab: Lab
    pattern: str
    routes: list[Route] = field(default_factory=list)

    def __enter__(self) -> Held:
        self.lab.page.route(self.pattern, self._catch)
        return self

    def __exit__(self, *_: object) -> None:
        self.lab.page.unroute(self.pattern, self._catch)

    def _catch(self, route: Route) -> None:
        if route.request.method == "PUT":
            self.routes.append(route)
        else:
            route.continue_()

    def wait(self) -> None:
        for _ in range(200):
            if self.routes:
                return
            self.lab.page.wait_for_timeout(50)
        raise AssertionError("nothing was saved")

    def let_go(self) -> None:
        for route in self.routes:
            route.continue_()
        self.routes.clear()


def mark(page: Page, name: str) -> Locator:
    return page.locator(f"[data-testid=almanac-{name}]:visible")


@pytest.fixture(scope="module")
def signed_in(chromium: Browser, tree: Tree) -> Iterator[BrowserContext]:
    """A browser in which somebody has signed in, whose server runs."""
    context = chromium.new_context(
        viewport={"width": 1440, "height": 900}, locale="en-GB", timezone_id="Europe/Paris"
    )
    context.set_default_timeout(30_000)
    page = context.new_page()
    page.goto(tree.url)
    page.get_by_label("Username").fill(tree.user)
    page.get_by_label("Password").fill(tree.password)
    page.get_by_role("button", name="Sign in").click()
    expect(page.locator("#jp-main-dock-panel")).to_be_visible(timeout=90_000)
    page.close()
    yield context
    context.close()


@pytest.fixture
def lab(signed_in: BrowserContext, tree: Tree) -> Iterator[Lab]:
    """JupyterLab, showing a new folder of the person's home in object storage."""
    page = signed_in.new_page()
    lab = Lab(page, tree, f"home/{uuid.uuid4().hex[:8]}")
    status, answer = lab.call("PUT", f"api/contents/{lab.folder}", {"type": "directory"})
    assert status == 201, answer
    lab.go()
    yield lab
    # Without the question about changes that are not saved, which keeps a page from closing.
    for tab in page.context.pages:
        tab.close()


def test_two_tabs_edit_one_notebook_and_neither_loses_work(lab: Lab, shot: Shot) -> None:
    lab.write_notebook("report.ipynb", "start")
    lab.go("report.ipynb")
    other = lab.another()
    other.go("report.ipynb")
    for each in (lab, other):
        expect(each.editor).to_have_text("start")

    lab.type("mine")
    lab.save_and_wait()
    lab.type("mine again")
    lab.save_and_wait()
    other.type("theirs")
    other.save()
    expect(other.dialog).to_contain_text("has changed on disk")
    shot(other.page, "conflict")
    other.answer("Cancel")
    expect(other.dialog).to_have_count(0)
    assert other.stored("report.ipynb") == "mine again"
    expect(other.editor).to_have_text("theirs")

    other.save()
    expect(other.dialog).to_be_visible()
    other.answer("Overwrite")
    expect(other.dialog).to_have_count(0)
    expect(other.unsaved).to_have_count(0)
    assert other.stored("report.ipynb") == "theirs"
    other.type("theirs again")
    other.save_and_wait()
    assert other.stored("report.ipynb") == "theirs again"
    expect(other.dialog).to_have_count(0)

    # What was overwritten is a version, and this tab learns of it.
    assert len(other.versions("report.ipynb")) == 5
    lab.type("mine at last")
    lab.save()
    expect(lab.dialog).to_be_visible()
    lab.answer("Revert")
    expect(lab.editor).to_have_text("theirs again")


def test_a_write_between_the_check_and_the_save_is_seen(lab: Lab, shot: Shot) -> None:
    lab.write_notebook("report.ipynb", "start")
    lab.go("report.ipynb")
    other = lab.another()
    other.go("report.ipynb")
    expect(lab.editor).to_have_text("start")
    with Held(lab, "**/api/contents/**/report.ipynb*") as held:
        lab.type("mine")
        lab.save()
        held.wait()
        other.type("theirs")
        other.save_and_wait()
        held.let_go()
        expect(lab.dialog).to_contain_text("has changed on disk")
    shot(lab.page, "conflict")
    assert lab.stored("report.ipynb") == "theirs"

    # Written again while the question is open: that is not what was agreed to.
    other.type("theirs again")
    other.save_and_wait()
    lab.answer("Overwrite")
    expect(lab.dialog).to_be_visible()
    assert lab.stored("report.ipynb") == "theirs again"
    lab.answer("Overwrite")
    expect(lab.dialog).to_have_count(0)
    expect(lab.unsaved).to_have_count(0)
    assert lab.stored("report.ipynb") == "mine"
    lab.type("mine again")
    lab.save_and_wait()
    assert lab.stored("report.ipynb") == "mine again"


def test_autosave_asks_once(lab: Lab) -> None:
    path = "lab/api/settings/@jupyterlab/docmanager-extension:plugin"
    lab.call("PUT", path, {"raw": json.dumps({"autosaveInterval": 1})})
    try:
        lab.write("note.txt", "start")
        lab.go("note.txt")
        expect(lab.editor).to_have_text("start")
        with Held(lab, "**/api/contents/**/note.txt*") as held:
            lab.type("mine")
            held.wait()
            lab.write("note.txt", "theirs")
            held.let_go()
            expect(lab.dialog).to_be_visible()
        # Two more of its turns, and what came of them.
        lab.page.wait_for_timeout(3000)
        expect(lab.dialog).to_have_count(1)
        lab.answer("Overwrite")
        expect(lab.unsaved).to_have_count(0)
        lab.page.wait_for_timeout(1500)
        expect(lab.dialog).to_have_count(0)
        assert lab.stored("note.txt") == "mine"
    finally:
        lab.call("PUT", path, {"raw": "{}"})


def test_after_a_lost_race_one_can_load_what_is_stored(lab: Lab) -> None:
    lab.write("note.txt", "start")
    lab.go("note.txt")
    expect(lab.editor).to_have_text("start")
    with Held(lab, "**/api/contents/**/note.txt*") as held:
        lab.type("mine")
        lab.save()
        held.wait()
        lab.write("note.txt", "theirs")
        held.let_go()
        expect(lab.dialog).to_be_visible()
    lab.answer("Revert")
    expect(lab.editor).to_have_text("theirs")
    expect(lab.unsaved).to_have_count(0)
    lab.type("theirs and mine")
    lab.save_and_wait()
    assert lab.stored("note.txt") == "theirs and mine"


def test_a_file_deleted_elsewhere_is_not_written_over_what_came_instead(lab: Lab) -> None:
    lab.write("note.txt", "start")
    lab.go("note.txt")
    expect(lab.editor).to_have_text("start")
    status, _ = lab.call("DELETE", f"api/contents/{lab.folder}/note.txt")
    assert status == 204
    with Held(lab, "**/api/contents/**/note.txt*") as held:
        lab.type("mine")
        lab.save()
        held.wait()
        lab.write("note.txt", "another file")
        held.let_go()
        expect(lab.dialog).to_be_visible()
    assert lab.stored("note.txt") == "another file"
    lab.answer("Overwrite")
    expect(lab.unsaved).to_have_count(0)
    assert lab.stored("note.txt") == "mine"


def test_a_file_is_saved_under_the_name_of_another(lab: Lab) -> None:
    for name in ("note.txt", "other.txt"):
        lab.write(name, name)
    lab.go("note.txt")
    for name, asked in (("new.txt", False), ("other.txt", True)):
        lab.type(f"for {name}")
        lab.page.keyboard.press(f"{CONTROL}+Shift+s")
        lab.dialog.get_by_role("textbox").fill(f"{lab.folder}/{name}")
        lab.answer("Save")
        if asked:
            expect(lab.dialog).to_contain_text("already exists")
            lab.answer("Overwrite")
        # JupyterLab goes on in the new file, and asks about the one that it closes.
        expect(lab.dialog).to_contain_text("before closing")
        lab.dialog.get_by_text("Discard", exact=True).click()
        expect(lab.editor).to_have_text(f"for {name}")
        assert lab.stored(name) == f"for {name}"


def test_a_large_file_that_is_dropped_arrives_whole(lab: Lab, shot: Shot, tmp_path: Path) -> None:
    data = random.Random(7).randbytes(20 * MIB + 12_345)
    file = tmp_path / "data 2024 ü.bin"
    file.write_bytes(data)
    drop(lab, file)
    lab.answer("Upload")
    expect(lab.file(file.name)).to_be_visible(timeout=90_000)
    shot(lab.page, "uploaded")
    url = f"{lab.base}/files/{lab.folder}/{file.name}".replace(" ", "%20")
    assert lab.page.evaluate(DIGEST, url) == hashlib.sha256(data).hexdigest()
    assert [item["size"] for item in lab.versions(file.name)] == [len(data)]


def test_a_drop_that_is_refused_says_why(lab: Lab, shot: Shot, tmp_path: Path) -> None:
    file = tmp_path / "data.txt"
    file.write_text("data")

    def full(route: Route) -> None:
        if route.request.method == "PUT":
            message = "Your home is full: 10 GB of 10 GB. Delete files, or ask your operator."
            route.fulfill(status=507, json={"message": message, "reason": None})
        else:
            route.continue_()

    lab.page.route("**/api/contents/**/data.txt*", full)
    drop(lab, file)
    expect(lab.dialog).to_contain_text("Your home is full: 10 GB of 10 GB. Delete files, or ask")
    shot(lab.page, "refused")
    lab.answer("Close")
    expect(lab.dialog).to_have_count(0)


def test_an_earlier_version_is_listed_opened_and_restored(lab: Lab, shot: Shot) -> None:
    for text in ("first", "second", "third"):
        lab.write_notebook("report.ipynb", text)
    lab.go("report.ipynb")
    expect(lab.editor).to_have_text("third")
    # What its kernel tells of itself is a change, too.
    expect(lab.page.get_by_text("Python 3 (Almanac) | Idle")).to_be_visible(timeout=60_000)
    lab.type("fourth")
    lab.save_and_wait()
    lab.page.get_by_role("menuitem", name="File", exact=True).click()
    lab.pick("Versions…")
    expect(lab.rows()).to_have_count(4)
    expect(lab.rows().nth(0)).to_contain_text("Current")
    expect(lab.rows().nth(1)).not_to_contain_text("Current")
    shot(lab.page, "versions")

    lab.rows().nth(3).get_by_role("button", name=re.compile("^Open read-only")).click()
    expect(lab.editor).to_have_text("first")
    toolbar = lab.page.locator(".jp-NotebookPanel-toolbar:visible")
    expect(toolbar).to_contain_text("is read-only")
    expect(toolbar).to_contain_text("Version of")
    shot(lab.page, "read-only")

    lab.page.get_by_role("tab", name=re.compile("^Versions")).click()
    lab.rows().nth(3).get_by_role("button", name=re.compile("^Restore")).click()
    expect(lab.dialog).to_contain_text("What it is now stays in the list")
    lab.answer("Restore")
    expect(lab.rows()).to_have_count(5)
    shot(lab.page, "restored")
    assert lab.stored("report.ipynb") == "first"
    lab.rows().nth(0).get_by_role("button", name=re.compile("^Open")).click()
    expect(lab.editor).to_have_text("first")
    lab.type("fifth")
    lab.save_and_wait()
    expect(lab.dialog).to_have_count(0)
    assert lab.stored("report.ipynb") == "fifth"


def test_restoring_keeps_changes_that_are_not_saved(lab: Lab, shot: Shot) -> None:
    for text in ("first", "second"):
        lab.write("note.txt", text)
    lab.go("note.txt")
    lab.type("not saved")
    lab.choose("note.txt", "Versions…")
    lab.rows().nth(1).get_by_role("button", name=re.compile("^Restore")).click()
    expect(lab.dialog).to_contain_text("changes that are not saved")
    shot(lab.page, "question")
    lab.answer("Restore")
    expect(lab.rows()).to_have_count(3)
    assert lab.stored("note.txt") == "first"
    lab.rows().nth(0).get_by_role("button", name=re.compile("^Open")).click()
    expect(lab.editor).to_have_text("not saved")
    lab.save()
    expect(lab.dialog).to_contain_text("has changed on disk")
    lab.answer("Cancel")

    lab.page.get_by_role("tab", name=re.compile("^Versions")).click()
    lab.rows().nth(1).get_by_role("button", name=re.compile("^Restore")).click()
    lab.dialog.get_by_text("Drop those changes").click()
    lab.answer("Restore")
    expect(lab.rows()).to_have_count(4)
    lab.rows().nth(0).get_by_role("button", name=re.compile("^Open")).click()
    expect(lab.editor).to_have_text("second")
    expect(lab.unsaved).to_have_count(0)


def test_a_deleted_file_comes_back(lab: Lab, shot: Shot) -> None:
    for name in ("prices.csv", "wages.csv"):
        lab.write(name, f"{name}\n1\n")
        lab.refresh()
        expect(lab.file(name)).to_be_visible()
        lab.file(name).click()
        lab.page.keyboard.press("Delete")
        lab.dialog.locator(".jp-mod-warn").click()
        expect(lab.file(name)).to_have_count(0)
    lab.choose_for_folder("Deleted Files…")
    expect(lab.rows()).to_have_count(2)
    shot(lab.page, "deleted")
    lab.rows().filter(has_text="prices.csv").get_by_role("button").click()
    expect(lab.rows()).to_have_count(1)
    expect(lab.file("prices.csv")).to_be_visible()
    shot(lab.page, "restored")
    assert lab.stored("prices.csv") == "prices.csv\n1\n"
    assert lab.call("GET", f"api/contents/{lab.folder}/wages.csv")[0] == 404


def test_copied_code_reads_the_file(lab: Lab, shot: Shot) -> None:
    lab.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    lab.write("prices é.csv", "year,price\n2023,1.5\n2024,2.5\n")
    lab.write_notebook("read.ipynb", "")
    lab.go("read.ipynb")
    lab.choose("prices é.csv", "Copy S3 URI")
    expect(lab.page.get_by_text("Copied: s3://")).to_be_visible()
    uri = lab.page.evaluate("navigator.clipboard.readText()")
    assert uri == f"s3://almanac/home/{lab.tree.user}/{lab.folder.partition('/')[2]}/prices é.csv"

    lab.choose("prices é.csv", "Copy Code to Read This", "Polars")
    expect(lab.page.get_by_text("Copied: the lines")).to_be_visible()
    lab.editor.click()
    lab.page.keyboard.press(f"{CONTROL}+v")
    lab.page.keyboard.type("\nprint('mean', data['price'].mean())")
    lab.page.keyboard.press("Shift+Enter")
    output = lab.page.locator(".jp-OutputArea-output:visible")
    expect(output.first).to_be_visible(timeout=90_000)
    shot(lab.page, "read")
    expect(output).to_contain_text("mean 2.0")


def test_a_link_is_made_for_as_long_as_it_says(lab: Lab, shot: Shot) -> None:
    lab.write("prices.csv", "shared")
    lab.refresh()
    lab.choose("prices.csv", "Share Link…")
    dialog = mark(lab.page, "storage-share")
    expect(dialog).to_be_visible()
    mark(lab.page, "storage-duration").select_option("3600")
    mark(lab.page, "storage-make").click()
    expect(mark(lab.page, "storage-expires")).to_contain_text("in")
    shot(lab.page, "link")
    link = mark(lab.page, "storage-link").input_value()
    answer = lab.page.request.get(link)
    assert answer.ok
    assert answer.text() == "shared"
    lab.answer("Done")


def test_menus_on_disk_are_as_they_were(lab: Lab, shot: Shot) -> None:
    # The disk has no conditions; JupyterLab's own check stands there.
    model = {"type": "file", "format": "text", "content": "x", "base_hash": "no such thing"}
    name = f"on-disk-{uuid.uuid4().hex[:6]}.csv"
    assert lab.call("PUT", f"api/contents/work/{name}", model)[0] == 201
    lab.page.goto(f"{lab.base}/lab/workspaces/{uuid.uuid4().hex}/tree/work")
    expect(lab.page.locator("#jupyterlab-splash")).to_have_count(0)
    expect(lab.file(name)).to_be_visible()
    lab.file(name).click(button="right")
    expect(lab.entry("Copy Path")).to_be_visible()
    for label in ("Copy S3 URI", "Copy Code to Read This", "Share Link…", "Versions…"):
        expect(lab.entry(label)).to_have_count(0)
    expect(mark(lab.page, "storage-usage")).to_have_count(0)
    shot(lab.page, "menu")


def test_a_folder_that_cannot_be_read_says_why(lab: Lab, shot: Shot) -> None:
    lab.write("prices.csv", "x")
    lab.refresh()
    expect(lab.file("prices.csv")).to_be_visible()
    message = "The store does not answer. Tell whoever runs Almanac here; your files are safe."

    def down(route: Route) -> None:
        route.fulfill(status=503, json={"message": message, "reason": None})

    lab.page.route(f"**/api/contents/{lab.folder}?*", down)
    lab.refresh()
    expect(mark(lab.page, "storage-stale")).to_contain_text(message)
    expect(lab.file("prices.csv")).to_be_visible()
    shot(lab.page, "down")
    lab.page.unroute(f"**/api/contents/{lab.folder}?*", down)
    lab.refresh()
    expect(mark(lab.page, "storage-stale")).to_have_count(0)


def drop(lab: Lab, file: Path) -> None:
    """Drop a file of this machine onto the files, as from the desktop."""
    box = lab.files.bounding_box()
    assert box is not None
    place = {"x": box["x"] + 60, "y": box["y"] + box["height"] / 2}
    data = {"items": [], "files": [str(file)], "dragOperationsMask": 1}
    session = lab.page.context.new_cdp_session(lab.page)
    for kind in ("dragEnter", "dragOver", "drop"):
        session.send("Input.dispatchDragEvent", {"type": kind, **place, "data": data})
