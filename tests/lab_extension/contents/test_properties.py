"""Random sequences of operations, on the real store and on a file system of a few lines."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from contents import manager_of, text
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st
from stores import RunningStore
from tornado.web import HTTPError

from lab_extension.contents.manager import S3ContentsManager
from lab_extension.contents.objects.credentials import StaticKeys
from lab_extension.contents.objects.store import Store, StoreSettings

_numbers = itertools.count()


class Refusal(Exception):
    def __init__(self, status: int):
        super().__init__(status)
        self.status = status


def parent(path: str) -> str:
    return path.rpartition("/")[0]


def above(path: str) -> list[str]:
    """The folders that a path lies in, the top one left out."""
    found = []
    while path := parent(path):
        found.append(path)
    return found


@dataclass
class Files:
    """A file system as the contents API shows it: what should be."""

    files: dict[str, str] = field(default_factory=dict)
    folders: set[str] = field(default_factory=lambda: {""})
    checkpoints: dict[str, str] = field(default_factory=dict)

    def _below(self, folder: str) -> Callable[[str], bool]:
        return lambda path: path.startswith(f"{folder}/")

    def save(self, path: str, content: str, base: str | None) -> None:
        """``base``: None without a condition, "new", "current" or "stale"."""
        if base in ("current", "stale") and path not in self.files:
            base = "stale"
        if base == "stale":
            raise Refusal(409)
        if path not in self.files:
            if path in self.folders or any(name in self.files for name in above(path)):
                raise Refusal(400)
        elif base == "new":
            raise Refusal(409)
        self.files[path] = content
        self.folders.update(above(path))

    def make_folder(self, path: str) -> None:
        if path in self.files or any(name in self.files for name in above(path)):
            raise Refusal(400)
        self.folders.update([path, *above(path)])

    def get(self, path: str) -> Any:
        if path in self.files:
            return self.files[path]
        if path not in self.folders:
            raise Refusal(404)
        inside = {*self.files, *self.folders} - {""}
        return sorted(name for name in inside if parent(name) == path)

    def delete(self, path: str) -> None:
        if path not in self.files and path not in self.folders:
            raise Refusal(404)
        below = self._below(path)
        for held in (self.files, self.checkpoints):
            for name in [name for name in held if name == path or below(name)]:
                del held[name]
        self.folders = {name for name in self.folders if name != path and not below(name)}

    def rename(self, old: str, new: str) -> None:
        if old == new:
            return
        if new in self.files or new in self.folders:
            raise Refusal(409)
        if old not in self.files and old not in self.folders:
            raise Refusal(404)
        if parent(new) not in self.folders:
            raise Refusal(404)
        if new.startswith(f"{old}/"):
            raise Refusal(400)
        self._move(old, new)
        self.delete_quietly(old)

    def delete_quietly(self, path: str) -> None:
        if path in self.files or path in self.folders:
            self.delete(path)

    def _move(self, old: str, new: str) -> None:
        below = self._below(old)
        for held in (self.files, self.checkpoints):
            for name in [name for name in held if name == old or below(name)]:
                held[new + name[len(old) :]] = held[name]
        self.folders |= {
            new + name[len(old) :] for name in self.folders if name == old or below(name)
        }

    def copy(self, source: str, folder: str) -> str:
        """The path of the copy."""
        if source not in self.files and source not in self.folders:
            raise Refusal(404)
        is_file = source in self.files
        if not is_file and f"{folder}/".startswith(f"{source}/"):
            raise Refusal(400)
        name = source.rpartition("/")[2]
        taken = {*self.files, *self.folders}

        def numbered() -> Iterator[str]:
            stem, dot, ending = name.partition(".")
            yield name
            for number in itertools.count(1):
                yield f"{stem}-Copy{number}{dot}{ending}"

        def free(where: str) -> str:
            paths = (f"{where}/{name}".lstrip("/") for name in numbered())
            return next(path for path in paths if path not in taken)

        if is_file:
            if folder in self.folders:
                target = free(folder)
            elif parent(folder) in self.folders:
                target = folder
            else:
                raise Refusal(404)
            self.files[target] = self.files[source]
            return target
        if folder in self.files or any(path in self.files for path in above(folder)):
            raise Refusal(400)
        target = free(folder)
        self._move(source, target)
        self.folders.update(above(target))
        return target

    def checkpoint(self, path: str) -> None:
        if path not in self.files:
            raise Refusal(404)
        self.checkpoints[path] = self.files[path]

    def restore(self, path: str) -> None:
        if path not in self.checkpoints:
            raise Refusal(404)
        self.files[path] = self.checkpoints[path]


NAMES = st.sampled_from(["a", "ü +%#.csv"])
PATHS = st.one_of(NAMES, st.lists(NAMES, min_size=1, max_size=3).map("/".join))
OPERATIONS = st.one_of(
    st.tuples(
        st.just("save"),
        PATHS,
        st.text(max_size=5),
        st.sampled_from([None, None, None, "new", "current", "stale"]),
    ),
    st.tuples(st.just("make_folder"), PATHS),
    st.tuples(st.just("get"), PATHS | st.just("")),
    st.tuples(st.just("delete"), PATHS),
    st.tuples(st.just("rename"), PATHS, PATHS),
    st.tuples(st.just("copy"), PATHS, PATHS | st.just("")),
    st.tuples(st.just("checkpoint"), PATHS),
    st.tuples(st.just("restore"), PATHS),
)


async def really(manager: S3ContentsManager, operation: tuple[Any, ...]) -> Any:
    """Do it with the manager; what `Files` gives for the same."""
    name, path, *rest = operation
    if name == "save":
        content, base = rest
        condition: dict[str, Any] = {}
        if base == "new":
            condition["base_hash"] = None
        elif base:
            known = None
            if base == "current" and await manager.file_exists(path):
                known = (await manager.get(path, content=False, require_hash=True))["hash"]
            condition["base_hash"] = known or "0" * 32
        saved = await manager.save(text(content, **condition), path)
        assert saved["size"] == len(content.encode())
    elif name == "make_folder":
        await manager.save({"type": "directory"}, path)
    elif name == "get":
        model = await manager.get(path)
        if model["type"] == "directory":
            return sorted(entry["path"] for entry in model["content"])
        return model["content"]
    elif name == "copy":
        return (await manager.copy(path, rest[0]))["path"]
    elif name == "checkpoint":
        await manager.create_checkpoint(path)
    elif name == "restore":
        await manager.restore_checkpoint("checkpoint", path)
    else:
        await getattr(manager, name)(path, *rest)
    return None


async def outcome(doing: Callable[[], Awaitable[Any]]) -> Any:
    try:
        return await doing()
    except HTTPError as error:
        note(str(error))
        return Refusal, error.status_code


def expected(files: Files, operation: tuple[Any, ...]) -> Any:
    name, *arguments = operation
    try:
        return getattr(files, name)(*arguments)
    except Refusal as refusal:
        return Refusal, refusal.status


async def tree(manager: S3ContentsManager) -> Files:
    """All that there is, found by listing folder after folder."""
    found = Files()
    waiting = [""]
    while waiting:
        for entry in (await manager.get(waiting.pop(), type="directory"))["content"]:
            path = entry["path"]
            if entry["type"] == "directory":
                found.folders.add(path)
                waiting.append(path)
            else:
                found.files[path] = (await manager.get(path, type="file"))["content"]
                if await manager.list_checkpoints(path):
                    found.checkpoints[path] = ""
    return found


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


async def compare(running: RunningStore, operations: list[tuple[Any, ...]]) -> None:
    keys = StaticKeys(running.access_key, running.secret_key)
    prefix = f"properties/{next(_numbers)}"
    store = Store(StoreSettings(running.endpoint, running.bucket, prefix, credentials=keys))
    manager, files = manager_of(store), Files()
    try:
        for operation in operations:
            note(repr(operation))
            wanted = expected(files, operation)
            found = await outcome(lambda op=operation: really(manager, op))  # type: ignore[misc]
            assert found == wanted, operation
        found = await tree(manager)
        files.checkpoints = dict.fromkeys(files.checkpoints, "")
        assert found == files
        left = [entry.key async for batch in store.walk(".almanac") for entry in batch]
        assert left == []
    finally:
        await manager.close()


@settings(
    max_examples=40,
    deadline=None,
    # Not made smaller: sequences are short, and each trial takes its time.
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(operations=st.lists(OPERATIONS, min_size=5, max_size=20))
def test_the_manager_is_a_file_system(
    loop: asyncio.Runner, seaweedfs: RunningStore, operations: list[tuple[Any, ...]]
) -> None:
    loop.run(compare(seaweedfs, operations))
