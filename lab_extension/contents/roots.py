"""Several roots side by side: ``work/`` on disk, ``home/`` and ``projects/…`` in object storage.

Every path begins with the root that it lies in, and the root's own contents
manager does the work. Here is what none of them can do: the folders above the
roots, and copying and moving from one root into another.
"""

from __future__ import annotations

import asyncio
import functools
import os
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from jupyter_server.services.contents.manager import AsyncContentsManager, copy_pat
from tornado.web import HTTPError
from traitlets import Float, Instance, Int, Type, Unicode, default

from hub_ext.errors import PublicError
from lab_extension.contents import crossing, handlers
from lab_extension.contents.answers import http_error
from lab_extension.contents.ends import Disk, End, Objects
from lab_extension.contents.faults import AlreadyThere
from lab_extension.contents.files import FilesHandler
from lab_extension.contents.granted import GrantedKeys
from lab_extension.contents.keeper import Keeper
from lab_extension.contents.keys import hidden, join, name_of, parent
from lab_extension.contents.mirror import Limits, Mirror
from lab_extension.contents.models import Located, folder_model
from lab_extension.contents.paths import parse
from lab_extension.contents.places import HOME, PROJECTS, Place, Places
from lab_extension.contents.root_managers import ObjectRoot, StorageRoot, WorkRoot
from lab_extension.contents.store import Store, StoreSettings
from lab_extension.service import JobService

WORK = "work"
ONE_ACCOUNT_VARIABLE = "ALMANAC_ONE_ACCOUNT"
MIRRORS = ".almanac/files"
STATES = ".almanac/files-state"
MOVES = ".almanac/moves"
FIRST_PATIENCE = 3.0
"""Seconds for which the first listing of the projects waits for the job service."""

Method = TypeVar("Method", bound=Callable[..., Awaitable[Any]])


def explained(method: Method) -> Method:
    """A `PublicError` becomes the error that Jupyter's handlers answer with."""

    @functools.wraps(method)
    async def told(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return await method(self, *args, **kwargs)
        except PublicError as error:
            raise http_error(error) from error

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
        raise HTTPError(404, f"No such file or directory: {path}")
    depth = 2 if segments[:1] == [PROJECTS] else 1
    return "/".join(segments[:depth]), "/".join(segments[depth:])


class RootsContentsManager(AsyncContentsManager):  # type: ignore[misc]
    """Files of a person's server in an Almanac.

    The hub configures it by the environment; each trait can be set instead::

        c.ServerApp.contents_manager_class = "lab_extension.contents.RootsContentsManager"
        c.ServerApp.root_dir = "/home/ana"
        c.RootsContentsManager.bucket = "almanac"
    """

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
        self._kernels: dict[str, str] = {}
        self._entered: dict[str, str] = {}
        (Path(self.root_dir) / WORK).mkdir(mode=0o700, parents=True, exist_ok=True)
        self.work = self.work_class(parent=self, root_dir=self.root_dir)
        self._journal = crossing.Journal(Path(self.root_dir) / MOVES)
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
        if root in ("", PROJECTS):
            return None, root
        if root == WORK:
            # It is given the whole path: its folder is the one above.
            return self.work, join(WORK, inside) if inside else WORK
        known = root == HOME or root.startswith(f"{PROJECTS}/")
        if not known or not self.bucket:
            raise HTTPError(404, f"No such file or directory: {path}")
        place = await self.places.find(root)
        if place is None:
            self._objects.pop(root, None)
            if self.places.problem or not self.places.heard:
                raise HTTPError(
                    503,
                    f"Whether you have {root} is not known yet: "
                    f"{self.places.problem or 'the job service has not answered.'} Try again.",
                )
            raise HTTPError(404, f"No such file or directory: {path}")
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
        return made

    async def close(self) -> None:
        """Write back what notebooks wrote, and close connections."""
        await self._keeper.close()
        for there in self._objects.values():
            await there.close()

    # -- what is there -----------------------------------------------------------

    async def dir_exists(self, path: str) -> bool:
        try:
            manager, inside = await self._root(path)
        except HTTPError as error:
            if error.status_code == 404:
                return False
            raise
        return manager is None or bool(await manager.ask("dir_exists", inside))

    async def file_exists(self, path: str) -> bool:
        try:
            manager, inside = await self._root(path)
        except HTTPError as error:
            if error.status_code == 404:
                return False
            raise
        return manager is not None and bool(await manager.ask("file_exists", inside))

    async def is_hidden(self, path: str) -> bool:
        root, inside = split(path)
        if hidden(root):
            return True
        if not inside:
            return False
        try:
            manager, within = await self._root(path)
        except HTTPError as error:
            if error.status_code == 404:
                return hidden(inside)
            raise
        return manager is not None and bool(await manager.ask("is_hidden", within))

    async def get(
        self,
        path: str,
        content: bool = True,
        type: str | None = None,  # noqa: A002  # Jupyter's name
        format: str | None = None,  # noqa: A002
        require_hash: bool = False,
    ) -> dict[str, Any]:
        manager, inside = await self._root(path)
        if manager is not None:
            model: dict[str, Any] = await manager.ask(
                "get", inside, content=content, type=type, format=format, require_hash=require_hash
            )
            return model
        if type not in (None, "directory"):
            raise HTTPError(400, f"{inside or '/'} is a directory, not a {type}", reason="bad type")
        return await self._above(inside, content=content)

    async def _above(self, path: str, *, content: bool) -> dict[str, Any]:
        """A folder that holds roots."""
        model = self._folder(path, writable=False)
        if content:
            if path == PROJECTS and not self.places.heard:
                await self.places.hear(patience=FIRST_PATIENCE)
            model["content"] = [
                self._folder(name, writable=writable)
                for name, writable in self._below(path).items()
            ]
            model["format"] = "json"
        self.emit(data={"action": "get", "path": path})
        return model

    def _below(self, path: str) -> dict[str, bool]:
        """The folders in one of ours, by their paths, and whether they can be written in."""
        places = self._places()
        if path == PROJECTS:
            return {
                root: place.writable
                for root, place in sorted(places.items())
                if root.startswith(f"{PROJECTS}/")
            }
        if not self.bucket:
            return {WORK: True}
        return {WORK: True, HOME: places[HOME].writable, PROJECTS: False}

    def _folder(self, path: str, *, writable: bool) -> dict[str, Any]:
        return {
            **folder_model(path, writable=writable),
            "last_modified": self._started,
            "created": self._started,
        }

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

    # -- writing -------------------------------------------------------------------

    async def _writing(self, path: str, doing: str) -> tuple[WorkRoot | ObjectRoot, str]:
        """Who writes a path. Raises HTTPError 403 for the roots and the folders above."""
        root, below = split(path)
        if not below:
            raise HTTPError(403, _fixed(root, doing))
        try:
            manager, inside = await self._root(path)
        except HTTPError as error:
            if error.status_code == 404 and root.partition("/")[0] not in (HOME, PROJECTS):
                raise HTTPError(403, _fixed(path, doing)) from error
            raise
        if manager is None:
            raise HTTPError(403, _fixed(path, doing))
        return manager, inside

    async def save(self, model: dict[str, Any], path: str = "") -> dict[str, Any]:
        manager, inside = await self._writing(path, "saved")
        saved: dict[str, Any] = await manager.ask("save", model, inside)
        self._keeper.changed(path.strip("/"))
        return saved

    async def new(self, model: dict[str, Any] | None = None, path: str = "") -> dict[str, Any]:
        manager, inside = await self._writing(path, "made")
        made: dict[str, Any] = await manager.ask("new", model, inside)
        self._keeper.changed(path.strip("/"))
        return made

    async def new_untitled(
        self,
        path: str = "",
        type: str = "",  # noqa: A002  # Jupyter's name
        ext: str = "",
    ) -> dict[str, Any]:
        manager, inside = await self._root(path)
        if manager is None:
            raise HTTPError(403, _fixed(join(inside, "x") if inside else "x", "made"))
        made: dict[str, Any] = await manager.ask("new_untitled", inside, type=type, ext=ext)
        self._keeper.changed(made["path"])
        return made

    async def delete(self, path: str) -> None:
        manager, inside = await self._writing(path, "deleted")
        await manager.ask("delete", inside)
        self._keeper.changed(path.strip("/"))

    async def delete_file(self, path: str) -> None:
        manager, inside = await self._writing(path, "deleted")
        await manager.ask("delete_file", inside)
        self._keeper.changed(path.strip("/"))

    async def rename_file(self, old_path: str, new_path: str) -> None:
        await self._rename(old_path, new_path, with_checkpoints=False)

    async def rename(self, old_path: str, new_path: str) -> None:
        await self._rename(old_path, new_path, with_checkpoints=True)

    @explained
    async def _rename(self, old_path: str, new_path: str, *, with_checkpoints: bool) -> None:
        old_path, new_path = old_path.strip("/"), new_path.strip("/")
        if old_path == new_path:
            return
        source, inside = await self._writing(old_path, "renamed")
        target, to = await self._writing(new_path, "made")
        if source is target:
            await source.ask("rename" if with_checkpoints else "rename_file", inside, to)
        else:
            await self._move(old_path, source, inside, new_path, target, to)
        self._keeper.changed(old_path)
        self._keeper.changed(new_path)

    async def _move(
        self,
        old_path: str,
        source: WorkRoot | ObjectRoot,
        inside: str,
        new_path: str,
        target: WorkRoot | ObjectRoot,
        to: str,
    ) -> None:
        await self._require_visible(old_path, new_path)
        source.require_writable()
        target.require_room()
        if not await target.dir_exists(parent(to)):
            raise HTTPError(404, f"No such directory: {parent(new_path)}")
        shown = (old_path, new_path)
        await crossing.move(
            self._end(source), inside, self._end(target), to, journal=self._journal, shown=shown
        )
        # The checkpoints of a place stay with it; where a file is gone, so are they.
        try:
            await source.checkpoints.delete_all_checkpoints(inside)
        except (HTTPError, OSError, PublicError) as error:
            self.log.debug("Almanac: the checkpoints of %s stay: %s", old_path, error)
        self.emit(data={"action": "rename", "path": new_path, "source_path": old_path})

    async def copy(self, from_path: str, to_path: str | None = None) -> dict[str, Any]:
        from_path = from_path.strip("/")
        source, inside = await self._root(from_path)
        if source is None or not split(from_path)[1]:
            raise HTTPError(
                400,
                f"Can't copy {from_path or 'the folder at the top'}: choose "
                "files and folders in it.",
            )
        to_path = parent(from_path) if to_path is None else to_path.strip("/")
        target, to = await self._root(to_path)
        if target is None:
            raise HTTPError(403, _fixed(to_path, "copied to"))
        if source is target:
            made: dict[str, Any] = await source.ask("copy", inside, to)
        else:
            made = await self._copy_across(from_path, source, inside, target, to_path, to)
        self._keeper.changed(made["path"])
        return made

    @explained
    async def _copy_across(
        self,
        from_path: str,
        source: WorkRoot | ObjectRoot,
        inside: str,
        target: WorkRoot | ObjectRoot,
        to_path: str,
        to: str,
    ) -> dict[str, Any]:
        await self._require_visible(from_path, to_path)
        target.require_room()
        if await target.dir_exists(to):
            name = copy_pat.sub(".", name_of(from_path))
            name = await target.increment_filename(name, to, insert="-Copy")
            to, to_path = join(to, name), join(to_path, name)
        elif not await target.dir_exists(parent(to)):
            raise HTTPError(404, f"No such parent directory: {parent(to_path)} to copy file in")
        end = self._end(target)
        if await end.kind(to) is not None:
            raise AlreadyThere(f"File already exists: {to_path}")
        try:
            await crossing.copy(self._end(source), inside, end, to, shown=from_path)
        except PublicError:
            await _undo(end, to)
            raise
        self.emit(data={"action": "copy", "path": to_path, "source_path": from_path})
        made: dict[str, Any] = await target.ask("get", to, content=False)
        return made

    async def _require_visible(self, *paths: str) -> None:
        if not self.allow_hidden:
            for path in paths:
                if await self.is_hidden(path):
                    raise HTTPError(400, f"Cannot copy or rename file or directory {path!r}")

    def _end(self, manager: WorkRoot | ObjectRoot) -> End:
        if isinstance(manager, ObjectRoot):
            return Objects(manager.store)
        return Disk(Path(self.root_dir))

    # -- checkpoints, trust ---------------------------------------------------------

    async def create_checkpoint(self, path: str) -> Any:
        manager, inside = await self._writing(path, "saved")
        return await manager.ask("create_checkpoint", inside)

    async def restore_checkpoint(self, checkpoint_id: str, path: str) -> None:
        manager, inside = await self._writing(path, "restored")
        await manager.ask("restore_checkpoint", checkpoint_id, inside)
        self._keeper.changed(path.strip("/"))

    async def list_checkpoints(self, path: str) -> Any:
        manager, inside = await self._root(path)
        return [] if manager is None else await manager.ask("list_checkpoints", inside)

    async def delete_checkpoint(self, checkpoint_id: str, path: str) -> None:
        manager, inside = await self._writing(path, "deleted")
        await manager.ask("delete_checkpoint", checkpoint_id, inside)

    async def trust_notebook(self, path: str) -> None:
        manager, inside = await self._root(path)
        if manager is None:
            raise HTTPError(400, f"{path or '/'} is a directory, not a notebook")
        await manager.ask("trust_notebook", inside)

    # -- kernels and snapshots --------------------------------------------------------

    async def get_kernel_path(self, path: str, model: Any = None) -> str:
        """Where a kernel for ``path`` runs, relative to the server's folder.

        It always starts: where the store does not answer, with what is there.
        """
        try:
            manager, inside = await self._root(path or "")
        except HTTPError as error:
            self.log.warning("Almanac: a kernel for %s starts in %s: %s", path, WORK, error)
            return WORK
        if manager is None:
            return WORK
        if isinstance(manager, WorkRoot):
            return str(await manager.get_kernel_path(inside))
        folder = await self._enter(manager, inside)
        self._entered[path] = folder
        return f"{MIRRORS}/{folder}"

    async def _enter(self, manager: ObjectRoot, inside: str) -> str:
        mirror = manager.mirror
        folder, notebook = await self._folder_of(manager, inside)
        if notebook:
            mirror.notebooks.add(join(folder, notebook))
        task = asyncio.ensure_future(mirror.sync(folder, first=notebook))
        await asyncio.wait([task], timeout=self.mirror_patience)
        if not task.done():
            self.log.warning("Almanac: what lies beside %s is still on its way", inside)
            task.add_done_callback(lambda done: done.cancelled() or done.exception())
        elif (error := task.exception()) is not None:
            if not isinstance(error, PublicError | OSError):
                raise error
            self.log.warning(
                "Almanac: a kernel for %s starts with what was on disk: %s",
                join(mirror.root, inside),
                error,
            )
            await asyncio.to_thread(mirror.path(folder).mkdir, parents=True, exist_ok=True)
        self._keeper.enter(mirror, folder)
        return join(mirror.root, folder) if folder else mirror.root

    async def _folder_of(self, manager: ObjectRoot, inside: str) -> tuple[str, str]:
        """The folder that a kernel for ``inside`` belongs to, and the notebook's name if any."""
        try:
            key = parse(inside).key
        except PublicError:
            return "", ""
        if not key or not name_of(key).endswith(".ipynb"):
            try:
                if not key or await manager.dir_exists(key):
                    return key, ""
            except (HTTPError, PublicError):
                pass
        return parent(key), name_of(key) if key.endswith(".ipynb") else ""

    async def on_disk(self, path: str) -> Path:
        """The file of a notebook; one in object storage is fetched with what lies beside it.

        Raises:
            PublicError: it cannot be fetched.
            HTTPError: there is none.
        """
        manager, inside = await self._root(path)
        if manager is None:
            raise HTTPError(404, f"No such file: {path}")
        if isinstance(manager, WorkRoot):
            return Path(manager._get_os_path(inside))
        named = parse(inside)
        if named.version is not None:
            raise HTTPError(404, f"{path} is an old version of a notebook.")
        mirror = manager.mirror
        await mirror.sync(parent(named.key), first=name_of(named.key))
        return mirror.path(named.key)

    async def _folders_in_use(self) -> set[str]:
        """The folders of object storage in which kernels run now."""
        sessions = getattr(self.parent, "session_manager", None)
        if sessions is None:
            return set()
        seen: dict[str, str] = {}
        for session in await sessions.list_sessions():
            if kernel := (session.get("kernel") or {}).get("id"):
                # By the kernel: a notebook that is moved takes its session along, not its kernel.
                path = str(session["path"])
                seen[kernel] = self._kernels.get(kernel) or self._entered.get(path, parent(path))
        self._kernels = seen
        return set(seen.values())

    async def resolve_path(self, path: str) -> str | None:
        """The API path of a file on disk, that a traceback or a debugger names."""
        top = Path(self.root_dir)
        at = Path(path)
        if not at.is_absolute():
            return None
        mirrored = top / MIRRORS
        if at.is_relative_to(mirrored):
            return at.relative_to(mirrored).as_posix()
        if at.is_relative_to(top / WORK):
            return at.relative_to(top).as_posix()
        return None

    def _get_os_path(self, path: str) -> str:
        """As the local file manager has it; for extensions that ask."""
        root, _ = split(path)
        if root == WORK:
            return str(self.work._get_os_path(path.strip("/")))
        raise HTTPError(404, f"{path} is not on this server's disk")

    def info_string(self) -> str:
        there = f", home/ and projects/ from s3://{self.bucket} at {self.endpoint_url or 'AWS'}"
        return f"Serving work/ from {Path(self.root_dir) / WORK}{there if self.bucket else ''}"


async def _undo(end: End, path: str) -> None:
    """Remove the beginning of a copy that failed."""
    try:
        found = await end.contents(path)
        await end.remove(path, found.items)
    except (PublicError, OSError):
        return


def _fixed(path: str, doing: str) -> str:
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
