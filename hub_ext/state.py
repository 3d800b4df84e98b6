"""The state folder: what an Almanac on one machine keeps, and where.

All of it under one folder, so that it can be looked at, backed up and thrown
away as one. Made with mode 0700: it holds secrets, and with one OS account it
is the hub, not the system, that keeps users apart.
"""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass
from pathlib import Path

DEFAULT = "almanac"


def default_state(environment: dict[str, str] | os._Environ[str] = os.environ) -> Path:
    """``$ALMANAC_STATE``, else ``$XDG_DATA_HOME/almanac``, else ``~/.local/share/almanac``."""
    if chosen := environment.get("ALMANAC_STATE"):
        return Path(chosen)
    base = environment.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(base) / DEFAULT


@dataclass(frozen=True)
class StateFolder:
    """Paths below ``root``. Making one touches nothing; `create` makes the folders."""

    root: Path

    def create(self) -> StateFolder:
        for folder in (
            self.root,
            self.secrets,
            self.logs,
            self.runtime,
            self.homes,
            self.store,
            self.attempts,
            self.environments,
        ):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.root.chmod(0o700)
        return self

    @property
    def secrets(self) -> Path:
        """One file per secret, mode 0600."""
        return self.root / "secrets"

    @property
    def logs(self) -> Path:
        """One log file per part: ``hub.log``, ``proxy.log``, ``store.log``, ``jobs.log``."""
        return self.root / "logs"

    @property
    def runtime(self) -> Path:
        """What is true only while it runs: process table, ports, lock."""
        return self.root / "run"

    @property
    def users_file(self) -> Path:
        """Users and their password hashes."""
        return self.root / "users.json"

    @property
    def hub_database(self) -> Path:
        return self.root / "hub.sqlite"

    @property
    def jobs_database(self) -> Path:
        return self.root / "jobs.sqlite"

    @property
    def homes(self) -> Path:
        """``homes/<user slug>/work``: persistent disk of each user's server."""
        return self.root / "homes"

    @property
    def store(self) -> Path:
        """The embedded object store's data."""
        return self.root / "store"

    @property
    def attempts(self) -> Path:
        """``attempts/<run>/<n>``: work folder of each attempt of the local backend."""
        return self.root / "attempts"

    @property
    def environments(self) -> Path:
        """``environments/<lock sha256>``: kernels' environments, built once, shared."""
        return self.root / "environments"

    def secret(self, name: str) -> str:
        """The secret called ``name``; made once, at random, and then kept."""
        path = self.secrets / name
        if not path.exists():
            self.secrets.mkdir(mode=0o700, parents=True, exist_ok=True)
            # O_EXCL: of two processes that start together one makes the secret
            # and the other reads it.
            try:
                descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            except FileExistsError:
                pass
            else:
                with os.fdopen(descriptor, "w") as file:
                    file.write(secrets.token_hex(32))
        return path.read_text().strip()
