"""Checkpoints in the same store: copies that the store makes, without a download."""

from __future__ import annotations

from typing import Any

from jupyter_server.services.contents.checkpoints import AsyncCheckpoints
from traitlets import Unicode

from hub_ext.errors import PublicError
from lab_extension.contents.answers import ContentsError, answers
from lab_extension.contents.objects.entries import Entry
from lab_extension.contents.objects.faults import BadName, Missing
from lab_extension.contents.paths import CHECKPOINTS, Named, checkpoint_of, parse

ONLY = "checkpoint"
"""The id: there is one checkpoint for each file, as with Jupyter's own."""


class S3Checkpoints(AsyncCheckpoints):  # type: ignore[misc]
    """One checkpoint for each file, in the folder ``.ipynb_checkpoints`` beside it.

    A folder's move or removal takes them with it. Works with
    `S3ContentsManager`, whose store it uses.
    """

    checkpoint_dir = Unicode(CHECKPOINTS, help="The folder's name: as on a disk, and fixed.")

    @property
    def _store(self) -> Any:
        return self.parent.store

    @answers
    async def create_checkpoint(self, contents_mgr: Any, path: str) -> dict[str, Any]:
        named = self._file(path)
        self.parent.must_be_writable(named)
        return _model(await self._store.copy(named.key, checkpoint_of(named.key)))

    @answers
    async def restore_checkpoint(self, contents_mgr: Any, checkpoint_id: str, path: str) -> None:
        named = self._file(path)
        self.parent.must_be_writable(named)
        try:
            await self._store.copy(self._key(named, checkpoint_id), named.key)
        except Missing as error:
            raise _none(path, checkpoint_id) from error

    @answers
    async def rename_checkpoint(self, checkpoint_id: str, old_path: str, new_path: str) -> None:
        """Nothing where there is none; a rename by the manager has moved it already."""
        old, new = self._file(old_path), self._file(new_path)
        try:
            await self._store.copy(self._key(old, checkpoint_id), checkpoint_of(new.key))
        except Missing:
            return
        await self._store.delete([checkpoint_of(old.key)])

    @answers
    async def delete_checkpoint(self, checkpoint_id: str, path: str) -> None:
        named = self._file(path)
        self.parent.must_be_writable(named)
        key = self._key(named, checkpoint_id)
        try:
            await self._store.head(key)
        except Missing as error:
            raise _none(path, checkpoint_id) from error
        await self._store.delete([key])

    @answers
    async def list_checkpoints(self, path: str) -> list[dict[str, Any]]:
        named = parse(path)
        entry = await self.find(named)
        return [_model(entry)] if entry else []

    async def find(self, named: Named) -> Entry | None:
        """The checkpoint of a file, if it has one."""
        if named.version is not None or not named.key:
            return None
        try:
            entry: Entry = await self._store.head(checkpoint_of(named.key))
        except (Missing, BadName):
            return None
        return entry

    async def begin(self, named: Named) -> None:
        """Make the first checkpoint of a file just saved; the save holds without it."""
        try:
            await self._store.copy(named.key, checkpoint_of(named.key))
        except PublicError as error:
            self.log.warning("There is no checkpoint of %s: %s", named.path, error)

    def _file(self, path: str) -> Named:
        named = parse(path)
        if not named.key:
            raise ContentsError(400, "A folder has no checkpoints.")
        return named

    def _key(self, named: Named, checkpoint: str) -> str:
        if checkpoint != ONLY:
            raise _none(named.path, checkpoint)
        return checkpoint_of(named.key)


def _model(entry: Entry) -> dict[str, Any]:
    return {"id": ONLY, "last_modified": entry.modified}


def _none(path: str, checkpoint: str) -> ContentsError:
    return ContentsError(404, f"Checkpoint does not exist: {path}@{checkpoint}")
