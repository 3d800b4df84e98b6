"""What `almanac up` shows while it starts and while it runs."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import IO

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from hub_ext.embedded.parts import PartState, PartStatus


def sentence(part: PartStatus) -> str:
    """What happened to a part, in a line; empty for what need not be said."""
    match part.state:
        case PartState.STARTING if not part.restarts:
            return f"{part.title}: starting"
        case PartState.RUNNING if not part.restarts:
            return f"{part.title}: running at {part.address}"
        case PartState.RUNNING:
            return f"{part.title}: running again"
        case PartState.SILENT:
            return f"{part.title}: does not answer"
        case PartState.RESTARTING:
            return f"{part.title}: {part.last_end}; starting it again"
        case PartState.LOOPING:
            wait = ""
            if part.retry_at is not None:
                seconds = (part.retry_at - part.since).total_seconds()
                wait = f"; next try in {seconds:.0f} s"
            return f"{part.title}: keeps failing ({part.last_end}){wait}; see {part.log}"
        case _:
            return ""


class Lines:
    """One line for each thing that happens: for scripts, files and pipes."""

    def __init__(self, stream: IO[str] | None = None, *, times: bool = False):
        self._stream = stream or sys.stdout
        self._times = times

    def note(self, text: str) -> None:
        # A terminal that has been closed is no reason to end what runs.
        with suppress(OSError, ValueError):
            stamp = datetime.now().astimezone().strftime("%H:%M:%S ") if self._times else ""
            print(stamp + text, file=self._stream, flush=True)

    def changed(self, part: PartStatus) -> None:
        if text := sentence(part):
            self.note(text)

    def ready(self, text: str) -> None:
        self.note(text)

    def stopping(self, why: str) -> None:
        self.note(f"stopping ({why})")

    def done(self) -> None:
        self.note("stopped")


class Screen:
    """A table that fills in while it starts, then lines with the time of day."""

    def __init__(self, console: Console | None = None):
        self._console = console or Console()
        self._parts: dict[str, PartStatus] = {}
        self._spinner = Spinner("dots")
        self._began = datetime.now(UTC)
        self._lines = Lines(self._console.file, times=True)
        self._live: Live | None = Live(
            get_renderable=self._render, console=self._console, refresh_per_second=8, transient=True
        )
        self._live.start()

    def note(self, text: str) -> None:
        self._safely(lambda: self._console.print(text, highlight=False, markup=False))

    def changed(self, part: PartStatus) -> None:
        self._parts[part.name] = part
        if self._live is None:
            if part.state is not PartState.STARTING:
                self._lines.changed(part)
        elif part.state in (PartState.RESTARTING, PartState.LOOPING):
            self.note(sentence(part))

    def ready(self, text: str) -> None:
        self._end_live()
        head, _, rest = text.partition(" ")
        self._safely(
            lambda: self._console.print(
                Text.assemble((head, "bold green"), " ", rest), soft_wrap=True, highlight=False
            )
        )
        self.note("Ctrl-C stops everything.")

    def stopping(self, why: str) -> None:
        self._end_live()
        self.note("Stopping; once more Ctrl-C does not wait.")

    def done(self) -> None:
        self._end_live()
        self.note("Stopped.")

    def _end_live(self) -> None:
        live, self._live = self._live, None
        if live is not None:
            self._safely(live.stop)

    def _safely(self, action: Callable[[], None]) -> None:
        with suppress(OSError, ValueError):
            action()

    def _render(self) -> Table:
        table = Table.grid(padding=(0, 2))
        for part in self._parts.values():
            if part.state is PartState.RUNNING:
                took = (part.since - self._began).total_seconds()
                table.add_row(
                    Text("✓", "green"), part.title, Text(f"{took:.1f} s  {part.address}", "dim")
                )
            elif part.state is PartState.LOOPING:
                table.add_row(Text("✗", "red"), part.title, Text(part.last_end, "red"))
            else:
                table.add_row(self._spinner, part.title, Text(str(part.state), "dim"))
        return table
