"""Where a notebook stands in version control."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from hub_ext.bundles.spec import Git

PATCH_LIMIT = 10 * 1024 * 1024
_TIMEOUT = 10.0


def describe(path: Path) -> Git | None:
    """The state of the repository around ``path``.

    None outside of a repository, before its first commit, without git, or
    where git does not answer in time: a bundle can do without.
    """
    git = shutil.which("git")
    if git is None:
        return None
    folder = path.resolve().parent

    def ask(*arguments: str) -> bytes:
        # No hook, monitor, pager or external program of the repository's own
        # making is started, and no lock is taken.
        return subprocess.run(
            [git, "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", *arguments],
            cwd=folder,
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_TIMEOUT,
            check=True,
        ).stdout

    try:
        top, commit = ask("rev-parse", "--show-toplevel", "HEAD").decode().splitlines()
        branch = ask("rev-parse", "--abbrev-ref", "HEAD").decode().strip()
        status = ask("status", "--porcelain", "--untracked-files=no").strip()
        patch = (
            ask("diff", "--no-ext-diff", "--no-textconv", "--no-color", "HEAD") if status else b""
        )
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    try:
        remote = ask("remote", "get-url", "origin").decode().strip()
    except (OSError, subprocess.SubprocessError, ValueError):
        remote = ""
    return Git(
        commit=commit,
        path=path.resolve().relative_to(Path(top).resolve()).as_posix(),
        remote=without_credentials(remote),
        branch="" if branch == "HEAD" else branch,
        dirty=bool(status),
        patch_sha256=(
            hashlib.sha256(patch).hexdigest() if patch and len(patch) <= PATCH_LIMIT else None
        ),
    )


def without_credentials(url: str) -> str:
    """A remote's address without user name, password, query and fragment.

    >>> without_credentials("https://ana:secret@git.example/stats/gdp.git?x=1")
    'https://git.example/stats/gdp.git'
    >>> without_credentials("git@git.example:stats/gdp.git")
    'git.example:stats/gdp.git'
    """
    if "://" not in url:
        return re.sub(r"^[^/]*@", "", url)
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
