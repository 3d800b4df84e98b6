"""Where the commands find the job service, and as whom they speak to it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from hub_ext.client import PREFIX, JobsClient
from hub_ext.errors import PublicError, Unauthenticated


class Account:
    """The address and the token that commands use when none is given.

    Kept in ``$XDG_CONFIG_HOME/almanac``: ``token`` (mode 0600), and ``url``
    only where the user named an address. A kept token is sent to the address
    it was kept for and to no other.

    Args:
        environment: of the process.
        local_url: gives the address of the Almanac that runs on this machine,
            or raises `PublicError` where none does.
    """

    def __init__(self, environment: Mapping[str, str], local_url: Callable[[], str]):
        base = environment.get("XDG_CONFIG_HOME")
        self.folder = (Path(base) if base else Path.home() / ".config") / "almanac"
        self._environment = environment
        self._local_url = local_url

    @property
    def token_file(self) -> Path:
        return self.folder / "token"

    @property
    def url_file(self) -> Path:
        return self.folder / "url"

    def named_url(self) -> str | None:
        """The address that was given by ``$ALMANAC_JOBS_URL`` or kept, if any."""
        named = self._environment.get("ALMANAC_JOBS_URL") or _read(self.url_file)
        return named.rstrip("/") or None

    def url(self) -> str:
        """``$ALMANAC_JOBS_URL``, else the kept address, else this machine's."""
        return self.named_url() or self._local_url().rstrip("/")

    def token(self) -> str:
        """``$ALMANAC_TOKEN``, ``$JUPYTERHUB_API_TOKEN``, else the kept one.

        Raises:
            Unauthenticated: there is none, or it is for another address.
        """
        for variable in ("ALMANAC_TOKEN", "JUPYTERHUB_API_TOKEN"):
            if given := self._environment.get(variable):
                return given
        kept = _read(self.token_file)
        if not kept:
            raise Unauthenticated(
                f"You are not signed in to {self.url()}.",
                mend=f"Get a token at {token_page(self.url())} and give it to `almanac login`.",
            )
        # An address that is only found (this machine's, whose port may change
        # from start to start) is not one that a token was kept for.
        kept_for, named = (
            _read(self.url_file).rstrip("/"),
            self._environment.get("ALMANAC_JOBS_URL"),
        )
        if named and named.rstrip("/") != kept_for:
            raise Unauthenticated(
                f"The token that is kept is for {kept_for or 'this machine'}, not for {named}.",
                mend=f"`almanac login --url {named}` signs in there.",
            )
        return kept

    def keep(self, token: str, *, url: str | None) -> None:
        """Keep a token; ``url`` None means: for the Almanac of this machine."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if url is None:
            self.url_file.unlink(missing_ok=True)
        else:
            _write_private(self.url_file, url)
        _write_private(self.token_file, token)

    def client(self) -> JobsClient:
        """A client for this account; the caller closes it."""
        return JobsClient(self.url(), self.token())


def of_this_process() -> Account:
    """The account that this process' environment and this machine's state name."""
    return Account(os.environ, _running_here)


def token_page(jobs_url: str) -> str:
    """Where a person makes a token for this service: the hub's own page."""
    return jobs_url.removesuffix(PREFIX) + "/hub/token"


def _running_here() -> str:
    from hub_ext.state import Endpoints, StateFolder, default_state

    return Endpoints.load(StateFolder(default_state())).public_url + PREFIX


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise PublicError(f"{path} cannot be read: {error.strerror}.") from error


def _write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, at every moment of its life."""
    new = path.with_name(f".{path.name}.{os.getpid()}")
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text + "\n")
    new.replace(path)
