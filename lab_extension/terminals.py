"""Terminals of a server whose folder is somebody's HOME."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jupyter_server_terminals.terminalmanager import TerminalManager as JupyterTerminalManager
from traitlets import Unicode


class TerminalManager(JupyterTerminalManager):
    """Opens terminals in ``work`` where nobody asked for another folder of the disk.

    The file browser asks for the folder that it shows, and that is none of the
    disk where it shows object storage.

    Example::

        c.TerminalsExtensionApp.terminal_manager_class = "lab_extension.terminals.TerminalManager"
    """

    folder = Unicode(
        "work",
        config=True,
        help="Where terminals open: a folder, relative to the server's; empty for that one.",
    )

    def create(self, **options: Any) -> Any:
        if not options.get("cwd") and self.parent is not None:
            folder = Path(self.parent.root_dir) / self.folder
            if folder.is_dir():
                options["cwd"] = str(folder)
        return super().create(**options)
