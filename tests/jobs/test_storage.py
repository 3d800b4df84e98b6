"""Rules of files in the object store: whose credentials reach where, links, sizes."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from hub_ext.errors import Forbidden, Invalid, NotFound
from hub_ext.jobs.schemas import ShareIn
from hub_ext.jobs.store import Database
from hub_ext.jobs.store.tables import audit
from hub_ext.jobs.usecases import Jobs, Options
from hub_ext.jobs.usecases.sweeps import Sweeps
from hub_ext.names import Principal, PrincipalKind, Project, Right, Role
from hub_ext.storage.retention import Swept

RUN = Principal(
    kind=PrincipalKind.RUN,
    name="r1",
    projects={Project("prices"): frozenset({Role.MEMBER})},
    rights=frozenset({Right.READ}),
)


@pytest.fixture
def size(sizes: Any, clock: Any) -> Callable[[str, int], None]:
    from dataclasses import make_dataclass

    measured = make_dataclass("Measured", ["size", "objects", "as_of"])

    def set_size(prefix: str, size: int) -> None:
        sizes.known[prefix] = measured(size, 3, clock())

    return set_size


@pytest.fixture
def options() -> Options:
    return Options(titles={"prices": "Prices"}, quota_bytes=1000, quotas={"prices": None})


# -- credentials


def test_credentials_for_one_project_reach_that_alone(
    jobs: Jobs, ana: Principal, issued: Any
) -> None:
    jobs.credentials(ana, "prices")
    jobs.credentials(ana, "user-ana")
    jobs.credentials(RUN, "prices")
    assert [(asked["read"], asked["write"]) for asked in issued.asked] == [
        (["projects/prices/"], ["projects/prices/"]),
        (["home/ana/"], ["home/ana/"]),
        (["projects/prices/"], ["projects/prices/"]),
    ]


@pytest.mark.parametrize("slug", ["trade", "user-eve", "nowhere", "user-", "../prices", "prices/"])
def test_another_project_looks_like_none(
    jobs: Jobs, ana: Principal, issued: Any, slug: str
) -> None:
    said = {_refusal(lambda who=who: jobs.credentials(who, slug)) for who in (ana, RUN)}
    assert said == {f"There is no project {slug!r}."}
    assert issued.asked == []


def _refusal(ask: Callable[[], Any]) -> str:
    with pytest.raises(NotFound) as caught:
        ask()
    return caught.value.message


def test_a_token_without_the_right_to_read_gets_none(jobs: Jobs, person: Any, issued: Any) -> None:
    nobody = person("ana", "prices", rights=frozenset())
    for project in (None, "prices"):
        with pytest.raises(Forbidden):
            jobs.credentials(nobody, project)
    assert issued.asked == []


def test_a_person_of_very_many_projects_reaches_home_and_as_many_as_fit(
    jobs: Jobs, person: Any, issued: Any
) -> None:
    issued.most = 3
    many = person("ana", *(f"p{number:02}" for number in range(20)))
    jobs.credentials(many)
    reached = ["home/ana/", "projects/p00/", "projects/p01/"]
    assert (issued.asked[0]["read"], issued.asked[0]["write"]) == (reached, reached)
    jobs.credentials(many, "p19")
    assert issued.asked[1]["write"] == ["projects/p19/"]


def test_over_the_limit_they_read_and_delete(
    jobs: Jobs, ana: Principal, issued: Any, size: Any, sizes: Any
) -> None:
    size("home/ana/", 1000)
    size("projects/prices/", 10**9)  # has no limit
    jobs.credentials(ana)
    assert issued.asked[0]["delete"] == ["home/ana/"]
    assert issued.asked[0]["write"] == ["projects/prices/"]
    assert sizes.again == ["home/ana/"]
    size("home/ana/", 999)
    jobs.credentials(ana)
    assert issued.asked[1]["delete"] == []
    assert issued.asked[1]["write"] == ["home/ana/", "projects/prices/"]


def test_who_may_only_read_does_not_delete_either(
    jobs: Jobs, ana: Principal, issued: Any, size: Any
) -> None:
    size("home/ana/", 5000)
    jobs.credentials(replace(ana, rights=frozenset({Right.READ})))
    assert (issued.asked[0]["write"], issued.asked[0]["delete"]) == ([], [])


def test_me_says_where_files_lie_and_how_much_may(
    jobs: Jobs, ana: Principal, size: Any, sizes: Any
) -> None:
    size("home/ana/", 1000)
    prices, home = jobs.me(ana).projects
    assert sizes.again == ["home/ana/"]
    assert (home.prefix, home.writable, home.quota_bytes, home.used_bytes) == (
        "home/ana/",
        False,
        1000,
        1000,
    )
    assert (prices.prefix, prices.writable, prices.quota_bytes, prices.used_bytes) == (
        "projects/prices/",
        True,
        None,
        None,
    )
    reader = jobs.me(replace(ana, rights=frozenset({Right.READ})))
    assert [project.writable for project in reader.projects] == [False, False]
    assert [project.writable for project in jobs.me(RUN).projects] == [True]
    storage = jobs.me(ana).storage
    assert storage is not None
    assert (storage.bucket, storage.share_seconds, storage.keep_deleted_days) == (
        "almanac",
        604800,
        30,
    )


# -- links


def test_a_link_to_an_object_that_one_may_read_is_in_the_trail(
    jobs: Jobs,
    ana: Principal,
    linked: Any,
    clock: Any,
    database: Database,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    key = "projects/prices/secret plan.csv"
    made = jobs.share(ana, ShareIn(key=key, seconds=3600, version="v1"))
    assert made.expires == clock() + timedelta(hours=1)
    assert made.reach == "machine"
    assert linked.asked == [(key, 3600, "v1")]
    with database.reading() as connection:
        row = connection.execute(select(audit).where(audit.c.action == "share.made")).one()
    assert row.principal == "user:ana"
    assert row.detail["object"] == {"key": key, "version": "v1"}
    assert "share.made" in caplog.text
    assert "secret plan" not in caplog.text
    assert made.url not in caplog.text
    linked.local = False
    assert jobs.share(ana, ShareIn(key="home/ana/a", seconds=60)).reach == "network"


@pytest.mark.parametrize(
    "key",
    [
        "home/eve/a",
        "home/anatole/a",
        "home/ana",
        "home/ana/",
        "home/ana/../eve/a",
        "home/ana/./a",
        "home/ana//a",
        "/home/ana/a",
        "projects/trade/a",
        "projects/prices2/a",
        "runs/r/1/notebook.html",
        "bundles/abc",
        "home/ana/a\n",
        "home/ana/a\x7f",
        "home/ana/" + "a" * 1024,
        "",
    ],
)
def test_no_link_to_what_is_not_ones_own(jobs: Jobs, ana: Principal, linked: Any, key: str) -> None:
    with pytest.raises(NotFound):
        jobs.share(ana, ShareIn(key=key, seconds=3600))
    assert linked.asked == []


def test_links_are_bounded_and_for_people(
    jobs: Jobs, ana: Principal, person: Any, linked: Any
) -> None:
    for seconds in (0, -1, 59, 7 * 24 * 3600 + 1):
        with pytest.raises(Invalid) as caught:
            jobs.share(ana, ShareIn(key="home/ana/a", seconds=seconds))
        assert caught.value.field == "seconds"
    with pytest.raises(Invalid) as caught:
        jobs.share(ana, ShareIn(key="home/ana/a", seconds=60, version="v" * 2000))
    assert caught.value.field == "version"
    for nobody in (RUN, person("ana", "prices", rights=frozenset())):
        with pytest.raises(Forbidden):
            jobs.share(nobody, ShareIn(key="projects/prices/a", seconds=3600))
    assert linked.asked == []


class TestWithoutLinks:
    @pytest.fixture
    def options(self) -> Options:
        return Options(share_seconds=0)

    def test_there_are_none(self, jobs: Jobs, ana: Principal) -> None:
        with pytest.raises(Forbidden) as caught:
            jobs.share(ana, ShareIn(key="home/ana/a", seconds=3600))
        assert caught.value.code == "sharing-off"
        storage = jobs.me(ana).storage
        assert storage is not None
        assert storage.share_seconds == 0


def test_an_object_that_is_not_there_gets_no_link_and_no_row(
    jobs: Jobs, ana: Principal, database: Database
) -> None:
    with pytest.raises(NotFound):
        jobs.share(ana, ShareIn(key="home/ana/gone", seconds=3600))
    with database.reading() as connection:
        assert not connection.execute(select(audit).where(audit.c.action == "share.made")).all()


# -- sizes


def test_people_see_their_own_sizes(jobs: Jobs, ana: Principal, size: Any) -> None:
    for prefix in ("home/ana/", "home/eve/", "projects/trade/"):
        size(prefix, 10)
    seen = jobs.storage_usage(ana)
    assert [(item.project, item.size, item.objects, item.as_of is None) for item in seen] == [
        ("user-ana", 10, 3, False),
        ("prices", 0, 0, True),
    ]


def test_operators_see_all_sizes_and_not_with_their_servers_token(
    jobs: Jobs, ana: Principal, size: Any
) -> None:
    for number, prefix in enumerate(("home/eve/", "projects/trade/", "home/ana--1/../", "x/")):
        size(prefix, number)
    operator = dataclasses.replace(ana, operator=True, rights=frozenset(Right))
    seen = {item.project for item in jobs.storage_usage(operator)}
    assert seen == {"user-ana", "prices", "user-eve", "trade"}
    from_server = dataclasses.replace(operator, rights=ana.rights)
    assert {item.project for item in jobs.storage_usage(from_server)} == {"user-ana", "prices"}
    owner = dataclasses.replace(ana, rights=frozenset(Right))
    assert {item.project for item in jobs.storage_usage(owner)} == {"user-ana", "prices"}


# -- sweeps


def test_a_sweep_is_remembered(database: Database, clock: Any) -> None:
    sweeps = Sweeps(database, clock)
    assert sweeps.last() is None
    sweeps.record(Swept(versions=3, size=100, uploads=1))
    then = clock()
    clock.turn(hours=1)
    assert Sweeps(database, clock).last() == then
