"""The lock of an environment: names, versions and hashes, in one canonical form."""

from __future__ import annotations

import hashlib
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError, model_validator

from hub_ext.bundles.environment.listed import Distribution, Listing, normalise
from hub_ext.bundles.environment.uv import explain, uv_environment
from hub_ext.bundles.spec import Frozen
from hub_ext.errors import Invalid, Unavailable

TIMEOUT = 300.0
_ROUNDS = 20
_COMPILE = (
    *("--no-deps", "--generate-hashes", "--no-header", "--no-annotate"),
    *("--no-progress", "--quiet", "--color=never"),
)

_ORIGINS = {
    "folder": "installed from the folder {source}",
    "editable": "installed editable from {source}",
    "repository": "installed from the repository {source}",
    "file": "installed from {source}",
}


class LockInvalid(Invalid):
    code = "lock-invalid"


class EnvironmentNotLockable(Invalid):
    """Some packages could not be had again for a run."""

    code = "environment-not-lockable"


class LockedPackage(Frozen):
    name: str = Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")
    """Normalised: lower case, hyphens."""
    version: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9.!+_-]{0,100}$")
    hashes: tuple[str, ...] = Field(min_length=1)
    """``sha256:…`` of each file of that version that the index has; sorted."""

    @model_validator(mode="after")
    def _canonical(self) -> LockedPackage:
        if list(self.hashes) != sorted(set(self.hashes)):
            raise ValueError("hashes are not sorted")
        if not all(re.fullmatch(r"sha256:[0-9a-f]{64}", item) for item in self.hashes):
            raise ValueError("a hash is not sha256:<64 hexadecimal digits>")
        return self


class Lock(Frozen):
    """``lock.json``: what the kernel's environment holds, to the byte.

    Holds no addresses, times or credentials: two people with the same
    environment have the same lock, whatever mirror they use.
    """

    schema_version: Literal[1] = 1
    python: str = Field(pattern=r"^3\.\d{1,3}\.\d{1,3}$")
    """Version of the interpreter."""
    implementation: Literal["cpython"] = "cpython"
    platform: str = Field(pattern=r"^[a-z0-9_]+-[a-z0-9_]+$", examples=["linux-x86_64"])
    packages: tuple[LockedPackage, ...] = Field(default=(), max_length=5000)
    """Sorted by name."""

    @model_validator(mode="after")
    def _canonical(self) -> Lock:
        names = [package.name for package in self.packages]
        if names != sorted(set(names)):
            raise ValueError("packages are not sorted by name, or one is there twice")
        return self

    @property
    def sha256(self) -> str:
        """Names the environment."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    def to_json(self) -> str:
        """The canonical text: members in the order above, indented by 1."""
        return self.model_dump_json(indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Lock:
        """The lock in ``text``.

        Raises:
            LockInvalid: it is not one.
        """
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "the file"
            raise LockInvalid(
                f"The environment's lock cannot be read: {where}: {first['msg']}."
            ) from error

    def requirements(self) -> str:
        """As a requirements file with hashes, for pip and uv."""
        return "".join(
            f"{package.name}=={package.version}"
            + "".join(f" \\\n    --hash={item}" for item in package.hashes)
            + "\n"
            for package in self.packages
        )

    def version(self, name: str) -> str | None:
        """The version of a package; None where the environment has none."""
        wanted = normalise(name)
        return next((item.version for item in self.packages if item.name == wanted), None)


def lock(listing: Listing, uv: Path, env: Mapping[str, str]) -> Lock:
    """The lock of what is listed, with hashes from the package index.

    Args:
        listing: see `hub_ext.bundles.environment.listing`.
        uv: the uv to ask.
        env: environment that carries the network's settings (index, CA
            bundle, proxy); see `uv.uv_environment` for what is taken of it.

    Raises:
        EnvironmentNotLockable: packages that no index has, each with the
            reason; ``packages`` of the problem document lists their names.
        Unavailable: the index does not answer.
    """
    if listing.implementation != "cpython":
        raise EnvironmentNotLockable(
            f"The kernel runs in {listing.implementation}; jobs run in CPython.",
            mend="Choose a kernel of CPython.",
        )
    refused = {
        item.name: _ORIGINS[item.origin].format(source=item.source)
        for item in listing.packages
        if item.origin != "index" and not (item.origin == "file" and item.sha256)
    }
    wanted = {item.name: item for item in listing.packages if item.name not in refused}
    packages: tuple[LockedPackage, ...] = ()
    # The resolver names one package that is missing; the author wants to hear of all.
    for _ in range(_ROUNDS):
        done = _compile(uv, listing.executable, wanted, env)
        if done.returncode == 0:
            packages, unhashed = _parse(done.stdout)
            refused |= dict.fromkeys(unhashed, "the package index gives no hash for it")
            break
        missing = _missing(done.stderr, wanted)
        if not missing:
            raise _failure(done.stderr)
        for name in missing:
            refused[name] = "not in the package index"
            del wanted[name]
    for package in packages:
        item = wanted[package.name]
        if item.origin == "file" and f"sha256:{item.sha256}" not in package.hashes:
            refused[item.name] = _ORIGINS["file"].format(source=item.source)
    if refused:
        raise _refusal(listing, refused)
    return Lock(python=listing.python, platform=listing.platform, packages=packages)


def _compile(
    uv: Path, python: Path, wanted: Mapping[str, Distribution], env: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            [str(uv), "pip", "compile", *_COMPILE, "--python", str(python), "-"],
            input="".join(f"{item.name}=={item.version}\n" for item in wanted.values()),
            env=uv_environment(env),
            cwd="/",  # no project of somebody's around it
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
    except FileNotFoundError as error:
        raise Unavailable(f"{uv} is not there.", mend="Run `make setup`.") from error
    except subprocess.TimeoutExpired as error:
        raise Unavailable(
            f"The package index did not answer within {TIMEOUT:.0f} s.", mend="Try again later."
        ) from error


def _parse(text: str) -> tuple[tuple[LockedPackage, ...], list[str]]:
    """The packages of a requirements file as uv writes it, and the names of
    those without a hash (an old mirror, a folder of wheels)."""
    packages = []
    unhashed = []
    for entry in text.replace("\\\n", " ").splitlines():
        words = entry.split()
        if not words or words[0].startswith("#"):
            continue
        name, _, version = words[0].partition("==")
        hashes = sorted(
            {w.removeprefix("--hash=") for w in words if w.startswith("--hash=sha256:")}
        )
        if hashes:
            packages.append(
                LockedPackage(name=normalise(name), version=version, hashes=tuple(hashes))
            )
        else:
            unhashed.append(normalise(name))
    return tuple(sorted(packages, key=lambda package: package.name)), unhashed


def _missing(stderr: str, wanted: Mapping[str, Distribution]) -> list[str]:
    text = " ".join(stderr.split())
    named = re.findall(r"no version of ([\w.-]+?)==", text)
    named += re.findall(r"(?:Because|and) ([\w.-]+) was not found in the", text)
    named += re.findall(r"([\w.-]+)==\S+ has no (?:wheels|usable|source)", text)
    return [name for name in dict.fromkeys(map(normalise, named)) if name in wanted]


def _failure(stderr: str) -> Invalid | Unavailable:
    reason = explain(stderr)
    if re.search(r"Failed to fetch|error sending request|timed out|Connection|dns error", stderr):
        return Unavailable(
            f"The package index does not answer: {reason}",
            mend="Try again later, or ask the operator about the network settings.",
        )
    return EnvironmentNotLockable(f"The environment cannot be locked: {reason}")


def _refusal(listing: Listing, refused: Mapping[str, str]) -> EnvironmentNotLockable:
    versions = {item.name: item.version for item in listing.packages}
    lines = [f"{name} {versions[name]} ({why})" for name, why in sorted(refused.items())]
    return EnvironmentNotLockable(
        f"{len(lines)} package{'s' if len(lines) > 1 else ''} of the kernel's environment cannot "
        f"be had again for a run: {'; '.join(lines[:10])}"
        f"{f'; and {len(lines) - 10} more' if len(lines) > 10 else ''}.",
        mend="Install released versions from the package index, publish your own package to it, "
        "or uninstall what the notebook does not need.",
        field="environment",
        packages=sorted(refused),
    )
