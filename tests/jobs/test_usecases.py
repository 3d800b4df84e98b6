"""What people may ask for, and what comes of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from hub_ext.errors import Conflict, Forbidden, Invalid, NotFound, PublicError
from hub_ext.jobs.schemas import (
    JobChange,
    JobIn,
    RunIn,
    RunState,
    ScheduleIn,
    VersionIn,
    VersionState,
)
from hub_ext.jobs.store import Database
from hub_ext.jobs.store.tables import audit, run_tokens
from hub_ext.jobs.store.tables import jobs as jobs_table
from hub_ext.jobs.store.tables import runs as runs_table
from hub_ext.jobs.usecases import Execution, Jobs
from hub_ext.jobs.usecases.wanted import NOT_ACTIVE, Ended
from hub_ext.names import Principal, PrincipalKind, Right


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


class TestRegistering:
    def test_registers_a_draft_and_queues_its_test_run(
        self, office: Any, jobs: Jobs, ana: Principal
    ) -> None:
        job = office.register(ana, cron="0 6 * * 1-5", parameters={"year": "2025"})
        assert job.project == "prices"
        assert job.created_by == "user:ana"
        assert job.active_version is None
        assert job.latest_version.state is VersionState.DRAFT
        assert [p.name for p in job.latest_version.parameters] == ["year", "region"]
        assert job.parameters == {"year": 2025}
        # 06:00 in Paris; it is 06:30 there now.
        assert job.next_run == at("2026-03-03 05:00")
        assert job.schedule is not None
        assert job.schedule.sentence == "At 06:00, Monday through Friday (Europe/Paris)"
        assert [when.isoformat() for when in job.schedule.next] == [
            "2026-03-03T06:00:00+01:00",
            "2026-03-04T06:00:00+01:00",
            "2026-03-05T06:00:00+01:00",
        ]
        run = job.last_run
        assert run is not None
        assert run.test
        assert run.trigger.key == "test:1"
        assert run.trigger.by == "user:ana"
        assert run.state is RunState.QUEUED
        assert run.parameters == {"year": 2025, "region": "FR"}

    def test_goes_to_the_own_project_where_none_is_named(self, office: Any, ana: Principal) -> None:
        assert office.register(ana, project=None).project == "user-ana"

    @pytest.mark.parametrize(
        ("members", "field"),
        [
            ({"name": "  "}, "name"),
            ({"name": "x" * 101}, "name"),
            ({"name": "a\nb"}, "name"),
            ({"name": "a\udc80b"}, "name"),
            ({"description": "a\0b"}, "description"),
            ({"notebook_path": "a\nb"}, "notebook_path"),
            ({"project": "secret-project"}, "project"),
            ({"cron": "61 * * * *"}, "schedule.cron"),
            ({"cron": "0 6 * * *", "timezone": "Europe/Pari"}, "schedule.timezone"),
            ({"parameters": {"yaer": 2025}}, "parameters.yaer"),
            ({"parameters": {"year": "soon"}}, "parameters.year"),
            ({"bundle": "f" * 64}, "bundle"),
        ],
    )
    def test_refuses_before_anything_is_stored(
        self,
        office: Any,
        database: Database,
        ana: Principal,
        members: dict[str, Any],
        field: str,
    ) -> None:
        with pytest.raises(Invalid) as caught:
            office.register(ana, **members)
        assert caught.value.field == field
        assert caught.value.mend
        with database.reading() as connection:
            assert connection.execute(select(jobs_table)).all() == []
            assert connection.execute(select(runs_table)).all() == []

    def test_a_taken_name_names_the_job_that_has_it(self, office: Any, ana: Principal) -> None:
        first = office.register(ana)
        with pytest.raises(Conflict) as caught:
            office.register(ana, name=" GDP nowcast ")
        assert caught.value.code == "job-name-taken"
        assert caught.value.field == "name"
        assert caught.value.extra["job_id"] == first.id
        # Another project is another namespace.
        office.register(ana, project=None)

    def test_somebody_elses_bundle_cannot_be_used_by_its_hash(
        self, office: Any, ana: Principal, eve: Principal
    ) -> None:
        sha256 = office.upload(ana)
        with pytest.raises(Invalid) as caught:
            office.register(eve, project=None, bundle=sha256)
        assert caught.value.field == "bundle"

    def test_the_same_key_registers_once(self, office: Any, jobs: Jobs, ana: Principal) -> None:
        wanted = JobIn(name="A", bundle=office.upload(ana))
        first = jobs.create_job(ana, wanted, idempotency_key="k1")
        assert jobs.create_job(ana, wanted, idempotency_key="k1").id == first.id
        assert len(jobs.list_jobs(ana).items) == 1
        other = wanted.model_copy(update={"name": "B"})
        with pytest.raises(Conflict) as caught:
            jobs.create_job(ana, other, idempotency_key="k1")
        assert caught.value.code == "idempotency-key-reused"
        with pytest.raises(Invalid):
            jobs.create_job(ana, wanted, idempotency_key="k\n")

    def test_every_change_is_in_the_audit_trail(
        self, office: Any, jobs: Jobs, database: Database, ana: Principal
    ) -> None:
        job = office.register(ana)
        jobs.pause(ana, job.id)
        jobs.delete_job(ana, job.id)
        with database.reading() as connection:
            rows = connection.execute(select(audit).order_by(audit.c.id)).all()
        assert [row.action for row in rows] == [
            "job.registered",
            "version.added",
            "run.queued",
            "job.paused",
            "job.archived",
            "run.cancelled",
        ]
        assert {row.principal for row in rows} == {"user:ana"}


class TestBundles:
    def test_is_kept_once_under_its_name(
        self, office: Any, jobs: Jobs, objects: Any, ana: Principal, ben: Principal
    ) -> None:
        path = office.make_bundle("print(1)")
        first = jobs.accept_bundle(ana, path)
        assert first.created
        assert objects.names() == [f"bundles/{first.sha256}"]
        again = jobs.accept_bundle(ben, path)
        assert (again.sha256, again.created) == (first.sha256, False)

    def test_a_flipped_byte_is_refused(self, office: Any, jobs: Jobs, ana: Principal) -> None:
        path: Path = office.make_bundle()
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 0xFF
        path.write_bytes(content)
        with pytest.raises(Invalid):
            jobs.accept_bundle(ana, path)

    def test_a_secret_that_the_server_did_not_report_is_found_again(
        self, office: Any, jobs: Jobs, objects: Any, ana: Principal
    ) -> None:
        key = "AKIA" + "QWERTYUIOPASDFGH"
        with pytest.raises(PublicError) as caught:
            jobs.accept_bundle(ana, office.make_bundle(f"key = '{key}'"))
        assert caught.value.code == "checks-failed"
        assert key not in str(caught.value.problem())
        assert objects.names() == []

    def test_the_store_being_down_leaves_nothing_half_done(
        self, office: Any, jobs: Jobs, objects: Any, ana: Principal
    ) -> None:
        path = office.make_bundle()
        objects.down = True
        with pytest.raises(PublicError) as caught:
            jobs.accept_bundle(ana, path)
        assert caught.value.status == 503
        objects.down = False
        assert jobs.accept_bundle(ana, path).created


class TestRights:
    def test_members_see_the_projects_jobs_and_others_do_not(
        self, office: Any, jobs: Jobs, ana: Principal, ben: Principal, eve: Principal
    ) -> None:
        job = office.register(ana)
        assert job.last_run is not None
        assert [seen.id for seen in jobs.list_jobs(ben).items] == [job.id]
        assert jobs.get_run(ben, job.last_run.id).id == job.last_run.id
        assert jobs.list_jobs(eve).items == []
        for ask in (
            lambda: jobs.get_job(eve, job.id),
            lambda: jobs.get_job(eve, "no-such-job"),
            lambda: jobs.list_runs(eve, job.id),
            lambda: jobs.pause(eve, job.id),
            lambda: jobs.delete_job(eve, job.id),
            lambda: jobs.run_now(eve, job.id, RunIn()),
            lambda: jobs.get_run(eve, job.last_run.id),
            lambda: jobs.cancel_run(eve, job.last_run.id),
            lambda: jobs.run_log(eve, job.last_run.id),
            lambda: jobs.list_events(eve, job.last_run.id),
            lambda: jobs.open_file(eve, job.last_run.id, "notebook.html"),
        ):
            with pytest.raises(NotFound):
                ask()

    def test_who_registered_a_job_manages_it_and_owners_manage_all(
        self, office: Any, jobs: Jobs, ana: Principal, ben: Principal, olga: Principal
    ) -> None:
        job = office.register(ana)
        assert jobs.may_manage(ana, job)
        assert jobs.may_manage(olga, job)
        assert not jobs.may_manage(ben, job)
        with pytest.raises(Forbidden, match="registered by ana"):
            jobs.pause(ben, job.id)
        jobs.pause(olga, job.id)
        jobs.resume(ana, job.id)

    def test_an_owners_server_does_not_manage_others_jobs(
        self, office: Any, jobs: Jobs, ana: Principal, olga: Principal
    ) -> None:
        job = office.register(ana)
        server = dataclasses.replace(
            olga, rights=frozenset({Right.READ, Right.SUBMIT}), browser=False
        )
        with pytest.raises(Forbidden, match="operate"):
            jobs.pause(server, job.id)

    def test_members_run_jobs_of_others_and_cancel_what_they_asked_for(
        self, office: Any, jobs: Jobs, ana: Principal, ben: Principal
    ) -> None:
        job = office.activate(ana, office.register(ana))
        mine = jobs.run_now(ben, job.id, RunIn())
        theirs = jobs.run_now(ana, job.id, RunIn())
        assert jobs.cancel_run(ben, mine.id).state is RunState.CANCELLED
        with pytest.raises(Forbidden):
            jobs.cancel_run(ben, theirs.id)

    def test_a_credential_attenuates(self, office: Any, jobs: Jobs, ana: Principal) -> None:
        job = office.register(ana)
        reader = dataclasses.replace(ana, rights=frozenset({Right.READ}))
        assert jobs.get_job(reader, job.id).id == job.id
        for ask in (
            lambda: jobs.run_now(reader, job.id, RunIn()),
            lambda: jobs.pause(reader, job.id),
            lambda: jobs.accept_bundle(reader, office.make_bundle()),
            lambda: jobs.create_job(reader, JobIn(name="x", bundle="0" * 64)),
        ):
            with pytest.raises(Forbidden, match="submit"):
                ask()
        nothing = dataclasses.replace(ana, rights=frozenset())
        with pytest.raises(Forbidden, match="read"):
            jobs.list_jobs(nothing)

    def test_a_removed_member_loses_the_own_jobs_too(
        self, office: Any, jobs: Jobs, ana: Principal, person: Callable[..., Principal]
    ) -> None:
        job = office.register(ana)
        with pytest.raises(NotFound):
            jobs.get_job(person("ana"), job.id)


class TestActivation:
    def test_a_test_run_that_succeeds_activates(
        self, office: Any, jobs: Jobs, ana: Principal
    ) -> None:
        job = office.activate(ana, office.register(ana))
        assert job.active_version == 1
        assert job.latest_version.state is VersionState.ACTIVE

    def test_one_that_fails_does_not(
        self, office: Any, jobs: Jobs, execution: Execution, ana: Principal
    ) -> None:
        job = office.register(ana, run_now=True)
        office.finish(office.test_run(ana, job).id, "failed")
        job = jobs.get_job(ana, job.id)
        assert job.active_version is None
        assert job.latest_version.state is VersionState.DRAFT
        with pytest.raises(Conflict) as caught:
            jobs.run_now(ana, job.id, RunIn())
        assert caught.value.code == "not-active"

    def test_a_run_that_is_asked_for_meanwhile_waits(
        self, office: Any, jobs: Jobs, ana: Principal
    ) -> None:
        job = office.register(ana, run_now=True)
        waiting = jobs.run_now(ana, job.id, RunIn(parameters={"region": "DE"}))
        kinds = [(run.trigger.kind, run.state) for run in jobs.list_runs(ana, job.id).items]
        assert kinds == [("manual", "queued"), ("manual", "queued"), ("test", "queued")]
        assert waiting.parameters == {"year": 2024, "region": "DE"}

    def test_the_old_version_stays_until_the_new_one_is_tested(
        self, office: Any, jobs: Jobs, ana: Principal, clock: Any
    ) -> None:
        job = office.activate(ana, office.register(ana, cron="0 6 * * *"))
        new = VersionIn(
            bundle=office.upload(ana, "print('v2')", parameters="quarter = 1"),
            reason="quarterly",
            parameters={"quarter": 2},
            schedule=ScheduleIn(cron="0 7 * * *", timezone="UTC"),
            notebook_path="new/gdp.ipynb",
        )
        job = jobs.add_version(ana, job.id, new)
        assert job.active_version == 1
        assert job.latest_version.number == 2
        assert job.latest_version.reason == "quarterly"
        assert job.schedule is not None
        assert job.schedule.cron == "0 6 * * *"
        assert job.parameters == {}
        job = office.activate(ana, job)
        assert job.active_version == 2
        assert job.schedule is not None
        assert job.schedule.cron == "0 7 * * *"
        assert job.next_run == at("2026-03-02 07:00")
        assert job.parameters == {"quarter": 2}
        assert job.notebook_path == "new/gdp.ipynb"
        states = [version.state for version in jobs.list_versions(ana, job.id).items]
        assert states == [VersionState.ACTIVE, VersionState.RETIRED]

    def test_a_version_that_fails_its_test_changes_nothing(
        self, office: Any, jobs: Jobs, ana: Principal
    ) -> None:
        job = office.activate(ana, office.register(ana, parameters={"year": 2020}))
        wanted = VersionIn(bundle=office.upload(ana, "1/0"), parameters={"year": 1999})
        job = jobs.add_version(ana, job.id, wanted)
        office.finish(office.test_run(ana, job).id, "failed")
        job = jobs.get_job(ana, job.id)
        assert job.active_version == 1
        assert job.parameters == {"year": 2020}

    def test_parameters_of_the_job_have_to_fit_a_new_version(
        self, office: Any, jobs: Jobs, ana: Principal
    ) -> None:
        job = office.activate(ana, office.register(ana, parameters={"year": 2020}))
        bundle = office.upload(ana, parameters="quarter = 1")
        with pytest.raises(Invalid) as caught:
            jobs.add_version(ana, job.id, VersionIn(bundle=bundle))
        assert caught.value.field == "parameters.year"

    def test_of_two_new_versions_the_newer_stays_whichever_is_tested_first(
        self, office: Any, jobs: Jobs, ana: Principal
    ) -> None:
        job = office.activate(ana, office.register(ana))
        for source in ("print(2)", "print(3)"):
            jobs.add_version(ana, job.id, VersionIn(bundle=office.upload(ana, source)))
        tests = {run.version: run for run in jobs.list_runs(ana, job.id).items if run.test}
        office.finish(tests[3].id)
        office.finish(tests[2].id)
        job = jobs.get_job(ana, job.id)
        assert job.active_version == 3
        states = [version.state for version in jobs.list_versions(ana, job.id).items]
        assert states == [VersionState.ACTIVE, VersionState.TESTED, VersionState.RETIRED]

    def test_adding_a_version_twice_with_one_key_adds_one(
        self, office: Any, jobs: Jobs, ana: Principal
    ) -> None:
        job = office.register(ana)
        wanted = VersionIn(bundle=office.upload(ana, "print(2)"))
        for _ in range(2):
            job = jobs.add_version(ana, job.id, wanted, idempotency_key="k")
        assert job.latest_version.number == 2


class TestChanging:
    def test_changes_what_is_sent_and_nothing_else(
        self, office: Any, jobs: Jobs, ana: Principal
    ) -> None:
        job = office.register(ana, cron="0 6 * * *", parameters={"year": 2020})
        job = jobs.change_job(ana, job.id, JobChange(name="Renamed"))
        assert (job.name, job.parameters) == ("Renamed", {"year": 2020})
        assert job.schedule is not None
        job = jobs.change_job(ana, job.id, JobChange(schedule=None))
        assert job.schedule is None
        assert job.next_run is None
        job = jobs.change_job(
            ana, job.id, JobChange(schedule=ScheduleIn(cron="@hourly", timezone="UTC"))
        )
        assert job.next_run == at("2026-03-02 06:00")
        job = jobs.change_job(ana, job.id, JobChange(parameters={"region": "IT"}))
        assert job.parameters == {"region": "IT"}

    def test_a_change_before_activation_is_not_undone_by_it(
        self, office: Any, jobs: Jobs, ana: Principal
    ) -> None:
        job = office.activate(ana, office.register(ana, cron="0 6 * * *"))
        wanted = VersionIn(
            bundle=office.upload(ana, "print(2)"),
            schedule=ScheduleIn(cron="0 7 * * *", timezone="UTC"),
        )
        jobs.add_version(ana, job.id, wanted)
        later = ScheduleIn(cron="0 8 * * *", timezone="UTC")
        jobs.change_job(ana, job.id, JobChange(schedule=later))
        job = office.activate(ana, job)
        assert job.schedule is not None
        assert job.schedule.cron == "0 8 * * *"

    def test_a_name_that_is_taken_is_refused(self, office: Any, jobs: Jobs, ana: Principal) -> None:
        office.register(ana, name="A")
        other = office.register(ana, name="B")
        with pytest.raises(Conflict) as caught:
            jobs.change_job(ana, other.id, JobChange(name="A"))
        assert caught.value.code == "job-name-taken"
        jobs.change_job(ana, other.id, JobChange(name="B"))

    def test_paused_jobs_have_no_next_run_and_resume_with_the_next_tick(
        self, office: Any, jobs: Jobs, execution: Execution, ana: Principal, clock: Any
    ) -> None:
        job = office.activate(ana, office.register(ana, cron="@hourly", timezone="UTC"))
        job = jobs.pause(ana, job.id)
        assert job.paused
        assert job.next_run is None
        clock.turn(hours=5)
        assert execution.claim_due() == 0
        assert jobs.run_now(ana, job.id, RunIn()).state is RunState.QUEUED
        job = jobs.change_job(
            ana, job.id, JobChange(schedule=ScheduleIn(cron="30 * * * *", timezone="UTC"))
        )
        assert job.next_run is None
        job = jobs.resume(ana, job.id)
        assert job.next_run == at("2026-03-02 11:30")
        assert execution.claim_due() == 0

    def test_deleting_archives(
        self, office: Any, jobs: Jobs, execution: Execution, ana: Principal, clock: Any
    ) -> None:
        job = office.activate(ana, office.register(ana, cron="@hourly", timezone="UTC"))
        queued = jobs.run_now(ana, job.id, RunIn())
        jobs.delete_job(ana, job.id)
        jobs.delete_job(ana, job.id)
        assert jobs.list_jobs(ana).items == []
        kept = jobs.get_job(ana, job.id)
        assert kept.archived
        assert not jobs.may_manage(ana, kept)
        assert jobs.get_run(ana, queued.id).state is RunState.CANCELLED
        clock.turn(hours=2)
        assert execution.claim_due() == 0
        for ask in (
            lambda: jobs.pause(ana, job.id),
            lambda: jobs.run_now(ana, job.id, RunIn()),
            lambda: jobs.change_job(ana, job.id, JobChange(name="x")),
        ):
            with pytest.raises(Conflict) as caught:
                ask()
            assert caught.value.code == "job-archived"
        # The name is free again.
        assert office.register(ana).id != job.id


class TestTicks:
    def test_a_tick_before_activation_is_skipped_with_the_reason(
        self, office: Any, jobs: Jobs, execution: Execution, ana: Principal, clock: Any
    ) -> None:
        job = office.register(ana, cron="* * * * *")
        clock.turn(minutes=1)
        assert execution.claim_due() == 1
        run = jobs.list_runs(ana, job.id).items[0]
        assert (run.state, run.reason) == (RunState.SKIPPED, NOT_ACTIVE)
        assert run.trigger.key == "tick:2026-03-02T05:31:00Z"
        assert run.trigger.by == "service:jobs"
        assert run.finished_at is not None

    def test_a_due_tick_becomes_one_run_of_the_active_version(
        self, office: Any, jobs: Jobs, execution: Execution, ana: Principal, clock: Any
    ) -> None:
        job = office.activate(ana, office.register(ana, cron="* * * * *", parameters={"year": 7}))
        clock.turn(minutes=1)
        assert execution.claim_due() == 1
        assert execution.claim_due() == 0
        run = jobs.list_runs(ana, job.id).items[0]
        assert run.state is RunState.QUEUED
        assert run.trigger.scheduled_for == at("2026-03-02 05:31")
        assert run.parameters == {"year": 7, "region": "FR"}
        assert jobs.get_job(ana, job.id).next_run == at("2026-03-02 05:32")

    def test_after_downtime_the_newest_runs_and_the_others_are_recorded(
        self, office: Any, jobs: Jobs, execution: Execution, ana: Principal, clock: Any
    ) -> None:
        job = office.activate(ana, office.register(ana, cron="0 * * * *", timezone="UTC"))
        clock.turn(hours=3)
        assert execution.claim_due() == 3
        found = [
            (run.trigger.scheduled_for, run.state, run.reason)
            for run in jobs.list_runs(ana, job.id).items
            if not run.test
        ]
        assert found == [
            (at("2026-03-02 08:00"), "queued", ""),
            (at("2026-03-02 07:00"), "skipped", "missed"),
            (at("2026-03-02 06:00"), "skipped", "missed"),
        ]

    def test_of_the_ticks_that_wait_for_a_place_only_the_newest_stays(
        self, office: Any, jobs: Jobs, execution: Execution, ana: Principal, clock: Any
    ) -> None:
        job = office.activate(ana, office.register(ana, cron="* * * * *"))
        other = office.activate(ana, office.register(ana, name="Other", cron="* * * * *"))
        by_hand = jobs.run_now(ana, job.id, RunIn())
        clock.turn(minutes=1)
        execution.claim_due()
        begun = jobs.list_runs(ana, job.id).items[0]
        assert execution.begin(begun.id) is not None
        execution.lost(begun.id, 1, "The machine went away.")
        for _ in range(3):
            clock.turn(minutes=1)
            execution.claim_due()
        found = [(run.state, run.reason) for run in jobs.list_runs(ana, job.id).items[:4]]
        assert found == [
            ("queued", ""),
            ("skipped", "overtaken"),
            ("skipped", "overtaken"),
            ("queued", ""),  # it was begun, and is not forgotten
        ]
        assert jobs.list_runs(ana, job.id).items[3].id == begun.id
        assert jobs.get_run(ana, by_hand.id).state is RunState.QUEUED
        skipped = jobs.list_runs(ana, job.id).items[1]
        assert skipped.finished_at == clock.now
        waiting = [run for run in jobs.list_runs(ana, other.id).items if run.state == "queued"]
        assert len(waiting) == 1

    def test_what_a_long_downtime_leaves_is_bounded(
        self, office: Any, jobs: Jobs, execution: Execution, ana: Principal, clock: Any
    ) -> None:
        job = office.activate(ana, office.register(ana, cron="* * * * *"))
        clock.turn(days=400)
        assert execution.claim_due() == 101
        assert jobs.get_job(ana, job.id).next_run == clock.now.replace(second=0) + (
            at("2026-01-01 00:01") - at("2026-01-01 00:00")
        )

    def test_a_schedule_that_cannot_be_read_holds_up_nobody(
        self,
        office: Any,
        jobs: Jobs,
        execution: Execution,
        database: Database,
        ana: Principal,
        clock: Any,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        poisoned = office.register(ana, name="Poisoned", cron="* * * * *")
        good = office.activate(ana, office.register(ana, name="Good", cron="* * * * *"))
        with database.writing() as connection:
            connection.execute(
                jobs_table.update()
                .where(jobs_table.c.id == poisoned.id)
                .values(cron="* * * *\0 drop", timezone="Mars")
            )
        clock.turn(minutes=1)
        assert execution.claim_due() == 1
        assert "schedule.unreadable" in caplog.text
        assert jobs.list_runs(ana, good.id).items[0].state is RunState.QUEUED
        shown = {job.id: job for job in jobs.list_jobs(ana).items}[poisoned.id]
        assert shown.schedule is not None
        assert "Cannot be read" in shown.schedule.sentence
        assert shown.next_run is None


class TestRuns:
    def test_the_same_key_asks_for_the_same_run(
        self, office: Any, jobs: Jobs, ana: Principal, ben: Principal
    ) -> None:
        job = office.activate(ana, office.register(ana))
        first = jobs.run_now(ana, job.id, RunIn(), idempotency_key="k")
        assert first.trigger.key == "manual:k"
        assert jobs.run_now(ana, job.id, RunIn(), idempotency_key="k").id == first.id
        with pytest.raises(Conflict):
            jobs.run_now(ana, job.id, RunIn(parameters={"year": 1}), idempotency_key="k")
        with pytest.raises(Conflict):
            jobs.run_now(ben, job.id, RunIn(), idempotency_key="k")
        assert jobs.run_now(ana, job.id, RunIn()).id != first.id

    def test_pages_follow_each_other_without_gap_or_overlap(
        self, office: Any, jobs: Jobs, ana: Principal
    ) -> None:
        job = office.activate(ana, office.register(ana))
        made = [jobs.run_now(ana, job.id, RunIn()).id for _ in range(7)]
        seen: list[str] = []
        cursor = None
        while True:
            page = jobs.list_runs(ana, job.id, limit=3, cursor=cursor)
            seen += [run.id for run in page.items]
            if page.next is None:
                break
            cursor = page.next
        assert seen[:7] == made[::-1]
        assert len(seen) == 8
        for limit, cursor in ((0, None), (201, None), (10, "../x"), (10, "")):
            with pytest.raises(Invalid):
                jobs.list_runs(ana, job.id, limit=limit, cursor=cursor)
        with pytest.raises(Invalid):
            jobs.list_versions(ana, job.id, cursor="x")

    def test_a_waiting_run_is_cancelled_at_once_and_an_ended_one_not_at_all(
        self, office: Any, jobs: Jobs, ana: Principal
    ) -> None:
        job = office.activate(ana, office.register(ana))
        run = jobs.cancel_run(ana, jobs.run_now(ana, job.id, RunIn()).id)
        assert (run.state, run.reason) == (RunState.CANCELLED, "cancelled by ana")
        assert jobs.cancel_run(ana, run.id).state is RunState.CANCELLED
        with pytest.raises(Conflict) as caught:
            jobs.cancel_run(ana, office.test_run(ana, job).id)
        assert caught.value.code == "run-ended"

    def test_jobs_are_found_by_name_notebook_and_project(
        self, office: Any, jobs: Jobs, ana: Principal
    ) -> None:
        first = office.register(ana, name="A", notebook_path="work/a.ipynb")
        second = office.register(ana, name="B", project=None)
        assert [job.id for job in jobs.list_jobs(ana).items] == [second.id, first.id]
        assert [job.id for job in jobs.list_jobs(ana, name="A").items] == [first.id]
        assert [job.id for job in jobs.list_jobs(ana, notebook_path="work/a.ipynb").items] == [
            first.id
        ]
        assert [job.id for job in jobs.list_jobs(ana, project="user-ana").items] == [second.id]
        assert jobs.list_jobs(ana, project="trade").items == []


class TestFences:
    def test_an_attempt_that_was_given_up_cannot_publish(
        self, office: Any, jobs: Jobs, execution: Execution, ana: Principal
    ) -> None:
        run_id = office.test_run(ana, office.register(ana)).id
        zombie = execution.begin(run_id)
        assert zombie is not None
        execution.listed(run_id, zombie.n)
        execution.lost(run_id, zombie.n, "gone")
        assert jobs.get_run(ana, run_id).state is RunState.QUEUED
        newer = execution.begin(run_id)
        assert newer is not None
        assert (newer.n, newer.fence) == (2, 2)
        done = Ended(RunState.SUCCEEDED, files=[])
        assert not execution.finish(run_id, zombie.n, zombie.fence, done)
        assert jobs.get_run(ana, run_id).state is RunState.RUNNING
        assert execution.finish(run_id, newer.n, newer.fence, done)
        assert not execution.finish(run_id, newer.n, newer.fence, Ended(RunState.FAILED))
        run = jobs.get_run(ana, run_id)
        assert run.state is RunState.SUCCEEDED
        assert [attempt.state for attempt in run.attempts] == ["lost", "succeeded"]

    def test_a_run_begins_once(self, office: Any, execution: Execution, ana: Principal) -> None:
        run_id = office.test_run(ana, office.register(ana)).id
        assert execution.begin(run_id) is not None
        assert execution.begin(run_id) is None


class TestEnvironment:
    def test_a_test_run_writes_beside_production(
        self, office: Any, jobs: Jobs, execution: Execution, ana: Principal
    ) -> None:
        job = office.register(ana)
        test = office.test_run(ana, job)
        spec = execution.begin(test.id)
        assert spec is not None
        assert spec.environment == {
            "AWS_REGION": "us-east-1",
            "ALMANAC_RUN_ID": test.id,
            "ALMANAC_JOB": "GDP nowcast",
            "ALMANAC_PROJECT": "prices",
            "ALMANAC_PROJECT_URI": "s3://almanac/projects/prices",
            "ALMANAC_OUTPUT_URI": f"s3://almanac/projects/prices/test/{test.id}",
            "ALMANAC_TEST": "1",
        }

    def test_a_tick_knows_its_time(
        self, office: Any, jobs: Jobs, execution: Execution, ana: Principal, clock: Any
    ) -> None:
        job = office.register(ana, project=None, cron="* * * * *")
        office.activate(ana, job)
        clock.turn(minutes=1)
        execution.claim_due()
        spec = execution.begin(jobs.list_runs(ana, job.id).items[0].id)
        assert spec is not None
        assert spec.environment["ALMANAC_SCHEDULED_FOR"] == "2026-03-02T05:31:00Z"
        assert spec.environment["ALMANAC_OUTPUT_URI"] == "s3://almanac/home/ana/outputs"
        assert "ALMANAC_TEST" not in spec.environment


class TestRunTokens:
    def test_stands_for_the_run_until_it_ends(
        self, office: Any, jobs: Jobs, execution: Execution, ana: Principal, database: Database
    ) -> None:
        job = office.register(ana)
        run_id = office.test_run(ana, job).id
        spec = execution.begin(run_id)
        assert spec is not None
        token = spec.run_token
        assert token not in repr(spec)
        run = jobs.lookup_run_token(token)
        assert run is not None
        assert run.kind is PrincipalKind.RUN
        assert run.name == run_id
        assert [project.slug for project in run.projects] == ["prices"]
        assert jobs.introspect(ana, token).model_dump() == {
            "active": True,
            "run": run_id,
            "job": job.id,
            "project": "prices",
        }
        with database.reading() as connection:
            stored = connection.execute(select(run_tokens)).one()
        assert token not in str(stored)
        execution.finish(run_id, 1, 1, Ended(RunState.SUCCEEDED, files=[]))
        assert jobs.lookup_run_token(token) is None
        assert not jobs.introspect(ana, token).active

    @pytest.mark.parametrize("token", ["", "almrun_", "almrun_" + "x" * 43, "\udc80", "hub-token"])
    def test_other_tokens_stand_for_nothing(self, jobs: Jobs, token: str) -> None:
        assert jobs.lookup_run_token(token) is None

    def test_reads_its_project_and_changes_nothing(
        self, office: Any, jobs: Jobs, execution: Execution, ana: Principal
    ) -> None:
        job = office.register(ana)
        own = office.register(ana, name="Private", project=None)
        spec = execution.begin(office.test_run(ana, job).id)
        assert spec is not None
        run = jobs.lookup_run_token(spec.run_token)
        assert run is not None
        assert [seen.id for seen in jobs.list_jobs(run).items] == [job.id]
        with pytest.raises(NotFound):
            jobs.get_job(run, own.id)
        with pytest.raises(Forbidden):
            jobs.run_now(run, job.id, RunIn())

    def test_credentials_reach_as_far_as_the_principal(
        self, office: Any, jobs: Jobs, execution: Execution, ana: Principal, issued: Any
    ) -> None:
        spec = execution.begin(office.test_run(ana, office.register(ana)).id)
        assert spec is not None
        run = jobs.lookup_run_token(spec.run_token)
        assert run is not None
        jobs.credentials(ana)
        jobs.credentials(dataclasses.replace(ana, rights=frozenset({Right.READ})))
        jobs.credentials(run)
        both = ["home/ana/", "projects/prices/"]
        assert issued.asked == [
            {"read": both, "write": both, "delete": [], "name": "user:ana"},
            {"read": both, "write": [], "delete": [], "name": "user:ana"},
            {
                "read": ["projects/prices/"],
                "write": ["projects/prices/"],
                "delete": [],
                "name": f"run:{run.name}",
            },
        ]


def test_me_tells_projects_roles_and_rights(jobs: Jobs, olga: Principal) -> None:
    me = jobs.me(olga)
    assert (me.name, me.kind) == ("olga", "user")
    assert [(p.slug, p.title, p.roles, p.personal) for p in me.projects] == [
        ("prices", "Prices", ["member", "owner"], False),
        ("user-olga", "", ["member", "owner"], True),
    ]
    assert me.rights == sorted(Right)
