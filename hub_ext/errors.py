"""Errors that a user may see, apart from errors that are our bugs.

A `PublicError` is a refusal or a failure that is explained: a stable code, a
sentence that says what is wrong, and one that says how to mend it. Anything
else that escapes is a bug: it is logged with its traceback and the user reads
that something went wrong, and nothing of the traceback.
"""

from __future__ import annotations

from typing import Any


class PublicError(Exception):
    """What went wrong and how to mend it, in words meant for its reader.

    Args:
        message: one sentence: what is wrong and where.
        mend: one sentence: what the reader can do about it.
        field: the input that is at fault, as a dotted path of the request
            (``schedule.cron``), so that a form can show the error there.
        **extra: further members of the problem document; JSON values.
    """

    code: str = "error"
    status: int = 400

    def __init__(self, message: str, *, mend: str = "", field: str | None = None, **extra: Any):
        super().__init__(message)
        self.message = message
        self.mend = mend
        self.field = field
        self.extra = extra

    def __str__(self) -> str:
        return f"{self.message} {self.mend}".strip()

    def problem(self) -> dict[str, Any]:
        """The RFC 9457 problem document (``application/problem+json``)."""
        document: dict[str, Any] = {
            "type": f"about:blank#{self.code}",
            "title": self.message,
            "status": self.status,
            "detail": str(self),
            "code": self.code,
        }
        if self.mend:
            document["mend"] = self.mend
        if self.field:
            document["field"] = self.field
        document.update(self.extra)
        return document


class Invalid(PublicError):
    """The request does not make sense as it stands."""

    code, status = "invalid", 422


class Unauthenticated(PublicError):
    code, status = "unauthenticated", 401


class Forbidden(PublicError):
    code, status = "forbidden", 403


class NotFound(PublicError):
    code, status = "not-found", 404


class Conflict(PublicError):
    code, status = "conflict", 409


class Unavailable(PublicError):
    """A part that this needs does not answer now; trying again may work."""

    code, status = "unavailable", 503
