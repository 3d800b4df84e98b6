"""The contents managers of single roots, as parts of `RootsContentsManager`.

Each works by its own paths and answers by whole ones: models, events, hooks and
messages name a file as the file browser does.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jupyter_server.services.contents.largefilemanager import AsyncLargeFileManager
from tornado.web import HTTPError

from lab_extension.contents.keys import join
from lab_extension.contents.manager import S3ContentsManager
from lab_extension.contents.mirror import Limits, Mirror
from lab_extension.contents.places import Place
from lab_extension.contents.store import Store


@dataclass(frozen=True)
class StorageRoot:
    """A root in object storage, as the page of sizes needs it."""

    root: str
    title: str
    limit: int | None
    writable: bool
    store: Store
    key: str = ""


class _Shared:
    """What a part takes from the whole: hooks, signatures, which files are shown."""

    parent: Any

    def run_pre_save_hooks(self, model: Any, path: str, **kwargs: Any) -> None:
        self.parent.run_pre_save_hooks(model=model, path=self.whole(path), **kwargs)

    def run_post_save_hooks(self, model: Any, os_path: str) -> None:
        self.parent.run_post_save_hooks(model=model, os_path=os_path)

    def whole(self, path: str) -> str:
        """The path as the file browser has it."""
        return path


class WorkRoot(_Shared, AsyncLargeFileManager):  # type: ignore[misc]
    """``work/`` on disk. Its folder is the one above, so that its paths are whole ones."""

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        self.notary = self.parent.notary
        self.allow_hidden = self.parent.allow_hidden

    def require_writable(self) -> None:
        """The system itself refuses."""


class ObjectRoot(_Shared, S3ContentsManager):  # type: ignore[misc]
    """``home/`` or ``projects/<name>/``."""

    place: Place
    mirror: Mirror

    def whole(self, path: str) -> str:
        return join(self.place.root, path.strip("/")) if path.strip("/") else self.place.root

    def require_writable(self) -> None:
        """Raises HTTPError: 403 where the person may only read, 507 where there is no room."""
        root = self.place.root
        if not self.place.writable:
            raise HTTPError(
                403,
                f"You may read {root} and not write there: this server was started without the "
                "right to submit. Who runs this Almanac can give it.",
            )
        if self.place.full:
            raise HTTPError(
                507,
                f"{root} is full. Delete what is not needed any more; there is room again within "
                "a minute. Who runs this Almanac can allow more.",
            )
