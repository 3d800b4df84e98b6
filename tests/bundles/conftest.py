"""Notebooks, a kernelspec and a package index of our own making."""

from __future__ import annotations

import hashlib
import http.server
import json
import os
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hub_ext.bundles.environment import Lock, LockedPackage
from hub_ext.bundles.snapshot import KernelFinder, Snapshot, take


def code(source: str, *tags: str, **more: Any) -> dict[str, Any]:
    return {
        "cell_type": "code",
        "execution_count": None,
        "metadata": {"tags": list(tags)} if tags else {},
        "outputs": [],
        "source": source,
        **more,
    }


def notebook(*cells: dict[str, Any] | str, kernel: str = "here", **metadata: Any) -> dict[str, Any]:
    made = [code(cell) if isinstance(cell, str) else dict(cell) for cell in cells]
    for index, cell in enumerate(made):
        cell.setdefault("id", f"id-{index}")
    spec = {"name": kernel, "display_name": "Here", "language": "python"}
    return {
        "cells": made,
        "metadata": {"kernelspec": spec, **metadata},
        "nbformat": 4,
        "nbformat_minor": 5,
    }


@pytest.fixture(scope="session")
def notes() -> SimpleNamespace:
    """``notes.code(source, *tags)`` and ``notes.notebook(*cells)``."""
    return SimpleNamespace(code=code, notebook=notebook)


@pytest.fixture(scope="session")
def uv() -> Path:
    return Path(sys.prefix) / "bin" / "uv"


@pytest.fixture(scope="session")
def kernels(tmp_path_factory: pytest.TempPathFactory) -> KernelFinder:
    """A finder that knows one kernel, ``here``: the Python of these tests; and one of R."""
    folder = tmp_path_factory.mktemp("kernels")
    for name, argv, language in (
        ("here", [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"], "python"),
        ("ir", ["R", "--args", "{connection_file}"], "R"),
        ("wrapped", ["bash", "-c", "python -m ipykernel_launcher"], "python"),
    ):
        (folder / name).mkdir()
        spec = {"argv": argv, "display_name": name.title(), "language": language}
        (folder / name / "kernel.json").write_text(json.dumps(spec))
    return KernelFinder([folder])


Taking = Callable[..., Snapshot]


@pytest.fixture
def taking(tmp_path: Path, kernels: KernelFinder) -> Taking:
    """Takes the snapshot of a notebook given by its cells."""

    def make(*cells: Any, files: dict[str, bytes] | None = None, **options: Any) -> Snapshot:
        path = tmp_path / "note.ipynb"
        path.write_text(json.dumps(notebook(*cells, **options)))
        for name, content in (files or {}).items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_bytes(content)
        return take(path, files=[Path(name) for name in files or {}], owner="ana", kernels=kernels)

    return make


@pytest.fixture
def lock() -> Lock:
    hashes = ("sha256:" + "a" * 64, "sha256:" + "b" * 64)
    return Lock(
        python="3.11.7",
        platform="linux-x86_64",
        packages=(LockedPackage(name="ipykernel", version="7.0", hashes=hashes),),
    )


@dataclass
class Index:
    """A package index on loopback, with wheels made here.

    Attributes:
        env: environment that leads uv to it, with a cache of its own.
    """

    folder: Path
    url: str
    env: dict[str, str]

    def add(self, name: str, version: str, *, files: dict[str, str] | None = None) -> str:
        """Publish a pure Python wheel; returns its sha256."""
        module = name.replace("-", "_")
        info = f"{module}-{version}.dist-info"
        contents = {
            f"{module}/__init__.py": f"version = {version!r}\n",
            **(files or {}),
            f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
            f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\n"
            "Tag: py3-none-any\n",
        }
        record = "".join(f"{path},,\n" for path in [*contents, f"{info}/RECORD"])
        project = self.folder / "simple" / name
        project.mkdir(parents=True, exist_ok=True)
        wheel = project / f"{module}-{version}-py3-none-any.whl"
        with zipfile.ZipFile(wheel, "w") as archive:
            for path, text in {**contents, f"{info}/RECORD": record}.items():
                archive.writestr(zipfile.ZipInfo(path, (2020, 1, 1, 0, 0, 0)), text)
        self._write_page(project)
        return hashlib.sha256(wheel.read_bytes()).hexdigest()

    def _write_page(self, project: Path) -> None:
        links = "".join(
            f'<a href="{path.name}#sha256={hashlib.sha256(path.read_bytes()).hexdigest()}">'
            f"{path.name}</a>\n"
            for path in sorted(project.glob("*.whl"))
        )
        (project / "index.html").write_text(f"<!DOCTYPE html><html><body>{links}</body></html>")


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    folder = tmp_path / "index"
    (folder / "simple").mkdir(parents=True)
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), lambda *a: _Quiet(*a, directory=str(folder))
    )
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    url = f"http://127.0.0.1:{server.server_address[1]}/simple"
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "UV_CACHE_DIR": str(tmp_path / "uv-cache"),
        "UV_HTTP_RETRIES": "0",
        "PIP_INDEX_URL": url,
    }
    yield Index(folder, url, env)
    server.shutdown()
    server.server_close()
