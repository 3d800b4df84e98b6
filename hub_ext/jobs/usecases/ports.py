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
        read, write: prefixes of keys, each ending with a slash.
        name: who asked, for the store's own log.
    """

    def __call__(self, *, read: list[str], write: list[str], name: str) -> dict[str, Any]: ...


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
    """

    bucket: str = "almanac"
    kernel_environment: Mapping[str, str] = field(default_factory=dict)
    titles: Mapping[str, str] = field(default_factory=dict)
    bundle_limits: Limits = DEFAULT_LIMITS
    run_timeout_seconds: int = 24 * 3600
    cell_timeout_seconds: int | None = None
