"""The platform side of Almanac.

`configure` is the one call that makes a JupyterHub an Almanac. Importing this
package imports nothing heavy: the runner and the bundle library live in slim
environments that hold neither JupyterHub nor a web framework.
"""

from __future__ import annotations

from typing import Any

__version__ = "0.1.0"


def configure(c: Any) -> None:
    """Make the JupyterHub that is being configured an Almanac.

    Reads almanac.yaml (see `hub_ext.settings`) and translates it into traits.
    Called from jupyterhub_config.py; whatever the operator sets on ``c`` after
    the call wins, as with any JupyterHub configuration.

    Raises:
        hub_ext.errors.PublicError: the settings are missing or wrong.
    """
    from hub_ext.hub import configure_hub

    configure_hub(c)
