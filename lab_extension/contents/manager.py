"""`S3ContentsManager`: object storage as the file system of a Jupyter Server.

A drop-in for s3contents, on its own in any Jupyter Server::

    c.ServerApp.contents_manager_class = "lab_extension.contents.S3ContentsManager"
    c.S3ContentsManager.bucket = "notebooks"

Folders are what keys have in common, and stay when their last file goes. Where
an object and a folder have one name (``a`` and ``a/b``; most stores never let
it come to that) both are listed and both can be opened: clients ask with a
type. Asked without one, and in deleting, renaming and copying, the file is
meant: it is the smaller of the two, and the folder is next.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from jupyter_server.services.contents.manager import AsyncContentsManager, copy_pat
from traitlets import Bool, Instance, Int, default, validate

from hub_ext.errors import Forbidden
from lab_extension.contents import handlers, keys, models, moves, notebooks, paths
from lab_extension.contents.answers import ContentsError, answers
from lab_extension.contents.checkpoints import S3Checkpoints
from lab_extension.contents.entries import Entry, Listing
from lab_extension.contents.faults import AlreadyThere, BadName, Changed, Missing
from lab_extension.contents.models import Located, Model
from lab_extension.contents.paths import Named
from lab_extension.contents.quota import Quota
from lab_extension.contents.store import Store
from lab_extension.contents.traits import S3Traits
from lab_extension.contents.uploads import Uploads

T = TypeVar("T")

NOTEBOOK_TYPE = "application/x-ipynb+json"


class ReadOnly(Forbidden):
    """What is only to be read."""

    code = "read-only"


def _no_step(name: str) -> None:
    """What is done after each step: nothing. Tests end the process here."""


class S3ContentsManager(S3Traits, AsyncContentsManager):  # type: ignore[misc]
    """Notebooks, files and folders in a bucket of any S3 store."""

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

    store = Instance(Store, help="The objects; made of the settings above.")

    step: Callable[[str], None]

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        if self.init_s3_hook is not None:
            self.init_s3_hook(self)
        self.step = _no_step
        self._started: asyncio.Task[None] | None = None
        self._quota = Quota(self.store, self.log)
        self._uploads = Uploads(self.store, self.log, self._step)
        self._mover = moves.Mover(self.store, self._step)
        handlers.prefer(self.parent)

    def _step(self, name: str) -> None:
        self.step(name)

    @default("store")  # type: ignore[untyped-decorator]
    def _default_store(self) -> Store:
        return Store(self.store_settings())

    @default("checkpoints_class")  # type: ignore[untyped-decorator]
    def _default_checkpoints_class(self) -> type[S3Checkpoints]:
        return S3Checkpoints

    @default("files_handler_class")  # type: ignore[untyped-decorator]
    def _default_files_handler_class(self) -> Any:
        from lab_extension.contents.files import FilesHandler

        return FilesHandler

    @validate("preferred_dir")  # type: ignore[untyped-decorator]
    def _validate_preferred_dir(self, proposal: Any) -> str:
        """Not looked for in the store: a server starts without it."""
        return str(proposal["value"]).strip("/")

    def info_string(self) -> str:
        return f"Serving files from {self.store.uri('')} at {self.store.endpoint}"

    # -- what a path names ------------------------------------------------------

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

    async def _both(self, named: Named) -> tuple[Entry | None, bool]:
        """The file of this name, and whether there is a folder of it."""
        return await _pair(self._find(named), self._folder_there(named))

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
            return await self._find(self._named(path)) is not None
        except BadName:
            return False

    @answers
    async def dir_exists(self, path: str) -> bool:
        try:
            return await self._folder_there(self._named(path))
        except BadName:
            return False

    @answers
    async def exists(self, path: str) -> bool:
        try:
            entry, folder = await self._both(self._named(path))
        except BadName:
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

    # -- reading ----------------------------------------------------------------

    @answers
    async def get(
        self,
        path: str,
        content: bool = True,
        type: str | None = None,  # noqa: A002  # Jupyter's names
        format: str | None = None,  # noqa: A002
        require_hash: bool = False,
    ) -> Model:
        self._start()
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
            entry, model = await _pair(self._find(named), self._get_folder(named, content))
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
        async for page in self.store.pages(named.key):
            there = there or page.there
            if page.left_out:
                self.log.warning(
                    "%s: %d objects have names that no file can have, and are not shown",
                    self.store.uri(named.key),
                    len(page.left_out),
                )
            found.extend(self._listed(named, page))
        return model if there else None

    def _listed(self, named: Named, page: Listing) -> Any:
        globs = tuple(self.hide_globs)
        overridden = type(self).should_list is not AsyncContentsManager.should_list
        return models.listed(
            named.path,
            page,
            shown=self.should_list if overridden else lambda n: not paths.matches_any(n, globs),
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
            return found and models.file_model(
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
            model["content"], model["format"] = await _work(
                entry.size, notebooks.told, data, form, named.path
            )
            if model["mimetype"] is None:
                text = model["format"] == "text"
                model["mimetype"] = "text/plain" if text else "application/octet-stream"
        return model

    async def _fill_notebook(self, model: Model, data: Any, path: str) -> None:
        size = model["size"]
        notebook, problems = await _work(size, notebooks.read_notebook, data, path)
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

    # -- writing ----------------------------------------------------------------

    @answers
    async def save(self, model: Model, path: str = "") -> Model:
        self._start()
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
            data = await _work(
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
        trusted, signature, data, problems = await asyncio.to_thread(
            self._prepare, notebook, named.path
        )
        if not trusted:
            self.log.warning("Notebook %s is not trusted", named.path)
        elif signature:
            self._keep_signature(signature, notebook, named.path)
        # Whether there is a checkpoint is asked while the notebook goes up.
        known, entry = await _pair(
            self._has_checkpoint(named),
            self._write(named, data, _condition(model), media_type=NOTEBOOK_TYPE),
        )
        if not known:
            await self._first_checkpoint(named)
        self.validate_notebook_model(model, validation_error=problems)
        saved = self._saved(named, entry)
        if model.get("message"):
            saved["message"] = model["message"]
        return saved

    def _prepare(self, notebook: Any, path: str) -> tuple[bool, str, bytes, dict[str, Any]]:
        """All of a save that takes long and needs no database and no store. Blocks."""
        trusted, signature = False, ""
        try:
            trusted = self.notary.check_cells(notebook)
            signature = self.notary.compute_signature(notebook) if trusted else ""
        except Exception:
            # A notebook that is not as it should be is saved all the same.
            self.log.warning("Notebook %s could not be signed", path, exc_info=True)
        return trusted, signature, *notebooks.checked_bytes(notebook, path)

    def _keep_signature(self, signature: str, notebook: Any, path: str) -> None:
        try:
            self.notary.store.store_signature(signature, self.notary.algorithm)
        except Exception:
            # The base class makes the store of signatures anew. (`trusted` has been
            # taken out of the cells by now: without marks it would not sign.)
            self.notary.mark_cells(notebook, True)
            self.check_and_sign(notebook, path)

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
        old = await self._before_write(named, condition)
        more = len(data) - (old.size if old else 0)
        await self._quota.admit(named.path, more, self.quota_bytes)
        self.step("save: checked")
        entry = await _on_condition(
            named, self.store.write(named.key, data, media_type=media_type, **condition)
        )
        self.step("save: written")
        self._quota.add(more)
        return entry

    async def _before_write(self, named: Named, condition: dict[str, Any]) -> Entry | None:
        """What is there now, if that has to be known.

        Raises:
            HTTPError: 400, if a folder is there or a file where a folder should be.
        """
        keys.new_key(named.key, prefix=self.store.prefix)
        if condition.get("if_match") and not self.quota_bytes:
            return None
        old = await self._find(named)
        if old is None and not condition.get("if_match"):
            await self._must_fit(named)
        return old

    async def _must_fit(self, named: Named) -> None:
        """A new file: no folder has its name, and none of the folders above is a file."""
        if not named.key:
            raise ContentsError(400, "The folder at the top is not a file.")
        above = paths.parse(keys.parent(named.key))
        taken, parent = await _pair(self._folder_there(named), self._folder_there(above))
        if taken:
            raise ContentsError(400, f"{named.path} is a directory: choose another name.")
        if parent:
            return
        folders = keys.parent(named.key).split("/")
        names = [paths.parse("/".join(folders[: n + 1])) for n in range(len(folders))]
        for name, entry in zip(names, await asyncio.gather(*map(self._find, names)), strict=True):
            if entry:
                raise ContentsError(400, f"Not a directory: {name.path}")

    async def _save_folder(self, named: Named, *, new: bool = False) -> Model:
        keys.new_key(named.key, prefix=self.store.prefix)
        entry, folder = await self._both(named)
        if entry and not folder:
            raise ContentsError(400, f"Not a directory: {named.path}")
        if folder and new:
            raise _changed(named)
        if not folder:
            try:
                await self.store.write(
                    keys.join(named.key, keys.MARKER), b"", media_type=None, if_absent=True
                )
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
        data = await _work(
            len(model["content"] or ""),
            notebooks.received,
            model["content"],
            model.get("format"),
            named.path,
        )
        key = (named.path, str(model.get("upload") or ""))
        more = self._uploads.size(key) + len(data) if chunk != 1 else len(data)
        await self._quota.admit(named.path, more, self.quota_bytes)
        if chunk == 1:
            condition = _condition(model)
            await self._before_write(named, condition)
            await self._uploads.begin(
                key, named.key, media_type=models.media_type_of(named.path), condition=condition
            )
        if chunk != -1:
            size = await self._uploads.add(key, chunk, data)
            saved = models.file_model(
                named.path,
                Entry(named.key, size, models.now(), None),
                kind=models.kind_of(named.path),
            )
        else:
            entry = await _on_condition(named, self._uploads.end(key, data))
            self._quota.add(entry.size)
            saved = self._saved(named, entry)
            self.run_post_save_hooks(model=saved, os_path=named.path)
        self.emit(data={"action": "save", "path": named.path})
        return saved

    # -- deleting and renaming ----------------------------------------------------

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
        entry, folder = await self._both(named)
        if entry:
            await self.store.delete([named.key, paths.checkpoint_of(named.key)])
            self._quota.add(-entry.size)
        elif folder:
            await self._delete_folder(named)
        else:
            raise Missing(f"File or directory does not exist: {named.path}")
        await self._keep_folder(keys.parent(named.key))

    async def _delete_folder(self, named: Named) -> None:
        if not await self._may_delete_full() and await self._holds_files(named):
            raise ContentsError(400, f"Directory {named.path} not empty")
        async for batch in self.store.walk(named.key):
            await self._remove([entry.key for entry in batch])
            self._quota.add(-sum(entry.size for entry in batch))

    async def _remove(self, raw: list[str]) -> None:
        """Remove objects by their raw keys, of which some may only mark a folder."""
        await self.store.delete([key for key in raw if not key.endswith("/")])
        for key in raw:
            if key.endswith("/"):
                await self.store.remove_marker(key.rstrip("/"))

    async def _may_delete_full(self) -> bool:
        if self.always_delete_dir:
            return True
        return self.delete_to_trash and (await self.store.capabilities()).versions

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
            self._both(old), self._both(new), self._folder_there(above)
        )
        if there or taken or not (file or folder):
            move = await self._mover.begun(old.key, new.key)
            if move is None and (there or taken):
                raise ContentsError(409, f"File already exists: {new.path}")
            if move is None:
                raise Missing(f"File or directory does not exist: {old.path}")
            await self._mover.run(move, again=True)
        else:
            if not parent:
                raise Missing(f"There is no folder {above.path} to move {old.path} to.")
            if folder and not file and f"{new.key}/".startswith(f"{old.key}/"):
                raise ContentsError(400, f"{old.path} cannot be moved into itself.")
            await self._mover.run(moves.Move(old.key, new.key, folder=not file))
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
        entry, folder = await self._both(source)
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
        await self._quota.admit(target.path, entry.size, self.quota_bytes)
        if (
            self.pre_save_hook
            or self.post_save_hook
            or self._pre_save_hooks
            or self._post_save_hooks
        ):
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
        copied = await self.store.copy(
            source.key, target.key, version=source.version, if_absent=new
        )
        self._quota.add(copied.size)
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
        await self._quota.admit(source.path, size, self.quota_bytes)
        name = copy_pat.sub(".", source.name)
        taken = await self._names(into, name)
        target = paths.parse(keys.join(into.path, next(paths.numbered(name, "-Copy", taken))))
        keys.new_key(target.key, prefix=self.store.prefix)
        move = moves.Move(source.key, target.key, folder=True)

        async def copy(entry: Entry) -> None:
            to = move.to(entry.key)
            if keys.is_marker(to):
                await self.store.make_folder(keys.parent(to))
            else:
                await self.store.copy(entry.key, to)

        await moves.at_once([lambda entry=entry: copy(entry) for entry in entries])
        self._quota.add(size)
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

    # -- round about ----------------------------------------------------------------

    def run_post_save_hooks(self, model: Model, os_path: str) -> None:
        """As Jupyter's, and hooks written for s3contents, which take ``s3_path``.

        There is no path on a disk: hooks are given the API path.
        """
        own = [self.post_save_hook] if self.post_save_hook is not None else []
        for hook in own + self._post_save_hooks:
            name = "s3_path" if _takes(hook, "s3_path") else "os_path"
            try:
                self.log.debug("Running post-save hook on %s", os_path)
                hook(**{name: os_path}, model=model, contents_manager=self)
            except Exception as error:
                self.log.exception("Post-save hook failed on %s", os_path)
                raise ContentsError(
                    500, f"Unexpected error while running post hook save: {error}"
                ) from error

    def _start(self) -> None:
        """Once, with the first request: look for what earlier servers left behind."""
        if self._started is None:
            self._started = asyncio.create_task(self._sweep())

    async def _sweep(self) -> None:
        try:
            if not self.read_only:
                await self._uploads.sweep()
        except Exception as error:
            self.log.warning("Uploads that were given up could not be looked for: %s", error)

    async def close(self) -> None:
        """Give up uploads that are under way and close connections."""
        if self._started:
            self._started.cancel()
        await self._uploads.close()
        await self.store.close()


def _condition(model: Model) -> dict[str, Any]:
    """What must hold for a save: see ``base_hash``.

    A hash: the file is still the one it was based on. None: there is no file
    yet. Without the key, nothing.
    """
    if "base_hash" not in model:
        return {}
    based = model["base_hash"]
    return {"if_absent": True} if based is None else {"if_match": str(based)}


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


def _takes(hook: Any, name: str) -> bool:
    try:
        parameters = inspect.signature(hook).parameters
    except (TypeError, ValueError):
        return False
    return name in parameters


async def _pair(one: Awaitable[Any], other: Awaitable[Any]) -> Any:
    """Both at once; if one is refused, the other has ended too."""
    first, second = await asyncio.gather(one, other, return_exceptions=True)
    for result in (first, second):
        if isinstance(result, BaseException):
            raise result
    return first, second


async def _work(size: int, function: Callable[..., T], *arguments: Any) -> T:
    """Call a function that may block: in a thread if there is much to do."""
    if size < notebooks.LARGE:
        return function(*arguments)
    return await asyncio.to_thread(function, *arguments)
