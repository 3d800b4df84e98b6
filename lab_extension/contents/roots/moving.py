"""Renaming and copying, from one root into another as well."""

from __future__ import annotations

import functools
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from jupyter_server.services.contents.manager import copy_pat
from tornado.web import HTTPError

from hub_ext.errors import PublicError
from lab_extension.contents.answers import ContentsError
from lab_extension.contents.objects.faults import AlreadyThere
from lab_extension.contents.objects.keys import join, name_of, parent
from lab_extension.contents.paths import parse
from lab_extension.contents.roots import crossing
from lab_extension.contents.roots.base import RootsBase, explained, fixed, split
from lab_extension.contents.roots.ends import Disk, End, Objects
from lab_extension.contents.roots.managers import ObjectRoot, WorkRoot


class Moving(RootsBase):
    """Within a root it is the root's own; between two, `crossing` does it."""

    async def rename_file(self, old_path: str, new_path: str) -> None:
        await self._rename(old_path, new_path, with_checkpoints=False)

    async def rename(self, old_path: str, new_path: str) -> None:
        await self._rename(old_path, new_path, with_checkpoints=True)

    @explained
    async def _rename(self, old_path: str, new_path: str, *, with_checkpoints: bool) -> None:
        old_path, new_path = old_path.strip("/"), new_path.strip("/")
        if old_path == new_path:
            return
        source, inside = await self._writing(old_path, "renamed")
        target, to = await self._writing(new_path, "made")
        if source is target:
            async with source.mirror.still() if isinstance(source, ObjectRoot) else nullcontext():
                await source.ask("rename" if with_checkpoints else "rename_file", inside, to)
                if isinstance(source, ObjectRoot):
                    await self._follow(source, inside, to)
        else:
            await self._move(old_path, source, inside, new_path, target, to)
        self._keeper.changed(old_path)
        self._keeper.changed(new_path)

    async def _move(
        self,
        old_path: str,
        source: WorkRoot | ObjectRoot,
        inside: str,
        new_path: str,
        target: WorkRoot | ObjectRoot,
        to: str,
    ) -> None:
        await self._require_visible(old_path, new_path)
        self._require_changeable(source, inside)
        self._require_changeable(target, to)
        target.require_room()
        if not await target.dir_exists(parent(to)):
            raise ContentsError(404, f"No such directory: {parent(new_path)}")
        shown = (old_path, new_path)
        await crossing.move(
            self._end(source),
            inside,
            self._end(target),
            to,
            journal=self._journal,
            shown=shown,
            admit=functools.partial(target.admit, to),
            still=source.mirror.still if isinstance(source, ObjectRoot) else nullcontext,
        )
        # The checkpoints of a place stay with it; where a file is gone, so are they.
        try:
            await source.checkpoints.delete_all_checkpoints(inside)
        except (HTTPError, OSError, PublicError) as error:
            self.log.debug("Almanac: the checkpoints of %s stay: %s", old_path, error)
        self.emit(data={"action": "rename", "path": new_path, "source_path": old_path})

    async def copy(self, from_path: str, to_path: str | None = None) -> dict[str, Any]:
        from_path = from_path.strip("/")
        source, inside = await self._root(from_path)
        if source is None or not split(from_path)[1]:
            raise ContentsError(
                400,
                f"Can't copy {from_path or 'the folder at the top'}: choose "
                "files and folders in it.",
            )
        to_path = parent(from_path) if to_path is None else to_path.strip("/")
        target, to = await self._root(to_path)
        if target is None:
            raise ContentsError(403, fixed(to_path, "copied to"))
        if source is target:
            made: dict[str, Any] = await source.ask("copy", inside, to)
        else:
            made = await self._copy_across(from_path, source, inside, target, to_path, to)
        self._keeper.changed(made["path"])
        return made

    @explained
    async def _copy_across(
        self,
        from_path: str,
        source: WorkRoot | ObjectRoot,
        inside: str,
        target: WorkRoot | ObjectRoot,
        to_path: str,
        to: str,
    ) -> dict[str, Any]:
        await self._require_visible(from_path, to_path)
        self._require_changeable(target, to)
        target.require_room()
        if await target.dir_exists(to):
            name = copy_pat.sub(".", name_of(from_path))
            name = await target.increment_filename(name, to, insert="-Copy")
            to, to_path = join(to, name), join(to_path, name)
        elif not await target.dir_exists(parent(to)):
            raise ContentsError(404, f"No such parent directory: {parent(to_path)} to copy file in")
        end = self._end(target)
        if await end.kind(to) is not None:
            raise AlreadyThere(f"File already exists: {to_path}")
        await crossing.copy(
            *self._source(source, inside),
            end,
            to,
            shown=from_path,
            admit=functools.partial(target.admit, to),
        )
        self.emit(data={"action": "copy", "path": to_path, "source_path": from_path})
        made: dict[str, Any] = await target.ask("get", to, content=False)
        return made

    async def _require_visible(self, *paths: str) -> None:
        if not self.allow_hidden:
            for path in paths:
                if await self.is_hidden(path):
                    raise ContentsError(400, f"Cannot copy or rename file or directory {path!r}")

    def _end(self, manager: WorkRoot | ObjectRoot) -> End:
        if isinstance(manager, ObjectRoot):
            return Objects(manager.store, manager.place.root)
        return Disk(Path(self.root_dir))

    def _source(self, manager: WorkRoot | ObjectRoot, inside: str) -> tuple[End, str]:
        """The end to copy from, and what it calls the path; of an old version, too."""
        if isinstance(manager, ObjectRoot):
            named = parse(inside)
            end = Objects(manager.store, manager.place.root, version=named.version)
            return end, named.key
        return self._end(manager), inside

    @staticmethod
    def _require_changeable(manager: WorkRoot | ObjectRoot, inside: str) -> None:
        """Raises PublicError: read-only, or an old version."""
        if isinstance(manager, ObjectRoot):
            manager.must_be_writable(parse(inside))
