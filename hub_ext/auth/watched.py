"""almanac.yaml while the hub runs: read again when it changes, never worse than before."""

from __future__ import annotations

import logging
from pathlib import Path

from hub_ext import settings
from hub_ext.errors import PublicError
from hub_ext.settings import Settings


class WatchedSettings:
    """The settings of a file, as of now.

    A file that is broken or gone while somebody edits it must not sign people
    out or drop projects: the last good settings stay in force, and the
    mistakes are logged once for each version of the file.

    Args:
        path: almanac.yaml; None for the defaults, which never change.
        log: where mistakes are reported.

    Raises:
        SettingsError: the file is wrong to begin with.
    """

    def __init__(self, path: Path | str | None, log: logging.Logger):
        self.path = Path(path) if path else None
        self.log = log
        self._seen = self._signature()
        self._settings = settings.load(self.path)

    def current(self) -> Settings:
        """The newest settings that are valid."""
        seen = self._signature()
        if seen != self._seen:
            self._seen = seen
            try:
                self._settings = settings.load(self.path)
            except PublicError as error:
                problems = error.extra.get("problems") or [str(error)]
                self.log.error(
                    "%s is not valid; the settings from before stay in force:\n%s",
                    self.path,
                    "\n".join(problems),
                )
            else:
                self.log.info("Read %s again", self.path)
        return self._settings

    def _signature(self) -> tuple[int, int, int] | None:
        if self.path is None:
            return None
        try:
            status = self.path.stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_size, status.st_ino
