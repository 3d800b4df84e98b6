"""Reading: files, notebooks, folders and old versions, as models."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from jupyter_server.services.contents.manager import AsyncContentsManager

from lab_extension.contents import models, notebooks, paths
from lab_extension.contents.answers import ContentsError, answers
from lab_extension.contents.base import S3Base, both, work
from lab_extension.contents.models import Model
from lab_extension.contents.objects.entries import Listing
from lab_extension.contents.objects.faults import Missing
from lab_extension.contents.paths import Named

_SLICE = 1000
"""Entries of a listing that are made before others have their turn on the event loop."""


class Reading(S3Base):
    @answers
    async def get(
        self,
        path: str,
        content: bool = True,
        type: str | None = None,  # noqa: A002  # Jupyter's names
        format: str | None = None,  # noqa: A002
        require_hash: bool = False,
    ) -> Model:
        self.start()
        named = self._named(path)
        if named.hidden and not self.allow_hidden:
            raise Missing(f"file or directory does not exist: {path!r}")
        model = await self._get(named, bool(content), type, format, bool(require_hash))
        self.emit(data={"action": "get", "path": named.path})
        return model

    async def _get(
        self, named: Named, content: bool, kind: str | None, form: str | None, with_hash: bool
    ) -> Model:
        if kind == "directory":
            model = await self._get_folder(named, content)
            if model is None and await self._find(named):
                raise ContentsError(400, f"{named.path} is not a directory", reason="bad type")
        elif kind is not None:
            model = await self._get_file(named, content, kind, form, with_hash)
            if model is None and await self._folder_there(named):
                raise ContentsError(
                    400, f"{named.path} is a directory, not a {kind}", reason="bad type"
                )
        elif "." in named.name:
            model = await self._get_file(named, content, kind, form, with_hash)
            model = model or await self._get_folder(named, content)
        else:
            entry, model = await both(self._find(named), self._get_folder(named, content))
            if entry:
                model = await self._get_file(named, content, kind, form, with_hash)
        if model is None:
            raise Missing(f"No such file or directory: {named.path}")
        return model

    async def _get_folder(self, named: Named, content: bool) -> Model | None:
        """None if there is no such folder."""
        if named.version is not None:
            return None
        model = models.folder_model(named.path, writable=not self.read_only)
        if not content:
            return model if await self._folder_there(named) else None
        model["content"] = found = []
        model["format"] = "json"
        there = not named.key
        async for listing in self.store.parts(named.key):
            there = there or listing.there
            for number, entry in enumerate(self._listed(named, listing)):
                if number % _SLICE == _SLICE - 1:
                    await asyncio.sleep(0)
                found.append(entry)
        return model if there else None

    def _listed(self, named: Named, listing: Listing) -> Iterable[Model]:
        overridden = type(self).should_list is not AsyncContentsManager.should_list
        return models.listed(
            named.path,
            listing,
            shown=self.should_list if overridden else paths.matches_none(self.hide_globs),
            allow_hidden=self.allow_hidden,
            writable=not self.read_only,
        )

    async def _get_file(
        self, named: Named, content: bool, kind: str | None, form: str | None, with_hash: bool
    ) -> Model | None:
        """None if there is no such file."""
        told = models.kind_of(named.path, kind)
        writable = self.is_writable(named.path)
        if not content:
            found = await self._find(named)
            if found is None:
                return None
            return models.file_model(
                named.path, found, kind=told, writable=writable, with_hash=with_hash
            )
        if not named.key:
            return None
        try:
            entry, data, _ = await self.store.read(named.key, version=named.version)
        except Missing:
            return None
        model = models.file_model(
            named.path, entry, kind=told, writable=writable, with_hash=with_hash
        )
        if told == "notebook":
            await self._fill_notebook(model, data, named.path)
        else:
            model["content"], model["format"] = await work(
                entry.size, notebooks.told, data, form, named.path
            )
            if model["mimetype"] is None:
                text = model["format"] == "text"
                model["mimetype"] = "text/plain" if text else "application/octet-stream"
        return model

    async def _fill_notebook(self, model: Model, data: Any, path: str) -> None:
        size = model["size"]
        notebook, problems = await work(size, notebooks.read_notebook, data, path)
        if size < notebooks.LARGE:
            self.mark_trusted_cells(notebook, path)
        else:
            # Of a large one the checksum takes long; the database stays in its thread.
            signature = await asyncio.to_thread(self.notary.compute_signature, notebook)
            trusted = self.notary.store.check_signature(signature, self.notary.algorithm)
            self.notary.mark_cells(notebook, trusted)
        model["content"] = notebook
        model["format"] = "json"
        self.validate_notebook_model(model, problems)
