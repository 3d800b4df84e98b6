"""What the use cases need of the world outside, and no more of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from hub_ext.bundles.bundle import DEFAULT_LIMITS, Limits

Clock = Callable[[], datetime]


class Objects(Protocol):
    """The platform's bucket; `hub_ext.storage.objects.ObjectStore`.

    Raises `Unavailable` where the store does not answer, `NotFound` for a key
    that is not there.
    """

    def get_file(self, key: str, path: Path) -> Any: ...

    def put_file(self, key: str, path: Path) -> Any: ...

    def exists(self, key: str) -> bool: ...

    def stream(self, key: str) -> Iterator[bytes]: ...


class Spools(Protocol):
    """The folders and logs of attempts that have not been published yet."""

    def folder(self, ref: str) -> Path | None:
        """Where the attempt's runner writes, if this service can read it."""

    def logs(self, ref: str) -> str:
        """What the runner has printed so far."""


class Credentials(Protocol):
    """Object store credentials limited to prefixes; makes the document of the
    container-credentials protocol.

    Args:
        read, write, delete: prefixes of keys, each ending with a slash. What
            may be written may be deleted, what may be deleted may be read.
        name: who asked, for the store's own log.
    """

    def __call__(
        self, *, read: list[str], write: list[str], delete: list[str], name: str
    ) -> dict[str, Any]: ...

    def fitting(self, prefixes: list[str]) -> list[str]:
        """The first of ``prefixes``, as many as credentials can reach at once."""


class Links(Protocol):
    """Links with which anybody can read an object for a while.

    Raises `NotFound` for an object, or a version, that is not there.
    """

    @property
    def local(self) -> bool:
        """Whether they can be opened on this machine alone."""

    def __call__(
        self, key: str, *, seconds: int, version: str | None = None
    ) -> tuple[str, datetime]:
        """The link, and when it ends."""


class Measured(Protocol):
    """Size of what lies below a prefix, as of an instant."""

    @property
    def size(self) -> int: ...

    @property
    def objects(self) -> int: ...

    @property
    def as_of(self) -> datetime: ...


class Sizes(Protocol):
    """What the service has measured in the background."""

    def usage(self) -> Mapping[str, Measured]:
        """By prefix; what is not there has not been measured, or holds nothing."""

    def look_again(self, prefix: str) -> None:
        """Measure it soon."""


class NoSizes:
    """Nothing is measured."""

    def usage(self) -> Mapping[str, Measured]:
        return {}

    def look_again(self, prefix: str) -> None:
        pass


@dataclass(frozen=True)
class Options:
    """What almanac.yaml decides for the job service; plain values.

    Attributes:
        bucket: the platform's bucket, for the URIs that runs are told.
        kernel_environment: variables of every run's kernel (object store and
            the like); never a secret.
        titles: titles of projects by slug.
        bundle_limits: what a bundle may be at most.
        run_timeout_seconds: after which an attempt is stopped.
        cell_timeout_seconds: longest time for one cell; None for no limit.
        share_seconds: for how long a share link may be good at most; 0 for none.
        keep_deleted_days: for how long what was deleted is kept; 0 for ever.
        quota_bytes: what the files of a user, and of a project that is not in
            ``quotas``, may take; None for no limit.
        quotas: of projects by slug.
    """

    bucket: str = "almanac"
    kernel_environment: Mapping[str, str] = field(default_factory=dict)
    titles: Mapping[str, str] = field(default_factory=dict)
    bundle_limits: Limits = DEFAULT_LIMITS
    run_timeout_seconds: int = 24 * 3600
    cell_timeout_seconds: int | None = None
    share_seconds: int = 7 * 24 * 3600
    keep_deleted_days: int = 30
    quota_bytes: int | None = None
    quotas: Mapping[str, int | None] = field(default_factory=dict)

    def quota(self, slug: str) -> int | None:
        """What the files of a project may take, in bytes; None for no limit."""
        return self.quotas.get(slug, self.quota_bytes)
