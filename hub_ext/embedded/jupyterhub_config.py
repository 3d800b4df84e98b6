"""The hub's configuration under `almanac up`: Almanac's, then the operator's own.

``jupyterhub_config.py`` in the state folder, if there is one, is read last,
so that what it sets on ``c`` wins.
"""

import os
from pathlib import Path

import hub_ext

c = get_config()  # type: ignore[name-defined]  # noqa: F821  # given by traitlets

hub_ext.configure(c)

# `almanac up` stops everything within ten seconds. Jupyter gives a kernel that
# does not end by itself (one that is busy, say) five of them; half of the time
# is for its reply to a request, half for SIGTERM, then it is killed.
c.Spawner.args = ["--KernelManager.shutdown_wait_time=3"]

_own = Path(os.environ["ALMANAC_STATE"]) / "jupyterhub_config.py"
if _own.is_file():
    load_subconfig(str(_own))  # type: ignore[name-defined]  # noqa: F821
