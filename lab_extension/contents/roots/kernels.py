"""Where kernels run, and where notebooks are captured: on disk, whatever root they are of."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from tornado.web import HTTPError

from hub_ext.errors import Invalid, PublicError
from lab_extension.contents.answers import ContentsError
from lab_extension.contents.objects.keys import join, name_of, parent
from lab_extension.contents.paths import parse
from lab_extension.contents.roots.base import MIRRORS, WORK, RootsBase, split
from lab_extension.contents.roots.managers import ObjectRoot, WorkRoot
from lab_extension.contents.roots.mirror import renamed


class OldVersion(Invalid):
    """Only what is now can go into production."""

    code = "old-version"


class Kernels(RootsBase):
    """Object storage is mirrored for them (`mirror`)."""

    async def get_kernel_path(self, path: str, model: Any = None) -> str:
        """Where a kernel for ``path`` runs, relative to the server's folder.

        It always starts: where the store does not answer, with what is there.
        """
        try:
            manager, inside = await self._root(path or "")
        except HTTPError as error:
            self.log.warning("Almanac: a kernel for %s starts in %s: %s", path, WORK, error)
            return WORK
        if manager is None:
            return WORK
        if isinstance(manager, WorkRoot):
            return str(await manager.get_kernel_path(inside))
        folder = await self._enter(manager, inside)
        self._entered[path] = folder
        return f"{MIRRORS}/{folder}"

    async def _enter(self, manager: ObjectRoot, inside: str) -> str:
        mirror = manager.mirror
        folder, notebook = await self._folder_of(manager, inside)
        if notebook:
            mirror.notebooks.add(join(folder, notebook))
        task = asyncio.ensure_future(mirror.sync(folder, first=notebook))
        await asyncio.wait([task], timeout=self.mirror_patience)
        if not task.done():
            self.log.warning("Almanac: what lies beside %s is still on its way", inside)
            task.add_done_callback(lambda done: done.cancelled() or done.exception())
        elif (error := task.exception()) is not None:
            if not isinstance(error, PublicError | OSError):
                raise error
            self.log.warning(
                "Almanac: a kernel for %s starts with what was on disk: %s",
                join(mirror.root, inside),
                error,
            )
            await asyncio.to_thread(mirror.path(folder).mkdir, parents=True, exist_ok=True)
        self._keeper.enter(mirror, folder)
        return join(mirror.root, folder) if folder else mirror.root

    async def _folder_of(self, manager: ObjectRoot, inside: str) -> tuple[str, str]:
        """The folder that a kernel for ``inside`` belongs to, and the notebook's name if any."""
        try:
            key = parse(inside).key
        except PublicError:
            return "", ""
        if not key or not name_of(key).endswith(".ipynb"):
            try:
                if not key or await manager.dir_exists(key):
                    return key, ""
            except (HTTPError, PublicError):
                pass
        return parent(key), name_of(key) if key.endswith(".ipynb") else ""

    async def on_disk(self, path: str) -> Path:
        """The file of a notebook; one in object storage is fetched with what lies beside it.

        Raises:
            PublicError: it cannot be fetched.
            HTTPError: there is none.
        """
        manager, inside = await self._root(path)
        if manager is None:
            raise ContentsError(404, f"No such file: {path}")
        if isinstance(manager, WorkRoot):
            return Path(manager._get_os_path(inside))
        named = parse(inside)
        if named.version is not None:
            raise OldVersion(
                f"{path} is an old version of a notebook.",
                mend="Restore it, or save a copy, and take that.",
            )
        mirror = manager.mirror
        await mirror.sync(parent(named.key), first=name_of(named.key))
        return mirror.path(named.key)

    async def _follow(self, manager: ObjectRoot, inside: str, to: str) -> None:
        old, new = manager.whole(inside), manager.whole(to)
        used = {*self._kernels.values(), *self._entered.values()}
        clear = not any(renamed(path, new, "") != path for path in used)
        try:
            went = await manager.mirror.moved(parse(inside).key, parse(to).key, clear=clear)
        except OSError as error:
            self.log.warning("Almanac: the mirror of %s stays where it is: %s", old, error)
            return
        if not went:
            self.log.warning(
                "Almanac: kernels in %s go on there: files on this disk are in the way of %s",
                old,
                new,
            )
            return
        self._keeper.moved(old, new)
        for known in (self._kernels, self._entered):
            known.update({name: renamed(path, old, new) for name, path in known.items()})

    async def _folders_in_use(self) -> set[str]:
        """The folders of object storage in which kernels run now."""
        sessions = getattr(self.parent, "session_manager", None)
        if sessions is None:
            return set()
        seen: dict[str, str] = {}
        for session in await sessions.list_sessions():
            if kernel := (session.get("kernel") or {}).get("id"):
                # By the kernel: a notebook that is moved takes its session along, not its kernel.
                path = str(session["path"])
                seen[kernel] = self._kernels.get(kernel) or self._entered.get(path, parent(path))
        self._kernels = seen
        return set(seen.values())

    async def resolve_path(self, path: str) -> str | None:
        """The API path of a file on disk, that a traceback or a debugger names."""
        top = Path(self.root_dir)
        at = Path(path)
        if not at.is_absolute():
            return None
        mirrored = top / MIRRORS
        if at.is_relative_to(mirrored):
            return at.relative_to(mirrored).as_posix()
        if at.is_relative_to(top / WORK):
            return at.relative_to(top).as_posix()
        return None

    def _get_os_path(self, path: str) -> str:
        """As the local file manager has it; for extensions that ask."""
        root, _ = split(path)
        if root == WORK:
            return str(self.work._get_os_path(path.strip("/")))
        raise ContentsError(404, f"{path} is not on this server's disk")
