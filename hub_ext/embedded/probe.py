"""Ask an address over plain HTTP, without a client library: this is done every second."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from urllib.parse import urlsplit

from hub_ext.embedded.parts import Check

TIMEOUT = 3.0
"""Seconds an answer may take. A part that is busy answers late, and is not ill for that."""


async def well(check: Check, within: float = TIMEOUT) -> bool:
    """Whether the part answers, and with a status that means "well"."""
    return await ask(check.url, within=within) in check.statuses


async def ask(
    url: str,
    *,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    within: float = TIMEOUT,
) -> int | None:
    """The HTTP status of the answer; None if there is none within ``within`` seconds."""
    try:
        async with asyncio.timeout(within):
            return await _ask(url, method, headers or {})
    except (OSError, TimeoutError, ValueError, IndexError):
        return None


async def _ask(url: str, method: str, headers: Mapping[str, str]) -> int:
    parts = urlsplit(url)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port or 80)
    try:
        lines = [
            f"{method} {path} HTTP/1.1",
            f"Host: {parts.netloc}",
            "User-Agent: almanac-up",
            "Connection: close",
            *(["Content-Length: 0"] if method != "GET" else []),
            *(f"{name}: {value}" for name, value in headers.items()),
        ]
        writer.write(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))
        await writer.drain()
        version, status, *_ = (await reader.readline()).decode("latin-1").split(maxsplit=2)
        if not version.startswith("HTTP/"):
            raise ValueError(f"not HTTP: {version!r}")
        return int(status)
    finally:
        writer.close()
