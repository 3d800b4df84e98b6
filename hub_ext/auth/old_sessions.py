"""A new password ends the sessions that were begun with the old one.

JupyterHub knows no such thing: its login cookie is good for two weeks, and it
does not know when a password was changed. So the time of the last change is
kept with the hub's user, and once the users file has another, the cookie's id
is renewed and the tokens of browser sessions are deleted. Tokens that people
made for their programs, and those of running servers, stay: they are revoked
one by one, or all of them by removing the user.
"""

from __future__ import annotations

from typing import Any

from jupyterhub import orm

_KEY = "password_changed"
_PROGRAMS = "jupyterhub"  # the hub's own client id: tokens made on its page, and servers'


def noted(changed: str) -> dict[str, str]:
    """What the hub keeps with a new user, so that the next change is seen as one."""
    return {_KEY: changed}


def end_sessions_before(changed: str, orm_user: Any, db: Any) -> frozenset[str] | None:
    """End them if the password was changed since this was last asked.

    Args:
        changed: when the password was set, as in the users file.
        orm_user: the hub's database row of the user.
        db: the hub's database session.

    Returns:
        The ids of the tokens that were deleted; None when nothing had to end.
    """
    info = dict(orm_user.user_info or {})
    seen = info.get(_KEY)
    if seen == changed:
        return None
    orm_user.user_info = info | noted(changed)
    gone: set[str] = set()
    if seen is not None:
        orm_user.cookie_id = orm.new_token()
        for token in list(orm_user.api_tokens):
            if token.client_id != _PROGRAMS:
                gone.add(token.api_id)
                db.delete(token)
    db.commit()
    return None if seen is None else frozenset(gone)
