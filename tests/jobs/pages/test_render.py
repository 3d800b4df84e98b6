"""Pages as HTML: what users wrote stays text, and a page holds what a reader needs."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from itertools import pairwise
from types import SimpleNamespace

import pytest

from hub_ext.jobs.pages import render, views
from hub_ext.jobs.pages.router import Site
from hub_ext.jobs.schemas import (
    AttemptOut,
    AttemptState,
    FileOut,
    ParameterOut,
    ProjectOut,
    RunState,
    ScheduleOut,
    Trigger,
    VersionState,
)
from hub_ext.names import TriggerKind

ATTACK = "\"'><script>alert(1)</script><img src=x onerror=alert(2)>{{7*7}}\x1b[31m<b>"
SITE = Site(
    prefix="/services/jobs",
    hub="/hub",
    logout="/services/jobs/logout",
    user=ATTACK,
    xsrf="token",
    version="0",
)
LINKS = {"start": "/services/jobs/", "more": "/services/jobs/?cursor=c", "project": "/p"}


class Page(HTMLParser):
    """Elements as a browser's parser finds them."""

    def __init__(self, html: str):
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def hostile_pages(make: SimpleNamespace) -> dict[str, str]:
    """Every page with the attack in every field that somebody else than us fills in."""
    version = make.version(
        state=VersionState.DRAFT,
        created_by=f"user:{ATTACK}",
        reason=ATTACK,
        bundle=ATTACK,
        parameters=[ParameterOut(name=ATTACK, type="str", default=ATTACK, help=ATTACK)],
    )
    run = make.run(
        job_name=ATTACK,
        project=ATTACK,
        state=RunState.FAILED,
        reason=ATTACK,
        parameters={ATTACK: [ATTACK]},
        failure=make.failure(ename=ATTACK, evalue=ATTACK, traceback=[ATTACK, "\x1b[31m" + ATTACK]),
        trigger=Trigger(
            kind=TriggerKind.MANUAL, key="manual:x", scheduled_for=None, by=f"user:{ATTACK}"
        ),
        attempts=[
            AttemptOut(
                n=1,
                state=AttemptState.LOST,
                started_at=make.now,
                finished_at=make.now,
                message=ATTACK,
            )
        ],
        files=[
            FileOut(
                name=ATTACK,
                size=1,
                media_type="text/html",
                url="/services/jobs/api/v1/runs/r/files/x",
            ),
            FileOut(
                name="notebook.html",
                size=1,
                media_type="text/html",
                url="/services/jobs/api/v1/runs/r/files/notebook.html",
            ),
        ],
    )
    job = make.job(
        name=ATTACK,
        project=ATTACK,
        description=ATTACK,
        notebook_path=ATTACK,
        created_by=ATTACK,
        schedule=ScheduleOut(cron=ATTACK, timezone=ATTACK, sentence=ATTACK, next=[make.now]),
        parameters={ATTACK: {ATTACK: ATTACK}},
        latest_version=version,
        last_run=run,
    )
    me = make.me(projects=[ProjectOut(slug=ATTACK, title=ATTACK, roles=[ATTACK], personal=False)])
    events = [
        make.event(1, ATTACK, x=ATTACK),
        make.event(2, "cell.failed", ename=ATTACK),
        make.event(3, "stream", cell=0, text=ATTACK),
    ]
    return {
        "jobs": render.html(
            "jobs.html", site=SITE, page=views.job_list([job], me, make.now, more="c"), links=LINKS
        ),
        "job": render.html(
            "job.html",
            site=SITE,
            page=views.job_page(
                job, [version], [run, run], make.now, may_run=True, may_manage=True, more="c"
            ),
            links=LINKS,
            done="",
            key="k",
        ),
        "run": render.html(
            "run.html",
            site=SITE,
            page=views.run_page(
                run,
                job,
                version.parameters,
                events,
                ATTACK,
                make.now,
                may_manage=True,
                may_run=True,
                log_url="/log",
            ),
            key="k",
        ),
        "error": render.html(
            "error.html",
            site=SITE,
            status=404,
            title="x",
            message=ATTACK,
            mend=ATTACK,
            back="",
            sign_in="",
        ),
    }


@pytest.mark.parametrize("name", ["jobs", "job", "run", "error"])
def test_what_users_write_stays_text(make: SimpleNamespace, name: str) -> None:
    html = hostile_pages(make)[name]
    page = Page(html)
    assert "<script>alert(1)" in page.text, "the page shows the text as it is"
    assert "{{7*7}}" in page.text
    assert [script.get("src", "") for script in page.all("script")] == [
        "/services/jobs/static/live.js?v=0"
    ]
    assert all(
        (image["src"] or "").startswith("/services/jobs/static/") for image in page.all("img")
    )
    assert not page.all("b")
    for tag, attributes in page.elements:
        handlers = [key for key in attributes if key.startswith("on") or key == "style"]
        assert not handlers, f"<{tag}> has {handlers}: the policy refuses them"


@pytest.mark.parametrize("name", ["jobs", "job", "run", "error"])
def test_a_page_can_be_read_without_eyes(make: SimpleNamespace, name: str) -> None:
    page = Page(hostile_pages(make)[name])
    assert page.all("html")[0]["lang"] == "en"
    assert len(page.all("h1")) == 1
    assert len(page.all("main")) == 1
    assert page.all("title")
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h[1-6]", tag)]
    assert all(after <= before + 1 for before, after in pairwise(levels))
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    named = {label for _, a in page.elements if (label := a.get("aria-labelledby"))}
    assert named <= set(ids)
    assert all(header.get("scope") for header in page.all("th"))
    assert all("alt" in image for image in page.all("img"))


def test_forms_are_posts_with_the_xsrf_token(make: SimpleNamespace) -> None:
    page = Page(hostile_pages(make)["job"])
    forms = page.all("form")
    assert {form["action"] for form in forms} == {
        "/services/jobs/jobs/j-19/pause",
        "/services/jobs/jobs/j-19/run",
    }
    assert all(form["method"] == "post" for form in forms)
    tokens = [field for field in page.all("input") if field["name"] == "_xsrf"]
    assert [field["value"] for field in tokens] == ["token"] * len(forms)


def test_the_notebook_is_in_a_frame_that_may_do_nothing(make: SimpleNamespace) -> None:
    (frame,) = Page(hostile_pages(make)["run"]).all("iframe")
    assert "sandbox" in frame
    assert not frame["sandbox"]
    assert frame["src"] == "/services/jobs/api/v1/runs/r/files/notebook.html"


def test_without_jobs_the_list_teaches_how_to_make_one(make: SimpleNamespace) -> None:
    html = render.html(
        "jobs.html", site=SITE, page=views.job_list([], make.me(), make.now), links=LINKS
    )
    page = Page(html)
    assert "Productionize" in page.text
    assert "/hub/home" in [link.get("href") for link in page.all("a")]
    assert not page.all("table")
    assert not page.all("select")


def test_a_filter_without_a_match_says_so_and_leads_back(make: SimpleNamespace) -> None:
    found = views.job_list([], make.me(), make.now, state=RunState.FAILED)
    page = Page(render.html("jobs.html", site=SITE, page=found, links=LINKS))
    assert "No job fits" in page.text
    assert page.all("select")


def test_static_files_change_their_version_with_their_content() -> None:
    files = render.static_files()
    assert set(files) == {"almanac.css", "almanac.svg", "live.js"}
    assert re.fullmatch(r"[0-9a-f]{12}", render.version())


# What the style sheet promises at its head.
PAIRS = [
    ("text", "ground"),
    ("text", "surface"),
    ("quiet", "ground"),
    ("quiet", "surface"),
    ("link", "ground"),
    ("link", "surface"),
    ("on-primary", "primary"),
    ("on-primary", "primary-hover"),
    ("good", "good-ground"),
    ("bad", "bad-ground"),
    ("busy", "busy-ground"),
    ("wait", "wait-ground"),
    ("none", "none-ground"),
    ("bad", "ground"),
    *((f"a{n}", "terminal") for n in range(16)),
]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_has_contrast_in_both_themes(theme: str) -> None:
    sheet = render.static_files()["almanac.css"].decode()
    light, dark = re.findall(r":root \{(.*?)\}", sheet, re.DOTALL)[:2]
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", light))
    if theme == "dark":
        colours |= dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", dark))
    poor = {
        pair: round(ratio, 2)
        for pair in PAIRS
        if (ratio := contrast(colours[pair[0]], colours[pair[1]])) < 4.5
    }
    assert not poor


def contrast(one: str, other: str) -> float:
    """Contrast ratio by WCAG 2.2 (relative luminance of sRGB)."""

    def luminance(colour: str) -> float:
        channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)
