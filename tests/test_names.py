from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub_ext.names import (
    SLUG,
    Project,
    Role,
    RunKey,
    TriggerKind,
    roles_from_groups,
    slugify,
)


@pytest.mark.parametrize("name", ["ana", "team-7", "a", "0"])
def test_a_name_that_is_a_slug_stays_as_it_is(name: str) -> None:
    assert slugify(name) == name


@given(st.text(min_size=1, max_size=80))
def test_a_slug_is_valid_whatever_the_name(name: str) -> None:
    assert SLUG.match(slugify(name))


@given(st.text(min_size=1, max_size=80), st.text(min_size=1, max_size=80))
def test_two_names_never_share_a_slug(one: str, other: str) -> None:
    assert (slugify(one) == slugify(other)) == (one == other)


def test_names_that_differ_in_case_or_accents_alone_have_slugs_of_their_own() -> None:
    assert len({slugify(name) for name in ("ana", "Ana", "ána", "ana ", "ana-")}) == 5


@pytest.mark.parametrize(
    "slug", ["", "Macro", "a b", "-a", "a-", "user-ana", "x" * 41, "a/b", "..", "a\n"]
)
def test_a_shared_project_refuses_a_slug_that_is_unsafe_or_reserved(slug: str) -> None:
    with pytest.raises(ValueError, match="is not a project name"):
        Project.shared(slug)


def test_a_projects_prefix_tells_people_from_groups() -> None:
    assert Project.of_user("ana").prefix == "home/ana/"
    assert Project.shared("macro").prefix == "projects/macro/"


def test_groups_give_the_roles_and_every_user_owns_their_own_project() -> None:
    roles = roles_from_groups(
        "ana", ["macro", "macro:owner", "/org/else", "prices:approver", "x:king"]
    )
    assert roles == {
        Project.of_user("ana"): {Role.MEMBER, Role.OWNER},
        Project.shared("macro"): {Role.MEMBER, Role.OWNER},
        Project.shared("prices"): {Role.MEMBER, Role.APPROVER},
    }


def test_a_group_cannot_pose_as_a_persons_own_project() -> None:
    assert Project("user-bo") not in roles_from_groups("ana", ["user-bo", "user-bo:owner"])


def test_a_tick_is_the_same_key_in_whatever_zone_it_is_told() -> None:
    utc = datetime(2026, 3, 29, 1, 30, tzinfo=UTC)
    assert RunKey.tick(utc) == RunKey.tick(utc.astimezone(timezone(timedelta(hours=2))))
    assert str(RunKey.tick(utc)) == "tick:2026-03-29T01:30:00Z"


def test_a_tick_without_a_time_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        RunKey.tick(datetime(2026, 3, 29, 1, 30))  # noqa: DTZ001


@given(st.datetimes(timezones=st.just(UTC)).map(lambda when: when.replace(microsecond=0)))
def test_a_trigger_key_survives_its_text(when: datetime) -> None:
    key = RunKey.tick(when)
    assert RunKey.parse(str(key)) == key
    assert key.scheduled_for == when


@pytest.mark.parametrize("key", [RunKey.manual("abc"), RunKey.test(3)])
def test_only_a_tick_has_an_instant(key: RunKey) -> None:
    assert key.scheduled_for is None
    assert RunKey.parse(str(key)) == key


@pytest.mark.parametrize("text", ["tick", "tick:", "nothing:1", "manual:" + "x" * 201])
def test_a_text_that_is_no_trigger_key_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        RunKey.parse(text)


def test_every_kind_of_trigger_is_its_own_word() -> None:
    assert len({kind.value for kind in TriggerKind}) == len(TriggerKind)


def test_a_prefix_tells_whose_it_is() -> None:
    for project in (Project.of_user("ana"), Project.of_user("Ana Müller"), Project.shared("gdp")):
        assert Project.of_prefix(project.prefix) == project
    for prefix in ("", "home/", "home/ana", "bundles/abc/", "projects/user-ana/", "home/a/b/"):
        assert Project.of_prefix(prefix) is None
