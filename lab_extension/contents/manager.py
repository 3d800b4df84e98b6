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
import gc
import inspect
from typing import Any

from traitlets import default, validate

from lab_extension.contents import handlers
from lab_extension.contents.answers import ContentsError
from lab_extension.contents.apart import apart
from lab_extension.contents.arranging import Arranging
from lab_extension.contents.base import ReadOnly
from lab_extension.contents.checkpoints import S3Checkpoints
from lab_extension.contents.models import Model
from lab_extension.contents.moves import Mover
from lab_extension.contents.quota import Quota
from lab_extension.contents.uploads import Uploads

__all__ = ["ReadOnly", "S3ContentsManager"]


class S3ContentsManager(Arranging):
    """Notebooks, files and folders in a bucket of any S3 store."""

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        if self.init_s3_hook is not None:
            self.init_s3_hook(self)
        self._sweeping: asyncio.Task[None] | None = None
        self.quota = Quota(self.store, self.log)
        self.uploads = Uploads(self.store, self.log, self.reached)
        self.mover = Mover(self.store, self.reached)
        handlers.prefer(self.parent)

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

    def start(self) -> None:
        """With the first request, once: look for what earlier servers left behind."""
        if self._sweeping is None:
            _settle()
            self._sweeping = apart(self._sweep())

    async def _sweep(self) -> None:
        try:
            if not self.read_only:
                await self.uploads.sweep()
        except Exception as error:
            self.log.warning("Uploads that were given up could not be looked for: %s", error)

    async def close(self) -> None:
        """Give up uploads that are under way and close connections."""
        if self._sweeping:
            self._sweeping.cancel()
        await self.uploads.close()
        await self.store.close()


_settled = False


def _settle() -> None:
    """Take what the server has loaded by now out of the collector's sight, once.

    A listing of 10,000 entries is enough to make it look for cycles among all
    objects of the process, and everybody waits for that: 60 ms and more.
    """
    global _settled
    if not _settled:
        _settled = True
        gc.collect()
        gc.freeze()


def _takes(hook: Any, name: str) -> bool:
    try:
        parameters = inspect.signature(hook).parameters
    except (TypeError, ValueError):
        return False
    return name in parameters
