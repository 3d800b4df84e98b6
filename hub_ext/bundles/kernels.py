"""From a notebook's kernelspec to the interpreter behind it."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hub_ext.bundles.spec import KernelRef
from hub_ext.errors import Invalid

_PYTHON = re.compile(r"python(\d(\.\d+)?)?(\.exe)?\Z")


class KernelUnknown(Invalid):
    code = "kernel-unknown"


class KernelNotForJobs(Invalid):
    """The kernel is there, and what it runs in cannot be captured."""

    code = "kernel-not-for-jobs"


@dataclass(frozen=True)
class FoundKernel:
    """An installed kernelspec.

    Attributes:
        interpreter: of a Python kernel; None where the kernelspec does not
            show it, and for every other language.
    """

    ref: KernelRef
    argv: tuple[str, ...]
    interpreter: Path | None

    def require_python(self) -> Path:
        """The interpreter.

        Raises:
            KernelNotForJobs: there is none to capture the environment of.
        """
        if self.interpreter is not None:
            return self.interpreter
        shown = self.ref.display_name or self.ref.name
        if self.ref.language != "python":
            raise KernelNotForJobs(
                f"The kernel {shown!r} runs {self.ref.language or 'an unknown language'}; "
                "so far only Python notebooks can go into production.",
                mend="Choose a Python kernel.",
                field="kernel",
            )
        raise KernelNotForJobs(
            f"The kernel {shown!r} does not show which Python it runs "
            f"(it starts {self.argv[0] if self.argv else 'nothing'!r}).",
            mend="Choose a kernel made by `python -m ipykernel install`.",
            field="kernel",
        )


class KernelFinder:
    """Finds kernelspecs where Jupyter does, ``JUPYTER_PATH`` included.

    Args:
        folders: folders of kernelspecs to look in; None for Jupyter's own.
    """

    def __init__(self, folders: list[Path] | None = None):
        self._folders = folders

    def find(self, spec: Mapping[str, str]) -> FoundKernel:
        """The kernelspec of a notebook.

        Args:
            spec: ``name``, ``display_name`` and ``language`` as the notebook
                says them.

        Raises:
            KernelUnknown: there is none of that name here.
        """
        # Slow to import, and only needed here.
        from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel

        manager = KernelSpecManager()
        if self._folders is not None:
            manager.kernel_dirs = [str(folder) for folder in self._folders]
            manager.ensure_native_kernel = False
        name = spec["name"]
        try:
            # Jupyter refuses a name that is no plain word with the same error.
            found = manager.get_kernel_spec(name)
        except (NoSuchKernel, ValueError) as error:
            there = ", ".join(sorted(manager.find_kernel_specs())) or "none"
            raise KernelUnknown(
                f"The notebook's kernel {name!r} is not installed here.",
                mend=f"Choose one that is ({there}) and save the notebook.",
                field="kernel",
            ) from error
        language = (found.language or spec.get("language", "")).lower()
        argv = tuple(found.argv)
        return FoundKernel(
            ref=KernelRef(name=name, language=language, display_name=found.display_name),
            argv=argv,
            interpreter=_interpreter(argv) if language == "python" else None,
        )


def _interpreter(argv: tuple[str, ...]) -> Path | None:
    words = list(argv)
    if words and Path(words[0]).name == "env":
        words = [word for word in words[1:] if "=" not in word]
    if not words or not _PYTHON.match(Path(words[0]).name):
        return None
    command = words[0]
    if command in ("python", "python3", f"python{sys.version_info[0]}.{sys.version_info[1]}"):
        # As Jupyter does: a bare name means the Python that Jupyter runs in.
        return Path(sys.executable)
    found = shutil.which(command)
    return Path(found) if found else None
