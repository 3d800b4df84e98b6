"""The environment of a kernel: what is in it, its lock, and building it from the lock.

Three steps, far apart in time and place: `listing` at the author's (fast,
part of the checks), `lock` when a job is submitted (asks the package index
for hashes), `materialise` wherever a run executes (content-addressed, built
once, shared).
"""

from __future__ import annotations

from hub_ext.bundles.environment.listed import (
    Distribution,
    EnvironmentUnreadable,
    Listing,
    listing,
)
from hub_ext.bundles.environment.locked import (
    EnvironmentNotLockable,
    Lock,
    LockedPackage,
    LockInvalid,
    lock,
)
from hub_ext.bundles.environment.made import EnvironmentNotBuilt, find, materialise

__all__ = [
    "Distribution",
    "EnvironmentNotBuilt",
    "EnvironmentNotLockable",
    "EnvironmentUnreadable",
    "Listing",
    "Lock",
    "LockInvalid",
    "LockedPackage",
    "find",
    "listing",
    "lock",
    "materialise",
]
