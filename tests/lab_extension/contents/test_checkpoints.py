"""Checkpoints beside their files, on the real store."""

from __future__ import annotations

from typing import Any

import pytest
from contents import manager_of, refused, text
from nbformat.v4 import new_markdown_cell, new_notebook

from lab_extension.contents.manager import S3ContentsManager
from lab_extension.contents.objects.store import Store


def notebook(source: str) -> dict[str, Any]:
    return {"type": "notebook", "content": new_notebook(cells=[new_markdown_cell(source)])}


async def content(manager: S3ContentsManager, path: str) -> Any:
    found = await manager.get(path)
    return (
        found["content"]["cells"][0]["source"] if found["type"] == "notebook" else found["content"]
    )


@pytest.mark.parametrize(
    ("path", "first", "second"),
    [
        ("d/a.txt", text("first"), text("second")),
        ("a.ipynb", notebook("first"), notebook("second")),
    ],
)
async def test_a_checkpoint_is_made_restored_and_deleted(
    manager: S3ContentsManager, path: str, first: dict[str, Any], second: dict[str, Any]
) -> None:
    await manager.save(first, path)
    made = await manager.create_checkpoint(path)
    assert set(made) == {"id", "last_modified"}
    await manager.save(second, path)
    assert await manager.list_checkpoints(path) == [made]
    await manager.restore_checkpoint(made["id"], path)
    assert await content(manager, path) == "first"
    await manager.delete_checkpoint(made["id"], path)
    assert await manager.list_checkpoints(path) == []
    for method in (manager.restore_checkpoint, manager.delete_checkpoint):
        with refused(404, f"Checkpoint does not exist: {path}@checkpoint"):
            await method("checkpoint", path)


async def test_a_notebook_has_one_from_its_first_save(manager: S3ContentsManager) -> None:
    await manager.save(notebook("first"), "a.ipynb")
    made = await manager.list_checkpoints("a.ipynb")
    assert len(made) == 1
    await manager.save(notebook("second"), "a.ipynb")
    assert await manager.list_checkpoints("a.ipynb") == made
    await manager.restore_checkpoint("checkpoint", "a.ipynb")
    assert await content(manager, "a.ipynb") == "first"


async def test_checkpoints_follow_their_files_and_go_with_them(
    manager: S3ContentsManager,
) -> None:
    await manager.save(text("first"), "d/a.txt")
    made = await manager.create_checkpoint("d/a.txt")
    await manager.rename("d/a.txt", "d/b.csv")
    assert [item["id"] for item in await manager.list_checkpoints("d/b.csv")] == [made["id"]]
    assert await manager.list_checkpoints("d/a.txt") == []
    await manager.rename("d", "e")
    assert len(await manager.list_checkpoints("e/b.csv")) == 1
    await manager.delete("e/b.csv")
    await manager.save(text("another"), "e/b.csv")
    assert await manager.list_checkpoints("e/b.csv") == []


async def test_checkpoints_are_not_seen(manager: S3ContentsManager) -> None:
    manager.allow_hidden = True
    await manager.save(notebook("1"), "d/a.ipynb")
    assert [entry["name"] for entry in (await manager.get("d"))["content"]] == ["a.ipynb"]


async def test_there_is_one_id(manager: S3ContentsManager) -> None:
    await manager.save(text("x"), "a.txt")
    await manager.create_checkpoint("a.txt")
    with refused(404, "a.txt@other"):
        await manager.restore_checkpoint("other", "a.txt")
    with refused(404):
        await manager.create_checkpoint("nothing.txt")
    with refused(400, "A folder has no checkpoints"):
        await manager.create_checkpoint("")
    assert await manager.list_checkpoints("") == []


async def test_the_longest_names_have_checkpoints_too(manager: S3ContentsManager) -> None:
    names = ["n" * 249 + end for end in (".ipynb", "2.txt")]
    await manager.save(notebook("first"), names[0])
    await manager.save(text("first"), names[1])
    await manager.create_checkpoint(names[1])
    for name in names:
        assert len(await manager.list_checkpoints(name)) == 1
    await manager.rename(names[0], "a.ipynb")
    assert len(await manager.list_checkpoints("a.ipynb")) == 1


async def test_by_the_interface_of_jupyter(manager: S3ContentsManager) -> None:
    """As managers of others call them, which know nothing of moves in here."""
    await manager.save(text("x"), "a.txt")
    await manager.create_checkpoint("a.txt")
    await manager.checkpoints.rename_all_checkpoints("a.txt", "b.txt")
    assert await manager.list_checkpoints("a.txt") == []
    await manager.checkpoints.delete_all_checkpoints("b.txt")
    await manager.checkpoints.rename_checkpoint("checkpoint", "b.txt", "c.txt")
    assert await manager.list_checkpoints("c.txt") == []


async def test_a_store_that_refuses_checkpoints_does_not_keep_anybody_from_saving(
    weed: Store, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lab_extension.contents.objects.faults import Refused

    manager = manager_of(weed)

    async def copy(*_: Any, **__: Any) -> None:
        raise Refused("Not here.")

    monkeypatch.setattr(weed, "copy", copy)
    await manager.save(notebook("1"), "a.ipynb")
    assert await content(manager, "a.ipynb") == "1"
