"""What an interpreter has installed, asked of the interpreter itself."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from hub_ext.bundles.git import without_credentials
from hub_ext.errors import Invalid

TIMEOUT = 60.0

Origin = Literal["index", "folder", "editable", "repository", "file"]

# Runs in the kernel's interpreter, whatever its version: standard library
# alone, nothing newer than Python 3.8.
_SCRIPT = r"""
import importlib.metadata, json, os, platform, sys
found = []
for d in importlib.metadata.distributions():
    try:
        name, version = d.metadata["Name"], d.version
        if not name or not version:
            continue
        direct = d.read_text("direct_url.json")
        found.append({
            "name": name,
            "version": version,
            "direct_url": json.loads(direct) if direct else None,
            "installer": (d.read_text("INSTALLER") or "").strip(),
            "place": os.path.basename(str(d.locate_file(""))) or
                     os.path.basename(os.path.dirname(str(d.locate_file("")))),
        })
    except Exception as error:
        print("skipped a distribution: %r" % (error,), file=sys.stderr)
json.dump({
    "python": "%d.%d.%d" % sys.version_info[:3],
    "implementation": sys.implementation.name,
    "platform": "%s-%s" % (sys.platform, platform.machine().lower()),
    "distributions": found,
}, sys.stdout)
"""


class EnvironmentUnreadable(Invalid):
    code = "environment-unreadable"


@dataclass(frozen=True, order=True)
class Distribution:
    """One installed package.

    Attributes:
        name: normalised: lower case, hyphens.
        origin: where it was installed from: the package index; a folder,
            once or editable; a repository; a file or address.
        source: that folder, repository or file, without credentials.
        sha256: of the file it was installed from, where that is recorded.
    """

    name: str
    version: str
    origin: Origin = "index"
    source: str = ""
    sha256: str = ""


@dataclass(frozen=True)
class Listing:
    """An interpreter and its packages, sorted by name."""

    executable: Path
    python: str
    implementation: str
    platform: str
    packages: tuple[Distribution, ...]

    def get(self, name: str) -> Distribution | None:
        wanted = normalise(name)
        return next((item for item in self.packages if item.name == wanted), None)


def normalise(name: str) -> str:
    """A package's name as the index compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def listing(python: Path) -> Listing:
    """The packages that ``python`` has installed.

    Runs it isolated (``-I``): its own site-packages count; the user's own,
    ``PYTHONPATH`` and the current folder do not, since no job has them.

    Raises:
        EnvironmentUnreadable: it does not start, or does not answer in 60 s.
    """
    try:
        done = subprocess.run(
            [str(python), "-I", "-c", _SCRIPT],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=TIMEOUT,
            cwd="/",
            check=True,
        )
        answer: dict[str, Any] = json.loads(done.stdout)
    except FileNotFoundError as error:
        raise EnvironmentUnreadable(
            f"The kernel's Python {python} is not there.",
            mend="Reinstall the kernel: `python -m ipykernel install --user`.",
        ) from error
    except subprocess.TimeoutExpired as error:
        raise EnvironmentUnreadable(
            f"The kernel's Python {python} did not list its packages within {TIMEOUT:.0f} s."
        ) from error
    except (OSError, ValueError, subprocess.CalledProcessError) as error:
        raise EnvironmentUnreadable(
            f"The kernel's Python {python} cannot list its packages.",
            mend="Try it in a terminal: it must start and know importlib.metadata (3.8 or newer).",
        ) from error
    # The first of a name on the interpreter's path is the one it imports.
    packages: dict[str, Distribution] = {}
    for item in answer["distributions"]:
        packages.setdefault(normalise(item["name"]), _distribution(item))
    return Listing(
        executable=python,
        python=answer["python"],
        implementation=answer["implementation"],
        platform=answer["platform"],
        packages=tuple(sorted(packages.values())),
    )


def _distribution(item: dict[str, Any]) -> Distribution:
    origin, source, sha256 = _origin(item)
    return Distribution(normalise(item["name"]), item["version"], origin, source, sha256)


def _origin(item: dict[str, Any]) -> tuple[Origin, str, str]:
    direct = item["direct_url"]
    if item["installer"] == "conda":
        # Conda records the folder in which the package was once built.
        return "index", "", ""
    if not direct:
        if item["place"] in ("site-packages", "dist-packages"):
            return "index", "", ""
        return "editable", item["place"], ""  # put on the path by `setup.py develop`
    url = without_credentials(str(direct.get("url", "")))
    if "vcs_info" in direct:
        return "repository", url, ""
    if "dir_info" in direct:
        return ("editable" if direct["dir_info"].get("editable") else "folder"), url, ""
    archive = direct.get("archive_info", {})
    sha256 = archive.get("hashes", {}).get("sha256", "")
    if not sha256 and str(archive.get("hash", "")).startswith("sha256="):
        sha256 = archive["hash"].removeprefix("sha256=")
    return "file", url, sha256
