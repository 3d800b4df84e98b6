"""The REST API: translates requests to use cases and back, and nothing more.

Errors are RFC 9457 problem documents, whatever went wrong. Endpoints are
synchronous and run in threads, but for the upload, which is streamed to disk.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import tempfile
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any, Protocol, cast
from urllib.parse import quote

from fastapi import APIRouter, Depends, FastAPI, Header, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse, StreamingResponse
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from hub_ext.errors import Invalid, PublicError, Unavailable
from hub_ext.jobs import place
from hub_ext.jobs.schemas import (
    BundleOut,
    EventOut,
    HealthOut,
    JobChange,
    JobIn,
    JobOut,
    MeOut,
    Page,
    ProblemOut,
    RunIn,
    RunOut,
    ScheduleIn,
    ScheduleOut,
    ShareIn,
    ShareOut,
    TokenIn,
    TokenOut,
    UsagesOut,
    VersionIn,
    VersionOut,
)
from hub_ext.jobs.usecases import Jobs
from hub_ext.names import Principal

PROBLEM = "application/problem+json"
# A notebook's HTML comes from a notebook: it gets no script, no origin and no
# network, whoever opens it.
FILE_POLICY = (
    "sandbox; default-src 'none'; img-src data:; style-src 'unsafe-inline'; frame-ancestors 'self'"
)
SHOWN = ("text/html", "text/plain", "image/png", "image/jpeg", "image/gif")
"""Shown in the browser; everything else is a download."""


class TooLarge(PublicError):
    code, status = "too-large", 413


class Login(Protocol):
    """Who sends a request; `hub_ext.auth.asgi.HubLogin`."""

    async def principal(self, request: Request) -> Principal: ...


class Service(Protocol):
    """What the API needs of the application it is part of; kept in ``app.state.service``."""

    @property
    def jobs(self) -> Jobs: ...

    @property
    def login(self) -> Login: ...

    @property
    def uploads(self) -> Path:
        """Folder for uploads that are being received."""

    @property
    def upload_limit(self) -> int:
        """Bytes of the largest upload."""

    @property
    def inspecting(self) -> asyncio.Semaphore:
        """Held while an upload is looked at, which takes all of it into memory."""

    def healthy(self) -> bool: ...


def _service(request: Request) -> Service:
    return cast(Service, request.app.state.service)


def _jobs(request: Request) -> Jobs:
    return _service(request).jobs


async def _principal(request: Request) -> Principal:
    return await _service(request).login.principal(request)


UseCases = Annotated[Jobs, Depends(_jobs)]
Caller = Annotated[Principal, Depends(_principal)]
Limit = Annotated[int, Query(description="Entries of a page, 1 to 200.")]
Cursor = Annotated[str | None, Query(description="The `next` of the page before.")]
Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        description="The same key asks for the same thing, however often it is sent.",
    ),
]

_PROBLEMS: dict[int | str, dict[str, Any]] = {
    "default": {
        "description": "What is wrong and how to mend it (RFC 9457).",
        "content": {PROBLEM: {"schema": {"$ref": "#/components/schemas/ProblemOut"}}},
    },
    # Told as every other problem is, not in the framework's own shape.
    422: {"model": ProblemOut, "description": "The request makes no sense as it stands."},
}

api = APIRouter(prefix=place.API, responses=_PROBLEMS)


# -- the service


@api.get("/health", tags=["service"])
def health(request: Request) -> HealthOut:
    """Whether the service does its work; needs no sign-in."""
    if not _service(request).healthy():
        raise Unavailable("The job service does not do its work.", mend="Its log says why.")
    return HealthOut(status="ok")


@api.get("/me", tags=["service"])
def me(jobs: UseCases, caller: Caller) -> MeOut:
    """Who you are here, and the projects you belong to."""
    return jobs.me(caller)


@api.post("/introspect", tags=["service"])
def introspect(jobs: UseCases, caller: Caller, wanted: TokenIn) -> TokenOut:
    """What a run token stands for."""
    return jobs.introspect(caller, wanted.token)


@api.post("/schedules/preview", tags=["jobs"])
def preview(jobs: UseCases, caller: Caller, wanted: ScheduleIn) -> ScheduleOut:
    """What a schedule means, and its next three times; nothing is stored."""
    return jobs.preview(wanted)


@api.post(
    "/bundles",
    tags=["jobs"],
    status_code=201,
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/gzip": {"schema": {"type": "string", "format": "binary"}}},
        }
    },
)
async def upload(request: Request, response: Response, jobs: UseCases, caller: Caller) -> BundleOut:
    """Upload a bundle; 200 where the service had it already."""
    service = _service(request)
    with tempfile.TemporaryDirectory(dir=service.uploads, prefix="upload-") as folder:
        path = Path(folder) / "bundle.tar.gz"
        await _receive(request, path, service.upload_limit)
        async with service.inspecting:
            found = await run_in_threadpool(jobs.accept_bundle, caller, path)
    if not found.created:
        response.status_code = 200
    return found


# -- storage


@api.get("/credentials", tags=["storage"])
def credentials(
    jobs: UseCases,
    caller: Caller,
    project: Annotated[
        str | None, Query(description="Slug of the one project that they shall reach.")
    ] = None,
) -> dict[str, Any]:
    """Credentials for the object store, in the format of the container-credentials protocol."""
    return jobs.credentials(caller, project)


@api.post("/share", tags=["storage"])
def share(jobs: UseCases, caller: Caller, wanted: ShareIn) -> ShareOut:
    """A link with which anybody can read one object for a while."""
    return jobs.share(caller, wanted)


@api.get("/storage/usage", tags=["storage"])
def storage_usage(jobs: UseCases, caller: Caller) -> UsagesOut:
    """How much your files and those of your projects take; of all, for an operator."""
    return UsagesOut(items=jobs.storage_usage(caller))


# -- jobs


@api.post("/jobs", tags=["jobs"], status_code=201)
def create_job(jobs: UseCases, caller: Caller, wanted: JobIn, key: Key = None) -> JobOut:
    """Register a job with its first version, and start the test run."""
    return jobs.create_job(caller, wanted, idempotency_key=key)


@api.get("/jobs", tags=["jobs"])
def list_jobs(
    jobs: UseCases,
    caller: Caller,
    project: str | None = None,
    name: str | None = None,
    notebook_path: str | None = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[JobOut]:
    """The jobs of your projects, newest first."""
    return jobs.list_jobs(
        caller,
        project=project,
        name=name,
        notebook_path=notebook_path,
        limit=limit,
        cursor=cursor,
    )


@api.get("/jobs/{job_id}", tags=["jobs"])
def get_job(jobs: UseCases, caller: Caller, job_id: str) -> JobOut:
    return jobs.get_job(caller, job_id)


@api.patch("/jobs/{job_id}", tags=["jobs"])
def change_job(jobs: UseCases, caller: Caller, job_id: str, change: JobChange) -> JobOut:
    """Change what is sent; the rest stays. `schedule: null` removes the schedule."""
    return jobs.change_job(caller, job_id, change)


@api.delete("/jobs/{job_id}", tags=["jobs"], status_code=204)
def delete_job(jobs: UseCases, caller: Caller, job_id: str) -> None:
    """Archive a job: it runs no more, its history is kept."""
    jobs.delete_job(caller, job_id)


@api.post("/jobs/{job_id}/pause", tags=["jobs"])
def pause(jobs: UseCases, caller: Caller, job_id: str) -> JobOut:
    """No runs by the schedule until it is resumed."""
    return jobs.pause(caller, job_id)


@api.post("/jobs/{job_id}/resume", tags=["jobs"])
def resume(jobs: UseCases, caller: Caller, job_id: str) -> JobOut:
    """Runs by the schedule again, from the next time on."""
    return jobs.resume(caller, job_id)


@api.post("/jobs/{job_id}/versions", tags=["jobs"], status_code=201)
def add_version(
    jobs: UseCases, caller: Caller, job_id: str, wanted: VersionIn, key: Key = None
) -> JobOut:
    """Add a version and start its test run; the active one stays until that has succeeded."""
    return jobs.add_version(caller, job_id, wanted, idempotency_key=key)


@api.get("/jobs/{job_id}/versions", tags=["jobs"])
def list_versions(
    jobs: UseCases, caller: Caller, job_id: str, limit: Limit = 50, cursor: Cursor = None
) -> Page[VersionOut]:
    """The versions of a job, newest first."""
    return jobs.list_versions(caller, job_id, limit=limit, cursor=cursor)


# -- runs


@api.post("/jobs/{job_id}/runs", tags=["runs"], status_code=201)
def run_now(
    jobs: UseCases, caller: Caller, job_id: str, wanted: RunIn | None = None, key: Key = None
) -> RunOut:
    """Run now."""
    return jobs.run_now(caller, job_id, wanted or RunIn(), idempotency_key=key)


@api.get("/jobs/{job_id}/runs", tags=["runs"])
def list_runs(
    jobs: UseCases, caller: Caller, job_id: str, limit: Limit = 50, cursor: Cursor = None
) -> Page[RunOut]:
    """The runs of a job, newest first."""
    return jobs.list_runs(caller, job_id, limit=limit, cursor=cursor)


@api.get("/runs/{run_id}", tags=["runs"])
def get_run(jobs: UseCases, caller: Caller, run_id: str) -> RunOut:
    return jobs.get_run(caller, run_id)


@api.post("/runs/{run_id}/cancel", tags=["runs"])
def cancel(jobs: UseCases, caller: Caller, run_id: str) -> RunOut:
    """End a run; what was executed by then is kept."""
    return jobs.cancel_run(caller, run_id)


@api.get("/runs/{run_id}/events", tags=["runs"])
def list_events(
    jobs: UseCases,
    caller: Caller,
    run_id: str,
    after: Annotated[int, Query(ge=0, description="`seq` of the last event you have.")] = 0,
    limit: Limit = 200,
    cursor: Cursor = None,
) -> Page[EventOut]:
    """What happened in the newest attempt, in order. `next` is null where there is no more yet."""
    if cursor is not None:
        if not (cursor.isascii() and cursor.isdigit() and len(cursor) < 16):
            raise Invalid("The cursor is not one of this list.", field="cursor")
        after = int(cursor)
    return jobs.list_events(caller, run_id, after=after, limit=limit)


@api.get("/runs/{run_id}/log", tags=["runs"], response_class=PlainTextResponse)
def run_log(jobs: UseCases, caller: Caller, run_id: str) -> PlainTextResponse:
    """What the runner printed, newest 1 MiB; to find faults of the platform, not of notebooks."""
    return PlainTextResponse(
        jobs.run_log(caller, run_id), headers={"Content-Security-Policy": FILE_POLICY}
    )


@api.get("/runs/{run_id}/files/{name:path}", tags=["runs"], response_class=Response)
def run_file(jobs: UseCases, caller: Caller, run_id: str, name: str) -> Response:
    """One of the files that a run has left; notebooks and data come as downloads."""
    file = jobs.open_file(caller, run_id, name)
    shown = file.media_type.partition(";")[0] in SHOWN
    quoted = quote(Path(file.name).name, safe="")
    return StreamingResponse(
        file.chunks,
        media_type=_inert(file.media_type),
        headers={
            "Content-Security-Policy": FILE_POLICY,
            "Content-Length": str(file.size),
            "Content-Disposition": f"{'inline' if shown else 'attachment'}; "
            f"filename*=UTF-8''{quoted}",
        },
    )


def _inert(media_type: str) -> str:
    """The type to send a run's file with: never one that a page would execute.

    Our pages take scripts and styles from their own origin, and that is where
    files of runs are, too.
    """
    kind = media_type.partition(";")[0]
    if kind == "text/css" or re.search(r"(java|ecma)script|wasm", kind):
        return "application/octet-stream"
    return media_type


async def _receive(request: Request, path: Path, limit: int) -> None:
    """Write the request's body to a file, as it comes."""
    refusal = TooLarge(
        f"The upload is larger than {limit / 2**20:.0f} MiB.",
        mend="Put data into the object store and read them from there.",
        field="bundle",
    )
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > limit:
        raise refusal
    size = 0
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        try:
            async for chunk in request.stream():
                size += len(chunk)
                if size > limit:
                    raise refusal
                await run_in_threadpool(file.write, chunk)
        except ClientDisconnect as error:
            raise Invalid("The upload was cut off.", mend="Send it again.") from error


# -- errors


def install_errors(app: FastAPI) -> None:
    """Every error as a problem document."""
    app.add_exception_handler(PublicError, _on_public)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(UnicodeEncodeError, _on_no_text)
    app.add_exception_handler(Exception, _on_bug)


def problem(error: PublicError, headers: Mapping[str, str] | None = None) -> JSONResponse:
    return Problem(
        error.problem(), status_code=error.status, media_type=PROBLEM, headers=dict(headers or {})
    )


class Problem(JSONResponse):
    """Can be sent whatever the request held: a problem repeats what is wrong."""

    def render(self, content: Any) -> bytes:
        # JSON may hold half of a surrogate pair, which is no text in UTF-8.
        return json.dumps(content, ensure_ascii=False).encode(errors="replace")


async def _on_public(request: Request, error: Exception) -> Response:
    assert isinstance(error, PublicError)
    return problem(error, {"Retry-After": "2"} if error.status == 503 else None)


async def _on_invalid(request: Request, error: Exception) -> Response:
    """The first thing that is wrong with the request's shape."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = [str(step) for step in first["loc"]]
    if first["type"] == "json_invalid":
        return problem(Invalid("The body is not valid JSON.", mend="Send a JSON object."))
    field = ".".join(where[1:]) if len(where) > 1 else None
    message = str(first["msg"])
    if first["type"] == "missing" and field is None:
        return problem(Invalid("The request has no body.", mend="Send a JSON object."))
    shown = field or "the body"
    return problem(Invalid(f"{shown}: {message[:1].lower()}{message[1:]}.", field=field))


async def _on_no_text(request: Request, error: Exception) -> Response:
    """JSON can write half of a surrogate pair; neither database nor answer can hold it."""
    return problem(
        Invalid(
            "The request holds text that is not valid Unicode.",
            mend="Remove the broken characters.",
        )
    )


async def _on_http(request: Request, error: Exception) -> Response:
    """What the framework itself refuses: no such path, no such method."""
    assert isinstance(error, HTTPException)
    refusal = PublicError(f"{request.method} {request.url.path[:200]}: {error.detail}.")
    refusal.status = error.status_code
    with contextlib.suppress(ValueError):
        refusal.code = HTTPStatus(error.status_code).phrase.lower().replace(" ", "-")
    return problem(refusal, error.headers)


async def _on_bug(request: Request, error: Exception) -> Response:
    """A bug of ours. The server logs it with its traceback; nothing of that is told."""
    bug = PublicError(
        "Something went wrong in the job service.",
        mend="Try again; the service's log has the details.",
    )
    bug.code, bug.status = "internal", 500
    # Made outside of everything else that sets headers.
    return problem(bug, {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"})
