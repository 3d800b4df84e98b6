"""``python -m hub_ext.quick MODULE …``: as ``python -m MODULE …``, and ready sooner.

jsonschema takes rfc3987-syntax where that is installed, and that builds the
grammar of internationalised addresses when it is imported: 1.4 s of every
start of the hub, the job service and each person's server, for a check of
values that none of their schemas has. jsonschema does without it where it
cannot be imported, and here it cannot.
"""

from __future__ import annotations

import runpy
import sys

UNUSED = "rfc3987_syntax"


def main() -> None:
    """Run the module named by the first argument, with the others as its own."""
    if len(sys.argv) < 2:
        sys.exit("usage: python -m hub_ext.quick MODULE [ARGUMENT …]")
    sys.modules[UNUSED] = None  # type: ignore[assignment]  # what makes `import` refuse
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
