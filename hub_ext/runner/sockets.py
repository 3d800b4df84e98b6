"""Where a kernel's Unix sockets can lie: their paths have at most 107 bytes."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

FOLDER_LIMIT = 80
"""Longest path of a folder for sockets, in bytes; the rest is for their names."""
NAME_LIMIT = 44
"""Longest name of one below a folder of temporary files, in bytes."""


def fits(folder: Path) -> bool:
    """Whether sockets can be made in this folder."""
    return len(os.fsencode(folder)) <= FOLDER_LIMIT


def temporary_folder() -> Path:
    """Where folders for sockets can be made: ``$TMPDIR``, or ``/tmp`` if that is too long."""
    chosen = Path(tempfile.gettempdir())
    return chosen if fits(chosen / ("x" * NAME_LIMIT)) else Path("/tmp")  # noqa: S108
