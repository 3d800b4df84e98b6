"""What a server's log must not hold."""

from __future__ import annotations

import logging


class WithoutSessionIds(logging.Filter):
    """Leaves out the line in which a server names the session of each new XSRF cookie."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.module != "_xsrf_utils" or record.levelno >= logging.WARNING


def protect() -> None:
    """Add the filter to the logger that tells of cookies, once."""
    # As an object: Jupyter Server gives Tornado's loggers its own name.
    from tornado.log import app_log

    if not any(isinstance(item, WithoutSessionIds) for item in app_log.filters):
        app_log.addFilter(WithoutSessionIds())
