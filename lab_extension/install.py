"""``python -m lab_extension.install``: make an editable install known to Jupyter.

A wheel carries these files to where Jupyter looks. From a checkout, links do
it: what is built next is what is served next. Run again, it changes nothing.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent


def links(prefix: Path) -> dict[Path, Path]:
    """What Jupyter looks for below ``prefix``, and where it is in the checkout."""
    return {
        prefix / "share/jupyter/labextensions/almanac": HERE / "labextension",
        prefix / "etc/jupyter/jupyter_server_config.d/almanac.json": (
            HERE / "server-config/almanac.json"
        ),
    }


def checkout() -> bool:
    """Whether this is the source, and not what a wheel has installed."""
    return (HERE.parent / "pyproject.toml").is_file()


def install(prefix: Path) -> list[Path]:
    """Make the links that are not there yet; those made.

    What a wheel has put there is left as it is: it is an installation. Where
    this is a checkout it is a copy that the editable install made of whatever
    was built at that time, and would be served for ever: a link takes its place.
    """
    made = []
    for link, target in links(prefix).items():
        if link.is_symlink():
            if link.readlink() == target:
                continue
            link.unlink()
        elif link.exists():
            if not checkout():
                continue
            if link.is_dir():
                shutil.rmtree(link)
            else:
                link.unlink()
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(target)
        made.append(link)
    return made


if __name__ == "__main__":
    for path in install(Path(sys.prefix)):
        sys.stdout.write(f"{path}\n")
