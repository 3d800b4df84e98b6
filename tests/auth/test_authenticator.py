"""The authenticator by itself: the demo's password, and names that changed hands."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from jupyterhub import orm
from tornado.httputil import HTTPHeaders
from traitlets.config import Config

from hub_ext.auth.authenticator import AlmanacAuthenticator
from hub_ext.auth.passwords import UsersFile
from hub_ext.settings import SettingsError


@pytest.fixture
def make(tmp_path: Path) -> Any:
    def made(settings: str = "", **traits: Any) -> AlmanacAuthenticator:
        (tmp_path / "almanac.yaml").write_text(settings)
        (tmp_path / "demo-password").write_text("for the demo\n")
        config = Config()
        config.AlmanacAuthenticator.users_file = str(tmp_path / "users.json")
        config.AlmanacAuthenticator.settings_file = str(tmp_path / "almanac.yaml")
        config.AlmanacAuthenticator.demo_password_file = str(tmp_path / "demo-password")
        for name, value in traits.items():
            config.AlmanacAuthenticator[name] = value
        return AlmanacAuthenticator(config=config)

    return made


@pytest.fixture
def users(tmp_path: Path) -> UsersFile:
    return UsersFile(tmp_path / "users.json")


@pytest.fixture
def known_since() -> Iterator[Callable[[str, datetime], orm.User]]:
    """Makes a user of the hub's database."""
    session = orm.new_session_factory("sqlite:///:memory:")()

    def known(name: str, when: datetime) -> orm.User:
        user = orm.User(name=name, created=when.replace(tzinfo=None))
        session.add(user)
        session.commit()
        return user

    yield known
    session.close()


async def test_demo_lets_anyone_in_with_the_one_password(make: Any) -> None:
    authenticator = make("authentication: {method: demo}\nprojects: [{slug: gdp, owners: [ada]}]")
    model = await authenticator.get_authenticated_user(
        None, {"username": "Ada", "password": "for the demo"}
    )
    assert model["name"] == "ada"
    assert model["groups"] == ["gdp", "gdp:owner"]
    assert model["admin"] is False
    for name, password in (("ada", "for the"), ("ada", ""), ("a/b", "for the demo"), ("", "")):
        assert not await authenticator.get_authenticated_user(
            None, {"username": name, "password": password}
        )


def test_demo_beyond_loopback_does_not_start(make: Any) -> None:
    with pytest.raises(SettingsError) as refused:
        make("server: {address: 0.0.0.0}\nauthentication: {method: demo}")
    assert "can be reached from other machines" in refused.value.problems[0]


async def test_capitals_are_one_person(make: Any, users: UsersFile) -> None:
    users.add("ada", "correct horse")
    model = await make().get_authenticated_user(
        None, {"username": "ADA", "password": "correct horse"}
    )
    assert model["name"] == "ada"


async def test_login_without_fields_is_refused(make: Any) -> None:
    assert await make().get_authenticated_user(None, {}) is None


def test_refresh_age_follows_the_settings_unless_configured(make: Any) -> None:
    assert make("authentication: {refresh_seconds: 7}").auth_refresh_age == 7
    assert make("authentication: {refresh_seconds: 7}", auth_refresh_age=3).auth_refresh_age == 3


def test_hub_forgets_at_its_start_who_is_no_user_any_more(
    make: Any, users: UsersFile, known_since: Any
) -> None:
    users.add("ada", "correct horse")
    now = datetime.now(UTC)
    authenticator = make()
    assert authenticator.delete_invalid_users
    authenticator.add_user(known_since("ada", now + timedelta(seconds=1)))
    with pytest.raises(ValueError, match="not in"):
        authenticator.add_user(known_since("bob", now))


def test_a_name_given_to_somebody_else_does_not_inherit_tokens(
    make: Any, users: UsersFile, known_since: Any
) -> None:
    before = datetime.now(UTC) - timedelta(days=30)
    users.add("ada", "correct horse")
    with pytest.raises(ValueError, match="not who had this name"):
        make().add_user(known_since("ada", before))


@pytest.mark.parametrize("damage", [None, "{"])
def test_lost_or_damaged_users_file_makes_the_hub_forget_nobody(
    make: Any, users: UsersFile, known_since: Any, damage: str | None
) -> None:
    if damage is not None:
        users.path.write_text(damage)
    make().add_user(known_since("ada", datetime.now(UTC)))


async def test_attempts_are_counted_by_the_proxys_word_and_not_the_clients(make: Any) -> None:
    authenticator = make("authentication: {method: demo}")
    for attempt in range(3):
        headers = HTTPHeaders(
            {"X-Forwarded-For": f"10.9.8.{attempt}, 192.0.2.1", "X-Real-Ip": f"10.9.8.{attempt}"}
        )
        # Tornado takes the address of X-Real-Ip, which anybody can send.
        request = SimpleNamespace(headers=headers, remote_ip=f"10.9.8.{attempt}")
        handler = SimpleNamespace(request=request)
        assert await authenticator.authenticate(handler, {"username": "ada", "password": "x"}) is (
            None
        )
    wait = authenticator._throttle.reserve("ada", "192.0.2.1", time.monotonic())
    assert wait is not None
    assert wait > 0
