"""Saving: notebooks, files, folders, and large files in chunks."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from functools import partial
from typing import Any

from lab_extension.contents import absent, models, notebooks, paths
from lab_extension.contents.answers import ContentsError, answers
from lab_extension.contents.base import both, work
from lab_extension.contents.checkpoints import S3Checkpoints
from lab_extension.contents.models import Model
from lab_extension.contents.objects import keys
from lab_extension.contents.objects.entries import Entry
from lab_extension.contents.objects.faults import AlreadyThere, Changed, Missing
from lab_extension.contents.paths import Named
from lab_extension.contents.reading import Reading

NOTEBOOK_TYPE = "application/x-ipynb+json"


class Writing(Reading):
    @answers
    async def save(self, model: Model, path: str = "") -> Model:
        self.start()
        if model.get("chunk") is not None:
            return await self._save_chunk(model, path)
        self.run_pre_save_hooks(model=model, path=path.strip("/"))
        if "type" not in model:
            raise ContentsError(400, "No file type provided")
        if "content" not in model and model["type"] != "directory":
            raise ContentsError(400, "No file content provided")
        named = self._visible(path, "create")
        self.must_be_writable(named)
        if model["type"] == "notebook":
            saved = await self._save_notebook(model, named)
        elif model["type"] == "file":
            size = len(model["content"] or "")
            data = await work(
                size, notebooks.received, model["content"], model.get("format"), named.path
            )
            entry = await self._write(named, data, _condition(model))
            saved = self._saved(named, entry)
        elif model["type"] == "directory":
            saved = await self._save_folder(named, new="base_hash" in model)
        else:
            raise ContentsError(400, f"Unhandled contents type: {model['type']}")
        self.run_post_save_hooks(model=saved, os_path=named.path)
        self.emit(data={"action": "save", "path": named.path})
        return saved

    def _saved(self, named: Named, entry: Entry) -> Model:
        kind = models.kind_of(named.path)
        return models.file_model(named.path, entry, kind=kind, with_hash=True)

    async def _save_notebook(self, model: Model, named: Named) -> Model:
        notebook = notebooks.node(model["content"], named.path)
        problems: dict[str, Any] | None = None
        if not notebooks.has_ids(notebook):
            # Validation gives cells the ids that they lack: before it is encoded.
            problems = await asyncio.to_thread(notebooks.problems_of, notebook)
        data = await asyncio.to_thread(notebooks.written, notebook)
        # While it goes up, it is signed and validated, and its checkpoint looked for.
        (known, (signature, found)), entry = await both(
            both(
                self._has_checkpoint(named),
                asyncio.to_thread(self._examine, notebook, named.path, problems),
            ),
            self._write(named, data, _condition(model), media_type=NOTEBOOK_TYPE),
        )
        if signature:
            self._keep_signature(signature, notebook, named.path)
        if not known:
            await self._first_checkpoint(named)
        self.validate_notebook_model(model, validation_error=found)
        saved = self._saved(named, entry)
        if model.get("message"):
            saved["message"] = model["message"]
        return saved

    def _examine(
        self, notebook: Any, path: str, problems: dict[str, Any] | None
    ) -> tuple[str, dict[str, Any]]:
        """The signature (empty if not all cells are trusted), and what is not valid. Blocks."""
        signature = ""
        try:
            if self.notary.check_cells(notebook):
                signature = self.notary.compute_signature(notebook)
            else:
                self.log.warning("Notebook %s is not trusted", path)
        except Exception:
            # A notebook that is not as it should be is saved all the same.
            self.log.warning("Notebook %s could not be signed", path, exc_info=True)
        return signature, notebooks.problems_of(notebook) if problems is None else problems

    def _keep_signature(self, signature: str, notebook: Any, path: str) -> None:
        try:
            self.notary.store.store_signature(signature, self.notary.algorithm)
        except Exception:
            # The base class makes the store of signatures anew. (`trusted` has been
            # taken out of the cells by now: without marks it would not sign.)
            self.notary.mark_cells(notebook, True)
            try:
                self.check_and_sign(notebook, path)
            except Exception:
                self.log.exception("Notebook %s could not be signed, and is saved untrusted", path)

    async def _has_checkpoint(self, named: Named) -> bool:
        if isinstance(self.checkpoints, S3Checkpoints):
            return await self.checkpoints.find(named) is not None
        return bool(await self.checkpoints.list_checkpoints(named.path))

    async def _first_checkpoint(self, named: Named) -> None:
        """One checkpoint should always exist for notebooks."""
        if isinstance(self.checkpoints, S3Checkpoints):
            await self.checkpoints.begin(named)
        else:
            await self.create_checkpoint(named.path)

    async def _write(
        self,
        named: Named,
        data: bytes,
        condition: dict[str, Any],
        *,
        media_type: str | None = None,
    ) -> Entry:
        """Write a file over what is there, or on condition.

        Raises:
            Changed: the condition does not hold.
        """
        async with self.mover.turns.writing(named.key):
            return await self._write_now(named, data, condition, media_type)

    async def _write_now(
        self, named: Named, data: bytes, condition: dict[str, Any], media_type: str | None
    ) -> Entry:
        old = await self._before_write(named, condition)
        more = len(data) - (old.size if old else 0)
        await self.quota.admit(named.path, more, self.quota_bytes)
        self.step("save: checked")
        entry = await _on_condition(
            named,
            absent.make(
                self.store,
                named.key,
                partial(self.store.write, named.key, data, media_type=media_type),
                **condition,
            ),
        )
        self.step("save: written")
        self.quota.add(more)
        return entry

    async def _before_write(self, named: Named, condition: dict[str, Any]) -> Entry | None:
        """What is there now, if that has to be known.

        Raises:
            HTTPError: 400, if a folder is there or a file where a folder should be.
        """
        keys.new_key(named.key, prefix=self.store.prefix)
        if condition.get("if_match") and not self.quota_bytes:
            return None
        old = self._just_found(named) or await self._find(named)
        if old is None and not condition.get("if_match"):
            await self._must_fit(named)
        return old

    async def _must_fit(self, named: Named) -> None:
        """A new file: no folder has its name, and none of the folders above is a file."""
        if not named.key:
            raise ContentsError(400, "The folder at the top is not a file.")
        taken, _ = await both(self._folder_there(named), self._no_file_above(named))
        if taken:
            raise ContentsError(400, f"{named.path} is a directory: choose another name.")

    async def _no_file_above(self, named: Named) -> None:
        """Raises HTTPError 400 if what would be a folder is a file."""
        above = keys.parent(named.key)
        if not above or await self.store.folder_exists(above):
            return
        parts = above.split("/")
        folders = [paths.parse("/".join(parts[: n + 1])) for n in range(len(parts))]
        found = await asyncio.gather(*map(self._find, folders))
        for folder, entry in zip(folders, found, strict=True):
            if entry:
                raise ContentsError(400, f"Not a directory: {folder.path}")

    async def _save_folder(self, named: Named, *, new: bool = False) -> Model:
        keys.new_key(named.key, prefix=self.store.prefix)
        entry, folder = await self._file_and_folder(named)
        if entry and not folder:
            raise ContentsError(400, f"Not a directory: {named.path}")
        if folder and new:
            raise _changed(named)
        if not folder:
            keys.new_folder(named.key, prefix=self.store.prefix)
            await self._no_file_above(named)
            marker = keys.join(named.key, keys.MARKER)
            try:
                await self.store.write(marker, b"", if_absent=True)
            except AlreadyThere:
                if new:
                    raise _changed(named) from None
        return models.folder_model(named.path)

    async def _save_chunk(self, model: Model, path: str) -> Model:
        """A part of a file; see `uploads`."""
        chunk = model["chunk"]
        if chunk == 1:
            self.run_pre_save_hooks(model=model, path=path.strip("/"))
        if "type" not in model:
            raise ContentsError(400, "No file type provided")
        if model["type"] != "file":
            raise ContentsError(
                400, f'File type "{model["type"]}" is not supported for large file transfer'
            )
        if "content" not in model:
            raise ContentsError(400, "No file content provided")
        named = self._visible(path, "create")
        self.must_be_writable(named)
        data = await work(
            len(model["content"] or ""),
            notebooks.received,
            model["content"],
            model.get("format"),
            named.path,
        )
        key = (named.path, str(model.get("upload") or ""))
        more = self.uploads.size(key) + len(data) if chunk != 1 else len(data)
        await self.quota.admit(named.path, more, self.quota_bytes)
        if chunk == 1:
            condition = _condition(model)
            await self._before_write(named, condition)
            await self.uploads.begin(
                key, named.key, media_type=models.media_type_of(named.path), condition=condition
            )
        if chunk != -1:
            size = await self.uploads.add(key, chunk, data)
            saved = models.file_model(
                named.path,
                Entry(named.key, size, models.now(), None),
                kind=models.kind_of(named.path),
            )
        else:
            async with self.mover.turns.writing(named.key):
                entry = await _on_condition(named, self.uploads.end(key, data))
            self.quota.add(entry.size)
            saved = self._saved(named, entry)
            self.run_post_save_hooks(model=saved, os_path=named.path)
        self.emit(data={"action": "save", "path": named.path})
        return saved


def _condition(model: Model) -> dict[str, Any]:
    """What must hold for a save: see ``base_hash``.

    A hash: the file is still the one it was based on. None: there is no file
    yet. Without the key, nothing.
    """
    if "base_hash" not in model:
        return {}
    based = model["base_hash"]
    if based is None:
        return {"if_absent": True}
    # An empty one would be no condition at all, and one that cannot be sent breaks the sending.
    if not isinstance(based, str) or not based or not based.isprintable() or not based.isascii():
        raise ContentsError(400, f"{based!r} is not the hash of a file, as base_hash has to be.")
    return {"if_match": based}


async def _on_condition(named: Named, write: Awaitable[Entry]) -> Entry:
    try:
        return await write
    except (Changed, AlreadyThere, Missing) as error:
        raise _changed(named) from error


def _changed(named: Named) -> Changed:
    return Changed(
        f"{named.path} has changed since it was opened here.",
        mend="Look at what is there now, then overwrite it or save under another name.",
    )
