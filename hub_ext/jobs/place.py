"""Where the service's things are found: paths on its site and keys in the object store."""

from __future__ import annotations

from urllib.parse import quote

PREFIX = "/services/jobs"
API = f"{PREFIX}/api/v1"


def job_url(job_id: str) -> str:
    return f"{PREFIX}/jobs/{job_id}"


def run_url(run_id: str) -> str:
    return f"{PREFIX}/runs/{run_id}"


def file_url(run_id: str, name: str) -> str:
    return f"{API}/runs/{run_id}/files/{quote(name)}"


def bundle_key(sha256: str) -> str:
    return f"bundles/{sha256}"


def attempt_prefix(run_id: str, n: int) -> str:
    """Where an attempt's results lie in the object store; ends with a slash."""
    return f"runs/{run_id}/{n}/"
