"""A person's folder on this machine, made ready for the first server."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from hub_ext.names import slugify

WORK = "work"
CONTENTS_MANAGER = "lab_extension.contents.RootsContentsManager"
TERMINALS = "lab_extension.terminals.TerminalManager"
BUCKET_VARIABLE = "ALMANAC_STORE_BUCKET"
ONE_ACCOUNT_VARIABLE = "ALMANAC_ONE_ACCOUNT"
EXAMPLES = "examples"


def home_of(homes: Path, username: str) -> Path:
    """``homes/<slug>``; two names never share one."""
    return homes / slugify(username)


def server_arguments(given: Iterable[str]) -> list[str]:
    """What makes a server show ``work/``, ``home/`` and ``projects/``, wherever it runs.

    As arguments and not by the extension itself: a Jupyter Server that
    somebody starts by hand keeps the files that it was started on.

    Args:
        given: the arguments there are already; an operator's own choice stays.
    """
    wanted = {
        "--ServerApp.contents_manager_class": CONTENTS_MANAGER,
        "--TerminalsExtensionApp.terminal_manager_class": TERMINALS,
    }
    named = {argument.partition("=")[0] for argument in given}
    return [f"{name}={value}" for name, value in wanted.items() if name not in named]


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
