"""Events of an attempt: lines of JSON, numbered from 1, in a file that only grows."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

CELL_LIMIT = 256 * 1024
"""Characters of streams that one cell may put into events."""
RUN_LIMIT = 8 * 1024 * 1024
"""The same for the whole run."""
BATCH = 16 * 1024
"""Streams are written in pieces of about so many characters."""

_MORE = "\n[there is more output: see the executed notebook]\n"


class EventLog:
    """Appends events; what cells print is gathered into pieces of sensible size.

    Not safe for several threads.
    """

    def __init__(self, path: Path):
        self._file = path.open("a", encoding="utf-8", errors="replace")
        self._seq = sum(1 for _ in path.open("rb"))
        self._pending: list[str] = []
        self._pending_size = 0
        self._source: tuple[int, str] | None = None
        self._cell_used: dict[int, int] = {}
        self._run_used = 0

    def add(self, kind: str, **data: Any) -> None:
        self.flush()
        self._write(kind, data)

    def stream(self, cell: int, name: str, text: str) -> None:
        """What a cell printed; cut off, with a note, where it is too much."""
        used = self._cell_used.get(cell, 0)
        room = min(CELL_LIMIT - used, RUN_LIMIT - self._run_used)
        if room <= 0 or not text:
            return
        if len(text) > room:
            text = text[:room] + _MORE
        self._cell_used[cell] = used + len(text)
        self._run_used += len(text)
        if self._source != (cell, name):
            self.flush()
            self._source = (cell, name)
        self._pending.append(text)
        self._pending_size += len(text)
        if self._pending_size >= BATCH:
            self.flush()

    def flush(self) -> None:
        """Write what cells have printed up to now."""
        if self._source and self._pending:
            cell, name = self._source
            text = "".join(self._pending)
            self._pending, self._pending_size = [], 0
            for start in range(0, len(text), 4 * BATCH):
                piece = text[start : start + 4 * BATCH]
                self._write("stream", {"cell": cell, "name": name, "text": piece})

    def close(self) -> None:
        self.flush()
        self._file.close()

    def _write(self, kind: str, data: dict[str, Any]) -> None:
        self._seq += 1
        event = {
            "seq": self._seq,
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "type": kind,
            "data": data,
        }
        # One write a line: a reader that tails the file waits for the newline.
        self._file.write(json.dumps(event, ensure_ascii=False) + "\n")
        self._file.flush()
