"""The users file: one argon2 hash per user, shared by the hub and the command line.

The file is small, so it is read whole and written whole: a write goes to a
new file that then takes the name, and a lock file beside it keeps two writers
apart. A reader needs no lock, since it sees either the old file or the new.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import secrets
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from hub_ext.errors import Conflict, Invalid, NotFound, PublicError

USERNAME = re.compile(r"[a-z0-9][a-z0-9._@+-]{0,63}\Z")
SHORTEST_PASSWORD = 8
LONGEST_PASSWORD = 1024  # argon2 takes time in proportion; a novel is not a password

# Without the letters and digits that are mistaken for one another (0o, 1il),
# since this is read from one screen and typed into another.
_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"
_GROUPS, _GROUP_LENGTH = 4, 5


class UsersFileError(PublicError):
    """The users file is there and cannot be used."""

    code, status = "users-file-invalid", 500


def username_problem(name: str) -> str | None:
    """Why ``name`` cannot be a user name, in a sentence; None if it can.

    Narrower than JupyterHub's own rule (which also takes spaces and most of
    Unicode): a name is typed by hand, stands in addresses, and its capitals
    are folded by the hub, so that ``Ada`` and ``ada`` are one person.
    """
    if USERNAME.match(name):
        return None
    return (
        f"{name!r} is not a user name: lower-case letters, digits and . _ @ + -, "
        "at most 64, beginning with a letter or digit."
    )


def check_username(name: str) -> str:
    """``name`` as it is.

    Raises:
        Invalid: it is not a user name (see `username_problem`).
    """
    if problem := username_problem(name):
        lowered = name.strip().lower()
        mend = f"{lowered!r} would do." if username_problem(lowered) is None else ""
        raise Invalid(problem, mend=mend, field="username")
    return name


def generate_password() -> str:
    """A random password to be typed by hand: ``kd7mp-x2pqs-9wvzr-hc4tn``, 99 bits."""
    return "-".join(
        "".join(secrets.choice(_ALPHABET) for _ in range(_GROUP_LENGTH)) for _ in range(_GROUPS)
    )


def check_password(password: str) -> str:
    """``password`` as it is.

    Raises:
        Invalid: it is too short, too long, or not text.
    """
    if len(password) < SHORTEST_PASSWORD:
        raise Invalid(
            f"The password is shorter than {SHORTEST_PASSWORD} characters.",
            mend="Take a longer one, or leave it out to have one made up.",
            field="password",
        )
    if len(password) > LONGEST_PASSWORD:
        raise Invalid(
            f"The password is longer than {LONGEST_PASSWORD} characters.", field="password"
        )
    try:
        password.encode()
    except UnicodeEncodeError as error:
        raise Invalid("The password is not valid text (UTF-8).", field="password") from error
    return password


@dataclass(frozen=True)
class Entry:
    """One user. ``added`` and ``changed`` (the password) are ISO 8601 instants in UTC."""

    hash: str
    added: str
    changed: str

    @property
    def added_at(self) -> datetime:
        return datetime.fromisoformat(self.added)


class UsersFile:
    """Users and their password hashes in one JSON file with mode 0600.

    Safe for several processes at once. Nothing is kept between calls but a
    parsed copy, which is dropped as soon as the file changes.

    Args:
        path: the file; need not exist (nobody is a user then).
        hasher: argon2 parameters for new hashes; the library's current
            recommendation (RFC 9106, low memory) by default. A hash made with
            other parameters is renewed at its owner's next sign-in.
    """

    def __init__(self, path: Path | str, hasher: PasswordHasher | None = None):
        self.path = Path(path)
        self._hasher = hasher or PasswordHasher()
        self._nobody = ""
        self._read_at: object = None
        self._entries: dict[str, Entry] = {}

    def names(self) -> list[str]:
        """All users, sorted."""
        return sorted(self.entries())

    def __contains__(self, name: object) -> bool:
        return name in self.entries()

    def entries(self) -> dict[str, Entry]:
        """All users by name; a copy.

        Raises:
            UsersFileError: the file cannot be read or is not ours.
        """
        return dict(self._load())

    @property
    def last_good(self) -> Mapping[str, Entry]:
        """The users when the file was last read and sound; nobody before that."""
        return MappingProxyType(self._entries)

    def add(self, name: str, password: str | None = None) -> str:
        """Make a user; returns the password, made up if None is given.

        Raises:
            Invalid: the name or the password cannot be one.
            Conflict: the user is there already; nothing is changed.
        """
        check_username(name)
        chosen, hashed = self._hashed(password)
        with self._changing() as entries:
            if name in entries:
                raise Conflict(
                    f"User {name!r} is there already.",
                    mend=f"`almanac users passwd {name}` sets a new password.",
                    field="username",
                )
            now = _now()
            entries[name] = Entry(hash=hashed, added=now, changed=now)
        return chosen

    def set_password(self, name: str, password: str | None = None) -> str:
        """Give a user another password; returns it, made up if None is given.

        Raises:
            Invalid: the password cannot be one.
            NotFound: no such user.
        """
        chosen, hashed = self._hashed(password)
        with self._changing() as entries:
            entries[name] = replace(self._known(entries, name), hash=hashed, changed=_now())
        return chosen

    def remove(self, name: str) -> None:
        """Forget a user.

        Raises:
            NotFound: no such user.
        """
        with self._changing() as entries:
            self._known(entries, name)
            del entries[name]

    def verify(self, name: str, password: str) -> bool:
        """Whether ``password`` is the user's.

        Takes as long for a user who is not there as for one who is, so that
        nobody can find out names by the clock. Costs about 50 ms and 64 MiB:
        call it outside an event loop.
        """
        entry = self._load().get(name)
        if len(password) > LONGEST_PASSWORD:
            return False
        if entry is None:
            if not self._nobody:
                self._nobody = self._hasher.hash(secrets.token_hex(16))
            self._matches(self._nobody, password)
            return False
        if not self._matches(entry.hash, password):
            return False
        if self._hasher.check_needs_rehash(entry.hash):
            self._renew(name, entry, password)
        return True

    def _matches(self, hashed: str, password: str) -> bool:
        try:
            return self._hasher.verify(hashed, password)
        except (VerificationError, InvalidHashError, UnicodeEncodeError):
            return False

    def _renew(self, name: str, entry: Entry, password: str) -> None:
        hashed = self._hasher.hash(password)
        try:
            with self._changing() as entries:
                if entries.get(name) == entry:  # not changed or removed meanwhile
                    entries[name] = replace(entry, hash=hashed)
        except OSError:
            pass  # a file that cannot be written is no reason to refuse the right password

    def _hashed(self, password: str | None) -> tuple[str, str]:
        # Before the lock is taken: hashing is slow on purpose.
        chosen = generate_password() if password is None else check_password(password)
        return chosen, self._hasher.hash(chosen)

    def _known(self, entries: dict[str, Entry], name: str) -> Entry:
        try:
            return entries[name]
        except KeyError:
            raise NotFound(
                f"There is no user {name!r}.",
                mend="`almanac users list` shows who there is.",
                field="username",
            ) from None

    def _load(self) -> dict[str, Entry]:
        try:
            status = self.path.stat()
            seen = (status.st_mtime_ns, status.st_size, status.st_ino)
            if seen != self._read_at:
                # What was read may be newer than `seen`, never older: the
                # next call then reads it once more, which does no harm.
                self._entries = self._parse(self.path.read_text(encoding="utf-8"))
                self._read_at = seen
        except FileNotFoundError:
            self._entries, self._read_at = {}, None
        except (OSError, UnicodeDecodeError) as error:
            raise UsersFileError(f"The users file {self.path} cannot be read: {error}.") from error
        return self._entries

    def _parse(self, text: str) -> dict[str, Entry]:
        try:
            document = json.loads(text)
            if document["version"] != 1:
                raise ValueError(f"version {document['version']!r} is not known")
            entries = {name: Entry(**fields) for name, fields in document["users"].items()}
            for entry in entries.values():
                if entry.added_at.tzinfo is None:
                    raise ValueError(f"{entry.added!r} has no time zone")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UsersFileError(
                f"The users file {self.path} is damaged: {type(error).__name__}: {error}.",
                mend="Put back a copy from a backup (`almanac restore`).",
            ) from error
        return entries

    @contextmanager
    def _changing(self) -> Iterator[dict[str, Entry]]:
        """The entries, to be changed in place; written when the block ends well."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(f"{self.path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self._read_at = None  # the clock's grain could hide another's write
            entries = dict(self._load())
            yield entries
            self._write(entries)
        finally:
            os.close(lock)

    def _write(self, entries: dict[str, Entry]) -> None:
        document = {
            "version": 1,
            "users": {name: asdict(entry) for name, entry in sorted(entries.items())},
        }
        # mkstemp makes the file with mode 0600.
        descriptor, name = tempfile.mkstemp(dir=self.path.parent, prefix=".users-")
        temporary = Path(name)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump(document, file, indent=1)
                file.write("\n")
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self.path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        self._read_at = None


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")
