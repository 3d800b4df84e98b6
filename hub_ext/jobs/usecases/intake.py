"""Taking in a bundle. What comes from a user's server is a claim: here it is looked at again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hub_ext.bundles import bundle, checks
from hub_ext.bundles.bundle import Limits


@dataclass(frozen=True)
class Accepted:
    """A bundle that is what it says it is.

    Attributes:
        size: bytes of the file as it came.
        manifest: as JSON.
    """

    sha256: str
    size: int
    manifest: dict[str, Any]


def inspect(path: Path, limits: Limits) -> Accepted:
    """Check an uploaded bundle: form, hashes, limits, lock, parameters, secrets and the rest.

    Raises:
        BundleRefused: it is not in order.
        ChecksFailed: its notebook cannot go into production.
    """
    contents = bundle.load(path, limits=limits)
    checks.refuse(checks.review(contents))
    return Accepted(
        sha256=contents.sha256,
        size=path.stat().st_size,
        manifest=contents.manifest.model_dump(mode="json"),
    )
