"""Bounds on what a cell may put into the notebook: a run must end with a file that opens."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

STREAM_LIMIT = 1024 * 1024
"""Characters of text that a cell's streams keep."""
OUTPUT_LIMIT = 20 * 1024 * 1024
"""Largest single output (characters of its data)."""
CELL_LIMIT = 50 * 1024 * 1024
"""All outputs of one cell."""
COUNT_LIMIT = 1000
"""Number of outputs of one cell."""

# A progress bar writes its line again and again; what counts is the last.
_OVERWRITTEN = re.compile(r"[^\n]*\r(?=[^\n\r])")


def append_stream(outputs: list[Any], name: str, text: str, make: Callable[..., Any]) -> None:
    """Add what was printed to the outputs of a cell, in place.

    Args:
        make: ``nbformat.v4.new_output``.
    """
    last = outputs[-1] if outputs else None
    if last is not None and last["output_type"] == "stream" and last["name"] == name:
        line = last["text"].rfind("\n") + 1
        last["text"] = last["text"][:line] + overwrite(last["text"][line:] + text)
        return
    if len(outputs) < COUNT_LIMIT:
        outputs.append(make("stream", name=name, text=overwrite(text)))


def overwrite(text: str) -> str:
    """The text as a terminal shows it where lines were written over (``\\r``)."""
    return _OVERWRITTEN.sub("", text) if "\r" in text else text


def stream_size(outputs: list[Any]) -> int:
    return sum(len(item["text"]) for item in outputs if item["output_type"] == "stream")


def data_size(content: Any) -> int:
    """Characters of the data of a message."""
    if isinstance(content, str):
        return len(content)
    if isinstance(content, dict):
        return sum(map(data_size, content.values()))
    if isinstance(content, list):
        return sum(map(data_size, content))
    return 8
