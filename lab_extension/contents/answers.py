"""What Jupyter's handlers are told when something cannot be done: the one place for it."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from typing import ParamSpec, TypeVar

from tornado import web

from hub_ext.errors import Conflict, PublicError, Unavailable

P = ParamSpec("P")
T = TypeVar("T")


class ContentsError(web.HTTPError):
    """An HTTPError whose message may hold percent signs, as names of files do.

    Tornado doubles them, since it takes the message for a format; Jupyter then
    sends it as it is. Here the message is sent as it was meant.
    """

    def __init__(self, status: int, message: str, *, reason: str | None = None):
        self._message = message
        super().__init__(status, message, reason=reason)

    @property
    def log_message(self) -> str:
        return self._message

    @log_message.setter
    def log_message(self, value: str) -> None:
        """Set by older versions of Tornado."""

    def get_message(self) -> str:
        return self._message


def http_error(error: PublicError) -> web.HTTPError:
    """What Jupyter's handlers send for an explained refusal: the one place where that is said.

    The reason is the error's code where a program may want to know it.
    """
    telling = isinstance(error, Conflict | Unavailable)
    return ContentsError(error.status, str(error), reason=error.code if telling else None)


def answers(method: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
    """Explained refusals of an asynchronous method leave it as HTTP errors."""

    @functools.wraps(method)
    async def wrapped(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await method(*args, **kwargs)
        except PublicError as error:
            raise http_error(error) from error

    return wrapped
