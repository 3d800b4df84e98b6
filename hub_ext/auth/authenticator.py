"""Sign-in by the users file, with groups from almanac.yaml.

JupyterHub asks `refresh_user` again whenever what it knows of a user is older
than ``auth_refresh_age``: that is what makes a removed user, or a changed
group, take effect without anybody signing in or out.
"""

from __future__ import annotations

import asyncio
import hmac
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC
from pathlib import Path
from typing import Any

from jupyterhub.auth import Authenticator
from tornado import web
from traitlets import Bool, Unicode, default

from hub_ext.auth.address import client_address
from hub_ext.auth.old_sessions import end_sessions_before, noted
from hub_ext.auth.passwords import UsersFile, UsersFileError, username_problem
from hub_ext.auth.roles import OPERATORS_GROUP
from hub_ext.auth.throttle import Throttle
from hub_ext.auth.watched import WatchedSettings
from hub_ext.settings import Settings


def groups_of(username: str, settings: Settings) -> list[str]:
    """The hub groups of a user: roles in projects, and the operators' group; sorted."""
    groups = settings.groups_of(username)
    if username in settings.authentication.admins:
        groups.append(OPERATORS_GROUP)
    return sorted(groups)


class AlmanacAuthenticator(Authenticator):  # type: ignore[misc]  # JupyterHub has no types
    """Everyone in the users file may come in; almanac.yaml says with which groups.

    JupyterHub's own administrators are not used, since they may open
    everybody's server: ``authentication.admins`` become members of a group
    that holds the operator role (`hub_ext.auth.roles`).

    Example::

        c.JupyterHub.authenticator_class = "hub_ext.auth.authenticator.AlmanacAuthenticator"
        c.AlmanacAuthenticator.users_file = "/srv/almanac/users.json"
        c.AlmanacAuthenticator.settings_file = "/etc/almanac.yaml"
    """

    users_file = Unicode(
        config=True,
        help="""Users and their password hashes (``almanac users add``). Required
        unless ``authentication.method`` is ``demo``.""",
    )
    settings_file = Unicode(
        config=True,
        help="""almanac.yaml: projects, members and ``authentication``. Read again
        when it changes; while it is invalid, the last valid one stays in force.
        Empty: the defaults.""",
    )
    demo_password_file = Unicode(
        config=True,
        help="""File that holds the one password of ``authentication.method: demo``,
        with which anyone can be anyone.""",
    )

    manage_groups = Bool(True, config=True, help="Groups come from almanac.yaml.")
    allow_all = Bool(True, config=True, help="Everyone in the users file may come in.")
    auth_refresh_strict = Bool(
        True,
        config=True,
        help="""Refuse a removed user's tokens, too. (JupyterHub's default lets
        tokens go on when a user cannot be refreshed.)""",
    )
    refresh_pre_spawn = Bool(True, config=True, help="No server for a user just removed.")
    delete_invalid_users = Bool(
        True,
        config=True,
        help="""At the hub's start, forget users who are no longer in the users
        file, and with them their tokens: the name may be given to somebody else.""",
    )

    @default("auth_refresh_age")  # type: ignore[untyped-decorator]
    def _default_auth_refresh_age(self) -> int:
        return self._watched.current().authentication.refresh_seconds

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        self._watched = WatchedSettings(self.settings_file or None, self.log)
        # What decides how people sign in holds until the hub is started again.
        self.method = self._watched.current().authentication.method
        self.users = UsersFile(self.users_file)
        self._own_refresh_age = any(
            "auth_refresh_age" in self.config[section]
            for section in self.section_names()
            if section in self.config
        )
        self._throttle = Throttle()
        # argon2 is slow and takes memory on purpose: two at a time, off the loop.
        self._hashing = ThreadPoolExecutor(2, thread_name_prefix="passwords")
        if self.method == "demo":
            self._demo_password = Path(self.demo_password_file).read_text().strip()
            if not self._demo_password:
                raise ValueError(f"{self.demo_password_file} is empty")
        elif not self.users_file:
            raise ValueError("AlmanacAuthenticator.users_file is not set")

    def validate_username(self, username: str) -> bool:
        return username_problem(username) is None and super().validate_username(username)

    def is_admin(self, handler: Any, authentication: dict[str, Any]) -> bool:
        """False, and not None, which would leave an old flag in place, unless
        the operator's own configuration names the user in ``admin_users``."""
        return authentication["name"] in self.admin_users

    async def authenticate(self, handler: Any, data: dict[str, str]) -> dict[str, Any] | None:
        username = self.normalize_username(data.get("username", ""))
        password = data.get("password", "")
        address = self._address_of(handler)
        # A name of any length may be typed: only what can be one is remembered.
        key = username if self.validate_username(username) else ""
        wait = self._throttle.reserve(key, address, time.monotonic())
        if wait is None:
            raise web.HTTPError(
                429, "Too many attempts to sign in. Wait half a minute, then try again."
            )
        if wait:
            await asyncio.sleep(wait)
        loop = asyncio.get_running_loop()
        try:
            right = await loop.run_in_executor(self._hashing, self._verify, username, password)
        except UsersFileError as error:
            self.log.error("%s", error)
            raise web.HTTPError(
                503, "Signing in does not work at the moment: tell your operator."
            ) from error
        if not right or not key:
            return None
        self._throttle.succeeded(key, address)
        model: dict[str, Any] = {
            "name": username,
            "groups": groups_of(username, self._watched.current()),
        }
        user = handler.find_user(username) if handler is not None else None
        if user is not None:
            # Before the new session begins, or it would end with the old ones.
            self._end_old_sessions(user)
        elif entry := self.users.last_good.get(username):
            model["user_info"] = noted(entry.changed)
        return model

    def _address_of(self, handler: Any) -> str:
        if handler is None:
            return ""
        return client_address(
            handler.request.headers.get("X-Forwarded-For", ""),
            getattr(self.parent, "trusted_downstream_ips", ()),
        )

    def _verify(self, username: str, password: str) -> bool:
        if self.method == "demo":
            return hmac.compare_digest(
                password.encode("utf-8", "surrogatepass"), self._demo_password.encode()
            )
        return self.users.verify(username, password)

    async def refresh_user(self, user: Any, handler: Any = None) -> bool | dict[str, Any]:
        """False for a user who is gone, the groups where they changed, else True."""
        settings = self._watched.current()
        if not self._own_refresh_age:
            self.auth_refresh_age = settings.authentication.refresh_seconds
        if not self._is_known(user.name):
            return False
        ended = self._end_old_sessions(user)
        if ended is not None and handler is not None:
            token = handler.get_token()
            if token is None or token.api_id in ended:
                return False
        wanted = groups_of(user.name, settings)
        if sorted(group.name for group in user.orm_user.groups) == wanted:
            return True
        return {"name": user.name, "groups": wanted}

    def add_user(self, user: Any) -> None:
        """Called for each user of the hub's database at its start, and for new ones.

        Raises:
            ValueError: the user is not in the users file, or is in it since
                later than the hub knows the name: then the name was given to
                somebody else while the hub was down.
        """
        super().add_user(user)
        if self.method == "demo" or not self.users.path.exists():
            return
        try:
            entry = self.users.entries().get(user.name)
        except UsersFileError as error:
            # No reason to forget anybody: the hub deletes whom this refuses.
            self.log.error("%s", error)
            return
        orm_user = getattr(user, "orm_user", user)
        if any(spawner.server is not None for spawner in orm_user.orm_spawners.values()):
            # Not with a server running, which nobody would stop then. The
            # user cannot get in anyway, see `refresh_user`.
            return
        if entry is None:
            raise ValueError(f"{user.name} is not in {self.users_file}")
        created = orm_user.created
        if created is not None and created.replace(tzinfo=UTC) < entry.added_at:
            raise ValueError(f"{user.name} is not who had this name before")

    def _end_old_sessions(self, user: Any) -> frozenset[str] | None:
        entry = self.users.last_good.get(user.name)
        if entry is None:
            return None
        ended = end_sessions_before(entry.changed, user.orm_user, user.db)
        if ended is not None:
            self.log.info("The password of %s was changed: ended their sessions", user.name)
        return ended

    def _is_known(self, name: str) -> bool:
        if self.method == "demo":
            return True
        try:
            return name in self.users
        except UsersFileError as error:
            # Damaged while the hub runs: those who were users stay users.
            self.log.error("%s", error)
            return name in self.users.last_good
