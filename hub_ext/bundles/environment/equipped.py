"""What an environment of notebooks has beside its packages.

Two files in its site-packages (`almanac_duckdb` and a ``.pth`` that imports it)
and links to the packaged extensions of DuckDB where DuckDB looks for them. None
is a distribution: they are the platform's, not a part of what a lock names, and
an environment that is built from a lock gets those of the Almanac that builds
it. `make setup` equips the default environment, a run the one that it builds.
"""

from __future__ import annotations

import os
import platform
import sys
import tempfile
from pathlib import Path

MODULE = "almanac_duckdb"
EXTENSIONS = Path("share", "almanac", "duckdb")
"""In an environment: where `almanac_duckdb` points DuckDB."""

_SOURCE = Path(__file__).with_name(f"{MODULE}.py")
# Python runs it at each start, and would complain if the module were gone.
_CODE = f"try:\n import {MODULE} as ours\nexcept ImportError:\n pass\nelse:\n ours.install()"
_LINE = f"import sys; exec({_CODE!r})\n"


def equip(environment: Path) -> None:
    """Put into a virtual environment what it needs; what is there and right stays.

    Args:
        environment: its folder, ``bin`` and ``lib`` below it.

    Raises:
        OSError: it cannot be written.
    """
    for packages in environment.glob("lib/python3*/site-packages"):
        # The module first: the line that imports it runs at every start.
        _write(packages / f"{MODULE}.py", _SOURCE.read_text(encoding="utf-8"))
        _write(packages / f"{MODULE}.pth", _LINE)
        for extension in packages.glob("duckdb_extension_*/extensions/*/*.duckdb_extension"):
            # DuckDB wants a folder per version and platform, the packages have
            # one per version.
            folder = environment / EXTENSIONS / extension.parent.name / _platform()
            folder.mkdir(parents=True, exist_ok=True)
            link = folder / extension.name
            wanted = Path(os.path.relpath(extension, folder))
            if not link.is_symlink() or link.readlink() != wanted:
                link.unlink(missing_ok=True)
                link.symlink_to(wanted)


def _platform() -> str:
    """As ``PRAGMA platform`` names it."""
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    return f"{'osx' if sys.platform == 'darwin' else sys.platform}_{machine}"


def _write(path: Path, text: str) -> None:
    """Write it whole or not at all: a Python may be starting meanwhile."""
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        return
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
