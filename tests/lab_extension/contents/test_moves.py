"""Moves: what is left to do, decided from plain data; and moves on the real store."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from contents import refused, text
from stores import RunningStore

from lab_extension.contents import moves
from lab_extension.contents.manager import S3ContentsManager
from lab_extension.contents.moves import Move, Plan, plan
from lab_extension.contents.objects.entries import Entry
from lab_extension.contents.objects.faults import Missing
from lab_extension.contents.uploads import PART

THEN = datetime(2026, 1, 1, tzinfo=UTC)
MOVE = Move("old", "new", folder=True)


def entry(key: str, etag: str | None = "e", size: int = 1) -> Entry:
    return Entry(key, size, THEN, etag)


@pytest.mark.parametrize(
    ("move", "key", "target"),
    [
        (MOVE, "old/a", "new/a"),
        (MOVE, "old/old/old", "new/old/old"),
        (MOVE, "old/", "new/.s3keep"),
        (MOVE, "old/d/", "new/d/.s3keep"),
        (MOVE, "old/.s3keep", "new/.s3keep"),
        (Move("d/a.txt", "e/b.csv", False), "d/a.txt", "e/b.csv"),
        (
            Move("d/a.txt", "e/b.csv", False),
            "d/.ipynb_checkpoints/a-checkpoint.txt",
            "e/.ipynb_checkpoints/b-checkpoint.csv",
        ),
    ],
)
def test_where_a_key_goes(move: Move, key: str, target: str) -> None:
    assert move.to(key) == target


@pytest.mark.parametrize(
    ("source", "target", "made", "expected"),
    [
        pytest.param(entry("old/a"), None, {}, "copy", id="not there yet"),
        pytest.param(entry("old/a"), entry("new/a"), {}, "done", id="the same"),
        pytest.param(entry("old/a"), entry("new/a", "f", 2), {}, "contested", id="somebody else's"),
        pytest.param(
            entry("old/a"), entry("new/a", "f"), {}, "unclear", id="as large, another etag"
        ),
        pytest.param(
            entry("old/a", "e-2"),
            entry("new/a", "f"),
            {"new/a": ("e-2", "f")},
            "done",
            id="copied, under another etag",
        ),
        pytest.param(
            entry("old/a", "g", 5),
            entry("new/a", "e"),
            {"new/a": ("e", "e")},
            "copy",
            id="copied, and saved once more since",
        ),
        pytest.param(
            entry("old/a", "e"),
            entry("new/a", "g", 5),
            {"new/a": ("e", "e")},
            "contested",
            id="copied, and written over by somebody since",
        ),
        pytest.param(
            entry("old/d/", "e", 0), entry("new/d/.s3keep", "f", 7), {}, "done", id="a marker"
        ),
    ],
)
def test_what_is_left_to_do(source: Entry, target: Entry | None, made: Any, expected: str) -> None:
    targets = {target.key: target} if target else {}
    found = plan(MOVE, [source], targets, made)
    assert (
        found
        == {
            "copy": Plan(copy=[source]),
            "unclear": Plan(unclear=[(source, target)] if target else []),
            "contested": Plan(contested=["new/a"]),
            "done": Plan(),
        }[expected]
    )


def test_each_move_has_a_record_of_its_own() -> None:
    ways = [
        Move("a", "b", True),
        Move("a", "b", False),
        Move("b", "a", True),
        Move("a/b", "", True),
    ]
    assert len({move.record for move in ways}) == len(ways)


async def test_the_first_refusal_ends_the_others() -> None:
    began: list[int] = []

    async def work(number: int) -> None:
        began.append(number)
        await asyncio.sleep(0)
        if number == 3:
            raise Missing("three")
        await asyncio.sleep(0.01)

    with pytest.raises(Missing, match="three"):
        await moves.at_once(work, range(100), limit=4)
    assert len(began) < 20


async def keys(manager: S3ContentsManager, folder: str = "") -> list[str]:
    return sorted([entry.key async for batch in manager.store.walk(folder) for entry in batch])


async def test_a_folder_with_all_that_is_in_it(
    manager: S3ContentsManager, seaweedfs: RunningStore
) -> None:
    prefix = f"{seaweedfs.bucket}/{manager.store.prefix}"
    for key in ("old/a.txt", "old/d/b.txt", "old/d/e/.s3keep", "old/.hidden/c", "older/x"):
        await manager.store.write(key, key.encode())
    assert seaweedfs.send("PUT", f"{prefix}/old/marked/").status_code == 200
    await manager.create_checkpoint("old/a.txt")
    await manager.rename("old", "new")
    assert await keys(manager) == [
        "new/.hidden/c",
        "new/.ipynb_checkpoints/a-checkpoint.txt",
        "new/a.txt",
        "new/d/b.txt",
        "new/d/e/.s3keep",
        "new/marked/.s3keep",
        "older/x",
    ]
    assert bytes((await manager.store.read("new/d/b.txt"))[1]) == b"old/d/b.txt"


async def test_what_cannot_be_moved(manager: S3ContentsManager) -> None:
    await manager.save(text("a"), "a.txt")
    await manager.save(text("b"), "b.txt")
    await manager.save(text("c"), "d/c.txt")
    with refused(409, "File already exists: b.txt"):
        await manager.rename("a.txt", "b.txt")
    with refused(409, "File already exists: d"):
        await manager.rename("a.txt", "d")
    with refused(404, "does not exist: nothing"):
        await manager.rename("nothing", "e")
    with refused(404, "There is no folder e"):
        await manager.rename("a.txt", "e/a.txt")
    with refused(400, "into itself"):
        await manager.rename("d", "d/e")
    with refused(400, "cannot be renamed"):
        await manager.rename("", "e")
    with refused(400, "backslash"):
        await manager.rename("a.txt", "a\\b")
    await manager.rename("a.txt", "/a.txt/")
    assert await keys(manager) == ["a.txt", "b.txt", "d/c.txt"]


async def test_a_checkpoint_that_outlived_its_file_is_not_in_the_way(
    manager: S3ContentsManager,
) -> None:
    await manager.save(text("a"), "a.txt")
    await manager.create_checkpoint("a.txt")
    left = ".ipynb_checkpoints/b-checkpoint.txt"
    await manager.store.write(left, b"another's")
    await manager.rename("a.txt", "b.txt")
    assert await keys(manager) == [left, "b.txt"]
    assert bytes((await manager.store.read(left))[1]) == b"a"


async def test_a_file_that_was_sent_in_parts(manager: S3ContentsManager) -> None:
    data = bytes(PART + 1)
    upload = await manager.store.begin_upload("old/large")
    parts = [
        await manager.store.upload_part("old/large", upload, number, piece)
        for number, piece in enumerate([data[:PART], data[PART:]], 1)
    ]
    await manager.store.finish_upload("old/large", upload, parts)
    await manager.save(text("x"), "old/small")
    await manager.rename("old", "new")
    assert await keys(manager) == ["new/large", "new/small"]
    assert (await manager.store.head("new/large")).size == len(data)


async def test_what_is_saved_while_it_is_moved_comes_along(
    manager: S3ContentsManager,
) -> None:
    for name in ("a", "b", "c"):
        await manager.save(text("first"), f"old/{name}.txt")
    loop = asyncio.get_running_loop()
    saved: list[Any] = []

    async def save_once_more() -> None:
        await manager.store.write("old/b.txt", b"second")
        await manager.store.write("old/new.txt", b"new")

    # In the middle: after the copies, before what is there is looked at again.
    copy = manager.mover._copy

    async def copy_and_save(*arguments: Any) -> None:
        await copy(*arguments)
        if not saved:
            saved.append(loop.time())
            await save_once_more()

    manager.mover._copy = copy_and_save  # type: ignore[method-assign]
    await manager.rename("old", "new")
    assert await keys(manager) == ["new/a.txt", "new/b.txt", "new/c.txt", "new/new.txt"]
    assert bytes((await manager.store.read("new/b.txt"))[1]) == b"second"


async def test_a_save_at_the_end_of_a_move_is_not_removed_with_what_was_moved(
    manager: S3ContentsManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = [(await manager.save(text("first"), f"old/{name}.txt"))["hash"] for name in "ab"]
    saves: list[asyncio.Task[Any]] = []
    remove = moves.remove

    async def save_first(*arguments: Any) -> None:
        # All is copied and looked at; nothing of it is removed yet.
        on_condition = text("second", base_hash=known[0])
        saves.append(asyncio.create_task(manager.save(on_condition, "old/a.txt")))
        saves.append(asyncio.create_task(manager.save(text("second"), "old/b.txt")))
        saves.append(asyncio.create_task(manager.save(text("elsewhere"), "older.txt")))
        await saves[2]
        await remove(*arguments)

    monkeypatch.setattr(moves, "remove", save_first)
    await manager.rename("old", "new")
    with refused(409, "old/a.txt has changed"):
        await saves[0]
    await saves[1]
    assert await keys(manager) == ["new/a.txt", "new/b.txt", "old/b.txt", "older.txt"]
    assert (await manager.get("old/b.txt"))["content"] == "second"


async def test_two_who_move_at_once_lose_nothing(manager: S3ContentsManager) -> None:
    for number in range(20):
        await manager.save(text(str(number)), f"old/{number}.txt")
    await asyncio.gather(
        manager.rename("old", "one"), manager.rename("old", "two"), return_exceptions=True
    )
    found = {
        bytes((await manager.store.read(key))[1]).decode()
        for key in await keys(manager)
        if key.endswith(".txt")
    }
    assert found == {str(number) for number in range(20)}
