"""`S3ContentsManager` on the real store, method by method."""

from __future__ import annotations

import asyncio
import base64
import logging
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import nbformat
import pytest
from contents import Server, manager_of, refused, running_server, text
from nbformat.v4 import new_code_cell, new_notebook, new_output
from stores import RunningStore

from lab_extension.contents.manager import S3ContentsManager
from lab_extension.contents.objects.credentials import StaticKeys
from lab_extension.contents.objects.store import Store, StoreSettings

NAMES = [
    "a b.txt",
    "a+b.txt",
    "100%.txt",
    "%41.txt",
    "a#b?c&d.txt",
    "日本.csv",
    unicodedata.normalize("NFC", "é.txt"),
    unicodedata.normalize("NFD", "é.txt"),
    "n" * 251 + ".txt",
    "no ending",
    "end.",
]


def notebook(*sources: str, **metadata: Any) -> dict[str, Any]:
    made = new_notebook(cells=[new_code_cell(source) for source in sources], metadata=metadata)
    return {"type": "notebook", "content": made}


async def names(manager: S3ContentsManager, path: str = "") -> list[str]:
    return sorted(entry["name"] for entry in (await manager.get(path))["content"])


async def stored(manager: S3ContentsManager, key: str) -> bytes:
    return bytes((await manager.store.read(key))[1])


# -- reading and saving


@pytest.mark.parametrize("name", NAMES)
async def test_a_file_of_any_name_is_saved_listed_opened_renamed_and_deleted(
    manager: S3ContentsManager, name: str
) -> None:
    path = f"in {name}/{name}" if len(name) < 200 else f"in/{name}"
    saved = await manager.save(text("what is in it"), path)
    assert (saved["name"], saved["path"], saved["type"]) == (name, path, "file")
    folder = path.rpartition("/")[0]
    assert await names(manager, folder) == [name]
    assert (await manager.get(path))["content"] == "what is in it"
    await manager.rename(path, f"{folder}/moved")
    await manager.rename(f"{folder}/moved", path)
    await manager.copy(path, f"{folder}/copied")
    assert await names(manager, folder) == sorted([name, "copied"])
    await manager.delete(path)
    await manager.delete(f"{folder}/copied")
    assert await names(manager, folder) == []
    await manager.delete(folder)
    assert not await manager.exists(folder)


async def test_two_spellings_of_one_word_are_two_files(manager: S3ContentsManager) -> None:
    one, other = (unicodedata.normalize(form, "é.txt") for form in ("NFC", "NFD"))
    await manager.save(text("NFC"), one)
    await manager.save(text("NFD"), other)
    assert await names(manager) == sorted([one, other])
    assert (await manager.get(one))["content"] == "NFC"


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("../a", 404, "outside root contents directory"),
        ("a/../../b", 404, "outside root contents directory"),
        ("a\x00b", 400, "control character"),
        ("a\nb", 400, "control character"),
        ("x" * 1100, 400, "bytes too long"),
        ("a\\b", 400, "backslash"),
    ],
)
async def test_names_that_no_file_can_have(
    manager: S3ContentsManager, path: str, status: int, words: str
) -> None:
    with refused(status, words):
        await manager.save(text("x"), path)
    assert not await manager.exists("a")


async def test_no_file_gets_into_a_folder_that_the_store_hides(
    manager: S3ContentsManager,
) -> None:
    await manager.save(text("x"), "a/x.csv")
    words = "cannot have the name b.versions"
    with refused(400, words):
        await manager.save({"type": "directory"}, "b.versions")
    with refused(400, words):
        await manager.save(text("x"), "b.versions/x.csv")
    with refused(400, words):
        await manager.rename("a", "b.versions")
    await manager.save(text("a file"), "b.versions")
    assert await names(manager) == ["a", "b.versions"]


async def test_where_the_store_keeps_old_versions_is_no_folder(
    manager: S3ContentsManager,
) -> None:
    for number in range(2):
        await manager.save(text(str(number)), "d/a.csv")
    with refused(404):
        await manager.delete("d/a.csv.versions")
    with refused(404):
        await manager.rename("d/a.csv.versions", "d/b")
    assert not await manager.dir_exists("d/a.csv.versions")
    assert await names(manager, "d") == ["a.csv"]
    assert len(await manager.store.versions("d/a.csv")) == 2


@pytest.mark.parametrize("lacking", [{}, {"cells": None}, {"cells": [1]}])
async def test_what_is_hardly_a_notebook_is_saved_and_told(
    manager: S3ContentsManager, lacking: dict[str, Any]
) -> None:
    content = {"nbformat": 4, "nbformat_minor": 4, "metadata": {}, **lacking}
    saved = await manager.save({"type": "notebook", "content": content}, "a.ipynb")
    assert "validation failed" in saved["message"]
    assert await manager.file_exists("a.ipynb")


async def test_a_file_too_deep_for_a_marker_beside_it_can_go(manager: S3ContentsManager) -> None:
    room = 1024 - len(manager.store.prefix) - len("/f") - 1
    folder = "/".join(["d" * 100] * (room // 101))
    folder += "d" * (room - len(folder))
    for leave in (
        lambda: manager.rename(f"{folder}/f", "moved"),
        lambda: manager.delete(f"{folder}/f"),
    ):
        await manager.save(text("x"), f"{folder}/f")
        await leave()
        assert not await manager.exists(f"{folder}/f")
    assert (await manager.get("moved"))["content"] == "x"


async def test_a_key_of_the_longest_allowed_length(
    connect: Any, seaweedfs: RunningStore, place: str
) -> None:
    manager = manager_of(connect(seaweedfs, place))
    room = 1024 - len(place)
    path = "/".join(["d" * 100] * (room // 101)) + "/"
    path += "f" * (room - len(path))
    saved = await manager.save(notebook("1"), path)
    assert len(place + path) == 1024
    assert saved["size"]
    assert (await manager.get(path, type="notebook"))["content"]["cells"][0]["source"] == "1"
    assert await manager.list_checkpoints(path) == []  # its name would be too long
    with refused(400, "1 bytes too long"):
        await manager.save(text("x"), path + "f")


async def test_files_come_as_text_or_as_base64(manager: S3ContentsManager) -> None:
    data = b"\x00\xff no text"
    encoded = base64.encodebytes(data).decode()
    await manager.save({"type": "file", "format": "base64", "content": encoded}, "a.bin")
    assert await stored(manager, "a.bin") == data
    found = await manager.get("a.bin")
    assert (found["format"], found["mimetype"]) == ("base64", "application/octet-stream")
    assert base64.b64decode(found["content"]) == data
    with refused(400, "not UTF-8"):
        await manager.get("a.bin", format="text")
    await manager.save(text("ü"), "b.csv")
    found = await manager.get("b.csv")
    assert (found["format"], found["content"], found["mimetype"]) == ("text", "ü", "text/csv")
    found = await manager.get("b.csv", format="base64")
    assert base64.b64decode(found["content"]).decode() == "ü"
    assert (await manager.get("b.csv", content=False))["format"] is None


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ({"content": "x", "format": "text"}, "No file type provided"),
        ({"type": "file"}, "No file content provided"),
        ({"type": "file", "content": "x"}, "Must specify format"),
        ({"type": "file", "content": "x", "format": "json"}, "Must specify format"),
        ({"type": "file", "content": "a", "format": "base64"}, "Encoding error"),
        ({"type": "file", "content": None, "format": "text"}, "Encoding error"),
        ({"type": "link", "content": "x", "format": "text"}, "Unhandled contents type: link"),
        ({"type": "notebook", "content": "x"}, "not a notebook"),
        ({"type": "notebook", "content": {}}, "not a notebook"),
        ({"type": "notebook", "content": {"nbformat": 9}}, "version 9 are unknown"),
    ],
)
async def test_what_cannot_be_saved(
    manager: S3ContentsManager, model: dict[str, Any], words: str
) -> None:
    with refused(400, words):
        await manager.save(model, "a")
    assert not await manager.exists("a")


async def test_types_must_fit(manager: S3ContentsManager) -> None:
    await manager.save(text("x"), "d/a.txt")
    await manager.save(notebook("1"), "d/a.ipynb")
    for kind in ("file", "notebook"):
        with refused(400, f"d is a directory, not a {kind}"):
            await manager.get("d", type=kind)
    with refused(400, "d/a.txt is not a directory"):
        await manager.get("d/a.txt", type="directory")
    with refused(404, "No such file or directory: nothing"):
        await manager.get("nothing")
    with refused(404, "nothing/"):
        await manager.get("nothing/a.txt", type="file")
    with refused(400, "Unreadable Notebook"):
        await manager.get("d/a.txt", type="notebook")
    assert (await manager.get("d/a.ipynb", type="file"))["format"] == "text"
    with refused(400, "d is a directory"):
        await manager.save(text("x"), "d")
    with refused(400, "Not a directory: d/a.txt"):
        await manager.save({"type": "directory"}, "d/a.txt")
    with refused(400, "Not a directory: d/a.txt"):
        await manager.save(text("x"), "d/a.txt/b/c.txt")


async def test_a_listing_says_what_each_entry_says_of_itself(manager: S3ContentsManager) -> None:
    await manager.save(text("1,2"), "d/a.csv")
    await manager.save(notebook("1"), "d/b.ipynb")
    await manager.save({"type": "directory"}, "d/c")
    await manager.save(text("x"), "d/e/f/g.txt")
    listing = await manager.get("d")
    assert (listing["type"], listing["format"], listing["name"]) == ("directory", "json", "d")
    assert [entry["type"] for entry in listing["content"]] == [
        "directory",
        "directory",
        "file",
        "notebook",
    ]
    for entry in listing["content"]:
        assert entry == await manager.get(entry["path"], content=False)
    assert await names(manager, "/d/") == ["a.csv", "b.ipynb", "c", "e"]


async def test_the_hash_is_the_entity_tag(manager: S3ContentsManager) -> None:
    saved = await manager.save(text("one"), "a.txt")
    entry = await manager.store.head("a.txt")
    assert (saved["hash"], saved["hash_algorithm"]) == (entry.etag, "etag")
    for content in (True, False):
        found = await manager.get("a.txt", content=content, require_hash=True)
        assert found["hash"] == entry.etag
    assert (await manager.get("a.txt"))["hash"] is None
    assert (await manager.save(text("two"), "a.txt"))["hash"] != entry.etag


async def test_hidden_files(manager: S3ContentsManager) -> None:
    for path in (".a.txt", ".d/b.txt"):
        await manager.store.write(path, b"x")
        assert await manager.is_hidden(path)
        with refused(404):
            await manager.get(path)
        for method in (manager.delete, manager.copy):
            with refused(400):
                await method(path)
        with refused(400):
            await manager.save(text("y"), path)
        with refused(400):
            await manager.rename(path, "b.txt")
        with refused(400):
            await manager.rename("b.txt", path)
    assert await names(manager) == []
    manager.allow_hidden = True
    assert await names(manager) == [".a.txt", ".d"]
    assert (await manager.get(".d/b.txt"))["content"] == "x"
    await manager.save(notebook("1"), ".d/c.ipynb")
    assert await names(manager, ".d") == ["b.txt", "c.ipynb"]


async def test_globs_are_left_out_of_listings(manager: S3ContentsManager) -> None:
    for name in ("a.pyc", "b~", "c.py", "__pycache__/d"):
        await manager.save(text("x"), name)
    assert await names(manager) == ["c.py"]
    manager.hide_globs = ["*.py"]
    assert await names(manager) == ["__pycache__", "a.pyc", "b~"]
    manager.hide_globs = []
    assert await names(manager) == ["__pycache__", "a.pyc", "b~", "c.py"]


async def test_an_object_and_a_folder_of_one_name(
    manager: S3ContentsManager, seaweedfs: RunningStore
) -> None:
    await manager.store.write("a/b.txt", b"below")
    answer = seaweedfs.send("PUT", f"{seaweedfs.bucket}/{manager.store.prefix}/a", b"the object")
    if answer.status_code != 200 or not await manager.file_exists("a"):
        pytest.skip("this store does not let it come to that")
    kinds = sorted((entry["name"], entry["type"]) for entry in (await manager.get(""))["content"])
    assert kinds == [("a", "directory"), ("a", "file")]
    assert (await manager.get("a", type="file"))["content"] == "the object"
    assert (await manager.get("a"))["content"] == "the object"
    assert [e["name"] for e in (await manager.get("a", type="directory"))["content"]] == ["b.txt"]
    await manager.delete("a")
    assert (await manager.get("a"))["type"] == "directory"


# -- notebooks


async def test_a_notebook_is_stored_as_nbformat_writes_it(manager: S3ContentsManager) -> None:
    model = notebook("print(1)\nprint(2)", "ü", language="de")
    await manager.save(model, "a.ipynb")
    data = (await stored(manager, "a.ipynb")).decode()
    assert data == nbformat.writes(nbformat.from_dict(model["content"])) + "\n"
    found = await manager.get("a.ipynb")
    assert found["format"] == "json"
    assert [cell["source"] for cell in found["content"]["cells"]] == ["print(1)\nprint(2)", "ü"]
    assert (await manager.store.read("a.ipynb"))[2] == "application/x-ipynb+json"


async def test_a_notebook_that_is_not_valid_is_saved_and_told(manager: S3ContentsManager) -> None:
    model = notebook("1")
    del model["content"]["cells"][0]["source"]
    saved = await manager.save(model, "a.ipynb")
    assert "Notebook validation failed" in saved["message"]
    assert "Notebook validation failed" in (await manager.get("a.ipynb"))["message"]


async def test_a_notebook_without_what_signing_needs_is_saved(manager: S3ContentsManager) -> None:
    model = {"type": "notebook", "content": {"nbformat": 4, "nbformat_minor": 5, "cells": [{}]}}
    saved = await manager.save(model, "a.ipynb")
    assert "Notebook validation failed" in saved["message"]
    assert b'"cells"' in await stored(manager, "a.ipynb")


async def test_older_notebooks_are_opened_in_todays_format(manager: S3ContentsManager) -> None:
    old = nbformat.v3.new_notebook(
        worksheets=[nbformat.v3.new_worksheet(cells=[nbformat.v3.new_code_cell("x = 1")])]
    )
    await manager.store.write("old.ipynb", nbformat.writes(old).encode())
    found = await manager.get("old.ipynb")
    assert found["content"]["nbformat"] == 4
    assert found["content"]["cells"][0]["source"] == "x = 1"
    await manager.save({"type": "notebook", "content": old}, "saved.ipynb")
    assert nbformat.reads((await stored(manager, "saved.ipynb")).decode(), 3) == old


@pytest.mark.parametrize("size", [10, 400_000])
async def test_trust(manager: S3ContentsManager, size: int) -> None:
    cell = new_code_cell(
        "1", outputs=[new_output("display_data", data={"text/html": "<b>" + "x" * size})]
    )
    await manager.save({"type": "notebook", "content": new_notebook(cells=[cell])}, "a.ipynb")

    async def trusted() -> bool:
        found = await manager.get("a.ipynb")
        return bool(found["content"]["cells"][0]["metadata"]["trusted"])

    assert not await trusted()
    await manager.trust_notebook("a.ipynb")
    assert await trusted()
    found = await manager.get("a.ipynb")
    found["content"]["cells"].append(new_code_cell("2", metadata={"trusted": True}))
    await manager.save(found, "a.ipynb")  # of an author who trusts all cells
    assert await trusted()
    assert b"trusted" not in await stored(manager, "a.ipynb")
    await manager.copy("a.ipynb", "b.ipynb")
    copied = await manager.get("b.ipynb")
    assert copied["content"]["cells"][0]["metadata"]["trusted"]


# -- saves on condition


async def test_a_save_that_is_based_on_what_is_gone_is_refused(manager: S3ContentsManager) -> None:
    first = await manager.save(text("one", base_hash=None), "a.txt")
    second = await manager.save(text("two", base_hash=first["hash"]), "a.txt")
    for base in (first["hash"], None, "0" * 32):
        with refused(409, "a.txt has changed since it was opened here") as _:
            await manager.save(text("three", base_hash=base), "a.txt")
    assert await stored(manager, "a.txt") == b"two"
    await manager.save(text("three"), "a.txt")  # overwrite
    await manager.delete("a.txt")
    with refused(409):
        await manager.save(text("four", base_hash=second["hash"]), "a.txt")
    assert not await manager.exists("a.txt")


@pytest.mark.parametrize("base", ["", 0, False, ["x"], "x\r\ny: z", "é"])
async def test_what_is_no_hash_is_refused_and_no_condition_is_left_out(
    manager: S3ContentsManager, base: Any
) -> None:
    await manager.save(text("one"), "a.txt")
    with refused(400, "base_hash"):
        await manager.save(text("two", base_hash=base), "a.txt")
    assert await stored(manager, "a.txt") == b"one"


async def test_the_reason_says_that_it_has_changed(manager: S3ContentsManager) -> None:
    await manager.save(notebook("1"), "a.ipynb")
    with pytest.raises(Exception, match="changed") as raised:
        await manager.save({**notebook("2"), "base_hash": None}, "a.ipynb")
    assert raised.value.reason == "changed"  # type: ignore[attr-defined]


async def test_one_of_many_who_save_at_once_is_first(manager: S3ContentsManager) -> None:
    base = (await manager.save(notebook("0"), "a.ipynb"))["hash"]
    saves = [
        manager.save({**notebook(str(number)), "base_hash": base}, "a.ipynb")
        for number in range(1, 9)
    ]
    results = await asyncio.gather(*saves, return_exceptions=True)
    saved = [result for result in results if isinstance(result, dict)]
    assert len(saved) == 1
    assert {error.status_code for error in results if not isinstance(error, dict)} == {409}  # type: ignore[union-attr]
    assert (await manager.get("a.ipynb", require_hash=True))["hash"] == saved[0]["hash"]


# -- folders, copies, deletions


async def test_a_folder_outlives_its_last_file(manager: S3ContentsManager) -> None:
    await manager.store.write("made/by/a/job.csv", b"x")  # no marker anywhere
    await manager.delete("made/by/a/job.csv")
    assert await names(manager, "made/by/a") == []
    await manager.store.write("out/b.csv", b"x")
    await manager.rename("out/b.csv", "made/b.csv")
    assert await names(manager, "out") == []
    await manager.delete("made/by/a")
    assert await names(manager, "made") == ["b.csv", "by"]


async def test_deleting_folders_that_are_not_empty(
    connect: Any, seaweedfs: RunningStore, place: str
) -> None:
    unversioned = connect(seaweedfs, place, bucket=seaweedfs.new_bucket())
    manager = manager_of(unversioned)
    await manager.save(text("x"), "d/e/a.txt")
    with refused(400, "Directory d not empty"):
        await manager.delete("d")
    manager.always_delete_dir = True
    await manager.delete("d")
    assert await names(manager) == []
    manager.always_delete_dir = False
    await manager.save({"type": "directory"}, "empty")
    await manager.store.write("empty/.ipynb_checkpoints/a-checkpoint.ipynb", b"x")
    await manager.delete("empty")
    assert await names(manager) == []
    with refused(400, "root"):
        await manager.delete("")
    with refused(404, "does not exist: nothing"):
        await manager.delete("nothing")


async def test_versions_are_the_trash(manager: S3ContentsManager) -> None:
    await manager.save(text("x"), "d/a.txt")
    manager.delete_to_trash = False
    with refused(400, "not empty"):
        await manager.delete("d")
    manager.delete_to_trash = True
    await manager.delete("d")
    assert not await manager.exists("d")
    assert [gone.key for gone in await manager.store.deleted("d")] == ["d/a.txt"]


async def test_copies(manager: S3ContentsManager) -> None:
    await manager.save(text("x"), "d/a.tar.gz")
    assert (await manager.copy("d/a.tar.gz"))["path"] == "d/a-Copy1.tar.gz"
    assert (await manager.copy("d/a-Copy1.tar.gz"))["path"] == "d/a-Copy2.tar.gz"
    await manager.save({"type": "directory"}, "e")
    assert (await manager.copy("d/a.tar.gz", "e"))["path"] == "e/a.tar.gz"
    assert (await manager.copy("d/a.tar.gz", "/e/b.txt"))["path"] == "e/b.txt"
    await manager.save(text("y"), "e/b.txt")
    await manager.copy("d/a.tar.gz", "e/b.txt")
    assert await stored(manager, "e/b.txt") == b"x"
    with refused(404, "No such parent directory: f to copy file in"):
        await manager.copy("d/a.tar.gz", "f/b.txt")
    with refused(404, "No such file or directory: nothing"):
        await manager.copy("nothing")
    assert (await manager.copy("d", ""))["path"] == "d-Copy1"
    assert await names(manager, "d-Copy1") == ["a-Copy1.tar.gz", "a-Copy2.tar.gz", "a.tar.gz"]
    assert (await manager.copy("d", "e"))["path"] == "e/d"
    with refused(400, "into itself"):
        await manager.copy("d", "d/x")
    manager.max_copy_folder_size_mb = 1
    await manager.store.write("d/large", b"x" * 1024 * 1024)
    with refused(400, "larger than 1MB"):
        await manager.copy("d", "e")


async def test_many_copies_at_once_get_names_of_their_own(manager: S3ContentsManager) -> None:
    await manager.save(text("x"), "a.txt")
    made = await asyncio.gather(*(manager.copy("a.txt") for _ in range(6)))
    assert sorted(model["name"] for model in made) == [f"a-Copy{n}.txt" for n in range(1, 7)]


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ({"type": "notebook"}, ["Untitled.ipynb", "Untitled1.ipynb", "Untitled2.ipynb"]),
        ({"type": "directory"}, ["Untitled Folder", "Untitled Folder 1", "Untitled Folder 2"]),
        ({"type": "file", "ext": ".foo.bar"}, [f"untitled{n}.foo.bar" for n in ("", 1, 2)]),
        ({}, ["untitled", "untitled1", "untitled2"]),
        ({"ext": ".ipynb"}, ["Untitled.ipynb", "Untitled1.ipynb", "Untitled2.ipynb"]),
    ],
)
async def test_new_ones_at_once_get_names_of_their_own(
    manager: S3ContentsManager, how: dict[str, str], expected: list[str]
) -> None:
    made = await asyncio.gather(*(manager.new_untitled("", **how) for _ in expected))
    assert sorted(model["name"] for model in made) == sorted(expected)


async def test_new_ones_need_a_folder(manager: S3ContentsManager) -> None:
    with refused(404, "No such directory: d"):
        await manager.new_untitled("d")
    with refused(400, "Unexpected model type: 'link'"):
        await manager.new_untitled("", type="link")


# -- hooks and events


async def test_hooks_are_called_as_jupyter_and_as_s3contents_do(
    manager: S3ContentsManager,
) -> None:
    called: list[tuple[str, str, str]] = []

    def before(model: Any, path: str, contents_manager: Any) -> None:
        called.append(("before", path, model["content"]))
        model["content"] = model["content"].upper()

    def after(os_path: str, model: Any, contents_manager: Any) -> None:
        called.append(("after", os_path, model["path"]))

    def after_s3(s3_path: str, model: Any, contents_manager: Any) -> None:
        called.append(("s3", s3_path, model["path"]))

    manager.register_pre_save_hook(before)
    manager.register_post_save_hook(after)
    manager.post_save_hook = after_s3
    await manager.save(text("x"), "/d/a.txt")
    assert await stored(manager, "d/a.txt") == b"X"
    assert called == [
        ("before", "d/a.txt", "x"),
        ("s3", "d/a.txt", "d/a.txt"),
        ("after", "d/a.txt", "d/a.txt"),
    ]
    called.clear()
    assert (await manager.copy("d/a.txt"))["name"] == "a-Copy1.txt"
    assert [name for name, _, _ in called] == ["before", "s3", "after"]


async def test_events_tell_what_was_done(
    manager: S3ContentsManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[dict[str, Any]] = []
    monkeypatch.setattr(manager, "emit", lambda data: told.append(data))
    await manager.save(text("x"), "a.txt")
    await manager.get("a.txt")
    await manager.copy("a.txt", "b.txt")
    await manager.rename("/a.txt", "c.txt")
    await manager.delete("c.txt/")
    assert told == [
        {"action": "save", "path": "a.txt"},
        {"action": "get", "path": "a.txt"},
        {"action": "copy", "path": "b.txt", "source_path": "a.txt"},
        {"action": "rename", "path": "c.txt", "source_path": "a.txt"},
        {"action": "delete", "path": "c.txt"},
    ]


# -- old versions, read-only places, limits


async def test_old_versions_can_be_read_and_nothing_else(manager: S3ContentsManager) -> None:
    await manager.save(notebook("old"), "d/a.ipynb")
    await manager.save(notebook("new"), "d/a.ipynb")
    _, old = await manager.store.versions("d/a.ipynb")
    path = f".versions/{quote(old.version, safe='')}/d/a.ipynb"
    found = await manager.get(path, require_hash=True)
    assert found["content"]["cells"][0]["source"] == "old"
    assert (found["path"], found["name"], found["writable"]) == (path, "a.ipynb", False)
    bare = await manager.get(path, content=False, require_hash=True)
    assert (bare["size"], bare["hash"]) == (old.size, found["hash"])
    assert await manager.file_exists(path)
    assert not await manager.dir_exists(path)
    assert not await manager.is_hidden(path)
    for attempt in (
        manager.save(notebook("x"), path),
        manager.delete(path),
        manager.rename(path, "d/b.ipynb"),
        manager.rename("d/a.ipynb", path),
        manager.create_checkpoint(path),
        manager.copy("d/a.ipynb", path),
    ):
        with refused(403, "old version"):
            await attempt
    assert await manager.list_checkpoints(path) == []
    copied = await manager.copy(path, "d/b.ipynb")
    assert (await manager.get(copied["path"]))["content"]["cells"][0]["source"] == "old"
    for wrong in (".versions", ".versions/x", ".versions/nonsense/d/a.ipynb"):
        assert not await manager.exists(wrong)
    assert await names(manager) == ["d"]
    located = await manager.locate(path)
    assert (located.key, located.version, located.writable) == ("d/a.ipynb", old.version, False)


async def test_read_only(weed: Store) -> None:
    manager = manager_of(weed)
    await manager.save(text("x"), "d/a.txt")
    manager.read_only = True
    assert not (await manager.get("d/a.txt"))["writable"]
    assert not (await manager.get("d"))["content"][0]["writable"]
    for attempt in (
        manager.save(text("y"), "d/a.txt"),
        manager.save(text("y", chunk=1), "d/a.txt"),
        manager.save({"type": "directory"}, "e"),
        manager.new_untitled("d"),
        manager.delete("d/a.txt"),
        manager.rename("d/a.txt", "d/b.txt"),
        manager.copy("d/a.txt"),
        manager.copy("d", ""),
        manager.create_checkpoint("d/a.txt"),
        manager.restore_checkpoint("checkpoint", "d/a.txt"),
        manager.delete_checkpoint("checkpoint", "d/a.txt"),
    ):
        with refused(403, "You may read"):
            await attempt
    assert await stored(manager, "d/a.txt") == b"x"


async def test_a_limit_is_held(weed: Store) -> None:
    manager = manager_of(weed, quota_bytes=2000)
    await manager.save(text("x" * 1000), "a.txt")
    with refused(507, "There is no room for b.txt", "1.0 kB of 2.0 kB are used", "Delete"):
        await manager.save(text("x" * 1500), "b.txt")
    await manager.save(text("x" * 1900), "a.txt")  # it takes the room of what it replaces
    with refused(507):
        await manager.copy("a.txt")
    with refused(507):
        await manager.save(text("x" * 500, chunk=1), "c.txt")
    await manager.save(text(""), "a.txt")
    await manager.save(text("x" * 1500), "b.txt")


# -- as a server


@pytest.fixture(scope="module")
def server(seaweedfs: RunningStore, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    with running_server(seaweedfs, folder, f"http/{folder.name}") as running:
        yield running


def test_over_http(server: Server) -> None:
    made = server.ask("PUT", "d/a b%.txt", text("ü", base_hash=None))
    assert made.status_code == 201, made.text
    saved = made.json()
    assert saved["hash_algorithm"] == "etag"
    listing = server.ask("GET", "d").json()
    assert [entry["path"] for entry in listing["content"]] == ["d/a b%.txt"]
    found = server.ask("GET", "d/a b%.txt", hash=1).json()
    assert (found["content"], found["hash"]) == ("ü", saved["hash"])
    assert found["last_modified"].endswith("Z")
    again = server.ask("PUT", "d/a b%.txt", text("x", base_hash=None))
    assert again.status_code == 409
    assert again.json()["reason"] == "changed"
    assert "d/a b%.txt has changed" in again.json()["message"]
    missing = server.ask("PATCH", "d/100%.txt", {"path": "d/b"})
    assert missing.status_code == 404
    assert "d/100%.txt" in missing.json()["message"]
    assert server.ask("DELETE", "d/a b%.txt").status_code == 204
    assert server.ask("GET", "d/a b%.txt").status_code == 404


def test_answers_are_encoded_by_our_handler(server: Server) -> None:
    server.ask("PUT", "numbers.ipynb", notebook("1", large=2**70))
    answer = server.ask("GET", "numbers.ipynb")
    assert answer.json()["content"]["metadata"]["large"] == 2**70
    # The standard library would escape it.
    server.ask("PUT", "ü.txt", text("ü"))
    assert "ü" in server.ask("GET", "ü.txt").content.decode()


def test_a_store_that_is_down_leaves_the_server_usable(
    server: Server, seaweedfs: RunningStore, tmp_path: Path
) -> None:
    with running_server(seaweedfs, tmp_path, "down", endpoint_url="http://127.0.0.1:9") as other:
        answer = other.ask("GET", "a.txt", type="file")
        assert answer.status_code == 503, answer.text
        assert "127.0.0.1:9" in answer.json()["message"]
        assert other.client.get("/api/status").status_code == 200


async def test_wrong_keys_are_told(seaweedfs: RunningStore) -> None:
    settings = StoreSettings(
        seaweedfs.endpoint, seaweedfs.bucket, credentials=StaticKeys("nobody", "nothing")
    )
    store = Store(settings)
    try:
        with refused(403):
            await manager_of(store).get("a.txt")
        with refused(403):
            await manager_of(store).save(text("x"), "a.txt")
    finally:
        await store.close()


async def test_what_goes_wrong_with_old_uploads_is_only_logged(
    connect: Any, seaweedfs: RunningStore, caplog: pytest.LogCaptureFixture
) -> None:
    manager = manager_of(connect(seaweedfs, "p", bucket="no-such-bucket"))
    with caplog.at_level(logging.WARNING), refused(503, "no-such-bucket"):
        await manager.get("")
