"""Between the bytes of an object and what the contents API tells of them.

Notebooks are written exactly as nbformat writes them (one space of
indentation, sorted keys, multi-line text as lists of lines), so that a
notebook that goes through here differs only where it was edited. nbformat's
own writer copies the notebook twice and encodes it value by value; this one
does neither, and both happen in threads.
"""

from __future__ import annotations

import binascii
import json
from collections.abc import Iterator
from json.encoder import encode_basestring as quoted
from typing import Any

import nbformat
import orjson
from nbformat.notebooknode import NotebookNode
from tornado import web

from lab_extension.contents.answers import ContentsError
from lab_extension.contents.objects.entries import Buffer

LARGE = 256 * 1024
"""From so many bytes on, work is done in a thread."""
_LONG = 4096
_SPLIT = frozenset({"application/javascript", "image/svg+xml"})
_TRANSIENT = frozenset({"orig_nbformat", "orig_nbformat_minor", "signature"})


def node(content: Any, path: str) -> NotebookNode:
    """A notebook as nbformat's functions take it, without copying its cells.

    Raises:
        HTTPError: 400, if it is no notebook at all.
    """
    if not isinstance(content, dict) or not isinstance(content.get("nbformat"), int):
        raise ContentsError(400, f"{path}: the content is not a notebook: it has no nbformat.")
    if content["nbformat"] not in nbformat.versions:
        raise ContentsError(400, f"{path}: notebooks of version {content['nbformat']} are unknown.")
    return content if isinstance(content, NotebookNode) else NotebookNode(content)


def has_ids(notebook: NotebookNode) -> bool:
    """Whether each cell has an id of its own, where the notebook's version asks for one."""
    if (notebook["nbformat"], notebook.get("nbformat_minor") or 0) < (4, 5):
        return True
    cells = notebook.get("cells")
    if not isinstance(cells, list):
        return True
    ids = [cell.get("id") for cell in cells if isinstance(cell, dict)]
    return all(isinstance(found, str) for found in ids) and len(set(ids)) == len(ids)


def problems_of(notebook: NotebookNode) -> dict[str, Any]:
    """What validation finds wrong, as Jupyter's manager takes it. Blocks.

    An invalid notebook is saved all the same, and its author told: the
    alternative is to lose it.
    """
    problems: dict[str, Any] = {}
    try:
        nbformat.validate(notebook)
    except nbformat.ValidationError as error:
        problems["ValidationError"] = error
    except Exception as error:
        # It stumbles over what is not even shaped as a notebook: no cells at all, say.
        told = f"{type(error).__name__}: {error}"
        problems["ValidationError"] = nbformat.ValidationError(told)
    return problems


def written(notebook: dict[str, Any]) -> bytes:
    """A notebook, byte for byte as `nbformat.write` writes it. Blocks."""
    if notebook["nbformat"] == 4:
        try:
            return b"".join(_pieces(notebook))
        except TypeError:
            pass  # keys or values that do not come out of JSON
    version = nbformat.versions[nbformat.reader.get_version(notebook)[0]]
    text = version.writes_json(nbformat.from_dict(notebook))
    return encoded(text if text.endswith("\n") else text + "\n")


def encoded(text: str) -> bytes:
    """UTF-8; half a surrogate pair, which UTF-8 cannot hold, as JSON's escape of it."""
    return text.encode("utf-8", "backslashreplace")


def _pieces(notebook: dict[str, Any]) -> Iterator[bytes]:
    """Cell by cell: one long string of a notebook with one emoji takes four bytes a character."""
    opening = "{"
    for key in sorted(notebook):
        value = notebook[key]
        opening += f"\n {quoted(key)}: "
        if key == "cells" and isinstance(value, list) and value:
            opening += "["
            for cell in value:
                out = [opening, "\n  "]
                _write(_cell(cell), "\n  ", out)
                yield encoded("".join(out))
                opening = ","
            opening = "\n ],"
            continue
        if key == "metadata" and isinstance(value, dict):
            value = {name: item for name, item in value.items() if name not in _TRANSIENT}
        out = [opening]
        _write(value, "\n ", out)
        yield encoded("".join(out))
        opening = ","
    yield encoded(opening.removesuffix(",") + "\n}\n")


def _cell(cell: Any) -> Any:
    """A cell as it is stored: text in lines, and not whether it was trusted."""
    if not isinstance(cell, dict):
        return cell
    cell = dict(cell)
    if isinstance(metadata := cell.get("metadata"), dict) and "trusted" in metadata:
        cell["metadata"] = {key: value for key, value in metadata.items() if key != "trusted"}
    if isinstance(source := cell.get("source"), str):
        cell["source"] = source.splitlines(True)
    if isinstance(attachments := cell.get("attachments"), dict):
        cell["attachments"] = {name: _bundle(bundle) for name, bundle in attachments.items()}
    if cell.get("cell_type") == "code" and isinstance(outputs := cell.get("outputs"), list):
        cell["outputs"] = [_output(output) for output in outputs]
    return cell


def _output(output: Any) -> Any:
    if not isinstance(output, dict):
        return output
    kind = output.get("output_type")
    if kind in ("execute_result", "display_data") and "data" in output:
        return {**output, "data": _bundle(output["data"])}
    if kind == "stream" and isinstance(text := output.get("text"), str):
        return {**output, "text": text.splitlines(True)}
    return output


def _bundle(data: Any) -> Any:
    if not isinstance(data, dict):
        return data
    return {
        kind: value.splitlines(True)
        if isinstance(value, str) and (kind.startswith("text/") or kind in _SPLIT)
        else value
        for kind, value in data.items()
    }


def _write(value: Any, line: str, out: list[str]) -> None:
    """JSON as `json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False)` has it.

    Args:
        line: a line break and the indentation of this value.
    """
    if isinstance(value, str):
        out.append(quoted(value) if len(value) < _LONG else _quoted_long(value))
    elif isinstance(value, dict):
        if not value:
            out.append("{}")
            return
        inner = line + " "
        lead = "{" + inner
        for key in sorted(value):
            out.append(f"{lead}{quoted(key)}: ")
            _write(value[key], inner, out)
            lead = "," + inner
        out.append(line + "}")
    elif isinstance(value, list | tuple):
        _write_list(value, line, out)
    elif isinstance(value, bool | int | float | None):
        out.append(json.dumps(value))
    else:
        raise TypeError(f"no JSON: {type(value)}")


def _quoted_long(value: str) -> str:
    """The same, several times faster for a picture of a megabyte."""
    try:
        return orjson.dumps(value).decode()
    except TypeError:  # half a surrogate pair
        return quoted(value)


def _write_list(value: list[Any] | tuple[Any, ...], line: str, out: list[str]) -> None:
    if not value:
        out.append("[]")
        return
    inner = line + " "
    out.append("[" + inner)
    kinds = set(map(type, value))
    if kinds == {str}:
        out.append(f",{inner}".join(map(quoted, value)))
    elif kinds <= {int, float, bool, type(None)}:
        # No string in it, so that every comma parts two values.
        out.append(json.dumps(value, separators=(f",{inner}", ": "))[1:-1])
    else:
        for number, item in enumerate(value):
            if number:
                out.append("," + inner)
            _write(item, inner, out)
    out.append(line + "]")


def text_of(data: Buffer, path: str) -> str:
    """Raises HTTPError 400 ("bad format") if it is no UTF-8."""
    try:
        return str(data, "utf-8")
    except UnicodeError as error:
        raise ContentsError(400, f"{path} is not UTF-8 encoded", reason="bad format") from error


def read_notebook(data: Buffer, path: str) -> tuple[NotebookNode, dict[str, Any]]:
    """A notebook in nbformat's current version, and what its validation found wrong. Blocks."""
    problems: dict[str, Any] = {}
    text = text_of(data, path)
    try:
        return nbformat.reads(text, as_version=4, capture_validation_error=problems), problems
    except Exception as error:
        raise ContentsError(400, f"Unreadable Notebook: {path} {error!r}") from error


def told(data: Buffer, wanted: str | None, path: str) -> tuple[str, str]:
    """A file's content as JSON can hold it, and its format. Blocks if it is large.

    Args:
        wanted: ``text``, ``base64``, or None for text where it is UTF-8.

    Raises:
        HTTPError: 400, if text was wanted and there is none.
    """
    if wanted != "base64":
        try:
            return text_of(data, path), "text"
        except web.HTTPError:
            if wanted == "text":
                raise
    return binascii.b2a_base64(data, newline=False).decode("ascii"), "base64"


def received(content: Any, form: str | None, path: str) -> bytes:
    """The bytes of a file's content as a client sent it. Blocks if it is large.

    Raises:
        HTTPError: 400, if the format is missing or the content is not in it.
    """
    if form not in ("text", "base64"):
        raise ContentsError(400, "Must specify format of file contents as 'text' or 'base64'")
    try:
        return bytes(content.encode("utf-8") if form == "text" else binascii.a2b_base64(content))
    except Exception as error:
        raise ContentsError(400, f"Encoding error saving {path}: {error}") from error
