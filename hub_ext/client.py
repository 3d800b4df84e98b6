"""The job service's REST API as Python calls, for the command line and for scripts.

    with JobsClient("http://127.0.0.1:8000/services/jobs", token) as client:
        job = client.job_named("user-ana/Retail index")
        run = client.run(job.id)

Every refusal of the service is raised as the `PublicError` that the service
raised, with its code, message, mend and field. Nothing here decides: the
service does.
"""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel, ValidationError

from hub_ext.errors import (
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    PublicError,
    Unauthenticated,
    Unavailable,
)
from hub_ext.jobs import place
from hub_ext.jobs.schemas import (
    FINISHED,
    BundleOut,
    EventOut,
    JobIn,
    JobOut,
    MeOut,
    RunIn,
    RunOut,
    ScheduleIn,
    ScheduleOut,
    UsagesOut,
    VersionIn,
    VersionOut,
)

PREFIX = place.PREFIX
API = place.API.removeprefix(PREFIX)

M = TypeVar("M", bound=BaseModel)

_BY_STATUS: Mapping[int, type[PublicError]] = {
    401: Unauthenticated,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    422: Invalid,
    502: Unavailable,
    503: Unavailable,
    504: Unavailable,
}
_PROBLEM_MEMBERS = {"type", "title", "status", "detail", "code", "mend", "field"}
_READS = frozenset({"GET", "HEAD"})


def error_of(status: int, document: object, *, place: str) -> PublicError:
    """The error that a problem document tells of; a sensible one where there is none.

    Args:
        status: HTTP status of the answer.
        document: its body as JSON, or None where it was not JSON.
        place: what answered, for a message of our own.
    """
    kind = _BY_STATUS.get(status, PublicError)
    if not isinstance(document, dict) or "code" not in document:
        unexplained = kind(
            f"{place} answered with HTTP status {status} and no explanation.",
            mend="Its log says more; `almanac status` names the file."
            if status >= 500
            else "Check the address: is it the job service's own?",
        )
        unexplained.status = status
        return unexplained
    error = kind(
        str(document.get("title") or document.get("detail") or "The request was refused."),
        mend=str(document.get("mend") or ""),
        field=document.get("field"),
        **{
            name: value
            for name, value in document.items()
            if name not in _PROBLEM_MEMBERS and name.isidentifier()
        },
    )
    error.code, error.status = str(document["code"]), status
    return error


class JobsClient:
    """A session with one job service.

    Args:
        url: the service's address, ``http://127.0.0.1:8000/services/jobs``.
        token: a token of the hub; sent in a header, never in an address.
        timeout: seconds that one answer may take.
        tries: how often a read is tried before a service that cannot be
            reached is given up; writes carry an Idempotency-Key and are tried
            again too where the connection was never made.
        pause: seconds between tries, doubled each time.
        transport: where requests go, for tests; None is the network.

    Raises (every call):
        PublicError: the subclass of the answer's status; `Unavailable` where
            the service cannot be reached.
    """

    def __init__(
        self,
        url: str,
        token: str = "",
        *,
        timeout: float = 30.0,
        tries: int = 4,
        pause: float = 0.25,
        transport: httpx.BaseTransport | None = None,
    ):
        self.url = url.rstrip("/")
        self._tries = max(1, tries)
        self._pause = pause
        self._http = httpx.Client(
            base_url=self.url + API,
            headers={"Accept": "application/json"}
            | ({"Authorization": f"token {token}"} if token else {}),
            timeout=timeout,
            transport=transport,
            # A redirect would be the way to a login page; a token needs none,
            # and it must not travel to wherever the redirect points.
            follow_redirects=False,
        )

    def __enter__(self) -> JobsClient:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    # -- who and whether --------------------------------------------------

    def health(self) -> bool:
        """Whether the service answers; asked once, without a token's help."""
        try:
            return self._http.get("/health").status_code == 200
        except httpx.TransportError:
            return False

    def me(self) -> MeOut:
        return self._get("/me", MeOut)

    def storage_usage(self) -> UsagesOut:
        """Sizes of one's own places in the object store; of all, for an operator."""
        return self._get("/storage/usage", UsagesOut)

    # -- jobs -------------------------------------------------------------

    def upload(self, bundle: Path) -> BundleOut:
        """Upload a bundle file; the service keeps one copy per content."""
        answer = self._request(
            "POST",
            "/bundles",
            content=bundle.read_bytes(),
            headers={"Content-Type": "application/gzip"},
            timeout=300.0,
        )
        return _parse(BundleOut, answer.json())

    def create(self, job: JobIn, *, key: str | None = None) -> JobOut:
        return self._write("/jobs", JobOut, body=job, key=key)

    def add_version(self, job_id: str, version: VersionIn, *, key: str | None = None) -> JobOut:
        return self._write(f"/jobs/{_part(job_id)}/versions", JobOut, body=version, key=key)

    def job(self, job_id: str) -> JobOut:
        return self._get(f"/jobs/{_part(job_id)}", JobOut)

    def jobs(
        self,
        *,
        project: str | None = None,
        name: str | None = None,
        notebook_path: str | None = None,
    ) -> Iterator[JobOut]:
        """The jobs that the token's owner sees, page after page."""
        wanted = {"project": project, "name": name, "notebook_path": notebook_path}
        return self._pages("/jobs", JobOut, {k: v for k, v in wanted.items() if v is not None})

    def job_named(self, reference: str) -> JobOut:
        """The job that a person means by a name, ``project/name`` or an id.

        Raises:
            NotFound: there is none.
            Conflict: several jobs have this name; code ``job-ambiguous``, the
                mend lists them.
        """
        found = [job for job in self.jobs(name=reference) if job.name == reference]
        project, slash, name = reference.partition("/")
        if not found and slash and name:
            found = [
                job
                for job in self.jobs(project=project, name=name)
                if job.name == name and job.project == project
            ]
        if not found and re.fullmatch(r"[A-Za-z0-9_-]+", reference):
            try:
                return self.job(reference)
            except NotFound:
                pass
        if not found:
            raise NotFound(
                f"There is no job {reference!r} that you can see.",
                mend="`almanac jobs` lists those that you can.",
            )
        if len(found) > 1:
            ambiguous = Conflict(
                f"{len(found)} jobs are called {reference!r}.",
                mend="Say which: "
                + " or ".join(f"{job.project}/{job.name} (id {job.id})" for job in found)
                + ".",
                jobs=[job.id for job in found],
            )
            ambiguous.code = "job-ambiguous"
            raise ambiguous
        return found[0]

    def versions(self, job_id: str) -> Iterator[VersionOut]:
        return self._pages(f"/jobs/{_part(job_id)}/versions", VersionOut, {})

    def pause(self, job_id: str) -> JobOut:
        return self._write(f"/jobs/{_part(job_id)}/pause", JobOut)

    def resume(self, job_id: str) -> JobOut:
        return self._write(f"/jobs/{_part(job_id)}/resume", JobOut)

    def preview(self, schedule: ScheduleIn) -> ScheduleOut:
        """What a schedule means and its next times; nothing is stored."""
        return self._write("/schedules/preview", ScheduleOut, body=schedule)

    # -- runs -------------------------------------------------------------

    def run(self, job_id: str, wanted: RunIn | None = None, *, key: str | None = None) -> RunOut:
        """Ask for a run now. The same ``key`` asks for the same run."""
        return self._write(f"/jobs/{_part(job_id)}/runs", RunOut, body=wanted or RunIn(), key=key)

    def runs(self, job_id: str, *, page_size: int = 50) -> Iterator[RunOut]:
        """The runs of a job, newest first, page after page as they are asked for."""
        return self._pages(f"/jobs/{_part(job_id)}/runs", RunOut, {"limit": str(page_size)})

    def run_of(self, run_id: str) -> RunOut:
        return self._get(f"/runs/{_part(run_id)}", RunOut)

    def cancel(self, run_id: str) -> RunOut:
        return self._write(f"/runs/{_part(run_id)}/cancel", RunOut)

    def events(self, run_id: str, *, after: int = 0) -> Iterator[EventOut]:
        """The events of a run with ``seq > after``, page after page."""
        while True:
            path = f"/runs/{_part(run_id)}/events"
            page = self._request("GET", path, params={"after": str(after)}).json()
            for item in page["items"]:
                event = _parse(EventOut, item)
                after = max(after, event.seq)
                yield event
            if not page.get("next") or not page["items"]:
                return

    def log(self, run_id: str) -> str:
        return self._request("GET", f"/runs/{_part(run_id)}/log").text

    def file(self, run_id: str, name: str) -> bytes:
        """One file of a run's results (``notebook.ipynb``, ``notebook.html``…)."""
        path = f"/runs/{_part(run_id)}/files/{quote(name, safe='/')}"
        return self._request("GET", path).content

    def follow(
        self,
        run_id: str,
        *,
        timeout: float,
        interval: float = 0.7,
        seen: Callable[[RunOut], None] = lambda run: None,
    ) -> RunOut:
        """Wait until a run has finished; `seen` is told each time it was looked at.

        Raises:
            Unavailable: it has not finished within ``timeout`` seconds, or the
                service stayed away for as long.
        """
        deadline = time.monotonic() + timeout
        while True:
            try:
                run = self.run_of(run_id)
            except Unavailable:
                if time.monotonic() >= deadline:
                    raise
            else:
                seen(run)
                if run.state in FINISHED:
                    return run
                if time.monotonic() >= deadline:
                    raise Unavailable(
                        f"Run {run_id} of {run.job_name!r} is still {run.state} after "
                        f"{timeout:.0f} s.",
                        mend="It goes on without this command; `almanac runs` shows it.",
                    )
            time.sleep(interval)

    # -- how --------------------------------------------------------------

    def _get(self, path: str, model: type[M]) -> M:
        return _parse(model, self._request("GET", path).json())

    def _write(
        self, path: str, model: type[M], *, body: BaseModel | None = None, key: str | None = None
    ) -> M:
        answer = self._request(
            "POST",
            path,
            json=body.model_dump(mode="json") if body else None,
            headers={"Idempotency-Key": key or uuid.uuid4().hex},
        )
        return _parse(model, answer.json())

    def _pages(self, path: str, model: type[M], query: Mapping[str, str]) -> Iterator[M]:
        cursor: str | None = None
        while True:
            page = self._request(
                "GET", path, params={**query, **({"cursor": cursor} if cursor else {})}
            ).json()
            for item in page["items"]:
                yield _parse(model, item)
            cursor = page.get("next")
            if not cursor:
                return

    def _request(self, method: str, path: str, **options: Any) -> httpx.Response:
        pause = self._pause
        for left in reversed(range(self._tries)):
            try:
                answer = self._http.request(method, path, **options)
                break
            except httpx.TransportError as error:
                # A connection that was never made carried nothing: any request
                # may be tried again. One that broke may have arrived.
                again = method in _READS or isinstance(error, httpx.ConnectError)
                if not (left and again):
                    raise Unavailable(
                        f"The job service at {self.url} cannot be reached: {_reason(error)}.",
                        mend="Is Almanac running? `almanac status` tells, `almanac up` starts it.",
                    ) from error
            time.sleep(pause)
            pause *= 2
        if answer.is_success:
            return answer
        if answer.is_redirect:
            raise Unauthenticated(
                f"The job service at {self.url} asks to sign in.",
                mend="`almanac login` keeps a token for the next commands.",
            )
        try:
            document = answer.json()
        except ValueError:
            document = None
        raise error_of(answer.status_code, document, place=f"The job service at {self.url}")


def _part(name: str) -> str:
    """One segment of a path, whatever the name holds."""
    return quote(name, safe="")


def _reason(error: httpx.TransportError) -> str:
    if isinstance(error, httpx.ConnectError):
        return "nothing answers there"
    if isinstance(error, httpx.TimeoutException):
        return "no answer in time"
    return str(error) or type(error).__name__


def _parse(model: type[M], data: object) -> M:
    """A model from an answer. Members that a newer service adds are passed over."""
    try:
        return model.model_validate(data, extra="ignore")
    except ValidationError as error:
        raise Unavailable(
            f"The job service answered with something that is not a {model.__name__}.",
            mend="Service and client may be of different versions: update the older one.",
        ) from error
