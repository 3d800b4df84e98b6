"""Models, paths, answers and notebooks as bytes: pure functions."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import nbformat
import pytest
from contents import refused
from hypothesis import given
from hypothesis import strategies as st
from jupyter_client.jsonutil import json_default
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from tornado.web import HTTPError

from hub_ext.errors import Conflict, NotFound, PublicError
from lab_extension.contents import answers, handlers, models, notebooks, paths
from lab_extension.contents.objects.entries import Entry, Listing
from lab_extension.contents.objects.faults import Changed, Missing, StoreDown
from lab_extension.contents.quota import told

THEN = datetime(2026, 3, 4, 5, 6, 7, 8000, tzinfo=UTC)


def entry(key: str, **more: Any) -> Entry:
    return Entry(**{"key": key, "size": 3, "modified": THEN, "etag": "abc", **more})


# -- models


def test_a_file() -> None:
    assert models.file_model("d/a.csv", entry("d/a.csv"), with_hash=True) == {
        "name": "a.csv",
        "path": "d/a.csv",
        "type": "file",
        "created": THEN,
        "last_modified": THEN,
        "size": 3,
        "writable": True,
        "mimetype": "text/csv",
        "content": None,
        "format": None,
        "hash": "abc",
        "hash_algorithm": "etag",
    }


def test_a_hash_where_the_store_has_none() -> None:
    one, other = entry("a", etag=None), entry("a", etag=None, size=4)
    assert models.hash_of(one) != models.hash_of(other)
    assert models.hash_of(one) == models.hash_of(entry("b", etag=None))


@pytest.mark.parametrize(
    ("path", "wanted", "kind"),
    [
        ("a.ipynb", None, "notebook"),
        ("a.ipynb", "file", "file"),
        ("a.txt", "notebook", "notebook"),
        ("a.txt", None, "file"),
        ("d.ipynb/a", None, "file"),
    ],
)
def test_kinds(path: str, wanted: str | None, kind: str) -> None:
    assert models.kind_of(path, wanted) == kind


@pytest.mark.parametrize(
    ("name", "media_type"),
    [
        ("a.csv", "text/csv"),
        ("a.TXT", "text/plain"),
        ("d.csv/a.tar.gz", "application/x-tar"),
        ("a.b.c.json", "application/json"),
        ("csv", None),
        (".csv", None),
        ("a.", None),
        ("a.ipynb", None),
    ],
)
def test_media_types(name: str, media_type: str | None) -> None:
    assert models.media_type_of(name) == media_type


def test_what_a_listing_leaves_out() -> None:
    listing = Listing(
        [".hidden", ".ipynb_checkpoints", ".almanac", ".versions", "d", "no"],
        [entry("p/.a"), entry("p/b.txt"), entry("p/no"), entry("p/c.ipynb")],
        marked=True,
    )

    def names(path: str, **how: Any) -> list[str]:
        shown = models.listed(path, listing, shown=lambda name: name != "no", **how)
        return [model["path"] for model in shown]

    assert names("p") == ["p/d", "p/b.txt", "p/c.ipynb"]
    assert names("p", allow_hidden=True) == [
        "p/.hidden",
        "p/.almanac",
        "p/.versions",
        "p/d",
        "p/.a",
        "p/b.txt",
        "p/c.ipynb",
    ]
    assert names("", allow_hidden=True)[:2] == [".hidden", "d"]


# -- paths


@pytest.mark.parametrize(
    ("path", "key", "version"),
    [
        ("", "", None),
        ("/", "", None),
        ("/a//b/./c/", "a/b/c", None),
        (".versions/v%2F1/d/a.txt", "d/a.txt", "v/1"),
        ("d/.versions/x/y", "d/.versions/x/y", None),
    ],
)
def test_what_paths_name(path: str, key: str, version: str | None) -> None:
    named = paths.parse(path)
    assert (named.key, named.version) == (key, version)


@pytest.mark.parametrize("path", ["..", "a/../b", ".versions", ".versions/x"])
def test_paths_that_name_nothing(path: str) -> None:
    with pytest.raises(Missing):
        paths.parse(path)


@given(st.text("aZ0/+=%ü", min_size=1), st.text("ab%/+ü", min_size=1))
def test_the_path_of_a_version(version: str, key: str) -> None:
    key = "/".join(part for part in key.split("/") if part) or "a"
    named = paths.parse(paths.of_version(key, version))
    assert (named.key, named.version) == (key, version)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.txt", ["a.txt", "a-Copy1.txt", "a-Copy2.txt"]),
        ("a.tar.gz", ["a.tar.gz", "a-Copy1.tar.gz", "a-Copy2.tar.gz"]),
        ("a.b.ipynb", ["a.b.ipynb", "a.b-Copy1.ipynb", "a.b-Copy2.ipynb"]),
        ("a", ["a", "a-Copy1", "a-Copy2"]),
    ],
)
def test_numbered_names(name: str, expected: list[str]) -> None:
    assert list(islice(paths.numbered(name, "-Copy"), 3)) == expected
    assert next(paths.numbered(name, "-Copy", set(expected[:2]))) == expected[2]


def test_names_of_checkpoints_fit() -> None:
    assert paths.checkpoint_of("d/a.ipynb") == "d/.ipynb_checkpoints/a-checkpoint.ipynb"
    assert paths.checkpoint_of("a") == ".ipynb_checkpoints/a-checkpoint"
    long = ["ü" * 125 + end for end in (".txt", ".csv")]
    kept = {paths.checkpoint_of(name) for name in long}
    assert len(kept) == 2
    assert all(len(key.rpartition("/")[2].encode()) <= 255 for key in kept)


def test_globs() -> None:
    assert not paths.matches_none(["*.py", "*.pyc"])("a.pyc")
    assert paths.matches_none(["*.py", "*.pyc"])("a.pycx")
    assert paths.matches_none([])("a")


# -- answers


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        (Missing("a"), 404, None),
        (Changed("a"), 409, "changed"),
        (Conflict("a"), 409, "conflict"),
        (StoreDown("a"), 503, "store-down"),
        (NotFound("a"), 404, None),
    ],
)
def test_the_status_of_a_refusal(error: PublicError, status: int, reason: str | None) -> None:
    answer = answers.http_error(error)
    assert (answer.status_code, answer.reason) == (status, reason)


def test_percent_signs_of_a_message_stay_as_they_are() -> None:
    error = answers.http_error(Missing("There is no 100%s.", mend="Look for 50%."))
    assert error.log_message == "There is no 100%s. Look for 50%."
    assert "100%s. Look" in str(error)


async def test_refusals_become_http_errors() -> None:
    @answers.answers
    async def refuse(name: str) -> None:
        raise Missing(name)

    with pytest.raises(HTTPError, match=r"404.*who"):
        await refuse("who")


@pytest.mark.parametrize(
    ("size", "words"),
    [(0, "0 bytes"), (999, "999 bytes"), (1500, "1.5 kB"), (2 * 10**12, "2.0 TB")],
)
def test_sizes_for_people(size: int, words: str) -> None:
    assert told(size) == words


def test_answers_are_encoded_as_jupyter_does() -> None:
    model = models.file_model("ü.txt", entry("ü.txt"))
    model["content"] = [models.folder_model("d"), "\x00\x7f\u2028😀"]
    assert json.loads(handlers.encode(model)) == json.loads(json.dumps(model, default=json_default))
    huge = {"content": 2**80, "half": "\ud800"}
    assert json.loads(handlers.encode(huge)) == huge


# -- notebooks as bytes

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | st.sampled_from(
    ["", "a\nb", "a\r\nb\n", "x" * 5000, "\u2028ü", 'q"\\', "\x00\x1f\x7f"]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
KINDS = ["text/plain", "text/html", "image/png", "image/svg+xml", "application/json"]
DATA = st.dictionaries(st.sampled_from(KINDS), TEXT | st.lists(TEXT, max_size=2), max_size=3)
OUTPUTS = st.one_of(
    st.builds(lambda text: new_output("stream", name="stdout", text=text), TEXT),
    st.builds(
        lambda kind, data, more: new_output(kind, data={**data, "application/x+json": more}),
        st.sampled_from(["display_data", "execute_result"]),
        DATA,
        JSON,
    ),
    st.just(new_output("error", ename="E", evalue="e", traceback=["a\nb"])),
)
CELLS = st.one_of(
    st.builds(
        lambda source, outputs, more: new_code_cell(
            source, outputs=outputs, metadata={"trusted": True, "more": more}
        ),
        TEXT,
        st.lists(OUTPUTS, max_size=3),
        JSON,
    ),
    st.builds(
        lambda source, data: new_markdown_cell(source, attachments={"a.png": data}), TEXT, DATA
    ),
)


@given(st.lists(CELLS, max_size=4), JSON)
def test_notebooks_are_written_as_nbformat_writes_them(cells: list[Any], more: Any) -> None:
    made = new_notebook(cells=cells, metadata={"more": more, "signature": "x"})
    expected = nbformat.versions[4].writes_json(made) + "\n"
    assert notebooks.written(made) == expected.encode()
    plain = json.loads(json.dumps(made))
    assert notebooks.written(plain) == expected.encode()


def test_what_json_cannot_say_is_written_as_nbformat_does() -> None:
    made = new_notebook(metadata={"nan": float("nan"), "infinite": float("-inf"), "huge": 2**99})
    assert notebooks.written(made) == (nbformat.versions[4].writes_json(made) + "\n").encode()
    made = new_notebook(cells=[new_code_cell("half \ud800")])
    assert json.loads(notebooks.written(made))["cells"][0]["source"] == ["half \ud800"]


@given(st.binary(max_size=40), st.sampled_from([None, "text", "base64"]))
def test_files_come_back_as_they_were(data: bytes, wanted: str | None) -> None:
    try:
        data.decode()
    except UnicodeError:
        if wanted == "text":
            with refused(400, "a.bin is not UTF-8"):
                notebooks.told(data, wanted, "a.bin")
            return
        expected = "base64"
    else:
        expected = wanted or "text"
    content, form = notebooks.told(memoryview(data), wanted, "a.bin")
    assert form == expected
    assert notebooks.received(content, form, "a.bin") == data


def test_base64_with_line_breaks_is_understood() -> None:
    data = bytes(range(256))
    assert notebooks.received(base64.encodebytes(data).decode(), "base64", "a") == data
