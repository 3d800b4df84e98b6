"""The pages over HTTP: addresses, sign-in, forms, headers, errors."""

from __future__ import annotations

import logging
import re
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import parse_qs, quote, urlencode

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from hub_ext.auth.asgi import HubLogin, is_navigation
from hub_ext.errors import NotFound, PublicError, Unauthenticated
from hub_ext.jobs.pages import render, views
from hub_ext.jobs.schemas import EventOut, JobOut, RunIn, RunState
from hub_ext.jobs.usecases import Jobs
from hub_ext.names import Principal

log = logging.getLogger(__name__)

JOBS_PER_PAGE = 50
RUNS_PER_PAGE = 30
EVENTS_READ = 2000
# A filter by state looks through at most this many pages of jobs at once; what
# lies beyond is behind "Next page".
PAGES_SCANNED = 10

POLICY = "; ".join(
    (
        "default-src 'none'",
        "style-src 'self'",
        "script-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "frame-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        # Notebooks of users share our origin: none of them may frame a page of ours.
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}

DONE = {
    "paused": "Paused. No run starts by the schedule until you resume it.",
    "resumed": "Resumed. The schedule is in force again.",
}
TITLES = {
    401: "You are signed out",
    403: "This is not open to you",
    404: "There is nothing here",
    409: "That does not fit the state of things",
    422: "That could not be done",
    503: "Not available just now",
}

Handler = Callable[[Request, Principal], Awaitable[Response]]


@dataclass(frozen=True)
class Site:
    """What every page needs to know of its surroundings; no trailing slashes."""

    prefix: str
    hub: str
    logout: str
    user: str
    xsrf: str
    version: str
    here: str = "jobs"


def router(jobs: Jobs, login: HubLogin) -> APIRouter:
    """The routes of all pages, with their whole paths.

    To be included after the API's: the last route answers whatever is left
    below the service's prefix with a page that says so. A sign-in that fails
    is told on a page, too.
    """
    pages = _Pages(jobs, login)
    login.error_page = pages.refused
    return pages.routes()


class _Pages:
    def __init__(self, jobs: Jobs, login: HubLogin):
        self._jobs = jobs
        self._login = login
        self._prefix = login.prefix.rstrip("/")

    def routes(self) -> APIRouter:
        at = self._prefix
        return APIRouter(
            routes=[
                Route(at, self._to_start, methods=["GET"]),
                Route(f"{at}/static/{{name}}", self._static, methods=["GET"]),
                self._page(f"{at}/", self._list),
                self._page(f"{at}/jobs/{{job_id}}", self._job),
                self._page(f"{at}/jobs/{{job_id}}/run", self._run_now, method="POST"),
                self._page(f"{at}/jobs/{{job_id}}/pause", self._pause, method="POST"),
                self._page(f"{at}/jobs/{{job_id}}/resume", self._resume, method="POST"),
                self._page(f"{at}/runs/{{run_id}}", self._run),
                self._page(f"{at}/runs/{{run_id}}/cancel", self._cancel, method="POST"),
                Route(f"{at}/{{rest:path}}", self._nothing, methods=["GET"]),
            ]
        )

    # -- pages ------------------------------------------------------------

    async def _list(self, request: Request, principal: Principal) -> Response:
        query = request.query_params
        project = query.get("project") or None
        state = _state(query.get("state"))
        cursor = query.get("cursor") or None

        def look() -> views.JobList:
            found, more = self._matching_jobs(principal, project, state, cursor)
            return views.job_list(
                found,
                self._jobs.me(principal),
                datetime.now(UTC),
                project=project,
                state=state,
                more=more,
                first=cursor is None,
            )

        page = await run_in_threadpool(look)
        kept = {"project": project, "state": state.value if state else None}
        return self._html(
            request,
            principal,
            "jobs.html",
            page=page,
            links={
                "start": self._prefix + "/" + _query(kept),
                "more": self._prefix + "/" + _query(kept | {"cursor": page.more}),
            },
        )

    def _matching_jobs(
        self, principal: Principal, project: str | None, state: RunState | None, cursor: str | None
    ) -> tuple[list[JobOut], str | None]:
        """At least a page of jobs that pass the filters, if there are so many."""
        found: list[JobOut] = []
        for _ in range(PAGES_SCANNED):
            page = self._jobs.list_jobs(
                principal, project=project, limit=JOBS_PER_PAGE, cursor=cursor
            )
            found += [job for job in page.items if views.matches(job, state)]
            cursor = page.next
            if cursor is None or len(found) >= JOBS_PER_PAGE:
                break
        return found, cursor

    async def _job(self, request: Request, principal: Principal) -> Response:
        cursor = request.query_params.get("cursor") or None
        job_id = request.path_params["job_id"]

        def look() -> views.JobPage:
            job = self._jobs.get_job(principal, job_id)
            runs = self._jobs.list_runs(principal, job_id, limit=RUNS_PER_PAGE, cursor=cursor)
            return views.job_page(
                job,
                self._jobs.list_versions(principal, job_id).items,
                runs.items,
                datetime.now(UTC),
                may_run=self._jobs.may_submit(principal, job),
                may_manage=self._jobs.may_manage(principal, job),
                more=runs.next,
                first=cursor is None,
            )

        page = await run_in_threadpool(look)
        return self._html(
            request,
            principal,
            "job.html",
            page=page,
            done=DONE.get(request.query_params.get("done", ""), ""),
            key=uuid.uuid4().hex,
            links={
                "project": self._prefix + "/" + _query({"project": page.project}),
                "more": page.url + _query({"cursor": page.more}) + "#runs",
            },
        )

    async def _run(self, request: Request, principal: Principal) -> Response:
        run_id = request.path_params["run_id"]

        def look() -> views.RunPage:
            run = self._jobs.get_run(principal, run_id)
            job = self._jobs.get_job(principal, run.job_id)
            versions = self._jobs.list_versions(principal, run.job_id, limit=200).items
            return views.run_page(
                run,
                job,
                next((v.parameters for v in versions if v.number == run.version), []),
                self._events(principal, run_id),
                self._jobs.run_log(principal, run_id),
                datetime.now(UTC),
                may_manage=self._jobs.may_manage(principal, job),
                may_run=self._jobs.may_submit(principal, job),
                log_url=f"{self._prefix}/api/v1/runs/{quote(run_id, safe='')}/log",
            )

        page = await run_in_threadpool(look)
        return self._html(request, principal, "run.html", page=page, key=uuid.uuid4().hex)

    def _events(self, principal: Principal, run_id: str) -> list[EventOut]:
        events: list[EventOut] = []
        while len(events) < EVENTS_READ:
            after = events[-1].seq if events else 0
            page = self._jobs.list_events(principal, run_id, after=after)
            events += page.items
            if page.next is None or not page.items:
                break
        return events

    # -- forms ------------------------------------------------------------

    async def _run_now(self, request: Request, principal: Principal) -> Response:
        # The key came with the page: pressing twice asks for one run.
        form = parse_qs((await request.body()).decode("utf-8", "replace"))
        given = form.get("key", [""])[0]
        key = given if re.fullmatch(r"[0-9a-f]{32}", given) else uuid.uuid4().hex
        run = await run_in_threadpool(
            self._jobs.run_now,
            principal,
            request.path_params["job_id"],
            RunIn(),
            idempotency_key=key,
        )
        return _see(run.url)

    async def _pause(self, request: Request, principal: Principal) -> Response:
        job_id = request.path_params["job_id"]
        job = await run_in_threadpool(self._jobs.pause, principal, job_id)
        return _see(f"{job.url}?done=paused")

    async def _resume(self, request: Request, principal: Principal) -> Response:
        job_id = request.path_params["job_id"]
        job = await run_in_threadpool(self._jobs.resume, principal, job_id)
        return _see(f"{job.url}?done=resumed")

    async def _cancel(self, request: Request, principal: Principal) -> Response:
        run_id = request.path_params["run_id"]
        run = await run_in_threadpool(self._jobs.cancel_run, principal, run_id)
        return _see(run.url)

    # -- around them ------------------------------------------------------

    async def _to_start(self, request: Request) -> Response:
        return RedirectResponse(self._prefix + "/", status_code=307)

    async def _static(self, request: Request) -> Response:
        name = request.path_params["name"]
        content = render.static_files().get(name)
        if content is None:
            return self._nothing_here(request)
        current = request.query_params.get("v") == render.version()
        return Response(
            content,
            media_type=render.MEDIA_TYPES[PurePosixPath(name).suffix],
            headers={
                "Cache-Control": "public, max-age=31536000, immutable"
                if current
                else "public, max-age=60",
                "X-Content-Type-Options": "nosniff",
                "Content-Security-Policy": "default-src 'none'",
            },
        )

    async def _nothing(self, request: Request) -> Response:
        return self._nothing_here(request)

    def _nothing_here(self, request: Request) -> Response:
        error = NotFound(
            "There is no page at this address.", mend="The list of jobs leads to every page."
        )
        if request.path_params.get("rest", "").startswith("api/"):
            return JSONResponse(
                error.problem(), status_code=404, media_type="application/problem+json"
            )
        return self.refused(request, error)

    def _page(self, path: str, handler: Handler, *, method: str = "GET") -> Route:
        """A route whose refusals and faults are pages, too."""

        async def endpoint(request: Request) -> Response:
            try:
                return await handler(request, await self._login.principal(request))
            except Unauthenticated as error:
                if is_navigation(request):
                    return await self._login.unauthenticated(request, error)
                return self.refused(request, error)
            except PublicError as error:
                return self.refused(request, error)
            except Exception:
                log.exception("The page %s failed", request.url.path)
                fault = PublicError(
                    "Something went wrong on our side, and this page could not be made.",
                    mend="Try again; if it stays like this, tell your operator the time of day.",
                )
                fault.status = 500
                return self.refused(request, fault)

        return Route(path, endpoint, methods=[method])

    def _html(
        self, request: Request, principal: Principal, template: str, **context: Any
    ) -> Response:
        site = self._site(request, principal.name)
        return HTMLResponse(render.html(template, site=site, **context), headers=HEADERS)

    def refused(self, request: Request, error: PublicError) -> Response:
        """The problem in words, on a page."""
        signed_out = error.status == 401
        back = request.headers.get("referer", "") if request.method == "POST" else ""
        own = f"{request.url.scheme}://{request.url.netloc}{self._prefix}/"
        body = render.html(
            "error.html",
            site=self._site(request, "" if signed_out else self._known(request)),
            status=error.status,
            title=TITLES.get(error.status, "Something went wrong"),
            message=error.message,
            mend=error.mend,
            # Only to a page of ours, whatever the header says.
            back=back.removeprefix(own[: -len(self._prefix) - 1]) if back.startswith(own) else "",
            sign_in=f"{self._prefix}/" if signed_out else "",
        )
        return HTMLResponse(body, status_code=error.status, headers=HEADERS)

    def _site(self, request: Request, user: str) -> Site:
        return Site(
            prefix=self._prefix,
            hub=self._login.hub_prefix.rstrip("/"),
            logout=self._login.logout_path,
            user=user,
            xsrf=self._login.xsrf_token(request),
            version=render.version(),
        )

    @staticmethod
    def _known(request: Request) -> str:
        principal = getattr(request.state, "almanac_principal", None)
        return principal.name if isinstance(principal, Principal) else ""


def _state(value: str | None) -> RunState | None:
    """The state asked for; a value that is none filters nothing."""
    try:
        return RunState(value) if value else None
    except ValueError:
        return None


def _query(values: dict[str, str | None]) -> str:
    given = {name: value for name, value in values.items() if value}
    return "?" + urlencode(given) if given else ""


def _see(path: str) -> Response:
    """After a form: the page to look at, by GET."""
    return RedirectResponse(path, status_code=303, headers={"Cache-Control": "no-store"})
