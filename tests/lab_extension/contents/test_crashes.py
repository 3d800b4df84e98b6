"""The process ends at each step of a move, a save and an upload: nothing is lost, a retry works."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from contents import ROOT, manager_of, refused, running_server, text
from stores import RunningStore

from lab_extension.contents import uploads
from lab_extension.contents.manager import S3ContentsManager
from lab_extension.contents.paths import OURS
from lab_extension.contents.uploads import PART

CRASHING = ROOT / "tests" / "support" / "crashing.py"
FILES = {f"old/{name}": name * 50 for name in ("a.txt", "b/c.txt", "b/d/e.csv", "f g+%#.txt")}


async def crash(running: RunningStore, prefix: str, die_at: str, *calls: Any, nth: int = 1) -> None:
    """Do ``calls`` in a process that ends when it reaches the step."""
    told = {
        "store": {
            "endpoint": running.endpoint,
            "bucket": running.bucket,
            "prefix": prefix,
            **running.keys,
        },
        "die_at": die_at,
        "nth": nth,
        "calls": calls,
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(CRASHING),
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests' / 'support'}"},
        stdin=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await asyncio.wait_for(process.communicate(json.dumps(told).encode()), 60)
    assert process.returncode == 9, said.decode()


async def everything(manager: S3ContentsManager) -> dict[str, str]:
    """All files below the prefix, records left out, with their contents."""
    keys = [entry.key async for batch in manager.store.walk("") for entry in batch]
    return {
        key: bytes((await manager.store.read(key))[1]).decode()
        for key in keys
        if not key.startswith(f"{OURS}/") and not key.endswith(".s3keep")
    }


async def records(manager: S3ContentsManager) -> list[str]:
    return [entry.key async for batch in manager.store.walk(OURS) for entry in batch]


STEPS = [
    ("move: recorded", 1),
    ("move: copied one", 1),
    ("move: copied one", 3),
    ("move: copied", 1),
    ("move: verified", 1),
    ("move: removed", 1),
]


@pytest.mark.parametrize(("step", "nth"), STEPS)
async def test_the_move_of_a_folder(
    manager: S3ContentsManager, seaweedfs: RunningStore, step: str, nth: int
) -> None:
    for path, content in FILES.items():
        await manager.save(text(content), path)
    await manager.create_checkpoint("old/a.txt")
    await manager.save({"type": "directory"}, "old/empty")
    await crash(seaweedfs, manager.store.prefix, step, ["rename", "old", "new"], nth=nth)
    left = await everything(manager)
    for path, content in FILES.items():
        places = (path, path.replace("old/", "new/", 1))
        assert content in [left.get(place) for place in places], (path, sorted(left))
    await manager.rename("old", "new")
    expected = {path.replace("old/", "new/", 1): content for path, content in FILES.items()}
    found = await everything(manager)
    assert found.pop("new/.ipynb_checkpoints/a-checkpoint.txt") == FILES["old/a.txt"]
    assert found == expected
    assert await manager.dir_exists("new/empty")
    assert not await manager.exists("old")
    assert await records(manager) == []
    await manager.save(text(), "old")
    with refused(409, "File already exists: new"):
        await manager.rename("old", "new")


@pytest.mark.parametrize(("step", "nth"), [item for item in STEPS if item[1] == 1])
async def test_the_move_of_a_file(
    manager: S3ContentsManager, seaweedfs: RunningStore, step: str, nth: int
) -> None:
    await manager.save(text("what is in it"), "a.txt")
    await manager.create_checkpoint("a.txt")
    await manager.save(text("newer"), "a.txt")
    await crash(seaweedfs, manager.store.prefix, step, ["rename", "a.txt", "b.txt"], nth=nth)
    left = await everything(manager)
    assert "newer" in (left.get("a.txt"), left.get("b.txt"))
    await manager.rename("a.txt", "b.txt")
    assert await everything(manager) == {
        "b.txt": "newer",
        ".ipynb_checkpoints/b-checkpoint.txt": "what is in it",
    }
    assert await records(manager) == []


async def test_what_was_written_after_a_crash_is_not_written_over(
    manager: S3ContentsManager, seaweedfs: RunningStore
) -> None:
    for path in ("old/a.txt", "old/b.txt"):
        await manager.save(text("first"), path)
    await crash(seaweedfs, manager.store.prefix, "move: copied", ["rename", "old", "new"])
    await manager.save(text("other"), "new/a.txt")
    with refused(409, "new/a.txt is at both places, with different contents"):
        await manager.rename("old", "new")
    left = await everything(manager)
    assert (left["old/a.txt"], left["new/a.txt"]) == ("first", "other")
    await manager.rename("old/a.txt", "old/kept.txt")
    await manager.rename("old", "new")
    assert await everything(manager) == {
        "new/a.txt": "other",
        "new/b.txt": "first",
        "new/kept.txt": "first",
    }


async def test_what_was_saved_at_the_old_place_after_a_crash_is_moved_too(
    manager: S3ContentsManager, seaweedfs: RunningStore
) -> None:
    await manager.save(text("first"), "old/a.txt")
    await crash(seaweedfs, manager.store.prefix, "move: recorded", ["rename", "old", "new"])
    await manager.save(text("second"), "old/a.txt")
    await manager.save(text("more"), "old/b.txt")
    await manager.rename("old", "new")
    assert await everything(manager) == {"new/a.txt": "second", "new/b.txt": "more"}


@pytest.mark.parametrize(("step", "written"), [("save: checked", False), ("save: written", True)])
async def test_a_save(
    manager: S3ContentsManager, seaweedfs: RunningStore, step: str, written: bool
) -> None:
    first = await manager.save(text("first"), "a.txt")
    model = text("second", base_hash=first["hash"])
    await crash(seaweedfs, manager.store.prefix, step, ["save", model, "a.txt"])
    assert await everything(manager) == {"a.txt": "second" if written else "first"}
    if written:
        with refused(409):
            await manager.save(model, "a.txt")
        model["base_hash"] = (await manager.get("a.txt", require_hash=True))["hash"]
    await manager.save(model, "a.txt")
    assert await everything(manager) == {"a.txt": "second"}


def chunks(data: bytes) -> list[dict[str, Any]]:
    """As JupyterLab sends a file, in pieces of 4 MiB to be quick."""
    size = PART // 2
    pieces = [data[start : start + size] for start in range(0, len(data), size)]
    return [
        {
            "type": "file",
            "format": "base64",
            "content": base64.b64encode(piece).decode(),
            "chunk": -1 if number == len(pieces) else number,
        }
        for number, piece in enumerate(pieces, 1)
    ]


@pytest.mark.parametrize(
    ("step", "done"),
    [
        ("upload: begun", False),
        ("upload: part", False),
        ("upload: parts sent", False),
        ("upload: finished", True),
    ],
)
async def test_an_upload(
    manager: S3ContentsManager,
    seaweedfs: RunningStore,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
    done: bool,
) -> None:
    data = os.urandom(2 * PART + 5)
    await manager.save(text("first"), "a.bin")
    saves = [["save", chunk, "a.bin"] for chunk in chunks(data)]
    await crash(seaweedfs, manager.store.prefix, step, *saves)
    found = bytes((await manager.store.read("a.bin"))[1])
    assert found == (data if done else b"first")
    # Nothing is aborted that another server may be at.
    assert await manager.uploads.sweep() == 0
    assert len(await records(manager)) == 1
    monkeypatch.setattr(uploads, "ABANDONED", timedelta(seconds=-5))
    assert await manager.uploads.sweep() == 1
    assert await records(manager) == []
    assert await manager.store.pending_uploads("") == []
    for chunk in chunks(data):
        await manager.save(chunk, "a.bin")
    assert bytes((await manager.store.read("a.bin"))[1]) == data
    assert await records(manager) == []


async def test_a_server_is_killed_within_a_move(
    connect: Any, seaweedfs: RunningStore, place: str, tmp_path: Path
) -> None:
    manager = manager_of(connect(seaweedfs, place))
    for number in range(30):
        await manager.save(text(str(number)), f"old/{number}.txt")
    reached = tmp_path / "reached"
    config = f"""
import pathlib, time
from lab_extension.contents import S3ContentsManager
def step(self, name):
    if name == "move: copied one":
        pathlib.Path({str(reached)!r}).touch()
        time.sleep(600)
S3ContentsManager.step = step
"""
    with running_server(seaweedfs, tmp_path / "one", place, config=config) as server:
        asking = asyncio.create_task(asyncio.to_thread(server.ask, "PATCH", "old", {"path": "new"}))
        while not reached.exists() and not asking.done():
            await asyncio.sleep(0.05)
        server.kill()
        await asyncio.wait([asking])
        assert asking.exception() is not None
    values = set((await everything(manager)).values())
    assert values == {str(number) for number in range(30)}
    with running_server(seaweedfs, tmp_path / "two", place) as server:
        answer = await asyncio.to_thread(server.ask, "PATCH", "old", {"path": "new"})
        assert answer.status_code == 200, answer.text
    assert await everything(manager) == {f"new/{n}.txt": str(n) for n in range(30)}
