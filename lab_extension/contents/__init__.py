"""Object storage as JupyterLab's file system.

The names below come when they are asked for: importing ``lab_extension``, which
Jupyter does only to ask for paths, stays cheap.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lab_extension.contents.checkpoints import S3Checkpoints
    from lab_extension.contents.manager import S3ContentsManager
    from lab_extension.contents.roots.manager import RootsContentsManager

__all__ = ["RootsContentsManager", "S3Checkpoints", "S3ContentsManager"]

_MODULES = {
    "RootsContentsManager": "roots.manager",
    "S3Checkpoints": "checkpoints",
    "S3ContentsManager": "manager",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_MODULES])
