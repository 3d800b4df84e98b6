"""The state folder: what an Almanac on one machine keeps, and where.

All of it under one folder, so that it can be looked at, backed up and thrown
away as one. Made with mode 0700: it holds secrets, and with one OS account it
is the hub, not the system, that keeps users apart.
"""

from __future__ import annotations

import json
import os
import secrets
import tempfile
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from hub_ext.errors import PublicError

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
            # Written under another name first: of two processes that start
            # together one gives its secret the name, and both read that one.
            descriptor, temporary = tempfile.mkstemp(dir=self.secrets, prefix=".")
            try:
                with os.fdopen(descriptor, "w") as file:
                    file.write(secrets.token_hex(32))
                with suppress(FileExistsError):
                    os.link(temporary, path)
            finally:
                Path(temporary).unlink()
        return path.read_text().strip()


class NotRunning(PublicError):
    """Nothing runs on the state folder, as far as its files say."""

    code, status = "not-running", 503


@dataclass(frozen=True)
class Endpoints:
    """Where the parts of the running tree are; ``run/endpoints.json``, mode 0600.

    Written by ``almanac up`` before it starts the first part, removed when
    all has ended.

    Attributes:
        public_url: where people reach Almanac; no slash at the end.
        hub_api_url: the hub's REST API, not through the proxy.
        proxy_api_url: where the proxy is told its routes.
        jobs_url: where the job service listens; its path comes after it.
        store_url: the S3 endpoint.
        pid: the process of ``almanac up``.
        listens_on: the address that people's requests are taken at; it stays
            the same until ``almanac up`` ends, whatever almanac.yaml says by then.
    """

    public_url: str
    hub_api_url: str
    proxy_api_url: str
    jobs_url: str
    store_url: str
    pid: int
    listens_on: str = "127.0.0.1"

    @staticmethod
    def path(state: StateFolder) -> Path:
        return state.runtime / "endpoints.json"

    @classmethod
    def load(cls, state: StateFolder) -> Endpoints:
        """What is written there.

        Raises:
            NotRunning: nothing, or nothing of use.
        """
        try:
            return cls(**json.loads(cls.path(state).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            raise NotRunning(
                f"Almanac is not running on {state.root}.",
                mend="Start it with `almanac up`, or name its folder with `--state DIR` or "
                "`$ALMANAC_STATE`.",
            ) from None

    def save(self, state: StateFolder) -> None:
        """Write it, so that a reader sees all of it or what was there before."""
        state.runtime.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=state.runtime, prefix=".endpoints-")
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(asdict(self), file, indent=1)
        Path(name).replace(self.path(state))

    def remove(self, state: StateFolder) -> None:
        """Remove what `save` wrote, unless another has written since."""
        with suppress(NotRunning):
            if Endpoints.load(state) == self:
                self.path(state).unlink(missing_ok=True)
