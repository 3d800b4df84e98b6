"""Signing in to one of our services by a real hub, through a real proxy."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest


def who(page: httpx.Response) -> str:
    found = re.search(r'<p id="who">([^<]*)</p>', page.text)
    assert found, f"{page.status_code} {page.url}: {page.text}"
    return found.group(1)


def xsrf(page: httpx.Response) -> str:
    found = re.search(r'name="_xsrf" value="([^"]*)"', page.text)
    assert found
    return found.group(1)


def _forget_service(browser: Any) -> None:
    """Drop the service's cookies and keep the hub's."""
    for cookie in list(browser.http.cookies.jar):
        if cookie.name.startswith("almanac-jobs"):
            browser.http.cookies.delete(cookie.name, path=cookie.path, domain=cookie.domain)


def test_form_then_service_then_back_to_the_page_asked_for(hub: Any) -> None:
    name, password = hub.new_user()
    browser = hub.browser()
    page = browser.sign_in(name, password, at=hub.prefix + "runs/7?tab=log&x=%C3%A9")
    assert page.status_code == 200
    assert page.url.path == hub.prefix + "runs/7"
    assert page.url.query == b"tab=log&x=%C3%A9"
    assert who(page) == f"user:{name}"
    me = browser.get(hub.prefix + "api/v1/me").json()
    assert me["browser"] is True
    assert me["rights"] == [
        "custom:almanac:approve",
        "custom:almanac:operate",
        "custom:almanac:read",
        "custom:almanac:submit",
    ]


def test_wrong_password_and_unknown_user_look_alike(hub: Any) -> None:
    name, _ = hub.new_user()
    pages = [hub.browser().sign_in(each, "wrong password") for each in (name, "nobody-here")]
    assert [page.status_code for page in pages] == [403, 403]
    assert all("Invalid username or password" in page.text for page in pages)


def test_program_without_credentials_gets_a_problem_document(hub: Any) -> None:
    answer = httpx.get(f"{hub.url}{hub.prefix}api/v1/me", headers={"Accept": "*/*"})
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == "unauthenticated"
    script = hub.browser().get(hub.prefix + "api/v1/me", headers={"Sec-Fetch-Mode": "cors"})
    assert script.status_code == 401


def test_session_cookies_are_out_of_reach_of_scripts(hub: Any) -> None:
    browser = hub.browser()
    way = browser.get(hub.prefix)
    name, password = hub.new_user()
    browser.sign_in(name, password, at=hub.prefix)
    cookies = [
        cookie
        for response in [*way.history, *browser.get(hub.prefix).history]
        for cookie in response.headers.get_list("set-cookie")
        if cookie.startswith("almanac-jobs-")
    ]
    assert cookies
    for cookie in cookies:
        assert "HttpOnly" in cookie
        assert "SameSite=lax" in cookie
        assert f"Path={hub.prefix}" in cookie


def test_the_hub_is_asked_with_pkce_and_refuses_a_code_without_the_verifier(hub: Any) -> None:
    name, password = hub.new_user()
    browser = hub.signed_in(name, password)
    browser.http.follow_redirects = False
    _forget_service(browser)
    asked = browser.get(hub.prefix)
    query = parse_qs(urlsplit(asked.headers["location"]).query)
    assert query["code_challenge_method"] == ["S256"]
    back = browser.get(asked.headers["location"])
    code = parse_qs(urlsplit(back.headers["location"]).query)["code"][0]
    client = {
        "client_id": "service-jobs",
        "client_secret": (hub.here / "jobs-token").read_text(),
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": hub.prefix + "oauth_callback",
    }
    answer = httpx.post(f"{hub.api}/oauth2/token", data=client | {"code_verifier": "x" * 43})
    assert answer.status_code == 400


def test_two_tabs_may_sign_in_at_once(hub: Any) -> None:
    name, password = hub.new_user()
    browser = hub.browser()
    first = browser.get(hub.prefix + "one")
    second = browser.get(hub.prefix + "two")
    action = re.search(r'<form[^>]*action="([^"]+)"', second.text)
    assert action
    page = browser.http.post(
        action.group(1).replace("&amp;", "&"),
        data={"username": name, "password": password, "_xsrf": browser.http.cookies["_xsrf"]},
    )
    assert page.url.path == hub.prefix + "two"
    # The other tab goes on from the form that it has shown since before.
    address = parse_qs(urlsplit(str(first.url)).query)["next"][0]
    page = browser.get(address)
    assert page.url.path == hub.prefix + "one"
    assert who(page) == f"user:{name}"


def test_many_tabs_do_not_fill_the_browsers_headers(hub: Any) -> None:
    browser = hub.browser()
    for i in range(20):
        browser.get(f"{hub.prefix}{i}")
    kept = [cookie for cookie in browser.http.cookies.jar if "-signin-" in cookie.name]
    assert len(kept) <= 6


def test_callback_that_was_not_begun_here_starts_anew_and_never_signs_in(hub: Any) -> None:
    # Somebody else's code and state, pushed into this browser.
    other_name, other_password = hub.new_user("other")
    other = hub.signed_in(other_name, other_password)
    other.http.follow_redirects = False
    _forget_service(other)
    asked = other.get(hub.prefix)
    back = other.get(asked.headers["location"])
    pushed = back.headers["location"]

    name, password = hub.new_user()
    browser = hub.signed_in(name, password)
    page = browser.get(pushed)
    assert who(page) == f"user:{name}"

    without = hub.browser()
    page = without.get(pushed)
    assert "/hub/login" in str(page.url)


def _hub_cookies(browser: Any) -> str:
    return "; ".join(
        f"{cookie.name}={cookie.value}"
        for cookie in browser.http.cookies.jar
        if not cookie.name.startswith("almanac-jobs")
    )


def test_browser_without_cookies_is_told_and_does_not_go_round_for_ever(hub: Any) -> None:
    name, password = hub.new_user()
    browser = hub.signed_in(name, password)
    hub_cookies = _hub_cookies(browser)
    page = _follow_without_keeping(hub, hub_cookies)
    assert page.status_code == 403
    assert "Allow cookies" in page.text


def _follow_without_keeping(hub: Any, cookies: str) -> httpx.Response:
    address = hub.url + hub.prefix
    for _ in range(10):
        page = httpx.get(
            address,
            headers={"Cookie": cookies, "Sec-Fetch-Mode": "navigate", "Accept": "text/html"},
        )
        if not page.is_redirect:
            return page
        address = str(page.url.join(page.headers["location"]))
    raise AssertionError("goes round for ever")


@pytest.mark.parametrize(
    "state", ["", "x", "../../evil", "gAAAAABn" + "A" * 100], ids=["none", "x", "path", "forged"]
)
def test_forged_state_leads_to_the_start_page(hub: Any, state: str) -> None:
    answer = httpx.get(f"{hub.url}{hub.prefix}oauth_callback", params={"code": "c", "state": state})
    assert answer.status_code == 302
    assert answer.headers["location"] == hub.prefix


@pytest.mark.parametrize("path", ["//evil.example/", "/%5Cevil.example", "/..%2f..%2fhub/logout"])
def test_nobody_is_sent_elsewhere_after_signing_in(hub: Any, path: str) -> None:
    name, password = hub.new_user()
    browser = hub.browser()
    page = browser.sign_in(name, password, at=hub.prefix.rstrip("/") + path)
    assert page.url.host == "127.0.0.1"
    assert page.url.path.startswith(hub.prefix)
    assert who(page) == f"user:{name}"


def test_tampered_session_is_no_session(hub: Any) -> None:
    name, password = hub.new_user()
    browser = hub.signed_in(name, password)
    cookie = next(c for c in browser.http.cookies.jar if c.path == hub.prefix)
    value = cookie.value or ""
    for bad in (value[:-2], value[:40] + ("A" if value[40] != "A" else "B") + value[41:], "x", ""):
        answer = httpx.get(
            f"{hub.url}{hub.prefix}api/v1/me", headers={"Cookie": f"{cookie.name}={bad}"}
        )
        assert answer.status_code == 401


def test_writes_of_a_browser_need_the_xsrf_token(hub: Any) -> None:
    name, password = hub.new_user()
    browser = hub.signed_in(name, password)
    token = xsrf(browser.get(hub.prefix))
    write = hub.prefix + "api/v1/write"
    assert token
    assert browser.http.post(write).status_code == 403
    assert browser.http.post(write, headers={"X-XSRFToken": token + "x"}).status_code == 403
    assert browser.http.post(write, data={"_xsrf": "x", "a": "1"}).status_code == 403
    refused = browser.http.post(write)
    assert refused.json()["reason"] == "xsrf"
    accepted = browser.http.post(write, headers={"X-XSRFToken": token})
    assert accepted.status_code == 200
    form = browser.http.post(write, data={"_xsrf": token, "a": "1"})
    assert form.status_code == 200
    assert form.json()["form"]["a"] == "1", "the endpoint still reads its form"
    foreign = browser.http.post(
        write, headers={"X-XSRFToken": token, "Sec-Fetch-Site": "cross-site"}
    )
    assert foreign.status_code == 403


def test_xsrf_token_of_another_session_does_not_help(hub: Any) -> None:
    name, password = hub.new_user()
    one, two = hub.signed_in(name, password), hub.signed_in(name, password)
    token = xsrf(one.get(hub.prefix))
    answer = two.http.post(hub.prefix + "api/v1/write", headers={"X-XSRFToken": token})
    assert answer.status_code == 403


def test_script_that_fetches_a_page_does_not_get_its_xsrf_token(hub: Any) -> None:
    name, password = hub.new_user()
    browser = hub.signed_in(name, password)
    # The second: a service worker that hands a navigation on.
    for mode in ("cors", "navigate"):
        page = browser.get(hub.prefix, headers={"Sec-Fetch-Mode": mode, "Sec-Fetch-Dest": "empty"})
        assert page.status_code == 200
        assert xsrf(page) == ""
    person = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    assert xsrf(browser.get(hub.prefix, headers=person))


def test_token_in_the_header_is_never_a_browser_and_needs_no_xsrf(hub: Any) -> None:
    name, password = hub.new_user()
    browser = hub.signed_in(name, password)
    token = hub.token_of(browser, name)
    me = hub.me(token).json()
    assert me["who"] == f"user:{name}"
    assert me["browser"] is False
    # Nor does a session beside it make it one.
    both = browser.get(hub.prefix + "api/v1/me", headers={"Authorization": f"token {token}"})
    assert both.json()["browser"] is False
    write = httpx.post(
        f"{hub.url}{hub.prefix}api/v1/write", headers={"Authorization": f"token {token}"}
    )
    assert write.status_code == 200


@pytest.mark.parametrize(
    "header", ["Bearer wrong", "Basic YTpi", "Bearer", "token a b", "token \u00e9".encode(), "X"]
)
def test_bad_authorization_is_refused_even_beside_a_session(hub: Any, header: Any) -> None:
    name, password = hub.new_user()
    browser = hub.signed_in(name, password)
    answer = browser.get(hub.prefix + "api/v1/me", headers={"Authorization": header})
    assert answer.status_code == 401
    assert answer.json()["code"] == "unauthenticated"


def test_tokens_hold_the_rights_of_their_scopes(hub: Any) -> None:
    name, password = hub.new_user()
    browser = hub.signed_in(name, password)
    reader = hub.token_of(browser, name, ["access:services!service=jobs", "custom:almanac:read"])
    assert hub.me(reader).json()["rights"] == ["custom:almanac:read"]
    elsewhere = hub.token_of(browser, name, ["custom:almanac:read"])
    refused = hub.me(elsewhere)
    assert refused.status_code == 403
    assert "access:services!service=jobs" in refused.json()["mend"]


def test_services_of_the_hub_are_nobody_here(hub: Any) -> None:
    for name in ("operator-token", "jobs-token"):
        assert hub.me((hub.here / name).read_text()).status_code == 403


def test_run_token_is_a_run(hub: Any) -> None:
    me = hub.me(hub.run_token).json()
    assert me == {
        "who": "run:run-1",
        "browser": False,
        "rights": ["custom:almanac:read"],
        "projects": {},
    }


def test_server_token_may_read_and_submit_and_no_more(hub: Any) -> None:
    name, password = hub.new_user()
    browser = hub.signed_in(name, password)
    browser.get("/hub/spawn")
    file = hub.here / f"server-token-{name}"
    hub.wait_until(file.exists)
    hub.wait_until(
        lambda: hub.as_operator("GET", f"/users/{name}").json()["servers"].get("", {}).get("ready")
    )
    token = file.read_text()
    me = hub.me(token).json()
    assert me["who"] == f"user:{name}"
    assert me["browser"] is False
    assert me["rights"] == ["custom:almanac:read", "custom:almanac:submit"]
    # It cannot make itself a stronger token, nor open another's server.
    made = httpx.post(
        f"{hub.api}/users/{name}/tokens", headers={"Authorization": f"token {token}"}, json={}
    )
    assert made.status_code in (403, 404)
    model = httpx.get(f"{hub.api}/user", headers={"Authorization": f"token {token}"}).json()
    assert [scope for scope in model["scopes"] if scope.startswith("access:servers")] == [
        f"access:servers!server={name}/"
    ]


def test_revoked_token_and_session_are_noticed(hub: Any) -> None:
    name, password = hub.new_user()
    browser = hub.signed_in(name, password)
    token = hub.token_of(browser, name)
    assert hub.me(token).status_code == 200
    page = browser.get("/hub/logout")  # at the hub itself: ends the session's tokens
    assert page.status_code == 200
    hub.wait_until(
        lambda: (
            browser.get(hub.prefix + "api/v1/me", headers={"Sec-Fetch-Mode": "cors"}).status_code
            == 401
        )
    )
    again = hub.signed_in(name, password)
    again.get("/hub/token")
    token_id = httpx.get(f"{hub.api}/user", headers={"Authorization": f"token {token}"}).json()[
        "token_id"
    ]
    gone = again.http.delete(
        f"/hub/api/users/{name}/tokens/{token_id}",
        headers={"X-XSRFToken": again.http.cookies.get("_xsrf", path="/hub/") or ""},
    )
    assert gone.status_code == 204
    hub.wait_until(lambda: hub.me(token).status_code == 401)


def test_signing_out_ends_the_session_here_and_at_the_hub(hub: Any) -> None:
    name, password = hub.new_user()
    browser = hub.signed_in(name, password)
    forged = browser.get(hub.prefix + "logout", headers={"Sec-Fetch-Site": "cross-site"})
    assert who(forged) == f"user:{name}"
    browser.get(hub.prefix + "logout")
    assert "/hub/login" in str(browser.get(hub.prefix).url)
    assert "/hub/login" in str(browser.get("/hub/home").url)


def test_sign_in_leaves_no_code_in_the_access_log(hub: Any) -> None:
    name, password = hub.new_user()
    hub.signed_in(name, password)
    lines = [line for line in hub.access_log if "oauth_callback" in line]
    assert lines
    assert all("code=" not in line and "state=" not in line for line in lines)
    assert any("oauth_callback?[secret]" in line for line in lines)
    log = (hub.here / "log").read_text()
    assert not re.search(r"[?&]code=(?!\[secret\])", log)
