"""An extension of Jupyter Server that measures how long its event loop keeps others waiting.

The same for every contents manager: POST ``bench/loop/start`` and ``bench/loop/stop``.
"""

from __future__ import annotations

import asyncio
from typing import Any

from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.utils import url_path_join
from tornado import web

from tests.benchmarks.storage.figures import delays, percentile

INTERVAL = 0.005
"""Seconds between two samples."""


class LoopMeter:
    """Asks the loop to be called again every `INTERVAL`, and notes by how much it is late."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._lateness: list[float] = []
        self._plan()

    def _plan(self) -> None:
        self._due = self._loop.time() + INTERVAL
        self._timer = self._loop.call_at(self._due, self._tick)

    def _tick(self) -> None:
        self._lateness.append(self._loop.time() - self._due)
        self._plan()

    def stop(self) -> dict[str, float]:
        """Delays in milliseconds: their percentiles and the longest."""
        self._timer.cancel()
        self._lateness.append(self._loop.time() - self._due)
        waited = [delay * 1000 for delay in delays(self._lateness, INTERVAL)]
        return {
            "p50": percentile(waited, 0.5),
            "p99": percentile(waited, 0.99),
            "max": max(waited),
        }


class LoopHandler(JupyterHandler):
    @web.authenticated
    def post(self, what: str) -> None:
        meter: LoopMeter | None = self.settings.pop("loop_meter", None)
        figures = meter.stop() if meter else {}
        if what == "start":
            self.settings["loop_meter"] = LoopMeter()
        self.finish(figures)


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": __name__}]


def _load_jupyter_server_extension(server: Any) -> None:
    pattern = url_path_join(server.web_app.settings["base_url"], r"/bench/loop/(start|stop)")
    server.web_app.add_handlers(".*$", [(pattern, LoopHandler)])
