"""What Almanac adds to each user's server: the Productionize panel and its server side.

The one part of Almanac that runs as the user. It knows the bundle library and
talks to the job service by HTTP, with the token of the server it runs in.
"""

from __future__ import annotations

from typing import Any

__all__ = [
    "_jupyter_labextension_paths",
    "_jupyter_server_extension_points",
    "_load_jupyter_server_extension",
]


def _jupyter_labextension_paths() -> list[dict[str, str]]:
    return [{"src": "labextension", "dest": "almanac"}]


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "lab_extension"}]


def _load_jupyter_server_extension(serverapp: Any) -> None:
    """Called by Jupyter Server at its start; ``serverapp`` is its ``ServerApp``."""
    # Kept out of the import of this module: Jupyter imports it only to ask for paths, too.
    from lab_extension import credentials, endings, handlers, logs

    logs.protect()
    credentials.write_token_file(log=serverapp.log)
    handlers.install(serverapp)
    endings.install(serverapp)
