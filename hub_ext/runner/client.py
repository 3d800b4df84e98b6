"""nbclient with bounded outputs, which tells what cells print while they do."""

from __future__ import annotations

from typing import Any

import nbformat
from nbclient import NotebookClient

from hub_ext.runner.events import EventLog
from hub_ext.runner.outputs import (
    CELL_LIMIT,
    COUNT_LIMIT,
    OUTPUT_LIMIT,
    STREAM_LIMIT,
    append_stream,
    data_size,
    stream_size,
)

_DATA = ("display_data", "execute_result", "update_display_data")


class BoundedClient(NotebookClient):  # type: ignore[misc]
    """Executes cells in a kernel that is there already.

    Args:
        notebook: a ``NotebookNode``; outputs go into it.
        events: takes what cells print.
    """

    clear_before_next_output: bool

    def __init__(self, notebook: Any, events: EventLog):
        super().__init__(
            notebook,
            timeout=None,
            iopub_timeout=30,
            record_timing=False,
            store_widget_state=False,
        )
        self._events = events
        self._cell: Any = None
        self._size = 0
        self._noted = False

    def process_message(self, msg: dict[str, Any], cell: Any, cell_index: int) -> Any:
        if cell is not self._cell:
            self._cell, self._size, self._noted = cell, 0, False
        kind, content = msg["msg_type"], msg["content"]
        if kind == "stream":
            self._events.stream(cell_index, content["name"], content["text"])
            if not self.output_hook_stack[msg["parent_header"].get("msg_id")]:
                self._stream(cell, cell_index, content["name"], content["text"])
                return None
        elif kind in _DATA:
            size = data_size(content.get("data", {}))
            if size > OUTPUT_LIMIT or self._size + size > CELL_LIMIT:
                self._note(cell, f"an output of {size / 2**20:.0f} MiB was left out")
                return None
            if len(cell.outputs) >= COUNT_LIMIT:
                self._note(cell, f"only the first {COUNT_LIMIT} outputs were kept")
                return None
            self._size += size
        elif kind == "clear_output":
            self._size, self._noted = 0, False
        return super().process_message(msg, cell, cell_index)

    def _stream(self, cell: Any, cell_index: int, name: str, text: str) -> None:
        if self.clear_before_next_output:
            cell.outputs[:] = []
            self.clear_display_id_mapping(cell_index)
            self.clear_before_next_output = False
        room = STREAM_LIMIT - stream_size(cell.outputs)
        append_stream(cell.outputs, name, text[: max(room, 0)], nbformat.v4.new_output)
        if len(text) > room:
            self._note(cell, f"only the first {STREAM_LIMIT // 2**20} MiB of text were kept")

    def _note(self, cell: Any, what: str) -> None:
        """Say once in a cell that something is missing, in the outputs and in the events."""
        if not self._noted:
            self._noted = True
            text = f"\n[{what}]\n"
            cell.outputs.append(nbformat.v4.new_output("stream", name="stderr", text=text))
