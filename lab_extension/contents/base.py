"""What every part of `S3ContentsManager` stands on: its settings, and what a path names."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from jupyter_server.services.contents.manager import AsyncContentsManager
from traitlets import Bool, Instance, Int, default

from hub_ext.errors import Forbidden
from lab_extension.contents import notebooks, paths
from lab_extension.contents.answers import ContentsError, answers
from lab_extension.contents.models import Located, Model
from lab_extension.contents.moves import Mover
from lab_extension.contents.objects import keys
from lab_extension.contents.objects.entries import Entry
from lab_extension.contents.objects.faults import BadName, Missing
from lab_extension.contents.objects.store import Store
from lab_extension.contents.paths import Named
from lab_extension.contents.quota import Quota
from lab_extension.contents.traits import S3Traits
from lab_extension.contents.uploads import Uploads

T = TypeVar("T")
U = TypeVar("U")

_MOMENT = 0.5
"""Seconds. What depends on it is whether a folder of the same name is looked for."""


class ReadOnly(Forbidden):
    """What is only to be read."""

    code = "read-only"


class S3Base(S3Traits, AsyncContentsManager):  # type: ignore[misc]
    read_only = Bool(False, help="Show everything as read-only and refuse to write.").tag(
        config=True
    )
    quota_bytes = Int(
        0,
        help="""Bytes that may lie below the prefix, old versions not counted; 0: no limit. What
        lies there is counted once a minute at most.""",
    ).tag(config=True)
    delete_to_trash = Bool(
        True,
        help="""Folders that are not empty may be deleted where the bucket keeps versions, from
        which what was deleted can be had back. There is no other trash: in a bucket without
        versions, or with False, only empty folders can be deleted.""",
    ).tag(config=True)
    always_delete_dir = Bool(
        False, help="Folders that are not empty may be deleted even where nothing is kept of them."
    ).tag(config=True)
    max_copy_folder_size_mb = Int(
        0, help="The size of a folder (in MB) up to which it can be copied; 0: no limit."
    ).tag(config=True)

    store: Store = Instance(Store, help="The objects; made of the settings above.")

    quota: Quota
    _lately: tuple[str, float, Entry | None] = ("", 0.0, None)
    uploads: Uploads
    mover: Mover

    @default("store")  # type: ignore[untyped-decorator]
    def _default_store(self) -> Store:
        return Store(self.store_settings())

    def step(self, name: str) -> None:
        """Called after each step of what must survive a crash. Tests end the process here."""

    def has_save_hooks(self) -> bool:
        """Whether anybody wants to see what is saved."""
        one = self.pre_save_hook or self.post_save_hook
        return bool(one or self._pre_save_hooks or self._post_save_hooks)

    def reached(self, step: str) -> None:
        self.step(step)

    def start(self) -> None:
        """Called before each request that reads or saves."""

    def _named(self, path: str) -> Named:
        """Raises Missing, BadName."""
        named = paths.parse(path)
        keys.key_of(named.key, prefix=self.store.prefix)
        return named

    def _visible(self, path: str, doing: str) -> Named:
        """For something that is to be written. Raises HTTPError 400 if it is hidden."""
        named = self._named(path)
        if named.hidden and not self.allow_hidden:
            raise ContentsError(400, f"Cannot {doing} file or directory {path!r}")
        return named

    def must_be_writable(self, named: Named) -> None:
        """Raises ReadOnly."""
        if named.version is not None:
            raise ReadOnly(
                f"{named.path} is an old version, which nobody can change.",
                mend="Save under another name, or restore the version.",
            )
        if self.read_only:
            raise ReadOnly(
                f"You may read {named.path or 'this folder'}, and not write here.",
                mend="Save in a folder of your own.",
            )

    async def _find(self, named: Named) -> Entry | None:
        """The file, if there is one."""
        if not named.key:
            return None
        try:
            if named.version is None:
                return await self.store.head(named.key)
            return await self.store.head(named.key, version=named.version)
        except Missing:
            return None

    async def _folder_there(self, named: Named) -> bool:
        if named.version is not None:
            return False
        return not named.key or await self.store.folder_exists(named.key)

    async def _file_and_folder(self, named: Named) -> tuple[Entry | None, bool]:
        """The file of this name, and whether there is a folder of it."""
        return await both(self._find(named), self._folder_there(named))

    async def is_hidden(self, path: str) -> bool:
        try:
            return self._hidden(path)
        except Missing as error:
            raise ContentsError(404, str(error)) from error

    def _hidden(self, path: str) -> bool:
        return paths.parse(path).hidden

    def is_writable(self, path: str) -> bool:
        return not self.read_only and paths.parse(path).version is None

    @answers
    async def file_exists(self, path: str = "") -> bool:
        try:
            named = self._named(path)
            entry = await self._find(named)
        except (BadName, Missing):
            return False
        if entry is not None:
            self._lately = (named.path, time.monotonic(), entry)
        return entry is not None

    def _just_found(self, named: Named) -> Entry | None:
        """The file, if it was asked for a moment ago, as Jupyter does before each save."""
        path, then, entry = self._lately
        fresh = path == named.path and time.monotonic() - then < _MOMENT
        return entry if fresh else None

    @answers
    async def dir_exists(self, path: str) -> bool:
        try:
            return await self._folder_there(self._named(path))
        except (BadName, Missing):
            return False

    @answers
    async def exists(self, path: str) -> bool:
        try:
            entry, folder = await self._file_and_folder(self._named(path))
        except (BadName, Missing):
            return False
        return entry is not None or folder

    async def resolve_path(self, path: str) -> str | None:
        path = path.strip("/")
        return path if await self.exists(path) else None

    async def get_kernel_path(self, path: str, model: Model | None = None) -> str:
        """Kernels start in the server's own folder: there is no disk here."""
        return ""

    @answers
    async def locate(self, path: str) -> Located:
        """Where in object storage ``path`` is; whether there is anything, is not asked."""
        named = self._named(path)
        return Located(self, self.store, named.key, "", self.is_writable(named.path), named.version)


async def both(one: Awaitable[T], other: Awaitable[U]) -> tuple[T, U]:
    """At once; if one is refused, the other has ended too."""
    first, second = await asyncio.gather(one, other, return_exceptions=True)
    if isinstance(first, BaseException):
        raise first
    if isinstance(second, BaseException):
        raise second
    return first, second


async def work(size: int, function: Callable[..., T], *arguments: Any) -> T:
    """Call a function that may block: in a thread if there is much to do."""
    if size < notebooks.LARGE:
        return function(*arguments)
    return await asyncio.to_thread(function, *arguments)
