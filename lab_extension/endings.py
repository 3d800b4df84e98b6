"""What is still to be done when a server ends."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from typing import Any

SECONDS = 3.0
"""How long the end waits. What is not done by then is done by the next server."""


def install(serverapp: Any) -> None:
    """Close the contents manager with the server, where it can be closed.

    Jupyter Server tells a contents manager nothing of its end. The last that
    it does before it closes its connections is to end its kernels.
    """
    contents = serverapp.contents_manager
    close = getattr(contents, "close", None)
    if not asyncio.iscoroutinefunction(close):
        return
    end_kernels = serverapp.cleanup_kernels

    async def end() -> None:
        try:
            await end_kernels()
        finally:
            try:
                await asyncio.wait_for(close(), SECONDS)
            except Exception as error:
                serverapp.log.warning("Almanac: the files were not closed in order: %r", error)

    serverapp.cleanup_kernels = end
    if os.environ.get("JUPYTERHUB_API_TOKEN"):
        _heed_interrupts(serverapp)


def _heed_interrupts(serverapp: Any) -> None:
    """End in order when the hub asks for it.

    The hub begins with SIGINT, which Jupyter Server handles at a terminal
    alone: elsewhere it stops in the middle of whatever it does.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, serverapp._signal_stop)
