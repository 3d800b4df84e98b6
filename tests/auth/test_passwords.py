"""The users file: names, passwords, several writers, damage."""

from __future__ import annotations

import json
import multiprocessing
import stat
import time
from pathlib import Path

import pytest
from argon2 import PasswordHasher
from hypothesis import given
from hypothesis import strategies as st

from hub_ext.auth.passwords import (
    UsersFile,
    UsersFileError,
    check_username,
    generate_password,
    username_problem,
)
from hub_ext.errors import Conflict, Invalid, NotFound

CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


@pytest.fixture
def users(tmp_path: Path) -> UsersFile:
    return UsersFile(tmp_path / "users.json", CHEAP)


def test_a_user_signs_in_with_their_password_alone(users: UsersFile) -> None:
    users.add("ada", "correct horse")
    assert users.verify("ada", "correct horse")
    for wrong in ("correct hors", "Correct horse", "", "correct horse ", "\udc80", "x" * 5000):
        assert not users.verify("ada", wrong)
    assert not users.verify("bob", "correct horse")
    assert users.names() == ["ada"]
    assert "ada" in users
    assert "bob" not in users


def test_the_file_holds_hashes_and_is_for_its_owner_alone(users: UsersFile) -> None:
    password = users.add("ada")
    text = users.path.read_text()
    assert password not in text
    assert json.loads(text)["users"]["ada"]["hash"].startswith("$argon2id$")
    assert stat.S_IMODE(users.path.stat().st_mode) == 0o600
    assert users.verify("ada", password)


def test_default_hashes_follow_rfc_9106(tmp_path: Path) -> None:
    users = UsersFile(tmp_path / "users.json")
    users.add("ada", "correct horse")
    # Low memory: 64 MiB, 3 passes, 4 lanes.
    assert users.entries()["ada"].hash.startswith("$argon2id$v=19$m=65536,t=3,p=4$")


def test_nothing_is_changed_by_a_refusal(users: UsersFile) -> None:
    users.add("ada", "correct horse")
    before = users.path.read_bytes()
    with pytest.raises(Conflict):
        users.add("ada", "another one")
    with pytest.raises(NotFound):
        users.set_password("bob", "another one")
    with pytest.raises(NotFound):
        users.remove("bob")
    with pytest.raises(Invalid, match="shorter than 8"):
        users.set_password("ada", "short")
    with pytest.raises(Invalid):
        users.add("Bob", "long enough")
    assert users.path.read_bytes() == before


def test_password_changes_and_users_go(users: UsersFile) -> None:
    users.add("ada", "correct horse")
    added = users.entries()["ada"].added
    users.set_password("ada", "battery staple")
    assert not users.verify("ada", "correct horse")
    assert users.verify("ada", "battery staple")
    assert users.entries()["ada"].added == added
    users.remove("ada")
    assert not users.verify("ada", "battery staple")
    assert users.names() == []


def test_another_process_is_seen_at_once(users: UsersFile) -> None:
    other = UsersFile(users.path, CHEAP)
    assert other.names() == []
    for i in range(20):  # within the grain of the file system's clock
        users.add(f"u{i}", "correct horse")
        assert f"u{i}" in other
        users.remove(f"u{i}")
        assert f"u{i}" not in other


def test_hash_with_old_parameters_is_renewed_at_sign_in(users: UsersFile) -> None:
    users.add("ada", "correct horse")
    before = users.entries()["ada"]
    newer = UsersFile(users.path, PasswordHasher(time_cost=2, memory_cost=16, parallelism=1))
    assert not newer.verify("ada", "wrong wrong")
    assert newer.entries()["ada"] == before
    assert newer.verify("ada", "correct horse")
    after = newer.entries()["ada"]
    assert "t=2" in after.hash
    assert after.changed == before.changed
    assert users.verify("ada", "correct horse")


def test_unknown_users_take_as_long_as_known_ones(tmp_path: Path) -> None:
    users = UsersFile(tmp_path / "users.json")
    users.add("ada", "correct horse")
    users.verify("nobody", "x")  # makes the stand-in's hash

    def seconds(name: str) -> float:
        times = []
        for _ in range(5):
            started = time.perf_counter()
            users.verify(name, "not it at all")
            times.append(time.perf_counter() - started)
        return min(times)

    assert 0.5 < seconds("nobody") / seconds("ada") < 2


def _add_many(path: str, start: int) -> None:
    users = UsersFile(path, CHEAP)
    for i in range(start, start + 10):
        users.add(f"u{i}", "correct horse")


def test_writers_at_the_same_time_lose_nothing(users: UsersFile) -> None:
    context = multiprocessing.get_context("spawn")
    writers = [
        context.Process(target=_add_many, args=(str(users.path), start)) for start in (0, 10, 20)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(30)
        assert writer.exitcode == 0
    assert users.names() == sorted(f"u{i}" for i in range(30))
    assert sorted(p.name for p in users.path.parent.iterdir()) == ["users.json", "users.json.lock"]


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "{}", '{"version": 2, "users": {}}', '{"version": 1, "users": {"a": {}}}',
     '{"version": 1, "users": {"a": {"hash": "", "added": "x", "changed": ""}}}', "\udce9"],
)  # fmt: skip
def test_damaged_file_is_an_error_that_names_it(users: UsersFile, text: str) -> None:
    users.add("ada", "correct horse")
    users.names()
    users.path.write_bytes(text.encode("latin-1", "surrogateescape"))
    for attempt in (users.names, lambda: users.verify("ada", "x"), lambda: users.add("bob")):
        with pytest.raises(UsersFileError, match=r"users\.json"):
            attempt()
    assert list(users.last_good) == ["ada"]
    assert users.path.read_bytes() == text.encode("latin-1", "surrogateescape")


@pytest.mark.parametrize("name", ["ada", "a", "9", "ada.l_o-v@x.org", "a+b", "x" * 64])
def test_user_names(name: str) -> None:
    assert check_username(name) == name


@pytest.mark.parametrize(
    "name",
    ["", "Ada", " ada", "ada ", "a/b", "..", ".ada", "-a", "é", "a b", "ada\n", "x" * 65, "a%2f"],
)
def test_what_is_no_user_name(name: str) -> None:
    with pytest.raises(Invalid) as refused:
        check_username(name)
    assert refused.value.field == "username"


def test_refused_name_proposes_its_lower_case() -> None:
    with pytest.raises(Invalid) as refused:
        check_username("Ada")
    assert refused.value.mend == "'ada' would do."


@given(st.text(max_size=70))
def test_every_user_name_is_one_for_the_hub(name: str) -> None:
    from jupyterhub.auth import Authenticator

    if username_problem(name) is None:
        hub = Authenticator()
        assert hub.normalize_username(name) == name
        assert hub.validate_username(name)


def test_made_up_passwords_can_be_typed() -> None:
    made = {generate_password() for _ in range(200)}
    assert len(made) == 200
    for password in made:
        groups = password.split("-")
        assert [len(group) for group in groups] == [5, 5, 5, 5]
        assert not set(password) & set("0o1il")
