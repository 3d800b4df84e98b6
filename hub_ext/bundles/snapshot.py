"""What is captured when a notebook is productionized, before its environment is locked."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hub_ext.bundles import notebooks
from hub_ext.bundles.file_names import FileNameError, check_file_name
from hub_ext.bundles.git import describe
from hub_ext.bundles.kernels import FoundKernel, KernelFinder
from hub_ext.bundles.parameters import infer
from hub_ext.bundles.spec import FileEntry, Git, KernelRef, Parameter
from hub_ext.errors import Invalid, NotFound

FILES_LIMIT = 1000
FILES_BYTES_LIMIT = 100 * 1024 * 1024


class FileRefused(Invalid):
    """A sibling file that cannot go into a bundle."""

    code = "file-refused"


@dataclass(frozen=True)
class SnapshotFile:
    """A file beside the notebook, as it was when the snapshot was taken."""

    entry: FileEntry
    content: bytes = field(repr=False)


@dataclass(frozen=True)
class Snapshot:
    """A notebook and what it needs, apart from its environment.

    Attributes:
        notebook: as the author has it, outputs included: for the checks.
        stripped: ``notebook.ipynb`` of the bundle: canonical, no outputs.
        kernel: the kernelspec that was found, and its interpreter.
    """

    notebook_name: str
    notebook: dict[str, Any] = field(repr=False)
    stripped: bytes = field(repr=False)
    kernel: FoundKernel
    parameters: tuple[Parameter, ...] = ()
    files: tuple[SnapshotFile, ...] = ()
    git: Git | None = None
    owner: str = ""

    @property
    def python(self) -> Path:
        """The interpreter of the notebook's kernel, for `environment.listing`.

        Raises:
            PublicError: the kernel is not Python, or does not name one.
        """
        return self.kernel.require_python()


def take(
    path: Path, *, files: Sequence[Path] = (), owner: str = "", kernels: KernelFinder
) -> Snapshot:
    """Capture the notebook at ``path``, without executing anything.

    Args:
        path: of the ``.ipynb``.
        files: files it reads; relative ones are taken from its folder, and
            all must lie in or below that.
        owner: name of the person who takes it.
        kernels: finds the kernelspec that the notebook names.

    Raises:
        PublicError: with code ``notebook-missing``, ``notebook-not-json``,
            ``notebook-invalid``, ``notebook-too-big``, ``notebook-no-kernel``,
            ``kernel-unknown`` or ``file-refused``.
    """
    notebook = notebooks.load(path)
    spec = notebooks.kernelspec(notebook, name=path.name)
    found = kernels.find(spec)
    stripped = notebooks.strip(notebook)
    # A kernelspec of the author's may leave the language out; the installed one says it.
    stripped["metadata"]["kernelspec"] = found.ref.model_dump(mode="json")
    return Snapshot(
        notebook_name=_name(path),
        notebook=notebook,
        stripped=notebooks.serialise(stripped),
        kernel=found,
        parameters=tuple(infer(stripped)),
        files=_files(path.parent, files, notebook=path),
        git=describe(path),
        owner=owner,
    )


def _name(path: Path) -> str:
    try:
        return check_file_name(path.name)
    except FileNameError as error:
        raise FileRefused(
            f"The notebook's name {path.name!a} {error}.", mend="Rename it."
        ) from error


def _files(folder: Path, files: Sequence[Path], *, notebook: Path) -> tuple[SnapshotFile, ...]:
    if len(files) > FILES_LIMIT:
        raise FileRefused(
            f"{len(files)} files are too many for a bundle; {FILES_LIMIT} is the most.",
            mend="Put data into the object store and read them from there.",
            field="files",
        )
    root = folder.resolve()
    taken: dict[str, SnapshotFile] = {}
    size = 0
    for file in files:
        entry = _file(root, folder / file)
        if (root / entry.entry.name) == notebook.resolve():
            continue
        size += entry.entry.size if entry.entry.name not in taken else 0
        if size > FILES_BYTES_LIMIT:
            raise FileRefused(
                f"The files beside the notebook have more than {FILES_BYTES_LIMIT >> 20} MiB.",
                mend="Put data into the object store and read them from there.",
                field="files",
            )
        taken[entry.entry.name] = entry
    return tuple(taken[name] for name in sorted(taken))


def _file(root: Path, path: Path) -> SnapshotFile:
    shown = ascii(str(path))[1:-1] if not str(path).isprintable() else str(path)
    try:
        # A link is followed, but not out of the folder: the job has no such place.
        real = path.resolve(strict=True)
        name = real.relative_to(root).as_posix()
        check_file_name(name)
        if not real.is_file():
            raise FileRefused(f"{shown} is not a file.", mend="Name single files.", field="files")
        if real.stat().st_size > FILES_BYTES_LIMIT:
            raise FileRefused(
                f"{shown} has more than {FILES_BYTES_LIMIT >> 20} MiB.",
                mend="Put data into the object store and read them from there.",
                field="files",
            )
        content = real.read_bytes()
    except FileNotFoundError as error:
        raise NotFound(
            f"There is no file {shown}.", mend="Check its name.", field="files"
        ) from error
    except FileNameError as error:
        raise FileRefused(f"The name {shown} {error}.", mend="Rename it.", field="files") from error
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or "it links to itself"
        raise FileRefused(f"{shown} cannot be read: {reason}.", field="files") from error
    except ValueError as error:
        raise FileRefused(
            f"{shown} is not in the notebook's folder.",
            mend="Move it there, or read it from the object store.",
            field="files",
        ) from error
    return SnapshotFile(
        FileEntry(name=name, size=len(content), sha256=hashlib.sha256(content).hexdigest()), content
    )


__all__ = ["FoundKernel", "KernelFinder", "KernelRef", "Snapshot", "SnapshotFile", "take"]
