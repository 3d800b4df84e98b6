"""Options that several commands share, and what they stand for."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from hub_ext.state import StateFolder

State = Annotated[
    Path | None,
    typer.Option(
        "--state",
        metavar="DIR",
        help="The state folder. Default: `$ALMANAC_STATE`, else `~/.local/share/almanac`.",
        show_default=False,
    ),
]
Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="almanac.yaml. Default: `$ALMANAC_CONFIG`, else the distribution's own "
        "`config/almanac.yaml`.",
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


def state_folder(state: Path | None) -> StateFolder:
    """The state folder that ``--state`` or the environment names; it may not be there yet."""
    from hub_ext.state import StateFolder, default_state

    return StateFolder((state or default_state()).expanduser().absolute())


def settings_file(config: Path | None) -> Path | None:
    """The almanac.yaml that ``--config`` or the environment names, else the distribution's."""
    from hub_ext.embedded import start

    return start.settings_file(config, os.environ)
