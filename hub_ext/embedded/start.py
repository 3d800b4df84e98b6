"""From settings and a state folder to a running Almanac."""

from __future__ import annotations

import asyncio
import getpass
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from hub_ext import toolchain
from hub_ext.auth.passwords import UsersFile, username_problem
from hub_ext.embedded.lock import Lock
from hub_ext.embedded.parts import PartStatus
from hub_ext.embedded.records import PROCESSES, STATUS, end_leftovers
from hub_ext.embedded.supervisor import Supervisor
from hub_ext.embedded.table import (
    SECRETS,
    Addresses,
    environment_of_parts,
    gates,
    store_part,
    table,
)
from hub_ext.errors import PublicError
from hub_ext.settings import SETTINGS_FILE_VARIABLE, Settings, load
from hub_ext.state import StateFolder

LOCK = "lock"
NAMES_SHOWN = 5


class Show(Protocol):
    """Where people see what happens (`hub_ext.embedded.show`)."""

    def changed(self, part: PartStatus) -> None: ...
    def stopping(self, why: str) -> None: ...
    def note(self, text: str) -> None: ...
    def ready(self, text: str) -> None: ...
    def done(self) -> None: ...


def settings_file(chosen: Path | None, environment: Mapping[str, str]) -> Path | None:
    """The settings file that is meant: the one chosen, ``$ALMANAC_CONFIG``, else the
    distribution's own ``config/almanac.yaml``; None where there is none."""
    if chosen is not None:
        return chosen.absolute()
    if named := environment.get(SETTINGS_FILE_VARIABLE):
        return Path(named).absolute()
    with suppress(PublicError):
        shipped = toolchain.config_folder() / "almanac.yaml"
        if shipped.is_file():
            return shipped
    return None


def run(
    state: StateFolder,
    file: Path | None,
    show: Show,
    *,
    port: int | None = None,
    first_user: str | None = None,
    environment: Mapping[str, str] = os.environ,
) -> None:
    """Run Almanac until a signal ends it.

    Args:
        state: its folder; made if need be.
        file: almanac.yaml, None for the defaults.
        port: instead of ``server.port``; 0 takes a free one.
        first_user: name of the user who is made where there is none yet.

    Raises:
        PublicError: it cannot start, or did not; nothing is left running.
    """
    settings = load(file)
    if first_user is not None and (problem := username_problem(first_user)):
        raise PublicError(problem, mend="Choose another with `--first-user NAME`.")
    try:
        state.create()
    except OSError as error:
        raise PublicError(
            f"The state folder {state.root} cannot be made: {error.strerror}.",
            mend="Choose another with `--state DIR`.",
        ) from None
    with Lock(state.runtime / LOCK):
        asyncio.run(_run(state, file, settings, show, port, first_user, environment))
    show.done()


async def _run(
    state: StateFolder,
    file: Path | None,
    settings: Settings,
    show: Show,
    port: int | None,
    first_user: str | None,
    environment: Mapping[str, str],
) -> None:
    # Before the ports are looked at: it may be they that hold them.
    if left := await end_leftovers(state.runtime):
        show.note(f"ended {len(left)} processes of an Almanac that was killed")
    addresses = Addresses.choose(
        settings.server.address, settings.server.port if port is None else port
    )
    if not settings.server.loopback:
        show.note(
            f"others can reach {addresses.public_ip}:{addresses.public_port}, and there is no TLS: "
            "put a proxy that has it in front, or passwords can be read on their way"
        )
    show.note(
        "everybody's servers, jobs and files are this one account's: who runs code here is kept "
        "from others' files by the hub and the object store, and not by the system"
    )
    # A users file that cannot be read is told before anything starts, not after.
    UsersFile(state.users_file).names()
    for name in SECRETS:
        state.secret(name)
    if settings.authentication.method == "demo":
        state.secret("demo-password")
    store, store_url = store_part(state)
    parts = table(
        state,
        settings,
        addresses,
        environment_of_parts(environment, settings.network, state, file),
        store,
    )
    endpoints = addresses.endpoints(store_url)
    endpoints.save(state)
    supervisor = Supervisor(
        parts,
        runtime=state.runtime,
        log_folder=state.logs,
        report=show,
        public_url=endpoints.public_url,
        gates=gates(addresses),
        on_ready=lambda: show.ready(
            f"ready: {endpoints.public_url} · {sign_in(state, settings, first_user, environment)}"
        ),
    )
    try:
        await supervisor.run()
    finally:
        endpoints.remove(state)
        if not (state.runtime / PROCESSES).exists():
            (state.runtime / STATUS).unlink(missing_ok=True)


def sign_in(
    state: StateFolder,
    settings: Settings,
    first_user: str | None,
    environment: Mapping[str, str],
) -> str:
    """How to sign in, in a line; makes the first user where there is none.

    Only once all is ready: a password that is shown once must not be lost
    because something else did not start.
    """
    if settings.authentication.method == "demo":
        return f"sign in under any name with the password in {state.secrets / 'demo-password'}"
    users = UsersFile(state.users_file)
    if not (names := users.names()):
        name = first_user or default_user(environment)
        password = users.add(name)
        return f"sign in as {name} with this password, shown only once: {password}"
    known = ", ".join(names[:NAMES_SHOWN])
    if len(names) > NAMES_SHOWN:
        known += f" or one of {len(names) - NAMES_SHOWN} others"
    return f"sign in as {known}; forgotten? `almanac users passwd NAME`"


def default_user(environment: Mapping[str, str]) -> str:
    """``$ALMANAC_FIRST_USER``, else the name of the account, else ``admin``."""
    if named := environment.get("ALMANAC_FIRST_USER"):
        return named
    try:
        name = getpass.getuser().lower()
    except (OSError, KeyError):
        return "admin"
    return "admin" if name == "root" or username_problem(name) else name
