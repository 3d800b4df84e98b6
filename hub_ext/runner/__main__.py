"""The runner's command. Heavy imports wait until they are needed."""

from __future__ import annotations

import sys
from pathlib import Path

_USAGE = 64


def main() -> int:
    """Execute the attempt in the folder that is named; returns `outcome.ExitCode`."""
    arguments = sys.argv[1:]
    if len(arguments) != 1 or arguments[0].startswith("-"):
        print("usage: python -m hub_ext.runner FOLDER", file=sys.stderr)
        return 0 if arguments in (["-h"], ["--help"]) else _USAGE
    if not Path(arguments[0]).is_dir():
        print(f"almanac-runner: there is no folder {arguments[0]}", file=sys.stderr)
        return _USAGE
    from hub_ext.runner.attempt import run

    return run(Path(arguments[0]))


if __name__ == "__main__":
    sys.exit(main())
