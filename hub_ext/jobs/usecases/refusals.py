"""Refusals that belong to jobs and versions."""

from __future__ import annotations

from hub_ext.errors import Conflict


class NameTaken(Conflict):
    """Another job of the project has this name; ``job_id`` tells which."""

    code = "job-name-taken"


class NotActive(Conflict):
    """The job has no version that may run."""

    code = "not-active"


class Archived(Conflict):
    """The job was deleted; only its history is left."""

    code = "job-archived"
