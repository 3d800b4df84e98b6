"""What people, servers and runs may ask for."""

from __future__ import annotations

from hub_ext.jobs.usecases.principals import PrincipalCases
from hub_ext.jobs.usecases.registry import JobCases
from hub_ext.jobs.usecases.results import ResultCases
from hub_ext.jobs.usecases.runs import RunCases
from hub_ext.jobs.usecases.versions import VersionCases


class Jobs(PrincipalCases, JobCases, VersionCases, RunCases, ResultCases):
    """The use cases. Sync, safe to call from several threads; raises `PublicError`s alone.

    Each group has a module of its own; `UseCases` tells what they are made with.
    """
