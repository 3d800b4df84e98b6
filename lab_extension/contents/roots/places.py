"""Which object storage somebody has, and what may be done there; asked of the job service.

The service is asked in the background and at most every 15 seconds: a listing
never waits for it, and where it does not answer the last answer stays.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from logging import Logger
from typing import Any, Protocol

from hub_ext.errors import PublicError
from hub_ext.names import Project, Right
from lab_extension.contents.apart import apart

HOME = "home"
PROJECTS = "projects"
EVERY = 15.0
"""Seconds for which an answer of the service is good."""
SOON = 2.0
"""Seconds for which it is good where something is asked for that is not in it."""


@dataclass(frozen=True)
class Place:
    """One root in object storage.

    Attributes:
        root: its path in the file browser: ``home``, ``projects/prices``.
        project: slug of the project that owns it.
        prefix: where it lies in the bucket; no slash at the end.
        writable: whether this person, with this server, may write there.
        full: it takes as much as it may; there is deleting and no writing.
        limit: how many bytes it may take; None for no limit.
    """

    root: str
    project: str
    prefix: str
    title: str = ""
    writable: bool = True
    full: bool = False
    limit: int | None = None

    @property
    def personal(self) -> bool:
        return self.root == HOME


class Service(Protocol):
    """What is needed of `lab_extension.service.JobService`."""

    async def get(self, path: str, **query: str) -> Any: ...


def own(username: str) -> Place:
    """Somebody's ``home/``, which is there whatever the service says."""
    project = Project.of_user(username)
    return Place(HOME, project.slug, project.prefix.rstrip("/"))


def places_of(me: Mapping[str, Any]) -> dict[str, Place]:
    """The roots, by their paths, of what the service answers to ``me``."""
    may_write = Right.SUBMIT in me["rights"]
    made = []
    for told in me["projects"]:
        project = Project(told["slug"])
        prefix = project.prefix.rstrip("/")
        made.append(
            Place(
                HOME if project.personal else prefix,
                project.slug,
                prefix,
                str(told.get("title") or ""),
                writable=may_write,
                # The service grants no writing where somebody may write: no room is left.
                full=may_write and not told.get("writable", True),
                limit=told.get("quota_bytes"),
            )
        )
    return {place.root: place for place in made}


class Places:
    """The roots as last heard of.

    Args:
        username: of the hub; its ``home/`` is always there.
        now: a clock in seconds.
    """

    def __init__(
        self,
        service: Service,
        username: str,
        *,
        log: Logger,
        now: Callable[[], float] = time.monotonic,
    ):
        self._service = service
        self._log = log
        self._now = now
        home = own(username)
        self._places: dict[str, Place] = {home.root: home}
        self._heard: float | None = None
        self._asked: float | None = None
        self._asking: asyncio.Task[None] | None = None
        self._problem = ""

    @property
    def heard(self) -> bool:
        """Whether the service has answered at all."""
        return self._heard is not None

    @property
    def problem(self) -> str:
        """Why the service did not answer the last time; empty where it did."""
        return self._problem

    def current(self) -> Mapping[str, Place]:
        """The roots by their paths; asks in the background where that is long ago."""
        if self._asked is None or self._now() - self._asked >= EVERY:
            self._ask()
        return self._places

    async def find(self, root: str, *, patience: float = 5.0) -> Place | None:
        """The root at this path, None where there is none.

        One that is not known is asked for, since it may be new; that is waited
        for ``patience`` seconds at most.
        """
        place = self.current().get(root)
        if place is not None:
            return place
        await self.hear(patience=patience)
        return self._places.get(root)

    async def hear(self, *, patience: float) -> None:
        """Wait for an answer that is not older than `SOON`, or until patience is at its end."""
        if self._asking is None:
            if self._asked is not None and self._now() - self._asked < SOON:
                return
            self._ask()
        if self._asking is not None:
            await asyncio.wait([self._asking], timeout=patience)

    def _ask(self) -> None:
        if self._asking is None:
            self._asked = self._now()
            self._asking = apart(self._refresh())
            self._asking.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._asking = None
        if not task.cancelled() and (error := task.exception()) is not None:
            self._log.error("Almanac: the projects could not be read", exc_info=error)

    async def _refresh(self) -> None:
        try:
            places = places_of(await self._service.get("me"))
        except PublicError as error:
            if str(error) != self._problem:
                self._log.warning("Almanac: the folders stay as they were: %s", error)
            self._problem = str(error)
            return
        self._problem = ""
        self._heard = self._now()
        home = self._places[HOME]
        self._places = {HOME: home} | places
