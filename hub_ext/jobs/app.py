"""The job service put together: database, store, backend, loop, API, pages."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from fastapi import APIRouter, FastAPI
from sqlalchemy import text
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hub_ext import __version__, toolchain
from hub_ext.bundles.bundle import Limits
from hub_ext.errors import PublicError
from hub_ext.jobs import api, place
from hub_ext.jobs.backends.local import LocalBackend
from hub_ext.jobs.reconcile import Engine
from hub_ext.jobs.store import Database
from hub_ext.jobs.usecases import Execution, Jobs
from hub_ext.jobs.usecases.ports import Clock, Credentials, Links, Objects, Options, Sizes
from hub_ext.jobs.usecases.sweeps import Sweeps
from hub_ext.settings import Settings
from hub_ext.state import Endpoints, StateFolder

LARGEST_BODY = 4 << 20
"""Bytes of a request other than an upload."""
INSPECTED = 2
"""Uploads that are looked at at once: each is in memory, several times its size."""
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Referrer-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}

log = logging.getLogger("almanac.jobs")


@dataclass(frozen=True)
class Service:
    """The parts of one job service that the application holds together.

    Attributes:
        uploads: folder for uploads that are being received.
        upload_limit: bytes of the largest one.
        inspecting: bounds how many of them are in memory at once.
    """

    jobs: Jobs
    engine: Engine
    database: Database
    login: api.Login
    uploads: Path
    upload_limit: int
    inspecting: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(INSPECTED))

    def healthy(self) -> bool:
        """Whether the loop goes round and the database answers."""
        if not self.engine.alive:
            return False
        try:
            with self.database.reading() as connection:
                connection.execute(text("SELECT 1"))
        except PublicError:
            return False
        return True


class Helper(Protocol):
    """Something that works beside the loop: `hub_ext.storage.keeper.Keeper`."""

    def start(self) -> None: ...

    def stop(self) -> None: ...


def create_app(
    service: Service,
    *,
    pages: APIRouter | None = None,
    install_login: Callable[[FastAPI], None] = lambda app: None,
    started: Callable[[], None] = lambda: None,
    helper: Helper | None = None,
) -> FastAPI:
    """The ASGI application; the loop starts and stops with it.

    Args:
        pages: routes of the pages; the last of them may take all that is left.
        install_login: adds the routes and the error handler of the sign-in.
        started: called once the application serves.
        helper: starts and stops with the application, too.
    """

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        service.engine.start()
        started()
        if helper is not None:
            helper.start()
        yield
        if helper is not None:
            helper.stop()
        service.engine.stop(timeout=0.5)

    app = FastAPI(
        title="Almanac job service",
        version=__version__,
        description="Jobs, versions and runs. Errors are problem documents (RFC 9457).",
        openapi_url=f"{place.API}/openapi.json",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.service = service
    api.install_errors(app)
    install_login(app)
    app.include_router(api.api)
    if pages is not None:
        app.include_router(pages)
    app.add_middleware(Guard)
    return app


class Guard:
    """Headers for every answer that sets none of its own, and a limit for bodies."""

    def __init__(self, app: ASGIApp):
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        if scope["path"] != f"{place.API}/bundles":
            length = dict(scope["headers"]).get(b"content-length", b"0")
            if not length.isdigit() or int(length) > LARGEST_BODY:
                refusal = api.TooLarge(
                    f"The request is larger than {LARGEST_BODY / 2**20:.0f} MiB.",
                    mend="Send less at a time.",
                )
                await api.problem(refusal)(scope, receive, sending)
                return
            receive = _bounded(receive)
        await self._app(scope, receive, sending)


def _bounded(receive: Receive) -> Receive:
    """Ends a body that does not say how long it is, once it is too long."""
    size = 0

    async def receiving() -> Message:
        nonlocal size
        message = await receive()
        if message["type"] == "http.request":
            size += len(message.get("body", b""))
            if size > LARGEST_BODY:
                return {"type": "http.disconnect"}
        return message

    return receiving


def build(
    settings: Settings,
    state: StateFolder,
    endpoints: Endpoints,
    environment: Mapping[str, str] = os.environ,
    *,
    clock: Clock = lambda: datetime.now(UTC),
) -> FastAPI:
    """The job service of one machine, on its state folder.

    Raises:
        PublicError: something that it needs is not there; the message says what.
    """
    from hub_ext.auth.asgi import HubLogin
    from hub_ext.jobs import pages
    from hub_ext.storage.credentials import CredentialsBroker
    from hub_ext.storage.keeper import Keeper
    from hub_ext.storage.objects import ObjectStore
    from hub_ext.storage.share import Links as ShareLinks
    from hub_ext.storage.versions import Versions

    database = Database.at(state.jobs_database)
    database.upgrade()
    storage = settings.storage
    endpoint = endpoints.store_url
    keys = (state.secret("store-admin-access-key"), state.secret("store-admin-secret-key"))
    bucket = (endpoint, storage.bucket, storage.region, *keys)
    objects = ObjectStore.connect(*bucket)
    sweeps = Sweeps(database, clock)
    keeper = Keeper(
        objects,
        Versions(*bucket),
        keep_days=storage.keep_deleted_days,
        last_sweep=sweeps.last,
        record=sweeps.record,
        clock=clock,
    )
    limit = settings.jobs.bundle_limit_mb * 2**20
    options = Options(
        bucket=storage.bucket,
        kernel_environment=_kernel_environment(endpoint, storage.region, endpoints.public_url),
        titles={project.slug: project.title for project in settings.projects},
        bundle_limits=Limits(unpacked=limit),
        run_timeout_seconds=settings.jobs.run_timeout_minutes * 60,
        cell_timeout_seconds=(
            settings.jobs.cell_timeout_minutes * 60 if settings.jobs.cell_timeout_minutes else None
        ),
        share_seconds=storage.share_link_days * 24 * 3600,
        keep_deleted_days=storage.keep_deleted_days,
        quota_bytes=storage.quota_bytes,
        quotas=settings.quotas(),
    )
    service = assemble(
        database,
        objects,
        options,
        backend=lambda changed: LocalBackend(
            state.attempts,
            command=[str(toolchain.runner_python()), "-m", "hub_ext.runner"],
            fetch=lambda sha256, path: objects.get_file(place.bundle_key(sha256), path),
            environments=state.environments,
            uv=toolchain.uv(),
            environment=runner_environment(settings, environment),
            changed=changed,
        ),
        parallel=settings.jobs.parallel_runs,
        credentials=CredentialsBroker(*bucket),
        links=ShareLinks(*bucket, clock=clock),
        sizes=keeper,
        login=lambda jobs: HubLogin(
            service="jobs",
            prefix=f"{place.PREFIX}/",
            api_token=state.secret("jobs-api-token"),
            hub_api_url=endpoints.hub_api_url,
            public_url=endpoints.public_url,
            cookie_key=state.secret("jobs-cookie-key"),
            lookup_run_token=jobs.lookup_run_token,
        ),
        uploads=_emptied(state.runtime / "uploads"),
        upload_limit=limit,
        clock=clock,
    )
    assert isinstance(service.login, HubLogin)
    return create_app(
        service,
        pages=pages.router(service.jobs, service.login),
        install_login=service.login.install,
        started=lambda: _make_bucket(settings, endpoint, *keys),
        helper=keeper,
    )


def assemble(
    database: Database,
    objects: Objects,
    options: Options,
    *,
    backend: Callable[[Callable[[], None]], Any],
    parallel: int | None,
    credentials: Credentials,
    login: Callable[[Jobs], api.Login],
    uploads: Path,
    upload_limit: int,
    links: Links | None = None,
    sizes: Sizes | None = None,
    clock: Clock = lambda: datetime.now(UTC),
) -> Service:
    """The parts, made to know each other.

    Args:
        backend: makes it, given what it is to call when something has ended.
        login: makes it, given the use cases, which know run tokens.
        links, sizes: see `hub_ext.jobs.usecases.base.UseCases`.
    """
    awake: list[Callable[[], None]] = []

    def changed() -> None:
        for wake in awake:
            wake()

    uploads.mkdir(mode=0o700, parents=True, exist_ok=True)
    engine = Engine(
        Execution(database, clock=clock, options=options),
        backend(changed),
        objects,
        parallel=parallel,
        timeout=timedelta(seconds=options.run_timeout_seconds),
        clock=clock,
    )
    awake.append(engine.wake)
    jobs = Jobs(
        database,
        objects=objects,
        clock=clock,
        spools=engine,
        credentials=credentials,
        links=links,
        sizes=sizes,
        options=options,
        changed=changed,
    )
    return Service(
        jobs=jobs,
        engine=engine,
        database=database,
        login=login(jobs),
        uploads=uploads,
        upload_limit=upload_limit,
    )


def runner_environment(settings: Settings, inherited: Mapping[str, str]) -> dict[str, str]:
    """What a runner finds in its environment: an allow-list, nothing of it secret."""
    basics = {
        name: inherited[name]
        for name in ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR")
        if name in inherited
    }
    return (
        {"PATH": os.defpath, "LANG": "C.UTF-8"} | basics | settings.network.environment(inherited)
    )


def _kernel_environment(endpoint: str, region: str, public_url: str) -> dict[str, str]:
    from hub_ext.storage.environment import kernel_environment

    found = kernel_environment(endpoint, region, f"{public_url}{place.API}/credentials", "")
    # The token's file is the backend's: it alone knows where that lies.
    return {name: value for name, value in found.items() if value}


def _make_bucket(settings: Settings, endpoint: str, access_key: str, secret_key: str) -> None:
    """Make the platform's bucket in the embedded store, which may still be starting."""

    def make() -> None:
        from hub_ext.storage.embedded import ensure_bucket

        storage = settings.storage
        for _ in range(30):
            try:
                ensure_bucket(endpoint, storage.bucket, storage.region, access_key, secret_key)
            except PublicError as error:
                log.warning("bucket.waits %s", error)
            else:
                return

    threading.Thread(target=make, name="almanac-jobs-bucket", daemon=True).start()


def _emptied(folder: Path) -> Path:
    """Without what a service left there that was killed while it received an upload."""
    shutil.rmtree(folder, ignore_errors=True)
    return folder


def bind_of(url: str) -> tuple[str, int]:
    """Host and port of the address that the service listens on."""
    parts = urlsplit(url)
    return parts.hostname or "127.0.0.1", parts.port or 80
