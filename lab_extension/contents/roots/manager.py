"""Several roots side by side: ``work/`` on disk, ``home/`` and ``projects/…`` in object storage.

Every path begins with the root that it lies in, and the root's own contents
manager does the work. What none of them can do is here and in the modules
``roots_…``: the folders above the roots, and the ways from one into another.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tornado.web import HTTPError

from lab_extension.contents.answers import ContentsError
from lab_extension.contents.models import folder_model
from lab_extension.contents.objects.keys import hidden, join
from lab_extension.contents.roots.base import WORK, fixed, split
from lab_extension.contents.roots.kernels import Kernels
from lab_extension.contents.roots.moving import Moving
from lab_extension.contents.roots.places import HOME, PROJECTS

FIRST_PATIENCE = 3.0
"""Seconds for which the first listing of the projects waits for the job service."""


class RootsContentsManager(Moving, Kernels):
    """Files of a person's server in an Almanac.

    The hub configures it by the environment; each trait can be set instead::

        c.ServerApp.contents_manager_class = "lab_extension.contents.RootsContentsManager"
        c.ServerApp.root_dir = "/home/ana"
        c.RootsContentsManager.bucket = "almanac"
    """

    def info_string(self) -> str:
        there = f", home/ and projects/ from s3://{self.bucket} at {self.endpoint_url or 'AWS'}"
        return f"Serving work/ from {Path(self.root_dir) / WORK}{there if self.bucket else ''}"

    # -- what is there -----------------------------------------------------------

    async def dir_exists(self, path: str) -> bool:
        try:
            manager, inside = await self._root(path)
        except HTTPError as error:
            if error.status_code == 404:
                return False
            raise
        return manager is None or bool(await manager.ask("dir_exists", inside))

    async def file_exists(self, path: str) -> bool:
        try:
            manager, inside = await self._root(path)
        except HTTPError as error:
            if error.status_code == 404:
                return False
            raise
        return manager is not None and bool(await manager.ask("file_exists", inside))

    async def is_hidden(self, path: str) -> bool:
        root, inside = split(path)
        if hidden(root):
            return True
        if not inside:
            return False
        try:
            manager, within = await self._root(path)
        except HTTPError as error:
            if error.status_code == 404:
                return hidden(inside)
            raise
        return manager is not None and bool(await manager.ask("is_hidden", within))

    async def get(
        self,
        path: str,
        content: bool = True,
        type: str | None = None,  # noqa: A002  # Jupyter's name
        format: str | None = None,  # noqa: A002
        require_hash: bool = False,
    ) -> dict[str, Any]:
        manager, inside = await self._root(path)
        if manager is not None:
            model: dict[str, Any] = await manager.ask(
                "get", inside, content=content, type=type, format=format, require_hash=require_hash
            )
            return model
        if type not in (None, "directory"):
            raise ContentsError(
                400, f"{inside or '/'} is a directory, not a {type}", reason="bad type"
            )
        return await self._above(inside, content=content)

    async def _above(self, path: str, *, content: bool) -> dict[str, Any]:
        """A folder that holds roots."""
        model = self._folder(path, writable=False)
        if content:
            if path == PROJECTS and not self.places.heard:
                await self.places.hear(patience=FIRST_PATIENCE)
            model["content"] = [
                self._folder(name, writable=writable)
                for name, writable in self._below(path).items()
            ]
            model["format"] = "json"
        self.emit(data={"action": "get", "path": path})
        return model

    def _below(self, path: str) -> dict[str, bool]:
        """The folders in one of ours, by their paths, and whether they can be written in."""
        places = self._places()
        if path == PROJECTS:
            return {
                root: place.writable
                for root, place in sorted(places.items())
                if root.startswith(f"{PROJECTS}/")
            }
        if not self.bucket:
            return {WORK: True}
        return {WORK: True, HOME: places[HOME].writable, PROJECTS: False}

    def _folder(self, path: str, *, writable: bool) -> dict[str, Any]:
        return {
            **folder_model(path, writable=writable),
            "last_modified": self._started,
            "created": self._started,
        }

    # -- writing -------------------------------------------------------------------

    async def save(self, model: dict[str, Any], path: str = "") -> dict[str, Any]:
        manager, inside = await self._writing(path, "saved")
        saved: dict[str, Any] = await manager.ask("save", model, inside)
        self._keeper.changed(path.strip("/"))
        return saved

    async def new(self, model: dict[str, Any] | None = None, path: str = "") -> dict[str, Any]:
        manager, inside = await self._writing(path, "made")
        made: dict[str, Any] = await manager.ask("new", model, inside)
        self._keeper.changed(path.strip("/"))
        return made

    async def new_untitled(
        self,
        path: str = "",
        type: str = "",  # noqa: A002  # Jupyter's name
        ext: str = "",
    ) -> dict[str, Any]:
        manager, inside = await self._root(path)
        if manager is None:
            raise ContentsError(403, fixed(join(inside, "x") if inside else "x", "made"))
        made: dict[str, Any] = await manager.ask("new_untitled", inside, type=type, ext=ext)
        self._keeper.changed(made["path"])
        return made

    async def delete(self, path: str) -> None:
        manager, inside = await self._writing(path, "deleted")
        await manager.ask("delete", inside)
        self._keeper.changed(path.strip("/"))

    async def delete_file(self, path: str) -> None:
        manager, inside = await self._writing(path, "deleted")
        await manager.ask("delete_file", inside)
        self._keeper.changed(path.strip("/"))

    # -- checkpoints, trust ---------------------------------------------------------

    async def create_checkpoint(self, path: str) -> Any:
        manager, inside = await self._writing(path, "saved")
        return await manager.ask("create_checkpoint", inside)

    async def restore_checkpoint(self, checkpoint_id: str, path: str) -> None:
        manager, inside = await self._writing(path, "restored")
        await manager.ask("restore_checkpoint", checkpoint_id, inside)
        self._keeper.changed(path.strip("/"))

    async def list_checkpoints(self, path: str) -> Any:
        manager, inside = await self._root(path)
        return [] if manager is None else await manager.ask("list_checkpoints", inside)

    async def delete_checkpoint(self, checkpoint_id: str, path: str) -> None:
        manager, inside = await self._writing(path, "deleted")
        await manager.ask("delete_checkpoint", checkpoint_id, inside)

    async def trust_notebook(self, path: str) -> None:
        manager, inside = await self._root(path)
        if manager is None:
            raise ContentsError(400, f"{path or '/'} is a directory, not a notebook")
        await manager.ask("trust_notebook", inside)
