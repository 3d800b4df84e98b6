"""Who may do what at the hub, as one table of data.

The hub's configuration, the tokens of people's servers and the page of the
documentation are all made from the table here. Groups decide in which project
somebody acts and as what (`hub_ext.names.Role`); the scopes below only limit
what a credential may be used for, and never widen a role.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from hub_ext.names import Right

JOBS_SERVICE = "jobs"
OPERATOR_SERVICE = "operator"
OPERATOR_TOKEN = "operator-api-token"  # noqa: S105  # name of the secret, not its value

OPERATORS_GROUP = "almanac:operators"
"""The hub group of those who operate the hub (``authentication.admins``).

Not a slug, and no role of a project: no project of almanac.yaml can be called
so and make its members operators.
"""

ACCESS_JOBS = f"access:services!service={JOBS_SERVICE}"

RIGHTS: dict[Right, str] = {
    Right.READ: "See the jobs, runs and results of your projects.",
    Right.SUBMIT: "Register jobs and versions in your projects, and manage your own.",
    Right.APPROVE: "Approve a version where you are an approver; on the service's own pages only.",
    Right.OPERATE: "Manage others' jobs where you are an owner; no server's token holds it.",
}

SERVER_TOKEN_SCOPES: tuple[str, ...] = (
    # What JupyterLab's server itself needs: to report activity and to let its
    # own user in.
    "users:activity!user",
    "access:servers!server",
    # What the panel needs. Approving and operating are left out: a notebook
    # runs with this token, and must not be able to approve itself.
    ACCESS_JOBS,
    Right.READ.value,
    Right.SUBMIT.value,
)
"""For ``c.Spawner.server_token_scopes``: the token of a user's server."""

BROWSER_SCOPES: tuple[str, ...] = tuple(right.value for right in Right)
"""What a browser session at the job service may be used for at most; the user's
roles are the other bound."""

OPERATOR_SCOPES: tuple[str, ...] = (
    "admin-ui",
    "list:users",
    "read:users",
    "servers",
    "list:groups",
    "read:groups",
    "list:services",
    "read:services",
    "read:hub",
    "read:metrics",
)
"""What the people and the service that operate the hub have in common. Without
``access:servers`` (opening somebody's server), ``admin:auth_state``,
``admin:server_state``, ``tokens`` (acting as somebody) and ``admin:users``
(which includes making administrators)."""


@dataclass(frozen=True)
class HubRole:
    """A row of the table.

    Attributes:
        name: the role's name at the hub.
        description: for the reader of the documentation.
        scopes: JupyterHub scopes.
        holders: who holds it, in words.
        groups, services: the hub's groups and services that hold it.
    """

    name: str
    description: str
    scopes: tuple[str, ...]
    holders: str
    groups: tuple[str, ...] = ()
    services: tuple[str, ...] = ()


ROLES: tuple[HubRole, ...] = (
    HubRole(
        name="user",
        description="Own servers and tokens, and the job service; projects decide the rest.",
        scopes=("self", ACCESS_JOBS, *BROWSER_SCOPES),
        holders="everyone",
    ),
    HubRole(
        name="server",
        description="Report activity, let the server's own user in, submit jobs.",
        scopes=SERVER_TOKEN_SCOPES,
        holders="the token of each user's server",
    ),
    HubRole(
        name="almanac-operator",
        description=(
            "List, start and stop servers, see users and groups; cannot open another's "
            "server, read authentication state or act as somebody."
        ),
        scopes=OPERATOR_SCOPES,
        holders="`authentication.admins` of almanac.yaml",
        groups=(OPERATORS_GROUP,),
    ),
    HubRole(
        name="almanac-operator-service",
        description="The `almanac` command on the hub's own machine: as operators; removes users.",
        scopes=(*OPERATOR_SCOPES, "delete:users"),
        holders=f"the service `{OPERATOR_SERVICE}`",
        services=(OPERATOR_SERVICE,),
    ),
)
# The job service itself holds no role: it learns who somebody is from that
# person's own token, and needs nothing at the hub beyond being an OAuth client.


def load_roles() -> list[dict[str, Any]]:
    """The table as ``c.JupyterHub.load_roles`` wants it."""
    rows = []
    for role in ROLES:
        row: dict[str, Any] = {
            "name": role.name,
            "description": role.description,
            "scopes": list(role.scopes),
        }
        if role.groups:
            row["groups"] = list(role.groups)
        if role.services:
            row["services"] = list(role.services)
        rows.append(row)
    return rows


def custom_scopes() -> dict[str, dict[str, str]]:
    """The rights at the job service as ``c.JupyterHub.custom_scopes``."""
    return {right.value: {"description": text} for right, text in RIGHTS.items()}


def services(*, jobs_url: str, jobs_token: str, operator_token: str) -> list[dict[str, Any]]:
    """Our services as ``c.JupyterHub.services`` wants them.

    Both are external to the hub: it neither starts nor watches them.

    Args:
        jobs_url: where the proxy finds the job service, ``http://host:port``.
        jobs_token: its secret as a client of the hub, at most 64 characters.
        operator_token: the token of the ``almanac`` command on this machine.
    """
    return [
        {
            "name": JOBS_SERVICE,
            "url": jobs_url,
            "api_token": jobs_token,
            "oauth_no_confirm": True,
            "oauth_client_allowed_scopes": list(BROWSER_SCOPES),
            # The hub's pages have a link of their own to it (`hub_ext/hub_pages`).
            "display": False,
            # The hub waits this long for it at its start, and goes on without.
            "timeout": 1,
        },
        {"name": OPERATOR_SERVICE, "api_token": operator_token, "display": False},
    ]


def rights(scopes: Iterable[str]) -> frozenset[Right]:
    """The rights among the scopes of a credential."""
    held = set(scopes)
    return frozenset(right for right in Right if right.value in held)


def may_enter(scopes: Iterable[str], service: str = JOBS_SERVICE) -> bool:
    """Whether a credential with these (expanded) scopes may use the service at all."""
    return not {"access:services", f"access:services!service={service}"}.isdisjoint(scopes)


def markdown() -> str:
    """The table of roles and the list of rights, as Markdown for the documentation."""
    lines = ["| role | held by | may | scopes |", "| --- | --- | --- | --- |"]
    lines += [
        f"| `{role.name}` | {role.holders} | {role.description} | "
        + " ".join(f"`{scope}`" for scope in role.scopes)
        + " |"
        for role in ROLES
    ]
    lines += ["", "| right | means |", "| --- | --- |"]
    lines += [f"| `{right.value}` | {text} |" for right, text in RIGHTS.items()]
    return "\n".join(lines) + "\n"
