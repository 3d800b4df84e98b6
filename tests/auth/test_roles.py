"""The role table: what must never be in it, and what is made from it."""

from __future__ import annotations

import pytest
from jupyterhub import roles as hub_roles
from jupyterhub import scopes as hub_scopes

from hub_ext.auth import roles
from hub_ext.auth.authenticator import groups_of
from hub_ext.names import Right, roles_from_groups
from hub_ext.settings import parse

DANGEROUS = (
    "access:servers",
    "admin:auth_state",
    "admin:server_state",
    "admin:servers",
    "admin:users",
    "tokens",
    "shares",
    "inherit",
    "proxy",
    "shutdown",
)


def expanded(scopes: tuple[str, ...]) -> set[str]:
    """With all subscopes, by the hub's own definitions."""
    found, queue = set(), list(scopes)
    while queue:
        scope = queue.pop()
        found.add(scope)
        queue += hub_scopes.scope_definitions.get(scope, {}).get("subscopes", [])
    return found


@pytest.mark.parametrize("name", ["almanac-operator", "almanac-operator-service"])
def test_operators_cannot_open_servers_read_state_or_act_as_others(name: str) -> None:
    role = next(role for role in roles.ROLES if role.name == name)
    held = expanded(role.scopes)
    assert not held & set(DANGEROUS)
    assert {"read:servers", "start:servers", "delete:servers", "list:users"} <= held


def test_every_scope_is_known_to_this_hub() -> None:
    custom = roles.custom_scopes()
    assert set(custom) == {right.value for right in Right}
    for role in roles.ROLES:
        for scope in role.scopes:
            base = scope.partition("!")[0]
            assert base in hub_scopes.scope_definitions or base in custom, scope


def test_a_servers_token_cannot_approve_or_operate() -> None:
    assert roles.rights(roles.SERVER_TOKEN_SCOPES) == {Right.READ, Right.SUBMIT}
    own = next(role for role in hub_roles.get_default_roles() if role["name"] == "server")
    assert set(own["scopes"]) <= set(roles.SERVER_TOKEN_SCOPES), "what JupyterLab itself needs"


def test_users_hold_what_their_servers_and_browsers_may_ask_for() -> None:
    user = next(role for role in roles.ROLES if role.name == "user")
    assert "self" in user.scopes
    assert set(roles.BROWSER_SCOPES) <= set(user.scopes)
    assert roles.ACCESS_JOBS in user.scopes


def test_operators_group_is_never_a_project() -> None:
    assert list(map(str, roles_from_groups("ada", [roles.OPERATORS_GROUP]))) == ["user-ada"]
    with pytest.raises(Exception, match="mistake"):
        parse(f"projects: [{{slug: '{roles.OPERATORS_GROUP}', members: [ada]}}]")


def test_groups_come_from_projects_and_admins() -> None:
    settings = parse(
        "authentication: {admins: [ada]}\n"
        "projects: [{slug: gdp, owners: [ada], members: [bob]}, {slug: almanac, members: [bob]}]\n"
    )
    assert groups_of("ada", settings) == ["almanac:operators", "gdp", "gdp:owner"]
    assert groups_of("bob", settings) == ["almanac", "gdp"]
    assert groups_of("eve", settings) == []


def test_services_hold_no_more_than_they_need() -> None:
    jobs, operator = roles.services(
        jobs_url="http://127.0.0.1:1", jobs_token="j", operator_token="o"
    )
    assert jobs["oauth_client_allowed_scopes"] == [right.value for right in Right]
    assert "admin" not in jobs
    assert "admin" not in operator
    assert not any("jobs" in role.get("services", []) for role in roles.load_roles())


@pytest.mark.parametrize(
    ("scopes", "allowed"),
    [
        (["access:services"], True),
        (["access:services!service=jobs"], True),
        (["access:services!service=other"], False),
        (["custom:almanac:read", "access:servers"], False),
        ([], False),
    ],
)
def test_who_may_enter(scopes: list[str], allowed: bool) -> None:
    assert roles.may_enter(scopes) is allowed


def test_the_documentations_table_has_every_role_and_right() -> None:
    text = roles.markdown()
    for role in roles.ROLES:
        assert f"| `{role.name}` |" in text
    for right in Right:
        assert f"`{right.value}`" in text
    widths = {line.count("|") for line in text.split("\n\n")[0].splitlines()}
    assert widths == {5}


def test_an_operator_is_known_as_one_at_our_services() -> None:
    from hub_ext.auth.asgi import HubLogin

    login = HubLogin(
        service="jobs",
        prefix="/services/jobs/",
        api_token="a" * 40,
        hub_api_url="http://127.0.0.1:1/hub/api",
        public_url="http://127.0.0.1",
        cookie_key="k" * 64,
    )
    for groups, operator in (([roles.OPERATORS_GROUP], True), (["gdp", "operators"], False)):
        model = {"kind": "user", "name": "ada", "groups": groups, "scopes": [roles.ACCESS_JOBS]}
        assert login._of_model(model, browser=False).operator is operator
