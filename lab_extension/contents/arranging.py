"""Deleting, renaming, making and copying: what changes which files there are."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

from jupyter_server.services.contents.manager import copy_pat

from lab_extension.contents import absent, models, moves, notebooks, paths
from lab_extension.contents.answers import ContentsError, answers
from lab_extension.contents.checkpoints import S3Checkpoints
from lab_extension.contents.models import Model
from lab_extension.contents.objects import keys
from lab_extension.contents.objects.entries import Entry
from lab_extension.contents.objects.faults import AlreadyThere, BadName, Changed, Missing
from lab_extension.contents.paths import Named
from lab_extension.contents.writing import Writing

T = TypeVar("T")


class Arranging(Writing):
    @answers
    async def delete(self, path: str) -> None:
        if not path.strip("/"):
            raise ContentsError(400, "Can't delete root")
        await self.delete_file(path)
        if not isinstance(self.checkpoints, S3Checkpoints):
            await self.checkpoints.delete_all_checkpoints(path)
        self.emit(data={"action": "delete", "path": path.strip("/")})

    @answers
    async def delete_file(self, path: str) -> None:
        """Delete a file with its checkpoint, or a folder with all that is in it."""
        named = self._visible(path, "delete")
        self.must_be_writable(named)
        if not named.key:
            raise ContentsError(400, "Can't delete root")
        entry, folder = await self._file_and_folder(named)
        if entry:
            await self.store.delete([named.key, paths.checkpoint_of(named.key)])
            self.quota.add(-entry.size)
        elif folder:
            await self._delete_folder(named)
        else:
            raise Missing(f"File or directory does not exist: {named.path}")
        await self._keep_folder(keys.parent(named.key))

    async def _delete_folder(self, named: Named) -> None:
        if not await self._may_delete_full() and await self._holds_files(named):
            raise ContentsError(400, f"Directory {named.path} not empty")
        async for batch in self.store.walk(named.key):
            await moves.remove(self.store, [entry.key for entry in batch], named.key)
            self.quota.add(-sum(entry.size for entry in batch))

    async def _may_delete_full(self) -> bool:
        if self.always_delete_dir:
            return True
        return bool(self.delete_to_trash) and (await self.store.capabilities()).versions

    async def _holds_files(self, named: Named) -> bool:
        """A folder that holds only checkpoints counts as empty."""
        async for page in self.store.pages(named.key):
            others = [name for name in page.folders if not paths.reserved(named.key, name)]
            if page.files or others or page.left_out:
                return True
        return False

    async def _keep_folder(self, key: str) -> None:
        """Folders outlive their last file, as they do on a disk."""
        if key and not await self.store.folder_exists(key):
            with contextlib.suppress(BadName):  # too long for a marker: what was done is done
                await self.store.make_folder(key)

    @answers
    async def rename(self, old_path: str, new_path: str) -> None:
        await self.rename_file(old_path, new_path)
        if not isinstance(self.checkpoints, S3Checkpoints):
            await self.checkpoints.rename_all_checkpoints(old_path, new_path)
        self.emit(
            data={
                "action": "rename",
                "path": new_path.strip("/"),
                "source_path": old_path.strip("/"),
            }
        )

    @answers
    async def rename_file(self, old_path: str, new_path: str) -> None:
        """Move a file with its checkpoint, or a folder with all that is in it."""
        old, new = self._named(old_path), self._named(new_path)
        if (old.hidden or new.hidden) and not self.allow_hidden:
            raise ContentsError(400, f"Cannot rename file or directory {old_path!r}")
        if old.path == new.path:
            return
        self.must_be_writable(old)
        self.must_be_writable(new)
        if not old.key or not new.key:
            raise ContentsError(400, "The folder at the top cannot be renamed.")
        keys.new_key(new.key, prefix=self.store.prefix)
        above = paths.parse(keys.parent(new.key))
        (file, folder), (there, taken), parent = await asyncio.gather(
            self._file_and_folder(old), self._file_and_folder(new), self._folder_there(above)
        )
        if there or taken or not (file or folder):
            move = await self.mover.begun(old.key, new.key)
            if move is None and (there or taken):
                raise ContentsError(409, f"File already exists: {new.path}")
            if move is None:
                raise Missing(f"File or directory does not exist: {old.path}")
            await self.mover.run(move, again=True)
        else:
            if not parent:
                raise Missing(f"There is no folder {above.path} to move {old.path} to.")
            if folder and not file and f"{new.key}/".startswith(f"{old.key}/"):
                raise ContentsError(400, f"{old.path} cannot be moved into itself.")
            if not file:
                keys.new_folder(new.key, prefix=self.store.prefix)
            await self.mover.run(moves.Move(old.key, new.key, folder=not file))
        await self._keep_folder(keys.parent(old.key))

    # -- making and copying -------------------------------------------------------

    @answers
    async def increment_filename(self, filename: str, path: str = "", insert: str = "") -> str:
        """A name that is free in the folder, found by one look at it."""
        taken = await self._names(self._named(path), filename)
        return next(paths.numbered(filename, insert, taken))

    async def _names(self, folder: Named, filename: str) -> set[str]:
        """Names in a folder that begin as ``filename`` does."""
        beginning, _ = paths.split_for_count(filename)
        taken: set[str] = set()
        async for page in self.store.pages(folder.key):
            taken.update(name for name in page.folders if name.startswith(beginning))
            taken.update(
                name
                for entry in page.files
                if (name := keys.name_of(entry.key)).startswith(beginning)
            )
        return taken

    async def _first_free(
        self, folder: Named, filename: str, insert: str, make: Callable[[str], Awaitable[T]]
    ) -> T:
        """Make something under the first free name; who is beaten to a name takes the next."""
        taken = await self._names(folder, filename)
        for name in paths.numbered(filename, insert, taken):
            try:
                return await make(keys.join(folder.path, name))
            except AlreadyThere:
                taken.add(name)
        raise AssertionError("numbers end")

    @answers
    async def new_untitled(
        self,
        path: str = "",
        type: str = "",  # noqa: A002  # Jupyter's name
        ext: str = "",
    ) -> Model:
        folder = self._named(path)
        self.must_be_writable(folder)
        if not await self._folder_there(folder):
            raise Missing(f"No such directory: {folder.path}")
        kind = type or ("notebook" if ext == ".ipynb" else "file")
        names = {
            "directory": (self.untitled_directory, " "),
            "notebook": (self.untitled_notebook + ".ipynb", ""),
            "file": (self.untitled_file + ext, ""),
        }
        if kind not in names:
            raise ContentsError(400, f"Unexpected model type: {kind!r}")

        async def make(name: str) -> Model:
            try:
                made: Model = await self.new({"type": kind, "base_hash": None}, name)
            except ContentsError as error:
                if error.reason == Changed.code:
                    raise AlreadyThere(str(error)) from error
                raise
            return made

        return await self._first_free(folder, *names[kind], make)

    @answers
    async def copy(self, from_path: str, to_path: str | None = None) -> Model:
        """Copy a file or a folder within the store, without a download.

        Args:
            to_path: a folder, in which the copy gets a name that is free, or the
                path of the copy. Without it the copy lies beside the original.
        """
        source = self._visible(from_path, "copy")
        entry, folder = await self._file_and_folder(source)
        if not entry and not folder:
            raise Missing(f"No such file or directory: {source.path}")
        if entry:
            copied = await self._copy_file(source, entry, to_path)
        else:
            copied = await self._copy_folder(source, to_path)
        self.emit(data={"action": "copy", "path": copied["path"], "source_path": source.path})
        return copied

    async def _copy_file(self, source: Named, entry: Entry, to_path: str | None) -> Model:
        target = self._visible(keys.parent(source.key) if to_path is None else to_path, "copy")
        self.must_be_writable(target)

        async def make(path: str, *, new: bool = True) -> Model:
            return await self._copy_to(source, entry, self._named(path), new=new)

        if await self._folder_there(target):
            name = copy_pat.sub(".", source.name)
            return await self._first_free(target, name, "-Copy", make)
        if to_path is None:
            raise Missing(f"No such directory: {target.path}")
        above = paths.parse(keys.parent(target.key))
        if not await self._folder_there(above):
            raise Missing(f"No such parent directory: {above.path} to copy file in")
        return await make(target.path, new=False)

    async def _copy_to(self, source: Named, entry: Entry, target: Named, *, new: bool) -> Model:
        keys.new_key(target.key, prefix=self.store.prefix)
        await self.quota.admit(target.path, entry.size, self.quota_bytes)
        if self.has_save_hooks():
            # What the hooks are to see has to come here.
            model = await self._get(source, True, None, None, False)
            if new:
                model["base_hash"] = None
            try:
                saved: Model = await self.save(model, target.path)
            except ContentsError as error:
                if new and error.reason == Changed.code:
                    raise AlreadyThere(str(error)) from error
                raise
            return saved
        copied = await absent.make(
            self.store,
            target.key,
            partial(self.store.copy, source.key, target.key, version=source.version),
            if_absent=new,
        )
        self.quota.add(copied.size)
        return self._saved(target, copied)

    async def _copy_folder(self, source: Named, to_path: str | None) -> Model:
        into = self._visible(keys.parent(source.key) if to_path is None else to_path, "copy")
        self.must_be_writable(into)
        if not source.key:
            raise ContentsError(400, "The folder at the top cannot be copied.")
        if f"{into.key}/".startswith(f"{source.key}/"):
            raise ContentsError(400, f"{source.path} cannot be copied into itself.")
        entries = [entry async for batch in self.store.walk(source.key) for entry in batch]
        size = sum(entry.size for entry in entries)
        if 0 < self.max_copy_folder_size_mb * 1024 * 1024 < size:
            raise ContentsError(
                400,
                f"Can't copy folders larger than {self.max_copy_folder_size_mb}MB, "
                f'"{source.path}" is {size / 1024 / 1024:.4g} MB',
            )
        await self.quota.admit(source.path, size, self.quota_bytes)
        name = copy_pat.sub(".", source.name)
        taken = await self._names(into, name)
        target = paths.parse(keys.join(into.path, next(paths.numbered(name, "-Copy", taken))))
        keys.new_folder(target.key, prefix=self.store.prefix)
        await self._no_file_above(target)
        move = moves.Move(source.key, target.key, folder=True)

        async def copy(entry: Entry) -> None:
            to = move.to(entry.key)
            if keys.is_marker(to):
                await self.store.make_folder(keys.parent(to))
            else:
                await moves.copy_new(self.store, entry.key, to)

        await moves.at_once(copy, entries)
        self.quota.add(size)
        return models.folder_model(target.path)

    @answers
    async def trust_notebook(self, path: str) -> None:
        model = await self.get(path, type="notebook")
        self.log.warning("Trusting notebook %s", path)
        notebook = model["content"]
        self.notary.mark_cells(notebook, True)
        if model["size"] < notebooks.LARGE:
            self.check_and_sign(notebook, path)
            return
        self.notary.check_cells(notebook)
        signature = await asyncio.to_thread(self.notary.compute_signature, notebook)
        self._keep_signature(signature, notebook, path)
