from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nbformat
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub_ext.bundles import notebooks
from hub_ext.errors import PublicError


def changed(notes: SimpleNamespace, **changes: Any) -> bytes:
    return json.dumps({**notes.notebook("x = 1"), **changes}).encode()


@pytest.mark.parametrize(
    ("content", "code", "words"),
    [
        (b"", "notebook-not-json", "line 1"),
        (b"{", "notebook-not-json", "line 1"),
        (b'{\n "cells": [,]}', "notebook-not-json", "line 2, column 12"),
        (b"\xff\xfe", "notebook-not-json", "UTF-8"),
        (b"[" * 100_000, "notebook-not-json", "cannot be read"),
        (b"[]", "notebook-invalid", "is not a notebook"),
        (b"{}", "notebook-invalid", "nbformat: is missing"),
        (b'{"nbformat": 3}', "notebook-invalid", "format 3"),
        (b'{"nbformat": 4, "nbformat_minor": 5, "metadata": {}}', "notebook-invalid", "cells"),
    ],
)
def test_what_is_no_notebook_is_refused_with_the_place(
    content: bytes, code: str, words: str
) -> None:
    with pytest.raises(PublicError) as caught:
        notebooks.parse(content, name="gdp.ipynb")
    assert caught.value.code == code
    assert "gdp.ipynb" in caught.value.message
    assert words in caught.value.message


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ({"cell_type": "code"}, "cell 1, source: is missing"),
        ({"cell_type": "soup"}, "cell 1: is neither code, markdown nor raw"),
        ({"cell_type": "raw", "metadata": {}, "source": 5}, "cell 1, source"),
        ({"cell_type": "raw", "metadata": {"tags": 5}, "source": ""}, "cell 1, metadata"),
        ({"cell_type": "raw", "metadata": {}, "source": "", "id": "a b"}, "cell 1, id"),
        (5, "cell 1"),
    ],
)
def test_a_broken_cell_is_named(notes: SimpleNamespace, cell: Any, words: str) -> None:
    with pytest.raises(PublicError) as caught:
        notebooks.parse(changed(notes, cells=[cell]))
    assert caught.value.code == "notebook-invalid"
    assert words in caught.value.message


def test_two_cells_of_one_id_are_refused(notes: SimpleNamespace) -> None:
    cells = [notes.code("x", id="a"), notes.code("y"), notes.code("z", id="a")]
    with pytest.raises(PublicError, match="cells 1 and 3"):
        notebooks.parse(json.dumps(notes.notebook(*cells)).encode())


def test_text_that_is_no_unicode_is_refused(notes: SimpleNamespace) -> None:
    with pytest.raises(PublicError, match="Unicode"):
        notebooks.parse(json.dumps(notes.notebook("x = '\ud800'")).encode())


def test_a_missing_and_an_oversized_file(tmp_path: Path) -> None:
    with pytest.raises(PublicError) as caught:
        notebooks.load(tmp_path / "nope.ipynb")
    assert caught.value.code == "notebook-missing"
    with (tmp_path / "big.ipynb").open("wb") as file:
        file.truncate(notebooks.SIZE_LIMIT + 1)
    with pytest.raises(PublicError) as caught:
        notebooks.load(tmp_path / "big.ipynb")
    assert caught.value.code == "notebook-too-big"
    with pytest.raises(PublicError):
        notebooks.load(tmp_path)


def test_a_byte_order_mark_is_no_fault(notes: SimpleNamespace) -> None:
    notebooks.parse(b"\xef\xbb\xbf" + changed(notes))


@pytest.mark.parametrize("metadata", [{}, {"kernelspec": {}}, {"kernelspec": {"name": ""}}])
def test_no_kernel_is_refused(notes: SimpleNamespace, metadata: dict[str, Any]) -> None:
    made = {**notes.notebook("x"), "metadata": metadata}
    with pytest.raises(PublicError) as caught:
        notebooks.kernelspec(made, name="a.ipynb")
    assert caught.value.code == "notebook-no-kernel"
    assert caught.value.mend


def test_stripping_keeps_sources_ids_and_tags_and_nothing_volatile(notes: SimpleNamespace) -> None:
    cells = [
        notes.code(
            ["a\r\n", "b"],
            "parameters",
            id="kept",
            execution_count=7,
            outputs=[{"output_type": "stream", "name": "stdout", "text": "x"}],
        ),
        {
            "cell_type": "markdown",
            "metadata": {"collapsed": True},
            "source": "![](attachment:a.png)",
            "attachments": {"a.png": {"image/png": "AAAA"}},
        },
    ]
    cells[0]["metadata"]["execution"] = {"iopub.status.busy": "2026-01-01T00:00:00Z"}
    made = notes.notebook(
        *cells, widgets={"x": 1}, language_info={"name": "python", "version": "3.11.7"}, title="T"
    )
    assert notebooks.strip(made) == {
        "cells": [
            {
                "cell_type": "code",
                "execution_count": None,
                "id": "kept",
                "metadata": {"tags": ["parameters"]},
                "outputs": [],
                "source": "a\r\nb",
            },
            {
                "attachments": {"a.png": {"image/png": "AAAA"}},
                "cell_type": "markdown",
                "id": "id-1",
                "metadata": {},
                "source": "![](attachment:a.png)",
            },
        ],
        "metadata": {
            "kernelspec": {"display_name": "Here", "language": "python", "name": "here"},
            "language_info": {"name": "python"},
            "title": "T",
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def test_missing_ids_are_given_the_same_each_time(notes: SimpleNamespace) -> None:
    made = notes.notebook("a", notes.code("b", id="cell-0"), "c")
    del made["cells"][0]["id"]
    assert [c["id"] for c in notebooks.strip(made)["cells"]] == ["cell-0-", "cell-0", "id-2"]
    old = {**made, "nbformat_minor": 4}
    assert all("id" not in cell for cell in notebooks.strip(old)["cells"][:1])


_sources = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


@given(st.lists(st.tuples(st.sampled_from(["code", "markdown", "raw"]), _sources), max_size=5))
def test_what_is_stripped_is_a_notebook_and_stays_as_it_is(cells: list[tuple[str, str]]) -> None:
    made: list[dict[str, Any]] = []
    for index, (kind, source) in enumerate(cells):
        lines = source.splitlines(keepends=True) if index % 2 else source
        cell = {"cell_type": kind, "metadata": {}, "source": lines, "id": f"c{index}"}
        made.append(cell | ({"outputs": [], "execution_count": 3} if kind == "code" else {}))
    notebook = {
        "cells": made,
        "metadata": {"kernelspec": {"name": "x", "display_name": "X", "language": "python"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    stripped = notebooks.strip(notebooks.parse(json.dumps(notebook).encode()))
    nbformat.validate(nbformat.from_dict(stripped))
    content = notebooks.serialise(stripped)
    assert notebooks.serialise(notebooks.strip(notebooks.parse(content))) == content
    assert [cell["source"] for cell in stripped["cells"]] == [source for _, source in cells]
