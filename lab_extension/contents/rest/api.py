"""``/almanac/api/storage/…``: what the file browser asks about object storage.

Signed-in users only, with Jupyter Server's XSRF check on every write. Whatever
is wrong is told as a problem document: what, where, and how to mend it.
"""

from __future__ import annotations

import asyncio
import functools
import json
import os
from typing import TYPE_CHECKING, Any, TypeVar

from jupyter_server.utils import ensure_async
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from tornado import web
from traitlets.config import Config

from hub_ext.errors import Conflict, Invalid, NotFound, PublicError
from lab_extension.contents.paths import Named
from lab_extension.contents.rest import history
from lab_extension.contents.rest.platform import Platform
from lab_extension.contents.rest.sharing import Sharing
from lab_extension.contents.rest.usage import Meter, roots_of
from lab_extension.handlers import Documents, Method, api
from lab_extension.service import URL_VARIABLE, JobService

if TYPE_CHECKING:
    from lab_extension.contents.models import Located

AT_MOST = 1000
"""Items of one answer, and of one request."""
LARGEST_BODY = 4 << 20
_ON_THE_LOOP = 256 * 1024
_CODES = {400: "invalid", 403: "forbidden", 404: "not-found", 409: "conflict", 503: "unavailable"}

Given = TypeVar("Given", bound=BaseModel)


class NotObjectStorage(NotFound):
    code = "not-object-storage"


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class ShareRequest(_Body):
    path: str
    seconds: int


class RestoreRequest(_Body):
    path: str
    version: str = Field(min_length=1, max_length=1024)


class UndeleteRequest(_Body):
    items: list[RestoreRequest] = Field(min_length=1, max_length=AT_MOST)


def storage(method: Method) -> Method:
    """As `lab_extension.handlers.api`; the contents manager's refusals become problem documents."""

    @functools.wraps(method)
    async def explained(self: StorageHandler, *args: Any) -> None:
        try:
            done = method(self, *args)
            if done is not None:
                await done
        except web.HTTPError as error:
            raise as_problem(error) from error

    return api(explained)


def as_problem(error: web.HTTPError) -> PublicError:
    """Jupyter's error in our form, with its own words."""
    message = error.log_message or error.reason or "This cannot be done."
    problem = PublicError(message % error.args if error.args else message.replace("%%", "%"))
    problem.status = error.status_code
    problem.code = _CODES.get(error.status_code, "error")
    return problem


class StorageHandler(Documents):
    auth_resource = "contents"

    def initialize(self, platform: Platform, sharing: Sharing, meter: Meter) -> None:
        self.platform = platform
        self.sharing = sharing
        self.meter = meter

    async def locate(self, path: str) -> Located:
        """Where in the object store a path is.

        Raises:
            NotObjectStorage: on this server's disk, or there is no object storage.
            NotFound: hidden, as the file browser has it.
            PublicError, HTTPError: what the contents manager says of the path.
        """
        located = await self._locate(path)
        if located is None:
            raise NotObjectStorage(
                f"{shown(path)} is on this server's disk, and not in object storage.",
                mend="Copy it into your home folder there, or into a project.",
                field="path",
            )
        return located

    async def _locate(self, path: str) -> Located | None:
        contents = self.contents_manager
        if not hasattr(contents, "locate"):
            raise NotObjectStorage("The files of this server are not in object storage.")
        located: Located | None = await contents.locate(path)
        if not contents.allow_hidden and await ensure_async(contents.is_hidden(path)):
            raise NotFound(f"There is no {shown(path)}.", field="path")
        return located

    async def writable(self, path: str) -> Located:
        """As `locate`, where the person may write. Raises ReadOnly."""
        located = await self.locate(path)
        located.manager.must_be_writable(Named(path, located.key, located.version))
        return located

    def changed(self, path: str) -> None:
        """Tell a contents manager that keeps copies elsewhere (for kernels, say)."""
        if hasattr(self.contents_manager, "changed"):
            self.contents_manager.changed(path)

    def path_argument(self, *, required: bool = True) -> str:
        # As it was sent: Tornado's own reading has spaces for control characters.
        raw: list[bytes] = self.request.query_arguments.get("path", [b""])
        try:
            path = raw[-1].decode().strip("/")
        except UnicodeDecodeError as error:
            raise Invalid("The path is not UTF-8.", field="path") from error
        if required and not path:
            raise Invalid("Which file is meant?", mend="Give its path.", field="path")
        return path

    def limit(self) -> int:
        text = self.get_query_argument("limit", str(AT_MOST))
        if not (text.isascii() and text.isdecimal() and 0 < int(text[:9]) <= AT_MOST):
            raise Invalid(
                f"The limit is not {shown(text)}.",
                mend=f"Give a number from 1 to {AT_MOST}.",
                field="limit",
            )
        return int(text)

    async def body(self, shape: type[Given]) -> Given:
        """The request's JSON. Raises Invalid with the field that is wrong."""
        raw = self.request.body
        if len(raw) > LARGEST_BODY:
            raise Invalid("The request is too large.", mend="Send it in several.")
        try:
            if len(raw) > _ON_THE_LOOP:
                return await asyncio.to_thread(shape.model_validate_json, raw)
            return shape.model_validate_json(raw or b"{}")
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(map(str, first["loc"])) or None
            raise Invalid(
                f"{field or 'The request'}: {first['msg'][:1].lower()}{first['msg'][1:]}.",
                mend="Reload the page: the file browser and the server may be of two versions.",
                field=field,
            ) from error


class InfoHandler(StorageHandler):
    """What is known of a path: where it is, and what can be done with it."""

    @storage
    async def get(self) -> None:
        path = self.path_argument(required=False)
        located = await self._locate(path)
        if located is None:
            self.answer(
                {
                    "path": path,
                    "kind": "disk",
                    "root": path.partition("/")[0] or None,
                    "writable": True,
                    "uri": None,
                    "versions": False,
                    "share": {"allowed": False, "choices": [], "default": None, "note": ""},
                }
            )
            return
        capabilities = await located.store.capabilities()
        offer = await self.sharing.offer(located.store)
        self.answer(
            {
                "path": path,
                "kind": "object",
                "root": located.root,
                "writable": located.writable,
                "uri": located.store.uri(located.key),
                "versions": capabilities.versions and capabilities.list_versions,
                "share": offer.document(),
            }
        )


class CodeHandler(StorageHandler):
    """Lines that read a file, to be pasted into a notebook."""

    @storage
    async def get(self) -> None:
        located = await self.locate(self.path_argument())
        from lab_extension.contents.rest import snippets

        self.answer({"items": snippets.items(located.store.uri(located.key))})


class ShareHandler(StorageHandler):
    """An address under which anybody may read a file for a while."""

    @storage
    async def post(self) -> None:
        wanted = await self.body(ShareRequest)
        located = await self.locate(wanted.path.strip("/"))
        await history.entry_of(located, wanted.path)
        link = await self.sharing.link(
            located.store, located.key, wanted.seconds, version=located.version
        )
        self.answer(
            {"url": link.url, "expires": history.text_of_time(link.expires), "note": link.note}
        )


class VersionsHandler(StorageHandler):
    """What is kept of a file, newest first."""

    @storage
    async def get(self) -> None:
        path = self.path_argument()
        located = await self.locate(path)
        self.answer(
            await history.versions(
                located, path, limit=self.limit(), after=self.get_query_argument("after", "")
            )
        )


class RestoreHandler(StorageHandler):
    """Makes an earlier version the newest one."""

    @storage
    async def post(self) -> None:
        wanted = await self.body(RestoreRequest)
        path = wanted.path.strip("/")
        located = await self.writable(path)
        await history.restore(located, path, wanted.version)
        self.changed(path)
        model = await self.contents_manager.get(path, content=False)
        # Its times are not JSON yet.
        self.answer(json.loads(json.dumps(model, default=history.text_of_time)))


class DeletedHandler(StorageHandler):
    """What was deleted below a folder and can be had again, newest first."""

    @storage
    async def get(self) -> None:
        path = self.path_argument(required=False)
        located = await self.locate(path)
        try:
            facts = await self.platform.facts(located.store.bucket)
        except PublicError:
            # What can be had back is worth knowing without for how long.
            facts = None
        self.answer(
            await history.deleted(
                located,
                path,
                limit=self.limit(),
                after=self.get_query_argument("after", ""),
                hidden_too=self.contents_manager.allow_hidden,
                kept_days=facts.keep_deleted_days if facts else 0,
            )
        )


class UndeleteHandler(StorageHandler):
    """Brings deleted files back; nothing that is there meanwhile is written over."""

    @storage
    async def post(self) -> None:
        wanted = await self.body(UndeleteRequest)
        items = []
        for item in wanted.items:
            path = item.path.strip("/")
            items.append(history.Lost(await self.writable(path), path, item.version))
        if len({item.path for item in items}) < len(items):
            raise Conflict("One file is named twice.", mend="Choose one version of each.")
        restored = await history.undelete(items)
        for path in restored:
            self.changed(path)
        self.answer({"restored": restored})


class UsageHandler(StorageHandler):
    """How much lies in each root, and how much may."""

    # The page asks by itself, again and again: that is no sign of a person.
    _track_activity = False

    @storage
    async def get(self) -> None:
        contents = self.contents_manager
        if not hasattr(contents, "locate"):
            raise NotObjectStorage("The files of this server are not in object storage.")
        self.answer(
            {
                "roots": [
                    {
                        "root": root.root,
                        "title": root.title,
                        "limit": root.limit,
                        "writable": root.writable,
                        **self.meter.read(root.root, functools.partial(root.store.usage, root.key)),
                    }
                    for root in await roots_of(contents)
                ]
            }
        )


def shown(path: str) -> str:
    """A path as a sentence names it."""
    return repr(path if len(path) <= 200 else f"{path[:200]}…")


def handlers(serverapp: Any, jobs: JobService) -> list[tuple[str, type[StorageHandler], Any]]:
    """Paths below ``/almanac/api``, for every server that loads the extension."""
    connected = jobs if os.environ.get(URL_VARIABLE) else None
    config = serverapp.config or Config()
    platform = Platform(connected)
    shared = {
        "platform": platform,
        "sharing": Sharing(platform, parent=serverapp, config=config),
        "meter": Meter(serverapp.log),
    }
    return [
        (f"/storage/{name}", handler, shared)
        for name, handler in (
            ("info", InfoHandler),
            ("code", CodeHandler),
            ("share", ShareHandler),
            ("versions", VersionsHandler),
            ("restore", RestoreHandler),
            ("deleted", DeletedHandler),
            ("undelete", UndeleteHandler),
            ("usage", UsageHandler),
        )
    ]
