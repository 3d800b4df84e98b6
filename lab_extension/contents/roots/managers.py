"""The contents managers of single roots, as parts of `RootsContentsManager`.

Each is asked by its own paths and answers by whole ones: models, events, hooks
and messages name a file as the file browser does.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable
from typing import Any

from jupyter_server.services.contents.largefilemanager import AsyncLargeFileManager
from tornado.web import HTTPError

from hub_ext.errors import PublicError
from lab_extension.contents.answers import ContentsError, http_error
from lab_extension.contents.base import ReadOnly
from lab_extension.contents.manager import S3ContentsManager
from lab_extension.contents.models import Located
from lab_extension.contents.objects.keys import join, parent
from lab_extension.contents.objects.store import Store
from lab_extension.contents.paths import Named
from lab_extension.contents.quota import Full
from lab_extension.contents.roots.mirror import Mirror
from lab_extension.contents.roots.places import Place

_NEEDS_ROOM = frozenset({"save", "new", "new_untitled", "copy", "rename", "rename_file"})


@dataclasses.dataclass(frozen=True)
class StorageRoot:
    """A root in object storage, as the page of sizes needs it."""

    root: str
    title: str
    limit: int | None
    writable: bool
    store: Store
    key: str = ""


class _Part:
    """What a part takes from the whole: hooks, signatures, which files are shown."""

    parent: Any
    notary: Any
    allow_hidden: bool

    def _join(self) -> None:
        self.notary = self.parent.notary
        self.allow_hidden = self.parent.allow_hidden

    def whole(self, path: str) -> str:
        """The path as the file browser has it."""
        return path

    def run_pre_save_hooks(self, model: Any, path: str, **kwargs: Any) -> None:
        self.parent.run_pre_save_hooks(model=model, path=self.whole(path), **kwargs)

    def run_post_save_hooks(self, model: Any, os_path: str) -> None:
        self.parent.run_post_save_hooks(model=model, os_path=self.whole(os_path))


class WorkRoot(_Part, AsyncLargeFileManager):  # type: ignore[misc]
    """``work/`` on disk. Its folder is the one above, so that its paths are whole ones."""

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        self._join()

    async def ask(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """What a method of the contents API answers, or says is wrong."""
        try:
            return await getattr(self, method)(*args, **kwargs)
        except HTTPError as error:
            raise ContentsError(error.status_code, said(error), reason=error.reason) from error

    def require_room(self) -> None:
        """The system itself refuses."""

    async def admit(self, path: str, size: int) -> None:
        """The system itself refuses."""


class ObjectRoot(_Part, S3ContentsManager):
    """``home/`` or ``projects/<name>/``."""

    place: Place
    mirror: Mirror

    def __init__(self, *, place: Place, **kwargs: Any):
        self.place = place
        super().__init__(**kwargs)
        self._join()
        self.become(place)

    def become(self, place: Place) -> None:
        """Take over what the platform says now."""
        self.place = place
        self.read_only = not place.writable
        self.quota_bytes = place.limit or 0

    # -- what may be written -------------------------------------------------------

    def must_be_writable(self, named: Named) -> None:
        if not self.place.writable and named.version is None:
            raise ReadOnly(
                f"You may read {self.place.root} and not write there: this server was started "
                "without the right to submit.",
                mend="Save in work, or ask who runs this Almanac for the right.",
            )
        super().must_be_writable(named)

    def require_room(self) -> None:
        """Raises ReadOnly; Full where the platform grants deleting and no writing."""
        self.must_be_writable(Named("", ""))
        if self.place.full:
            raise Full(
                f"{self.place.root} is full: nothing can be written there.",
                mend="Delete what is not needed any more (there is room again within a minute or "
                "two), or ask who runs this Almanac for more.",
            )

    async def admit(self, key: str, size: int) -> None:
        """Before something is written that does not come through `save`. Raises PublicError."""
        self.require_room()
        await self.quota.admit(self.whole(key), size, self.quota_bytes)

    # -- whole paths ------------------------------------------------------------------

    def whole(self, path: str) -> str:
        path = path.strip("/")
        return join(self.place.root, path) if path else self.place.root

    def whole_model(self, model: dict[str, Any]) -> None:
        model["path"] = self.whole(model["path"])
        model["name"] = model["path"].rpartition("/")[2]
        if model.get("type") == "directory" and model.get("content"):
            start = f"{self.place.root}/"
            for entry in model["content"]:
                entry["path"] = start + entry["path"]

    def emit(self, data: dict[str, Any]) -> None:
        told = dict(data)
        for name in ("path", "source_path"):
            if name in told:
                told[name] = self.whole(told[name])
        super().emit(data=told)

    async def locate(self, path: str) -> Located:
        located = await super().locate(path)
        return dataclasses.replace(located, root=self.place.root)

    async def ask(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """What a method of the contents API answers, or says is wrong, by whole paths.

        Only what comes from outside is asked so: the manager calls its own
        methods by its own paths.
        """
        try:
            if method in _NEEDS_ROOM:
                self.require_room()
            answer = await getattr(self, method)(*args, **kwargs)
        except PublicError as error:
            raise http_error(error) from error
        except HTTPError as error:
            # Paths are given by their place, types and formats by their names.
            given = [value for value in args if isinstance(value, str)]
            if method.endswith("_checkpoint"):  # the last one, after the checkpoint's id
                given = given[-1:]
            message = whole_message(said(error), self.place.root, given)
            raise ContentsError(error.status_code, message, reason=error.reason) from error
        if isinstance(answer, dict) and "path" in answer:
            self.whole_model(answer)
        return answer


def said(error: HTTPError) -> str:
    """The message of an error as it was meant: Tornado doubles percent signs."""
    message = str(error.log_message or "")
    if isinstance(error, ContentsError):
        return message
    return message % error.args if error.args else message.replace("%%", "%")


def whole_message(message: str, root: str, given: Iterable[str]) -> str:
    """A message about paths below a root, with whole paths.

    Args:
        given: the paths that were asked for, below the root.

    >>> whole_message("No such file or directory: a/x.csv", "home", ["a/x.csv"])
    'No such file or directory: home/a/x.csv'
    >>> whole_message("a is a file", "home", ["a"])
    'home: a is a file'
    """
    paths = {path.strip("/") for path in given}
    paths |= {parent(path) for path in paths}
    paths -= {""}
    if not paths:
        return message
    alternatives = "|".join(re.escape(path) for path in sorted(paths, key=len, reverse=True))
    names = re.compile(rf"(?<![\w/.%-])(?:{alternatives})(?![\w/%-]|\.\w)")
    found = names.findall(message)
    # A name may be a word of the sentence as well.
    words = [path for path in set(found) if path.isalpha() and found.count(path) > 1]
    if not found or words:
        return message if root in message or not message else f"{root}: {message}"
    return names.sub(lambda match: f"{root}/{match[0]}", message)
