"""What pages say about jobs and runs, decided without a browser or a service."""

from __future__ import annotations

from datetime import UTC, timedelta
from types import SimpleNamespace

import pytest

from hub_ext.jobs.pages import views
from hub_ext.jobs.schemas import ParameterOut, Progress, RunState, Trigger, VersionState
from hub_ext.names import TriggerKind

TEST = Trigger(kind=TriggerKind.TEST, key="test:1", scheduled_for=None, by="user:ana")


def draft(make: SimpleNamespace, **changes: object) -> object:
    return make.job(
        active_version=None, latest_version=make.version(state=VersionState.DRAFT), **changes
    )


def test_the_condition_of_a_job_is_one_word(make: SimpleNamespace) -> None:
    testing = make.run(trigger=TEST, test=True, state=RunState.RUNNING)
    failed = make.run(trigger=TEST, test=True, state=RunState.FAILED)
    tested = make.run(trigger=TEST, test=True)
    for job, word in [
        (make.job(), "Scheduled"),
        (make.job(paused=True), "Paused"),
        (make.job(schedule=None), "By hand"),
        (make.job(archived=True, paused=True), "Deleted"),
        (draft(make, last_run=None), "Being tested"),
        (draft(make, last_run=testing), "Being tested"),
        (draft(make, last_run=failed), "Test failed"),
        (draft(make, last_run=tested), "Tested"),
        (
            make.job(active_version=None, latest_version=make.version(state=VersionState.APPROVED)),
            "Approved",
        ),
    ]:
        assert views.condition(job).word == word


def test_a_tick_that_was_skipped_does_not_hide_how_the_test_went(make: SimpleNamespace) -> None:
    skipped = make.run(state=RunState.SKIPPED, reason="not active")
    job = draft(make, last_run=skipped)
    testing = make.run(trigger=TEST, test=True, state=RunState.RUNNING)
    assert views.condition(job).word == "Not active yet"
    assert views.condition(job, [skipped, testing]).word == "Being tested"
    assert "runs once as a test" in views.notice(job, [skipped, testing])


def test_a_draft_beside_an_active_version_is_announced(make: SimpleNamespace) -> None:
    job = make.job(latest_version=make.version(number=2, state=VersionState.DRAFT))
    assert "Version 2 is a draft" in views.notice(job)
    assert "version 1 runs" in views.notice(job)
    assert views.notice(make.job()) == ""


def test_times_are_on_the_wall_of_the_jobs_time_zone(make: SimpleNamespace) -> None:
    row = views.job_row(make.job(), make.now)
    assert row.next is not None
    assert row.next.text == "Tue 24 Nov 06:00"
    assert row.next.iso == "2026-11-24T05:00:00Z"
    assert row.next.relative == "in 20 h"
    assert row.next.full == "Tue 24 Nov 2026 06:00:00 (Europe/Paris)"


def test_parameters_show_where_they_differ_from_the_notebook(make: SimpleNamespace) -> None:
    declared = [
        ParameterOut(name="year", type="int", default=2024, help="first year"),
        ParameterOut(name="series", type="str", default="gdp"),
        ParameterOut(name="flags", type="dict", default={"a": 1}),
        ParameterOut(name="same", type="int", default=1),
    ]
    rows = views.values(declared, {"year": 2026, "same": 1, "gone": [1, "zwei"]})
    assert [(row.name, row.value, row.own) for row in rows] == [
        ("year", "2026", True),
        ("series", "gdp", False),
        ("flags", '{"a": 1}', False),
        ("same", "1", False),
        ("gone", '[1, "zwei"]', True),
    ]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({}, "Every cell ran; it took 42 s."),
        ({"state": RunState.QUEUED, "started_at": None, "finished_at": None}, "waits for its turn"),
        ({"state": RunState.SKIPPED, "started_at": None, "finished_at": None}, "It did not run."),
        ({"state": RunState.CANCELLED}, "It was cancelled after 42 s."),
        ({"state": RunState.CANCELLED, "started_at": None, "finished_at": None}, "was cancelled"),
        ({"state": RunState.FAILED}, "It failed after 42 s."),
    ],
)
def test_a_run_is_told_in_a_sentence(
    make: SimpleNamespace, changes: dict[str, object], says: str
) -> None:
    assert says in views.headline(make.run(**changes), make.now)


def test_a_failed_run_names_the_cell_as_people_count(make: SimpleNamespace) -> None:
    run = make.run(state=RunState.FAILED, failure=make.failure(cell=4), reason="Cell 5 raised")
    page = views.run_page(
        run, make.job(), [], [], "", make.now, may_manage=True, may_run=True, log_url="/log"
    )
    assert "Cell 5 raised ValueError after 42 s" in page.headline
    assert page.failure is not None
    assert page.failure.cell == "Cell 5"
    assert page.partial
    assert "new version" in page.mend
    # The reason would say the same again.
    assert page.reason == ""


def test_a_running_run_shows_how_far_it_is_and_can_be_stopped(make: SimpleNamespace) -> None:
    run = make.run(
        state=RunState.RUNNING,
        started_at=make.now - timedelta(seconds=65),
        finished_at=None,
        progress=Progress(cell=2, cells=7),
    )
    page = views.run_page(
        run, make.job(), [], [], "", make.now, may_manage=True, may_run=True, log_url="/log"
    )
    assert page.headline == "It has been running for 1 min 5 s, now at cell 3 of 7."
    assert (page.done, page.cells) == (2, 7)
    assert page.may_cancel
    assert not page.may_run
    assert page.live_seconds == views.LIVE_SECONDS


def test_a_finished_run_is_not_looked_at_again(make: SimpleNamespace) -> None:
    page = views.run_page(
        make.run(), make.job(), [], [], "", make.now, may_manage=True, may_run=True, log_url="/log"
    )
    assert page.live_seconds is None
    assert not page.may_cancel
    assert page.may_run


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("not active", "No version had passed its test"),
        ("missed", "did not run at that time"),
        ("overtaken", "still waited for a free place"),
        ("cancelled by bo", "cancelled by bo"),
    ],
)
def test_reasons_are_words(make: SimpleNamespace, reason: str, words: str) -> None:
    assert words in views.reason(make.run(state=RunState.SKIPPED, reason=reason))


def test_only_the_end_of_a_long_log_is_shown_and_no_line_of_it_is_cut(
    make: SimpleNamespace,
) -> None:
    log = "".join(f"\x1b[32mline {n}\x1b[0m\n" for n in range(20_000))
    page = views.run_page(
        make.run(), make.job(), [], [], log, make.now, may_manage=True, may_run=True, log_url="/l"
    )
    assert page.log_cut
    assert page.log.startswith('<span class="ansi-fg-2">line ')
    assert page.log.endswith("line 19999</span>\n")


def test_what_cells_printed_is_told_by_cell(make: SimpleNamespace) -> None:
    def stream(seq: int, cell: int, text: str) -> object:
        return make.event(seq, "stream", cell=cell, name="stdout", text=text)

    events = [stream(1, 0, "a\n"), stream(2, 0, "b\n"), make.event(3, "x"), stream(4, 2, "<c>")]
    shown, cut = views.printed(events)
    assert [(piece.cell, str(piece.text)) for piece in shown] == [
        ("Cell 1", "a\nb\n"),
        ("Cell 3", "&lt;c&gt;"),
    ]
    assert not cut
    lines = "".join(f"line {n}\n" for n in range(20_000))
    shown, cut = views.printed([stream(1, 0, "first"), stream(2, 1, lines), stream(3, 2, "last")])
    assert cut
    assert [piece.cell for piece in shown] == ["Cell 2", "Cell 3"]
    assert shown[0].text.startswith("line ")
    assert views.printed([make.event(1, "stream", cell=0, text=5)]) == ([], False)


def test_events_are_told_in_words_and_streams_are_left_to_the_log(make: SimpleNamespace) -> None:
    told = [
        views.event_text(make.event(n, kind, **data))
        for n, (kind, data) in enumerate(
            [
                ("attempt.started", {}),
                ("environment.building", {}),
                ("environment.ready", {}),
                ("cell.started", {"cell": 0, "code_cell": 1, "of": 3}),
                ("stream", {"cell": 0, "name": "stdout", "text": "hello"}),
                ("cell.finished", {"cell": 0}),
                ("cell.failed", {"cell": 2, "ename": "\x1b[31mKeyError\x1b[0m"}),
                ("cell.started", {"cell": "<b>"}),
                ("attempt.finished", {"status": "failed"}),
                ("something.new", {"a": 1}),
            ]
        )
    ]
    assert told == [
        "The runner started.",
        "The environment is being built.",
        "The environment is ready.",
        "Cell 1 started.",
        "",
        "Cell 1 finished.",
        "Cell 3 raised KeyError.",
        "Cell ? started.",
        "The runner finished: failed.",
        'something.new {"a": 1}',
    ]


def test_the_strip_is_oldest_first_and_as_high_as_runs_are_long(make: SimpleNamespace) -> None:
    def run(seconds: int | None) -> object:
        start = make.now - timedelta(hours=1)
        return make.run(
            started_at=None if seconds is None else start,
            finished_at=None if seconds is None else start + timedelta(seconds=seconds),
        )

    bars = views.strip([run(100), run(50), run(None)], UTC, make.now)
    assert [bar.x for bar in bars] == [0, 10, 20]
    assert [bar.height for bar in bars] == [4, 14, 24]
    assert all(bar.y + bar.height == 24 for bar in bars)
    assert views.strip([], UTC, make.now) == []
    assert len(views.strip([run(1)] * 80, UTC, make.now)) == 30


def test_the_list_is_looked_at_more_often_while_something_runs(make: SimpleNamespace) -> None:
    still = views.job_list([make.job()], make.me(), make.now)
    going = views.job_list(
        [make.job(last_run=make.run(state=RunState.RUNNING))], make.me(), make.now
    )
    assert still.live_seconds == views.IDLE_SECONDS
    assert going.live_seconds == views.LIVE_SECONDS


def test_the_filters_offer_my_projects_and_remember_the_choice(make: SimpleNamespace) -> None:
    page = views.job_list(
        [], make.me(), make.now, project="national-accounts", state=RunState.FAILED
    )
    assert [(choice.label, choice.chosen) for choice in page.projects] == [
        ("All projects", False),
        ("My own", False),
        ("National accounts", True),
    ]
    assert [choice.value for choice in page.states if choice.chosen] == ["failed"]
    assert page.filtered


def test_the_filter_by_state_looks_at_the_last_run(make: SimpleNamespace) -> None:
    job = make.job(last_run=make.run(state=RunState.FAILED))
    assert views.matches(job, None)
    assert views.matches(job, RunState.FAILED)
    assert not views.matches(job, RunState.SUCCEEDED)
    assert not views.matches(make.job(last_run=None), RunState.FAILED)


def test_a_deleted_job_offers_nothing_to_press(make: SimpleNamespace) -> None:
    page = views.job_page(make.job(archived=True), [], [], make.now, may_run=True, may_manage=True)
    assert not page.may_run
    assert not page.may_manage
    assert page.next == []
    assert "deleted" in page.notice


def test_a_job_whose_test_failed_is_not_offered_to_run(make: SimpleNamespace) -> None:
    for state, offered in ((RunState.FAILED, False), (RunState.RUNNING, True)):
        test = make.run(trigger=TEST, test=True, state=state)
        job = draft(make, last_run=test)
        page = views.job_page(job, [], [test], make.now, may_run=True, may_manage=True)
        assert page.may_run is offered
