"""What can go wrong between us and the store, in words for who reads them in the browser."""

from __future__ import annotations

from hub_ext.errors import Conflict, Forbidden, Invalid, NotFound, Unavailable


class Missing(NotFound):
    """There is no such object."""


class Refused(Forbidden):
    """The store refuses the credentials, here or altogether."""


class Changed(Conflict):
    """The object is no longer the one that the write was based on."""

    code = "changed"


class AlreadyThere(Conflict):
    """There is an object where there should be none."""

    code = "already-there"


class StoreDown(Unavailable):
    """The store does not answer, or answers that it cannot."""

    code = "store-down"


class ClockSkew(Unavailable):
    """The clocks of this machine and of the store are too far apart to sign a request."""

    code = "clock-skew"


class NoBucket(Unavailable):
    """The store has no such bucket."""

    code = "no-bucket"


class BadName(Invalid):
    """No object can have this name."""

    code, status = "bad-name", 400
