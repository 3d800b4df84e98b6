"""Jupyter Server's own tests, made to run against `S3ContentsManager`.

A plugin for pytest (``-p mirrored``) in an interpreter that has Jupyter Server's
test dependencies. Those tests put files on the disk, call the contents
manager, and look at the disk again. So the folder of a test and a prefix of a
bucket are made equal before and after each call: what the tests see is what
the store holds.

Environment: ``ALMANAC_STORE``, JSON with ``endpoint``, ``bucket``,
``access_key`` and ``secret_key``.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from jupyter_server.services.contents import filemanager, largefilemanager
from tornado.web import HTTPError
from traitlets import Bool, Unicode

from lab_extension.contents.manager import S3ContentsManager
from lab_extension.contents.objects.keys import is_marker

STORE = json.loads(os.environ["ALMANAC_STORE"])

EXCLUDED = {
    "test_root_dir": "root_dir is a folder on the disk",
    "test_missing_root_dir": "root_dir is a folder on the disk",
    "test_invalid_root_dir": "root_dir is a folder on the disk",
    "test_get_os_path": "paths on the disk",
    "test_get_os_path_posix": "paths on the disk",
    "test_checkpoint_subdir": "where on the disk a checkpoint is",
    "test_bad_symlink": "symbolic links",
    "test_good_symlink": "symbolic links",
    "test_recursive_symlink": "symbolic links",
    "test_403": "permissions of files on the disk",
    "test_created_timestamp": "sets a file's times on the disk; object stores keep one time",
    "test_created_timestamp_uses_birthtime": "times of files on the disk",
    "test_created_timestamp_fallback_to_epoch": "patches os.lstat",
    "test_base_model_invalid_timestamp_fallback": "patches os.lstat",
    "test_get_created_timestamp": "a function of the local file manager",
    "test_copy_big_dir": "counts blocks of the disk, in folders of 10,000 files",
    "test_manager::test_regression_is_hidden": "patches the local manager's is_hidden",
    "test_save_raises_when_signature_store_unrecoverable": "it is saved all the same, untrusted",
    "test_saving_different_chunks": "repeats chunks with other contents, and the last one: refused",
}
"""What is about the local disk itself (by name, or its beginning), and why."""


class Mirrored(S3ContentsManager):
    """An `S3ContentsManager` whose prefix and a folder on the disk are kept equal."""

    root_dir = Unicode(config=True)
    use_atomic_writing = Bool(True)
    hash_algorithm = "etag"

    def _root_dir_default(self) -> str:
        return self.parent.root_dir if self.parent else str(Path.cwd())

    def __init__(self, *, checkpoints_class: Any = None, **kwargs: Any):
        super().__init__(**kwargs)
        self._depth = 0
        self._local: dict[str, tuple[int, int]] = {}
        self._remote: dict[str, str | None] = {}

    def _prefix_default(self) -> str:
        return "conformance/" + hashlib.sha256(self.root_dir.encode()).hexdigest()[:24]

    def _get_os_path(self, path: str) -> str:
        return str(Path(self.root_dir, path.strip("/")))

    async def is_hidden(self, path: str) -> bool:
        # As the local manager does: a test makes sure when that is asked.
        filemanager.is_hidden(self._get_os_path(path), self.root_dir)
        return bool(await super().is_hidden(path))

    async def push(self) -> None:
        root, seen = Path(self.root_dir), set()
        for folder, _, names in os.walk(root):
            inside = str(Path(folder).relative_to(root))
            key = "" if inside == "." else inside
            if key and not names and key not in self._remote:
                await self.store.make_folder(key)
            for name in names:
                path = Path(folder, name)
                state = (path.stat().st_mtime_ns, path.stat().st_size)
                key = str(path.relative_to(root))
                seen.add(key)
                if self._local.get(key) != state:
                    await self.store.write(key, path.read_bytes())
                    self._local[key] = state
        gone = set(self._local) - seen
        await self.store.delete(sorted(gone))
        for key in gone:
            del self._local[key]

    async def pull(self) -> None:
        root, files, folders = Path(self.root_dir), {}, {""}
        async for batch in self.store.walk(""):
            for entry in batch:
                key = entry.key.rstrip("/")
                if is_marker(entry.key):
                    folders.add(key if entry.key.endswith("/") else key.rpartition("/")[0])
                else:
                    files[key] = entry.etag
        for key in files:
            folders.update(str(parent) for parent in Path(key).parents)
        for folder in folders:
            Path(root, folder).mkdir(parents=True, exist_ok=True)
        for key, etag in files.items():
            path = Path(root, key)
            if self._remote.get(key) != etag or not path.exists():
                path.write_bytes(bytes((await self.store.read(key))[1]))
                self._local[key] = (path.stat().st_mtime_ns, path.stat().st_size)
        for key in set(self._local) - set(files):
            del self._local[key]
        for folder, names, found in os.walk(root, topdown=False):
            inside = str(Path(folder).relative_to(root))
            inside = "" if inside == "." else inside
            for name in found:
                if str(Path(inside, name)) not in files:
                    Path(folder, name).unlink()
            for name in names:
                if str(Path(inside, name)) not in folders:
                    shutil.rmtree(Path(folder, name))
        self._remote = {**files, **dict.fromkeys(folders)}


def _kept_equal(name: str) -> Any:
    method = getattr(S3ContentsManager, name)

    @functools.wraps(method)
    async def wrapped(self: Mirrored, *args: Any, **kwargs: Any) -> Any:
        if self._depth:
            return await method(self, *args, **kwargs)
        self._depth += 1
        try:
            await self.push()
            return await method(self, *args, **kwargs)
        finally:
            await self.pull()
            self._depth -= 1

    return wrapped


for _name in (
    "get",
    "save",
    "new",
    "new_untitled",
    "copy",
    "delete",
    "delete_file",
    "rename",
    "rename_file",
    "update",
    "exists",
    "file_exists",
    "dir_exists",
    "trust_notebook",
    "create_checkpoint",
    "restore_checkpoint",
    "list_checkpoints",
    "delete_checkpoint",
):
    setattr(Mirrored, _name, _kept_equal(_name))

for _setting, _value in {
    "JPY_S3_BUCKET": STORE["bucket"],
    "JPY_S3_ENDPOINT_URL": STORE["endpoint"],
    "JPY_S3_ACCESS_KEY_ID": STORE["access_key"],
    "JPY_S3_SECRET_ACCESS_KEY": STORE["secret_key"],
}.items():
    os.environ[_setting] = _value

# The tests name the classes of Jupyter's own manager; those they get are ours.
filemanager.AsyncFileContentsManager = Mirrored
largefilemanager.AsyncLargeFileManager = Mirrored


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    kept, dropped = [], []
    for item in items:
        parameters = getattr(item, "callspec", None)
        values = list(parameters.params.values()) if parameters else []
        flat = [
            part for value in values for part in (value if isinstance(value, tuple) else [value])
        ]
        sync = any(
            value in ("FileContentsManager", "LargeFileManager")
            or getattr(value, "__name__", "") in ("FileContentsManager", "LargeFileManager")
            for value in flat
        )
        name = item.name.partition("[")[0]
        place = f"{Path(str(item.path)).stem}::{name}"
        excluded = any(name == known or place == known for known in EXCLUDED)
        excluded |= name.startswith("test_get_created_timestamp") or "windows" in name
        (dropped if sync or excluded else kept).append(item)
    items[:] = kept
    config.hook.pytest_deselected(items=dropped)


__all__ = ["HTTPError", "Mirrored"]
