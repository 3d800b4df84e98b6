"""What people, servers and runs may ask for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hub_ext.jobs.schemas import (
    BundleOut,
    EventOut,
    JobChange,
    JobIn,
    JobOut,
    MeOut,
    Page,
    RunIn,
    RunOut,
    ScheduleIn,
    ScheduleOut,
    TokenOut,
    VersionIn,
    VersionOut,
)
from hub_ext.names import Principal


@dataclass(frozen=True)
class RunFile:
    """A file of a run, read as it is sent."""

    name: str
    size: int
    media_type: str
    chunks: Iterator[bytes]


class Jobs:
    """The use cases. Sync, safe to call from several threads; raises `PublicError`s alone."""

    def me(self, principal: Principal) -> MeOut:
        raise NotImplementedError

    def preview(self, schedule: ScheduleIn) -> ScheduleOut:
        raise NotImplementedError

    def accept_bundle(self, principal: Principal, path: Path) -> BundleOut:
        raise NotImplementedError

    def create_job(
        self, principal: Principal, wanted: JobIn, *, idempotency_key: str | None = None
    ) -> JobOut:
        raise NotImplementedError

    def list_jobs(
        self,
        principal: Principal,
        *,
        project: str | None = None,
        name: str | None = None,
        notebook_path: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page[JobOut]:
        raise NotImplementedError

    def get_job(self, principal: Principal, job_id: str) -> JobOut:
        raise NotImplementedError

    def may_manage(self, principal: Principal, job: JobOut) -> bool:
        raise NotImplementedError

    def change_job(self, principal: Principal, job_id: str, change: JobChange) -> JobOut:
        raise NotImplementedError

    def delete_job(self, principal: Principal, job_id: str) -> None:
        raise NotImplementedError

    def add_version(
        self,
        principal: Principal,
        job_id: str,
        wanted: VersionIn,
        *,
        idempotency_key: str | None = None,
    ) -> JobOut:
        raise NotImplementedError

    def list_versions(
        self, principal: Principal, job_id: str, *, limit: int = 50, cursor: str | None = None
    ) -> Page[VersionOut]:
        raise NotImplementedError

    def pause(self, principal: Principal, job_id: str) -> JobOut:
        raise NotImplementedError

    def resume(self, principal: Principal, job_id: str) -> JobOut:
        raise NotImplementedError

    def run_now(
        self,
        principal: Principal,
        job_id: str,
        wanted: RunIn,
        *,
        idempotency_key: str | None = None,
    ) -> RunOut:
        raise NotImplementedError

    def list_runs(
        self, principal: Principal, job_id: str, *, limit: int = 50, cursor: str | None = None
    ) -> Page[RunOut]:
        raise NotImplementedError

    def get_run(self, principal: Principal, run_id: str) -> RunOut:
        raise NotImplementedError

    def cancel_run(self, principal: Principal, run_id: str) -> RunOut:
        raise NotImplementedError

    def list_events(
        self, principal: Principal, run_id: str, *, after: int = 0, limit: int = 200
    ) -> Page[EventOut]:
        raise NotImplementedError

    def run_log(self, principal: Principal, run_id: str) -> str:
        raise NotImplementedError

    def open_file(self, principal: Principal, run_id: str, name: str) -> RunFile:
        raise NotImplementedError

    def introspect(self, principal: Principal, token: str) -> TokenOut:
        raise NotImplementedError

    def credentials(self, principal: Principal) -> dict[str, Any]:
        raise NotImplementedError
