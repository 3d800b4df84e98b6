"""``/files/…``: objects as downloads, streamed.

No file is ever in this process as a whole: a chunk is read when the one before
it has gone out, so that a slow client holds up its own download and no memory.
What lies on the server's disk is served by Jupyter's own handler, which this
one extends; sign-in, the same-site check and the sandbox for what a browser
shows are Jupyter's as well.
"""

from __future__ import annotations

import asyncio
import contextlib
import mimetypes
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any

from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import AuthenticatedFileHandler
from jupyter_server.utils import ensure_async
from tornado import iostream, web

from hub_ext.errors import PublicError
from lab_extension.contents import ranges
from lab_extension.contents.objects.entries import Entry
from lab_extension.contents.objects.faults import Changed, Missing
from lab_extension.contents.ranges import Answer

if TYPE_CHECKING:
    from lab_extension.contents.models import Located

PIECE = 1 << 20
"""Bytes that are handed to the connection at a time."""


class FilesHandler(AuthenticatedFileHandler):  # type: ignore[misc]
    """For ``ContentsManager.files_handler_class``; needs no parameters.

    The contents manager tells by ``locate`` where a path's object is. Without
    such a place the path is served from its ``root_dir``.
    """

    def initialize(self, path: str = "", default_filename: str | None = None) -> None:
        super().initialize(path, default_filename)
        self._sending: asyncio.Task[None] | None = None
        self._gone = False

    @web.authenticated
    @authorized  # type: ignore[untyped-decorator]
    async def head(self, path: str) -> None:
        await self._serve(path, include_body=False)

    @web.authenticated
    @authorized  # type: ignore[untyped-decorator]
    async def get(self, path: str, include_body: bool = True) -> None:
        await self._serve(path, include_body=include_body)

    async def _serve(self, path: str, *, include_body: bool) -> None:
        self.check_xsrf_cookie()
        try:
            located = await self.contents_manager.locate(path)
            if located is None:
                self.root = self.contents_manager.root_dir
                await super().get(path, include_body=include_body)
                return
            await self._serve_object(path.strip("/"), located, include_body)
        except PublicError as error:
            raise page(error) from error

    async def _serve_object(self, path: str, located: Located, include_body: bool) -> None:
        contents = self.contents_manager
        if not contents.allow_hidden and await ensure_async(contents.is_hidden(path)):
            self.log.info("Refusing to serve hidden file, via 404 Error")
            raise web.HTTPError(404)
        source = Source(located)
        try:
            await source.find()
        except Missing as error:
            # Of a root there is no more to ask.
            if not located.key or await located.store.folder_exists(located.key):
                raise web.HTTPError(
                    400, f"{path or '/'} is a folder, not a file. Open it in the file browser."
                ) from error
            raise web.HTTPError(404, f"There is no file {path}.") from error
        entry = source.entry
        chosen = ranges.answer(
            self.request.headers, size=entry.size, etag=entry.etag, modified=entry.modified
        )
        self._describe(path.rpartition("/")[2], entry, chosen)
        if include_body and chosen.status in (200, 206):
            await self._send(source, chosen)

    def _describe(self, name: str, entry: Entry, chosen: Answer) -> None:
        """Status and headers."""
        self.set_status(chosen.status)
        # As Jupyter does: browsers ask again, and are told that nothing changed.
        self.set_header("Cache-Control", "no-cache")
        self.set_header("Last-Modified", ranges.http_date(entry.modified))
        if entry.etag:
            self.set_header("Etag", f'"{entry.etag}"')
        if chosen.status == 416:
            self.set_header("Content-Range", f"bytes */{entry.size}")
        if chosen.status not in (200, 206):
            return
        self.set_header("Accept-Ranges", "bytes")
        self.set_header("Content-Type", content_type(name))
        self.set_header("Content-Length", chosen.end - chosen.start)
        if chosen.status == 206:
            span = f"{chosen.start}-{chosen.end - 1}"
            self.set_header("Content-Range", f"bytes {span}/{entry.size}")
        if name.endswith(".ipynb") or self.get_argument("download", None):
            self.set_header("Content-Disposition", ranges.attachment(name))

    async def _send(self, source: Source, chosen: Answer) -> None:
        """The bytes; ends early, without a word, when the client has gone."""
        if self._gone:
            return
        self._sending = asyncio.create_task(self._pump(source, chosen.start, chosen.end))
        try:
            await self._sending
        except asyncio.CancelledError:
            if not self._gone:
                raise
        except iostream.StreamClosedError:
            pass
        except PublicError as error:
            if not self._headers_written:
                raise
            # The client was promised more bytes than there will be: only a
            # connection that breaks tells it so.
            self.log.warning("The download of %s broke off: %s", self.request.path, error)
            self.request.connection.stream.close()

    async def _pump(self, source: Source, start: int, end: int) -> None:
        async with contextlib.aclosing(source.pieces(start, end)) as pieces:
            async for piece in pieces:
                self.write(piece)
                await self.flush()

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Jupyter's page for 404 keeps to itself what is not there, or why."""
        error = (kwargs.get("exc_info") or (None, None))[1]
        if status_code != 404 or not isinstance(error, web.HTTPError) or not error.log_message:
            super().write_error(status_code, **kwargs)
            return
        message = error.log_message % error.args if error.args else error.log_message
        self.set_header("Content-Type", "text/html")
        self.write(
            self.render_template(
                "error.html",
                status_code=status_code,
                status_message="Not found",
                message=message.replace("%%", "%"),
                exception=error,
            )
        )

    def on_connection_close(self) -> None:
        super().on_connection_close()
        self._gone = True
        if self._sending is not None:
            self._sending.cancel()


class Source:
    """One version of one object, the same from the first byte to the last."""

    def __init__(self, located: Located):
        self._store = located.store
        self._key = located.key
        self._version = located.version
        self.entry: Entry

    async def find(self) -> None:
        """Raises Missing."""
        if not self._key:
            raise Missing("The folder at the top is no object.")
        self.entry = await self._store.head(self._key, version=self._version)

    async def pieces(self, start: int, end: int) -> AsyncGenerator[bytes]:
        """Bytes ``start`` to ``end`` (exclusive), at most `PIECE` at a time.

        Raises:
            Changed, Missing: the object is not there any more.
            StoreDown: the store does not answer; for a while it has been asked again.
        """
        if start == end:
            return
        opened = await self._store.open(
            self._key, start=start, end=end, version=self._version, if_match=self.entry.etag
        )
        try:
            async for chunk in opened.chunks:
                view = memoryview(chunk)
                for at in range(0, len(view), PIECE):
                    yield bytes(view[at : at + PIECE])
        finally:
            # Whoever stops half-way leaves no connection to the store behind.
            if isinstance(opened.chunks, AsyncGenerator):
                await opened.chunks.aclose()


def content_type(name: str) -> str:
    """The media type of a file by its name, as Jupyter Server gives it for files on disk."""
    if name.lower().endswith(".ipynb"):
        return "application/x-ipynb+json"
    kind, encoding = mimetypes.guess_type(name)
    if encoding == "gzip":
        return "application/gzip"
    if encoding is not None or kind is None:
        return "application/octet-stream"
    return "text/plain; charset=UTF-8" if kind == "text/plain" else kind


def page(error: PublicError) -> web.HTTPError:
    """Becomes Jupyter's own page for errors, with the error's words."""
    if isinstance(error, Changed):
        return web.HTTPError(409, "The file was changed just now. Download it again.")
    return web.HTTPError(error.status, str(error))
