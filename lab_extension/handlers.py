"""``/almanac/api/…``: what the panel asks of its own server.

Signed-in users only, with Jupyter Server's XSRF check on every write; errors
are problem documents, the job service's own among them.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Awaitable, Callable
from typing import Any

from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import APIHandler
from jupyter_server.utils import url_path_join
from tornado import web

from hub_ext.errors import Invalid, NotFound, PublicError
from lab_extension.productionize import ProductionizeRequest, Submissions, describe, submit
from lab_extension.service import JobService

PREFIX = ("almanac", "api")
_SUBMISSION = re.compile(r"[0-9a-zA-Z-]{8,64}\Z")

# What the panel needs of the job service. Credentials, uploads and files of
# runs have ways of their own.
_FORWARDED = re.compile(r"(me|jobs|runs|schedules)(/|\Z)")
# A notebook's HTML is hostile here: under this server's own address it would
# act as the user. The job service shows it, in a sandbox.
_HARMLESS = ("application/json", "application/problem+json", "text/plain")

Method = Callable[..., Awaitable[None] | None]


def api(method: Method) -> Method:
    """For signed-in users who may; a `PublicError` is answered with its problem document."""

    @functools.wraps(method)
    async def explained(self: Documents, *args: Any, **kwargs: Any) -> None:
        try:
            done = method(self, *args, **kwargs)
            if done is not None:
                await done
        except PublicError as error:
            self.refuse(error)

    protected: Method = web.authenticated(authorized(explained))
    return protected


class Documents(APIHandler):  # type: ignore[misc]
    """Answers with JSON, and with problem documents."""

    def answer(self, document: Any, status: int = 200) -> None:
        self.set_status(status)
        self.set_header("Cache-Control", "no-store")
        self.finish(json.dumps(document))

    def refuse(self, error: PublicError) -> None:
        self.set_status(error.status)
        self.set_header("Cache-Control", "no-store")
        self.finish(json.dumps(error.problem()), set_content_type="application/problem+json")


class Handler(Documents):
    auth_resource = "almanac"

    def initialize(self, jobs: JobService, submissions: Submissions) -> None:
        self.jobs = jobs
        self.submissions = submissions


class NotebookHandler(Handler):
    """What is known of a notebook: parameters, findings, and the job it is already."""

    @api
    async def get(self) -> None:
        path = self.get_query_argument("path", "")
        self.answer(await describe(self.contents_manager, path, self.jobs))


class ProductionizeHandler(Handler):
    """Makes a job of a notebook, or a new version of a job."""

    @api
    async def post(self) -> None:
        key = self.get_query_argument("submission", "")
        if not _SUBMISSION.match(key):
            raise Invalid("The submission has no id.", mend="Reload the page.")
        request = ProductionizeRequest.parse(self.request.body)
        contents = self.contents_manager
        job = await self.submissions.run(
            key,
            lambda at, again: submit(contents, request, self.jobs, key=key, at=at, again=again),
        )
        self.answer(job, status=201)


class ProgressHandler(Handler):
    """Which step a submission is at."""

    _track_activity = False

    @api
    async def get(self, key: str) -> None:
        self.answer({"step": self.submissions.step(key)})


class ForwardHandler(Handler):
    """The job service, as far as the panel needs it."""

    # The panel asks by itself, again and again: that is no sign of a person.
    _track_activity = False

    @api
    async def get(self, path: str) -> None:
        await self._forward(path)

    @api
    async def post(self, path: str) -> None:
        await self._forward(path)

    async def _forward(self, path: str) -> None:
        if not _FORWARDED.match(path):
            raise NotFound("There is no such thing in the panel's part of the job service.")
        async with self.jobs.forward(
            self.request.method or "GET",
            path,
            query=self.request.query,
            body=self.request.body,
            content_type=self.request.headers.get("Content-Type", ""),
        ) as response:
            media_type = response.headers.get("Content-Type", "")
            if media_type.partition(";")[0].strip().lower() not in _HARMLESS:
                raise NotFound(
                    "This cannot be shown here.", mend="Open the run's own page to see it."
                )
            self.set_status(response.status_code)
            self.set_header("Cache-Control", "no-store")
            self.set_header("X-Content-Type-Options", "nosniff")
            async for piece in response.aiter_bytes():
                self.write(piece)
            await self.finish(set_content_type=media_type)


def install(serverapp: Any) -> None:
    """Add the handlers to a running ``ServerApp``."""
    from lab_extension.contents.rest import api as storage
    from lab_extension.contents.rest.loopback import CredentialsHandler

    jobs = JobService.from_environment()
    shared = {"jobs": jobs, "submissions": Submissions()}
    base = url_path_join(serverapp.web_app.settings["base_url"], *PREFIX)
    serverapp.web_app.add_handlers(
        ".*$",
        [
            (base + r"/notebook", NotebookHandler, shared),
            (base + r"/productionize", ProductionizeHandler, shared),
            (base + r"/progress/([^/]+)", ProgressHandler, shared),
            (base + r"/jobs/(.+)", ForwardHandler, shared),
            (base + r"/credentials", CredentialsHandler, {"jobs": jobs}),
            *((base + path, *handler) for path, *handler in storage.handlers(serverapp, jobs)),
        ],
    )
