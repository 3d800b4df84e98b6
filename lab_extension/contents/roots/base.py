"""Which root a path lies in, and who is in charge there; the settings of all of them."""

from __future__ import annotations

import asyncio
import functools
import os
from collections.abc import Awaitable, Callable, Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from jupyter_server.services.contents.manager import AsyncContentsManager
from tornado.web import HTTPError
from traitlets import Float, Instance, Int, Type, Unicode, default, validate

from hub_ext.errors import PublicError
from lab_extension.contents import handlers
from lab_extension.contents.answers import ContentsError, http_error
from lab_extension.contents.files import FilesHandler
from lab_extension.contents.models import Located
from lab_extension.contents.objects.keys import join
from lab_extension.contents.objects.store import Store, StoreSettings
from lab_extension.contents.roots.crossing import Journal
from lab_extension.contents.roots.granted import GrantedKeys
from lab_extension.contents.roots.keeper import Keeper
from lab_extension.contents.roots.managers import ObjectRoot, StorageRoot, WorkRoot
from lab_extension.contents.roots.mirror import Mirror
from lab_extension.contents.roots.mirror_plan import Limits
from lab_extension.contents.roots.places import HOME, PROJECTS, Place, Places
from lab_extension.service import JobService

WORK = "work"
MIRRORS = ".almanac/files"
"""Mirrors of object storage, below the server's folder."""
STATES = ".almanac/files-state"
MOVES = ".almanac/moves"
LINGERS = 60.0
"""Seconds for which a root that is no more finishes what it has begun."""
ONE_ACCOUNT_VARIABLE = "ALMANAC_ONE_ACCOUNT"
"""Set where all servers run under one account of the system."""

Method = TypeVar("Method", bound=Callable[..., Awaitable[Any]])


def explained(method: Method) -> Method:
    """A `PublicError` becomes the error that Jupyter's handlers answer with."""

    @functools.wraps(method)
    async def told(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return await method(self, *args, **kwargs)
        except PublicError as error:
            raise http_error(error) from error
        except OSError as error:
            if error.strerror is None:
                raise
            status = 403 if isinstance(error, PermissionError) else 500
            raise ContentsError(
                status, f"{error.strerror}: {Path(str(error.filename)).name}"
            ) from error

    return told  # type: ignore[return-value]


def split(path: str) -> tuple[str, str]:
    """The root of a path, and the path below it.

    >>> split("projects/prices/a/b.csv")
    ('projects/prices', 'a/b.csv')
    >>> split("work"), split(""), split("projects")
    (('work', ''), ('', ''), ('projects', ''))
    """
    segments = [segment for segment in path.split("/") if segment]
    if any(segment in (".", "..") for segment in segments):
        raise ContentsError(404, f"No such file or directory: {path}")
    depth = 2 if segments[:1] == [PROJECTS] else 1
    return "/".join(segments[:depth]), "/".join(segments[depth:])


class RootsBase(AsyncContentsManager):  # type: ignore[misc]
    """Settings and roots of `RootsContentsManager`."""

    root_dir = Unicode(
        config=True,
        help="The folder of the disk that holds ``work``, and mirrors of object storage in "
        "``.almanac``. Default: that of the server.",
    )
    bucket = Unicode(
        config=True,
        help="Bucket of ``home/`` and ``projects/``. Default: ``ALMANAC_STORE_BUCKET``; without "
        "one there is ``work/`` alone.",
    )
    endpoint_url = Unicode(
        config=True,
        help="Address of the object store. Default: ``AWS_ENDPOINT_URL_S3`` or "
        "``AWS_ENDPOINT_URL``; empty: that of AWS for the region.",
    )
    region_name = Unicode(config=True, help="Its region. Default: ``AWS_REGION``.")
    username = Unicode(config=True, help="Who the server is for. Default: ``JUPYTERHUB_USER``.")
    mirror_max_bytes = Int(
        Limits.bytes,
        config=True,
        help="Bytes that are fetched of what lies beside a notebook in object storage, when a "
        "kernel starts there. The notebook's log and a file ``.almanac-mirror.txt`` in the folder "
        "tell what is left out. A single larger file is not written back either.",
    )
    mirror_max_files = Int(Limits.files, config=True, help="Files that are fetched, likewise.")
    mirror_interval = Float(
        5.0, config=True, help="Seconds between two looks at what a notebook wrote beside itself."
    )
    mirror_refresh_interval = Float(
        30.0,
        config=True,
        help="Seconds between two looks at what others wrote beside a running notebook. What is "
        "changed through this server is seen at once.",
    )
    mirror_patience = Float(
        60.0,
        config=True,
        help="Seconds for which the start of a kernel waits for what lies beside its notebook.",
    )
    work_class = Type(
        WorkRoot, klass=WorkRoot, config=True, help="The contents manager of ``work/``."
    )
    object_class = Type(
        ObjectRoot, klass=ObjectRoot, config=True, help="The contents manager of object storage."
    )
    places = Instance(Places, help="Which roots there are.")

    @default("root_dir")  # type: ignore[untyped-decorator]
    def _default_root_dir(self) -> str:
        return str(self.parent.root_dir) if self.parent else str(Path.cwd())

    @default("preferred_dir")  # type: ignore[untyped-decorator]
    def _default_preferred_dir(self) -> str:
        return WORK

    @validate("preferred_dir")  # type: ignore[untyped-decorator]
    def _validate_preferred_dir(self, proposal: Any) -> str:
        """Not looked for: it may be in object storage, and a server starts without that."""
        return str(proposal["value"]).strip("/")

    @default("bucket")  # type: ignore[untyped-decorator]
    def _default_bucket(self) -> str:
        return os.environ.get("ALMANAC_STORE_BUCKET", "")

    @default("endpoint_url")  # type: ignore[untyped-decorator]
    def _default_endpoint_url(self) -> str:
        return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL", "")

    @default("region_name")  # type: ignore[untyped-decorator]
    def _default_region_name(self) -> str:
        return os.environ.get("AWS_REGION") or "us-east-1"

    @default("username")  # type: ignore[untyped-decorator]
    def _default_username(self) -> str:
        return os.environ.get("JUPYTERHUB_USER", "")

    @default("places")  # type: ignore[untyped-decorator]
    def _default_places(self) -> Places:
        return Places(self.service, self.username, log=self.log)

    @default("files_handler_class")  # type: ignore[untyped-decorator]
    def _default_files_handler_class(self) -> type[FilesHandler]:
        return FilesHandler

    @default("files_handler_params")  # type: ignore[untyped-decorator]
    def _default_files_handler_params(self) -> dict[str, Any]:
        return {"path": self.root_dir}

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        handlers.prefer(self.parent)
        self.service = JobService.from_environment()
        self._started = datetime.now(UTC)
        self._objects: dict[str, ObjectRoot] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._begun = False
        self._kernels: dict[str, str] = {}
        self._entered: dict[str, str] = {}
        (Path(self.root_dir) / WORK).mkdir(mode=0o700, parents=True, exist_ok=True)
        self.work = self.work_class(parent=self, root_dir=self.root_dir)
        self._journal = Journal(Path(self.root_dir) / MOVES)
        if os.environ.get(ONE_ACCOUNT_VARIABLE) and self.bucket:
            self.log.info(
                "Almanac: home/ and projects/ are reached with keys for them alone. Others' "
                "servers and jobs run under the same account of this machine: the hub and the "
                "object store keep them from your files, the system does not."
            )
        self._keeper = Keeper(
            self._folders_in_use,
            log=self.log,
            every=self.mirror_interval,
            fully=self.mirror_refresh_interval,
        )

    # -- which root, and what works there --------------------------------------

    def _places(self) -> dict[str, Place]:
        return dict(self.places.current()) if self.bucket else {}

    async def _root(self, path: str) -> tuple[WorkRoot | ObjectRoot | None, str]:
        """Who is in charge of a path, and what they call it; None for the folders above."""
        root, inside = split(path)
        if not self._begun:
            self._begun = True
            if self.bucket:
                self._in_background(self._begin(), "what an earlier server left")
        if root in ("", PROJECTS):
            return None, root
        if root == WORK:
            # It is given the whole path: its folder is the one above.
            return self.work, join(WORK, inside) if inside else WORK
        known = root == HOME or root.startswith(f"{PROJECTS}/")
        if not known or not self.bucket:
            raise ContentsError(404, f"No such file or directory: {path}")
        place = await self.places.find(root)
        if place is None:
            if (gone := self._objects.pop(root, None)) is not None:
                self._in_background(_closed_later(gone), f"what was on its way to {root}")
            if self.places.problem or not self.places.heard:
                raise ContentsError(
                    503,
                    f"Whether you have {root} is not known yet: "
                    f"{self.places.problem or 'the job service has not answered.'} Try again.",
                )
            raise ContentsError(404, f"No such file or directory: {path}")
        return self._object_root(place), inside

    def _object_root(self, place: Place) -> ObjectRoot:
        there = self._objects.get(place.root)
        if there is not None and (there.place.writable, there.place.full) == (
            place.writable,
            place.full,
        ):
            if there.place != place:
                there.become(place)
            return there
        # Other rights than before: the keys that were granted for those are of no use now.
        store = Store(
            StoreSettings(
                endpoint_url=self.endpoint_url or None,
                bucket=self.bucket,
                prefix=place.prefix,
                region=self.region_name,
                credentials=GrantedKeys(self.service, place.project),
            )
        )
        made: ObjectRoot = self.object_class(parent=self, log=self.log, place=place, store=store)
        made._pre_save_hooks = list(self._pre_save_hooks)
        made._post_save_hooks = list(self._post_save_hooks)
        if there is not None:
            self._in_background(_closed_later(there), f"what was on its way to {place.root}")
            made.mirror = there.mirror
            made.mirror.use(store, writable=place.writable, admit=made.admit)
        else:
            made.mirror = Mirror(
                place.root,
                store,
                Path(self.root_dir) / MIRRORS,
                Path(self.root_dir) / STATES / f"{place.root}.json",
                log=self.log,
                writable=place.writable,
                limits=Limits(self.mirror_max_bytes, self.mirror_max_files),
                admit=made.admit,
            )
        self._objects[place.root] = made
        if there is None and made.mirror.path().is_dir():
            self._in_background(made.mirror.recover(), f"what was written beside {place.root}")
        return made

    def _in_background(self, work: Coroutine[Any, Any, None], what: str) -> None:
        async def tried() -> None:
            try:
                await work
            except (PublicError, OSError) as error:
                self.log.warning("Almanac: %s is not in object storage yet: %s", what, error)

        task = asyncio.ensure_future(tried())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _begin(self) -> None:
        """Once, with the first request: what an earlier server had not sent any more."""
        await self.places.hear(patience=60)
        for root, place in self._places().items():
            if (Path(self.root_dir) / MIRRORS / root).is_dir():
                self._object_root(place)

    async def _folders_in_use(self) -> set[str]:
        """The folders of object storage in which kernels run now."""
        return set()

    async def _follow(self, manager: ObjectRoot, inside: str, to: str) -> None:
        """Something in object storage was renamed: what is mirrored of it goes along."""

    async def close(self) -> None:
        """Write back what notebooks wrote, and close connections."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._keeper.close()
        for there in self._objects.values():
            await there.close()

    async def storage_roots(self) -> list[StorageRoot]:
        """The roots in object storage, for what tells their sizes."""
        return [
            StorageRoot(
                place.root,
                place.title,
                place.limit,
                place.writable,
                self._object_root(place).store,
            )
            for place in self._places().values()
        ]

    async def locate(self, path: str) -> Located | None:
        """Where in object storage a path is; None for what is on disk, and the folders above.

        Raises:
            HTTPError: there is no such root.
        """
        manager, inside = await self._root(path)
        return await manager.locate(inside) if isinstance(manager, ObjectRoot) else None

    def changed(self, path: str) -> None:
        """A file in object storage was changed not by one of these methods: restored, say."""
        self._keeper.changed(path.strip("/"))

    async def _writing(self, path: str, doing: str) -> tuple[WorkRoot | ObjectRoot, str]:
        """Who writes a path. Raises HTTPError 403 for the roots and the folders above."""
        root, below = split(path)
        if not below:
            raise ContentsError(403, fixed(root, doing))
        try:
            manager, inside = await self._root(path)
        except HTTPError as error:
            if error.status_code == 404 and root.partition("/")[0] not in (HOME, PROJECTS):
                raise ContentsError(403, fixed(path, doing)) from error
            raise
        if manager is None:
            raise ContentsError(403, fixed(path, doing))
        return manager, inside


async def _closed_later(root: ObjectRoot) -> None:
    """Close it when what is under way there has had its time."""
    await asyncio.sleep(LINGERS)
    await root.close()


def fixed(path: str, doing: str) -> str:
    """Why one of the folders above, or a root itself, is not to be changed."""
    top = path.partition("/")[0]
    if path in (WORK, HOME):
        return f"{path} itself cannot be {doing}: it is always there. Choose what is in it."
    if path.startswith(f"{PROJECTS}/") and path.count("/") == 1:
        return (
            f"{path} itself cannot be {doing}: it is the folder of a project, which is made "
            "and removed by who runs this Almanac. Choose what is in it."
        )
    if top == PROJECTS:
        return (
            f"Nothing can be {doing} in {PROJECTS} itself: it holds the folders of your projects. "
            "Choose one of them."
        )
    return (
        f"Nothing can be {doing} in the folder at the top: it holds {WORK}, {HOME} and "
        f"{PROJECTS} alone. Choose one of them."
    )
