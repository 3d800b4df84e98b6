"""Taking in a bundle. What comes from a user's server is a claim: here it is looked at again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hub_ext.bundles import bundle, parameters
from hub_ext.bundles.bundle import BundleRefused, Limits


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
    """Check an uploaded bundle: form, hashes, limits, lock, parameters, secrets.

    Raises:
        BundleRefused: it is not in order, or carries a secret.
    """
    contents = bundle.load(path, limits=limits)
    manifest = contents.manifest
    if list(manifest.parameters) != parameters.infer(contents.notebook):
        raise BundleRefused(
            "The bundle declares other parameters than its notebook.",
            mend="Submit the notebook again.",
        )
    return Accepted(
        sha256=contents.sha256,
        size=path.stat().st_size,
        manifest=manifest.model_dump(mode="json"),
    )
