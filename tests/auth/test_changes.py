"""What changes while the hub runs: removed users, groups, settings, operators."""

from __future__ import annotations

import re
import time
from typing import Any

import httpx
import pytest


@pytest.fixture(autouse=True)
def settings_as_before(hub: Any) -> Any:
    yield
    hub.projects.clear()
    hub.write_settings()


def api(hub: Any, token: str, path: str = "/user", method: str = "GET") -> httpx.Response:
    return httpx.request(
        method, hub.api + path, headers={"Authorization": f"token {token}"}, timeout=20
    )


def test_removed_user_is_refused_everywhere(hub: Any) -> None:
    name, password = hub.new_user()
    browser = hub.signed_in(name, password)
    token = hub.token_of(browser, name)
    assert api(hub, token).status_code == 200
    hub.users.remove(name)
    hub.wait_until(lambda: api(hub, token).status_code == 403)
    hub.wait_until(lambda: hub.me(token).status_code == 401)
    assert "/hub/login" in str(browser.get("/hub/home").url)
    assert "/hub/login" in str(browser.get(hub.prefix).url)
    assert hub.browser().sign_in(name, password).status_code == 403


def test_new_password_ends_sessions_and_keeps_programs_going(hub: Any) -> None:
    name, password = hub.new_user()
    thief = hub.signed_in(name, password)
    owner = hub.signed_in(name, password)
    token = hub.token_of(owner, name)
    hub.users.set_password(name, "a new password")
    # Signing in with it first, the way it happens, must not end that session too.
    fresh = hub.signed_in(name, "a new password")
    hub.wait_until(lambda: "/hub/login" in str(thief.get("/hub/home").url))
    hub.wait_until(lambda: "/hub/login" in str(thief.get(hub.prefix).url))
    assert fresh.get("/hub/home").url.path == "/hub/home"
    assert fresh.get(hub.prefix).url.path == hub.prefix
    assert hub.me(token).status_code == 200

    hub.users.set_password(name, "another password")  # and nobody signs in
    hub.wait_until(lambda: "/hub/login" in str(fresh.get("/hub/home").url))
    hub.wait_until(lambda: "/hub/login" in str(fresh.get(hub.prefix).url))
    assert hub.me(token).status_code == 200


def test_changed_groups_take_effect_without_signing_in_again(hub: Any) -> None:
    name, password = hub.new_user()
    browser = hub.signed_in(name, password)
    token = hub.token_of(browser, name)
    assert list(hub.me(token).json()["projects"]) == [f"user-{name}"]

    hub.projects[:] = [{"slug": "prices", "members": [name], "approvers": [name]}]
    hub.write_settings()
    hub.wait_until(lambda: "prices" in hub.me(token).json()["projects"])
    assert hub.me(token).json()["projects"]["prices"] == ["approver", "member"]
    session = browser.get(hub.prefix + "api/v1/me").json()
    assert session["projects"]["prices"] == ["approver", "member"]

    hub.projects[:] = [{"slug": "prices"}]
    hub.write_settings()
    hub.wait_until(lambda: "prices" not in hub.me(token).json()["projects"])


def test_broken_settings_change_nothing_and_are_logged(hub: Any) -> None:
    name, password = hub.new_user()
    hub.projects[:] = [{"slug": "trade", "members": [name]}]
    hub.write_settings()
    token = hub.token_of(hub.signed_in(name, password), name)
    hub.wait_until(lambda: "trade" in hub.me(token).json()["projects"])
    hub.write_settings("projects: [{slug: trade, membres: [x]}]\n")
    log = hub.here / "log"
    hub.wait_until(lambda: hub.me(token) and "membres" in log.read_text())
    assert "almanac.yaml:1: projects[0].membres" in log.read_text()
    assert "trade" in hub.me(token).json()["projects"]
    assert hub.browser().sign_in(name, password).status_code == 200


def test_users_file_damaged_while_running_keeps_people_in_and_says_so(hub: Any) -> None:
    name, password = hub.new_user()
    token = hub.token_of(hub.signed_in(name, password), name)
    hub.me(token)
    path = hub.users.path
    good = path.read_text()
    try:
        path.write_text("{ not json")
        log = hub.here / "log"
        hub.wait_until(lambda: hub.me(token) and "is damaged" in log.read_text())
        assert hub.me(token).status_code == 200
        assert hub.browser().sign_in(name, password).status_code == 503
    finally:
        path.write_text(good)


def test_operator_lists_and_stops_servers_and_cannot_open_them(hub: Any) -> None:
    owner, owner_password = hub.new_user("owner")
    boss, boss_password = hub.new_user("boss")
    hub.signed_in(owner, owner_password).get("/hub/spawn")
    hub.wait_until(
        lambda: hub.as_operator("GET", f"/users/{owner}").json()["servers"].get("", {}).get("ready")
    )
    browser = hub.browser()
    assert browser.sign_in(boss, boss_password).status_code == 200
    assert browser.get("/hub/admin").status_code == 403

    hub.write_settings(admins=[boss])
    hub.wait_until(lambda: browser.get("/hub/admin").status_code == 200)
    token = hub.token_of(browser, boss)
    model = api(hub, token, f"/users/{owner}").json()
    assert model["servers"][""]["ready"]
    assert model["admin"] is False
    assert "auth_state" not in model
    assert "state" not in model["servers"][""]
    held = api(hub, token).json()["scopes"]
    assert [s for s in held if s.startswith("access:servers")] == [f"access:servers!user={boss}"]
    assert api(hub, token).json()["admin"] is False
    # Opening the server runs into the hub's OAuth, which refuses.
    model = api(hub, token, f"/users/{owner}").json()
    refused = browser.get(
        "/hub/api/oauth2/authorize",
        params={
            "client_id": f"jupyterhub-user-{owner}",
            "redirect_uri": f"/user/{owner}/oauth_callback",
            "response_type": "code",
        },
    )
    assert refused.status_code == 403
    for path, method in (
        (f"/users/{owner}/tokens", "POST"),
        (f"/users/{owner}", "DELETE"),
        (f"/users/{owner}", "PATCH"),
        ("/shutdown", "POST"),
    ):
        assert api(hub, token, path, method).status_code in (403, 404), path
    stopped = api(hub, token, f"/users/{owner}/server", "DELETE")
    assert stopped.status_code in (202, 204)

    hub.write_settings()
    hub.wait_until(lambda: api(hub, token, "/users").status_code == 403)


def test_operator_of_no_project_sees_no_project(hub: Any) -> None:
    boss, password = hub.new_user("boss")
    hub.write_settings(admins=[boss])
    token = hub.token_of(hub.signed_in(boss, password), boss)
    hub.wait_until(lambda: "admin-ui" in api(hub, token).json()["scopes"])
    assert list(hub.me(token).json()["projects"]) == [f"user-{boss}"]


def test_guessing_is_slowed_down_and_the_right_password_still_works(hub: Any) -> None:
    name, password = hub.new_user()
    browser = hub.browser()
    started = time.monotonic()
    for _ in range(4):
        assert browser.sign_in(name, "not the password").status_code == 403
    assert time.monotonic() - started > 0.9
    assert hub.browser().sign_in(name, password).status_code == 200


def test_flood_of_guesses_is_turned_away_without_locking_out_others(hub: Any) -> None:
    from concurrent.futures import ThreadPoolExecutor

    victim, _ = hub.new_user("victim")
    page = hub.browser().get("/hub/login")
    assert re.search("password", page.text)

    def guess(i: int) -> int:
        # As the proxy would say where it comes from; the hub trusts it for the last step.
        with httpx.Client(
            base_url=f"http://127.0.0.1:{hub.ports['hub']}",
            headers={"X-Forwarded-For": "203.0.113.7"},
            timeout=60,
        ) as client:
            client.get("/hub/login", headers={"Sec-Fetch-Mode": "navigate"})
            answer = client.post(
                "/hub/login",
                data={
                    "username": victim,
                    "password": f"guess {i}",
                    "_xsrf": client.cookies["_xsrf"],
                },
            )
            return answer.status_code

    with ThreadPoolExecutor(14) as pool:
        answers = list(pool.map(guess, range(14)))
    assert answers.count(429) >= 5
    assert set(answers) == {403, 429}
    # Somebody else is not kept waiting.
    name, password = hub.new_user()
    started = time.monotonic()
    assert hub.browser().sign_in(name, password).status_code == 200
    assert time.monotonic() - started < 5
