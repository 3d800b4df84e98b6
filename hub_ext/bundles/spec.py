"""The shapes of a bundle: what its manifest says, and what a check finds."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

PARAMETERS_TAG = "parameters"
INJECTED_TAG = "injected-parameters"


class Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


ParameterType = Literal["int", "float", "str", "bool", "list", "dict", "json"]

Sha256 = str
"""64 lower-case hexadecimal digits."""
SHA256_PATTERN = r"^[0-9a-f]{64}$"


class Parameter(Frozen):
    """One value of the notebook that a run may set."""

    name: str
    type: ParameterType
    """``json`` takes any value: the notebook's default is ``None`` or computed."""
    default: JsonValue = None
    """As JSON. JSON has no NaN: a ``float`` that is not finite is the text
    ``nan``, ``inf`` or ``-inf``."""
    help: str = ""


class KernelRef(Frozen):
    name: str
    """Name of the kernelspec at the author's."""
    language: str
    """In lower case: ``python``, ``r``."""
    display_name: str = ""


class FileEntry(Frozen):
    name: str
    """Path below the notebook's folder, with forward slashes."""
    size: int = Field(ge=0)
    """Bytes."""
    sha256: Sha256 = Field(pattern=SHA256_PATTERN)


class Git(Frozen):
    """Where the notebook stands in version control."""

    commit: str
    path: str
    """The notebook's path in the repository."""
    remote: str = ""
    """Without user name and password; empty if there is none."""
    branch: str = ""
    dirty: bool = False
    """Something in the repository differs from the commit."""
    patch_sha256: Sha256 | None = None
    """Of ``git diff HEAD``, where that is not empty and not too long."""


class Manifest(Frozen):
    """``manifest.json``. Holds no time and no path of a machine, so that the
    same snapshot is the same bundle wherever and whenever it is made."""

    schema_version: Literal[1] = 1
    """Grows when a reader of today could misread a manifest of tomorrow."""
    notebook_name: str
    """File name of the author's notebook."""
    notebook_sha256: Sha256 = Field(pattern=SHA256_PATTERN)
    """Of ``notebook.ipynb`` in the bundle."""
    kernel: KernelRef
    lock_sha256: Sha256 = Field(pattern=SHA256_PATTERN)
    """Of ``lock.json``: names the environment."""
    parameters: tuple[Parameter, ...] = ()
    """In the notebook's order."""
    files: tuple[FileEntry, ...] = ()
    """Sorted by name."""
    owner: str = ""
    """Who took the snapshot."""
    git: Git | None = None


class Severity(StrEnum):
    ERROR = "error"
    """Cannot go into production: submitting is refused."""
    WARNING = "warning"
    """Likely to hurt; the author decides."""
    INFO = "info"


class Finding(Frozen):
    """One thing that a check found, in words meant for the notebook's author."""

    code: str
    """Stable name of the kind of finding: ``secret``, ``syntax-error``…"""
    severity: Severity
    message: str
    """One sentence: what is wrong."""
    cell: int | None = None
    """Index of the cell in the notebook, from 0; None for the whole notebook."""
    line: int | None = None
    """Line in the cell's source, from 1."""
    mend: str = ""
    """One sentence: what to do about it."""
