"""Reading a notebook and bringing it into the form that a bundle holds.

The structure is checked here with pydantic rather than with nbformat's JSON
Schema: it says which cell is wrong, and costs nothing at import.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hub_ext.bundles.parameters import source_of
from hub_ext.errors import Invalid, NotFound

SIZE_LIMIT = 100 * 1024 * 1024
CELLS_LIMIT = 20_000

# What outlives stripping: all else is the trace of a session or of a tool
# (times of execution, folded outputs, widget state) and would make the same
# notebook a different bundle each time.
_KEPT_NOTEBOOK_METADATA = ("title", "authors", "almanac")
_KEPT_CELL_METADATA = ("tags", "name", "format", "raw_mimetype", "almanac")


class NotebookMissing(NotFound):
    code = "notebook-missing"


class NotebookNotJson(Invalid):
    code = "notebook-not-json"


class NotebookInvalid(Invalid):
    """JSON, and no notebook."""

    code = "notebook-invalid"


class NotebookTooBig(Invalid):
    code, status = "notebook-too-big", 413


class NotebookNoKernel(Invalid):
    code = "notebook-no-kernel"


class _Part(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True)


class _Kernelspec(_Part):
    name: str = ""
    display_name: str = ""
    language: str = ""


class _LanguageInfo(_Part):
    name: str = ""


class _NotebookMetadata(_Part):
    kernelspec: _Kernelspec = _Kernelspec()
    language_info: _LanguageInfo = _LanguageInfo()


class _CellMetadata(_Part):
    tags: list[str] = []


class _Cell(_Part):
    source: str | list[str]
    metadata: _CellMetadata
    id: Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")] | None = None


class _CodeCell(_Cell):
    cell_type: Literal["code"]
    outputs: list[dict[str, Any]]


class _MarkdownCell(_Cell):
    cell_type: Literal["markdown"]
    attachments: dict[str, dict[str, Any]] = {}


class _RawCell(_Cell):
    cell_type: Literal["raw"]
    attachments: dict[str, dict[str, Any]] = {}


class _Notebook(_Part):
    nbformat: Literal[4]
    nbformat_minor: int = Field(ge=0)
    metadata: _NotebookMetadata
    cells: list[
        Annotated[_CodeCell | _MarkdownCell | _RawCell, Field(discriminator="cell_type")]
    ] = Field(max_length=CELLS_LIMIT)


def load(path: Path) -> dict[str, Any]:
    """The notebook at ``path``, parsed and checked.

    Raises:
        PublicError: ``notebook-missing``, ``notebook-too-big``,
            ``notebook-not-json`` or ``notebook-invalid``.
    """
    name = ascii(path.name)[1:-1] if not path.name.isprintable() else path.name
    try:
        if path.stat().st_size > SIZE_LIMIT:
            raise NotebookTooBig(
                f"{name} has {path.stat().st_size >> 20} MiB; {SIZE_LIMIT >> 20} is the most.",
                mend="Clear its outputs, and read data from files instead of pasting them.",
            )
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise NotebookMissing(f"There is no notebook {name}.", mend="Check its path.") from error
    except OSError as error:
        raise NotebookMissing(f"{name} cannot be read: {error.strerror}.") from error
    return parse(content, name=name)


def parse(content: bytes, *, name: str = "notebook.ipynb") -> dict[str, Any]:
    """As `load`, from the bytes of the file."""
    try:
        notebook = json.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise NotebookNotJson(
            f"{name} is not text in UTF-8 (byte {error.start}).",
            mend="Open it in JupyterLab and save it again.",
        ) from error
    except json.JSONDecodeError as error:
        raise NotebookNotJson(
            f"{name} is not valid JSON: {error.msg} at line {error.lineno}, column {error.colno}.",
            mend="Take an earlier version of the file, or mend it in a text editor.",
            line=error.lineno,
        ) from error
    except (RecursionError, ValueError) as error:
        raise NotebookNotJson(f"{name} is not valid JSON: it cannot be read.") from error
    validate(notebook, name=name)
    result: dict[str, Any] = notebook
    return result


def validate(notebook: Any, *, name: str = "notebook.ipynb") -> None:
    """Whether it is a notebook of format 4.

    Raises:
        NotebookInvalid: naming the cell and what is wrong there.
    """
    version = notebook.get("nbformat") if isinstance(notebook, dict) else None
    if isinstance(version, int) and version != 4:
        raise NotebookInvalid(
            f"{name} is a notebook of format {version}; only format 4 can go into production.",
            mend="Open it in JupyterLab and save it again.",
        )
    try:
        _Notebook.model_validate(notebook)
        json.dumps(notebook, ensure_ascii=False).encode()
    except ValidationError as error:
        first = error.errors()[0]
        where = _place(first["loc"])
        raise NotebookInvalid(
            f"{name} is not a notebook: {where}: {_reason(first)}.",
            mend="Open it in JupyterLab and save it again.",
        ) from error
    except (UnicodeEncodeError, RecursionError) as error:
        raise NotebookInvalid(
            f"{name} holds text that is not valid Unicode.",
            mend="Remove the broken characters from its cells or clear its outputs.",
        ) from error
    seen: dict[str, int] = {}
    for index, cell in enumerate(notebook["cells"]):
        identifier = cell.get("id")
        if identifier is not None and seen.setdefault(identifier, index) != index:
            raise NotebookInvalid(
                f"{name}: cells {seen[identifier] + 1} and {index + 1} have the same id.",
                mend="Open it in JupyterLab and save it again.",
            )


def _place(location: tuple[int | str, ...]) -> str:
    parts = [item for item in location if item not in ("code", "markdown", "raw")]
    if len(parts) >= 2 and parts[0] == "cells" and isinstance(parts[1], int):
        rest = ".".join(map(str, parts[2:3]))
        return f"cell {parts[1] + 1}" + (f", {rest}" if rest else "")
    return ".".join(map(str, parts)) or "the file"


def _reason(error: Any) -> str:
    if error["type"] == "missing":
        return "is missing"
    if error["type"] in ("union_tag_invalid", "union_tag_not_found"):
        return "is neither code, markdown nor raw"
    text = str(error["msg"])
    return text[:1].lower() + text[1:]


def kernelspec(notebook: Mapping[str, Any], *, name: str) -> dict[str, str]:
    """``name``, ``display_name`` and ``language`` of the kernel that the notebook names.

    Raises:
        NotebookNoKernel: it names none.
    """
    spec = notebook["metadata"].get("kernelspec", {})
    if not spec.get("name"):
        raise NotebookNoKernel(
            f"{name} does not say which kernel it runs in.",
            mend="Open it, choose a kernel (Kernel → Change Kernel…) and save it.",
        )
    language = spec.get("language") or notebook["metadata"].get("language_info", {}).get("name", "")
    return {
        "name": spec["name"],
        "display_name": spec.get("display_name", ""),
        "language": language.lower(),
    }


def strip(notebook: Mapping[str, Any]) -> dict[str, Any]:
    """The notebook without outputs, counters and volatile metadata.

    Sources stay as they are to the letter, and so do the ids of cells.
    """
    metadata = notebook["metadata"]
    kept: dict[str, Any] = {
        key: metadata[key] for key in _KEPT_NOTEBOOK_METADATA if key in metadata
    }
    kept["kernelspec"] = {
        key: str(metadata.get("kernelspec", {}).get(key, ""))
        for key in ("name", "display_name", "language")
    }
    if language := metadata.get("language_info", {}).get("name"):
        kept["language_info"] = {"name": language}
    with_ids = notebook["nbformat_minor"] >= 5
    taken = {cell["id"] for cell in notebook["cells"] if cell.get("id")}
    return {
        "cells": [
            _strip_cell(cell, index, taken if with_ids else None)
            for index, cell in enumerate(notebook["cells"])
        ],
        "metadata": kept,
        "nbformat": 4,
        "nbformat_minor": notebook["nbformat_minor"],
    }


def _strip_cell(cell: Mapping[str, Any], index: int, taken: set[str] | None) -> dict[str, Any]:
    result: dict[str, Any] = {
        "cell_type": cell["cell_type"],
        "metadata": {
            key: cell["metadata"][key] for key in _KEPT_CELL_METADATA if key in cell["metadata"]
        },
        "source": source_of(cell),
    }
    if cell["cell_type"] == "code":
        result |= {"execution_count": None, "outputs": []}
    elif cell.get("attachments"):
        result["attachments"] = cell["attachments"]
    if taken is not None:
        identifier = cell.get("id") or f"cell-{index}"
        while not cell.get("id") and identifier in taken:
            identifier += "-"
        result["id"] = identifier
        taken.add(identifier)
    return result


def serialise(notebook: Mapping[str, Any]) -> bytes:
    """Canonical bytes: the same notebook gives the same, everywhere."""
    text = json.dumps(notebook, ensure_ascii=False, indent=1, sort_keys=True, allow_nan=False)
    return (text + "\n").encode()
