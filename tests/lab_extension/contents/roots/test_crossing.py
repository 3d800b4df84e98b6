"""Moves between a disk and object storage whose process is killed, at each step."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from stores import RunningStore

from hub_ext.errors import PublicError
from lab_extension.contents.objects.faults import AlreadyThere, BadName, Changed, Full, StoreDown
from lab_extension.contents.objects.store import PART, Store
from lab_extension.contents.roots.crossing import Journal, copy, move
from lab_extension.contents.roots.ends import Disk, End, Item, Objects, Sums

ROOT = Path(__file__).resolve().parents[4]
FILES = {
    "a.csv": b"a",
    "sub/b c.csv": b"b" * 100,
    "sub/deep/\u00e9+%.csv": b"c" * 1000,
    "large.bin": bytes(range(256)) * (PART // 256) + b"more",
}

# Told on its standard input where, and which move; ends at the step without any clean-up.
KILLED = """
import asyncio, json, os, sys
from pathlib import Path
from lab_extension.contents.objects.credentials import StaticKeys
from lab_extension.contents.roots.crossing import Journal, move
from lab_extension.contents.roots.ends import Disk, Objects
from lab_extension.contents.objects.store import Store, StoreSettings

told = json.load(sys.stdin)
left = told["nth"]

def step(name):
    global left
    left -= name == told["step"]
    if not left:
        os._exit(9)

def end(where):
    if "folder" in where:
        return Disk(Path(where["folder"]))
    keys = StaticKeys(where["access_key"], where["secret_key"])
    return Objects(
        Store(StoreSettings(where["endpoint"], where["bucket"], where["prefix"], credentials=keys))
    )

asyncio.run(
    move(
        end(told["source"]), "old", end(told["target"]), "new", step=step,
        journal=Journal(Path(told["journal"])), shown=("from/old", "to/new"),
    )
)
"""

Ends = Callable[[str], tuple[End, dict[str, Any]]]


@pytest.fixture
def ends(
    seaweedfs: RunningStore, connect: Callable[..., Store], place: str, tmp_path: Path
) -> Ends:
    """An end by its name, and what a process has to be told of it."""

    def end(name: str) -> tuple[End, dict[str, Any]]:
        if name == "disk":
            folder = tmp_path / "disk"
            folder.mkdir(exist_ok=True)
            return Disk(folder), {"folder": str(folder)}
        prefix = f"{place}{name}"
        told = {"endpoint": seaweedfs.endpoint, "bucket": seaweedfs.bucket, "prefix": prefix}
        return Objects(connect(seaweedfs, prefix)), told | seaweedfs.keys

    return end


async def put(end: End, path: str, content: bytes) -> None:
    async def chunks() -> Any:
        yield content

    await end.write(path, len(content), chunks())


async def held(end: End, path: str) -> dict[str, bytes]:
    """What is at an end, by path below ``path``."""
    if await end.kind(path) is None:
        return {}
    found = {}
    for item in (await end.contents(path)).items:
        data = b""
        async for chunk in end.read(path, item):
            data += bytes(chunk)
        found[item.path] = data
    return found


@pytest.mark.parametrize("way", [("disk", "one"), ("one", "disk"), ("one", "two")], ids="-".join)
@pytest.mark.parametrize(
    ("step", "nth"),
    [("noted", 1), ("copied one", 1), ("copied one", 4), ("copied", 1), ("removed", 1)],
)
async def test_a_killed_move_loses_nothing_and_is_finished_when_asked_again(
    ends: Ends, tmp_path: Path, way: tuple[str, str], step: str, nth: int
) -> None:
    (source, told_source), (target, told_target) = ends(way[0]), ends(way[1])
    for path, content in FILES.items():
        await put(source, f"old/{path}", content)
    told = {"source": told_source, "target": told_target, "step": step, "nth": nth}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        KILLED,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    told["journal"] = str(tmp_path / "journal")
    _, said = await asyncio.wait_for(process.communicate(json.dumps(told).encode()), 60)
    assert process.returncode == 9, said.decode()
    assert {**await held(target, "new"), **await held(source, "old")} == FILES
    journal = Journal(tmp_path / "journal")
    await move(source, "old", target, "new", journal=journal, shown=("from/old", "to/new"))
    assert await held(target, "new") == FILES
    assert await source.kind("old") is None
    assert list((tmp_path / "journal").iterdir()) == []
    assert list(tmp_path.rglob(".almanac-moving-*")) == []


@pytest.mark.parametrize("way", [("disk", "one"), ("one", "disk")], ids="-".join)
async def test_what_is_changed_meanwhile_is_not_removed(
    ends: Ends, tmp_path: Path, way: tuple[str, str]
) -> None:
    source, target = (ends(name)[0] for name in way)
    await put(source, "old/a.csv", b"a")
    await put(source, "old/b.csv", b"b")
    tasks: list[asyncio.Task[None]] = []

    def change(name: str) -> None:
        if name == "copied":
            tasks.append(asyncio.ensure_future(rewrite(source)))

    with pytest.raises(Changed, match=r"old/a\.csv was changed while it was moved"):
        await move(
            Slow(source, tasks), "old", target, "new", step=change,
            journal=Journal(tmp_path / "journal"), shown=("x/old", "y/new"),
        )  # fmt: skip
    assert await held(source, "old") == {"a.csv": b"written meanwhile"}
    assert await held(target, "new") == {"a.csv": b"a", "b.csv": b"b"}


async def rewrite(end: End) -> None:
    await end.remove("old/a.csv", (await end.contents("old/a.csv")).items)
    await put(end, "old/a.csv", b"written meanwhile")


class Slow:
    """An end that removes only when what else goes on has happened."""

    def __init__(self, end: End, tasks: list[asyncio.Task[None]]):
        self._end = end
        self._tasks = tasks

    def __getattr__(self, name: str) -> Any:
        return getattr(self._end, name)

    async def remove(self, path: str, items: list[Item]) -> list[str]:
        await asyncio.gather(*self._tasks)
        return await self._end.remove(path, items)


class Failing:
    """An end that does not answer any more once it has removed one file."""

    def __init__(self, end: End):
        self._end = end

    def __getattr__(self, name: str) -> Any:
        return getattr(self._end, name)

    async def remove(self, path: str, items: list[Item]) -> list[str]:
        await self._end.remove(path, items[:1])
        raise StoreDown("The object store does not answer.")


@pytest.mark.parametrize("way", [("disk", "one"), ("one", "disk")], ids="-".join)
async def test_a_move_that_fails_while_it_removes_is_finished_when_asked_again(
    ends: Ends, tmp_path: Path, way: tuple[str, str]
) -> None:
    source, target = (ends(name)[0] for name in way)
    for number in range(3):
        await put(source, f"old/{number}.csv", b"x")
    how: Any = {"journal": Journal(tmp_path / "journal"), "shown": ("x/old", "y/new")}

    async def full(size: int) -> None:
        raise Full("There is no room.")

    for end, admit in ((Failing(source), no_limit), (Failing(source), full)):
        with pytest.raises(StoreDown):
            await move(end, "old", target, "new", admit=admit, **how)
    assert len(await held(source, "old")) == 1
    await move(source, "old", target, "new", admit=full, **how)
    assert await source.kind("old") is None
    assert await held(target, "new") == {f"{number}.csv": b"x" for number in range(3)}


async def no_limit(size: int) -> None:
    """Everything has room."""


async def test_an_interrupted_copy_leaves_no_half_file(ends: Ends) -> None:
    for name in ("disk", "one"):
        end, _ = ends(name)

        async def broken() -> Any:
            yield b"x" * (PART + 5)
            raise Changed("The other end went away.")

        for size in (PART + 5, 2 * PART + 9):
            with pytest.raises(PublicError):
                await end.write("half.bin", size, broken())
            assert await end.kind("half.bin") is None


async def test_a_copy_that_fails_takes_back_its_own_and_nothing_else(ends: Ends) -> None:
    disk, _ = ends("disk")
    store, _ = ends("one")
    for source, target in ((disk, store), (store, disk)):
        for number in range(5):
            await put(source, f"old/{number}.csv", b"ours")
        await put(target, "new/3.csv", b"another's")
        with pytest.raises(AlreadyThere):
            await copy(source, "old", target, "new")
        assert await held(target, "new") == {"3.csv": b"another's"}
        for end, path in ((source, "old"), (target, "new")):
            await end.remove(path, (await end.contents(path)).items)


async def test_what_a_link_leads_to_stays(ends: Ends, tmp_path: Path) -> None:
    (disk, told), (store, _) = ends("disk"), ends("one")
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared/a.csv").write_text("a")
    Path(told["folder"], "link").symlink_to(tmp_path / "shared")
    how: Any = {"journal": Journal(tmp_path / "journal"), "shown": ("x/link", "y/new")}
    with pytest.raises(BadName, match="link is a link to a folder"):
        await move(disk, "link", store, "new", **how)
    assert (tmp_path / "shared/a.csv").exists()
    assert await store.kind("new") is None


async def test_nothing_is_written_over(ends: Ends) -> None:
    for name in ("disk", "one"):
        end, _ = ends(name)
        await put(end, "x.csv", b"first")
        with pytest.raises(AlreadyThere):
            await put(end, "x.csv", b"second")
        assert await held(end, "x.csv") == {"": b"first"}


@pytest.mark.parametrize("size", [0, 1, PART - 1, PART, PART + 1, 3 * PART])
async def test_etags_tell_whether_content_arrived(ends: Ends, size: int) -> None:
    end, _ = ends("one")
    assert isinstance(end, Objects)
    data = os.urandom(1024) * (size // 1024) + b"x" * (size % 1024)
    await put(end, "x.bin", data)
    sums = Sums()
    sums.add(data)
    entry = await end.store.head("x.bin")
    assert sums.made(entry.etag)
    assert await end.holds("x.bin", sums)
    other = Sums()
    other.add(data[:-1] + b"y")
    assert not await end.holds("x.bin", other)
