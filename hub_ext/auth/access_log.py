"""Access logs without what a URL must not give away.

The hub sends the browser back with the OAuth code and state in the query of
the callback: both are single-use and useless without the cookie, and neither
has any business in a file.
"""

from __future__ import annotations

import logging


class WithoutCallbackQuery(logging.Filter):
    """Cuts the query off the callback's path in uvicorn's access records.

    uvicorn's records have the arguments (client, method, path with query,
    HTTP version, status).
    """

    def filter(self, record: logging.LogRecord) -> bool:
        arguments = record.args
        if isinstance(arguments, tuple) and len(arguments) == 5:
            path, mark, _ = str(arguments[2]).partition("?")
            if mark and path.endswith("/oauth_callback"):
                record.args = (*arguments[:2], path + "?[secret]", *arguments[3:])
        return True


def protect_access_log(name: str = "uvicorn.access") -> None:
    """Add the filter to a logger, once."""
    logger = logging.getLogger(name)
    if not any(isinstance(item, WithoutCallbackQuery) for item in logger.filters):
        logger.addFilter(WithoutCallbackQuery())
