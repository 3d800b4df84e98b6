"""Where to go after signing in: only ever into the service itself."""

from __future__ import annotations

import re
from urllib.parse import unquote

LONGEST = 2000
# What may stand in a path and a query as it is (RFC 3986), and "%". Controls,
# spaces, backslashes (a slash to browsers) and whatever is not ASCII are out.
_PLAIN = re.compile(r"/[A-Za-z0-9\-._~!$&'()*+,;=:@%/?\[\]|]*\Z")


def safe_next(wanted: str | None, prefix: str) -> str:
    """``wanted`` where it is a path within ``prefix``, else ``prefix``.

    Args:
        wanted: path and query as the browser sent them; a fragment never
            reaches a server.
        prefix: the service's own, beginning and ending with a slash.
    """
    if not wanted or len(wanted) > LONGEST or not _PLAIN.match(wanted):
        return prefix
    path, _, _ = wanted.partition("?")
    if not path.startswith(prefix) or "//" in path:
        return prefix
    decoded = path
    # Proxies differ in how often they decode before they look for dots.
    for _ in range(3):
        decoded = unquote(decoded)
        if "\\" in decoded or "//" in decoded:
            return prefix
        if any(segment in (".", "..") for segment in decoded.split("/")):
            return prefix
    return wanted
