"""Object store credentials for the kernels of a server: a token file, and no key.

Kernels are told (by their environment) to ask the job service for short-lived
credentials, and to show the token in a file. That file is written here, from
the server's own token: the hub hands it to this process alone.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from logging import Logger
from pathlib import Path

TOKEN_VARIABLE = "JUPYTERHUB_API_TOKEN"  # noqa: S105
FILE_VARIABLE = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"


def write_token_file(*, log: Logger, environment: Mapping[str, str] = os.environ) -> Path | None:
    """Write ``token <hub token>`` to the file that kernels are pointed at, with mode 0600.

    Returns:
        Where it was written; None where the environment names no file or no
        token, or it could not be written. A server without object storage is
        still a server, so that is a warning in its log and no more.
    """
    token, name = environment.get(TOKEN_VARIABLE), environment.get(FILE_VARIABLE)
    if not token or not name:
        return None
    path = Path(name)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # mkstemp makes it 0600 from the start, and the rename leaves no moment
        # at which a kernel could read half of it.
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
        try:
            with os.fdopen(descriptor, "w") as file:
                file.write(f"token {token}")
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        log.warning(
            "Almanac: %s cannot be written (%s): notebooks have no object storage until it can.",
            path,
            error.strerror,
        )
        return None
    return path
