"""A person's folder on this machine, made ready for the first server."""

from __future__ import annotations

import shutil
from pathlib import Path

from hub_ext.names import slugify

WORK = "work"
EXAMPLES = "examples"


def home_of(homes: Path, username: str) -> Path:
    """``homes/<slug>``; two names never share one."""
    return homes / slugify(username)


def prepare(home: Path, examples: Path | None = None) -> Path:
    """Make ``home/work`` and return it.

    Whoever gets it for the first time also gets the example notebooks, in
    ``work/examples``. Nothing that is there is ever written over, and
    examples that somebody threw away do not come back.

    Args:
        examples: folder of notebooks; None for none.
    """
    work = home / WORK
    new = not work.exists()
    work.mkdir(mode=0o700, parents=True, exist_ok=True)
    if new and examples is not None and examples.is_dir():
        target = work / EXAMPLES
        target.mkdir(mode=0o700, exist_ok=True)
        for source in sorted(examples.glob("*.ipynb")):
            copy = target / source.name
            if not copy.exists():
                shutil.copyfile(source, copy)
    return work
