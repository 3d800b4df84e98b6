"""A real Jupyter Server whose files are in a real object store, for the tests of its HTTP side."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import obstore
import psutil
from obstore.store import S3Store

from tests.lab_extension.conftest import Lab, running_lab
from tests.support.stores import RunningStore


@dataclass
class ObjectLab:
    """A user's server on object storage.

    Attributes:
        client: signed in; its addresses are relative to the server's own.
        bucket: the server's prefix, as somebody else with the store's keys sees it.
    """

    lab: Lab
    client: httpx.Client
    bucket: S3Store
    prefix: str
    store: RunningStore

    def put(self, path: str, data: bytes = b"a,b\n1,2\n", media_type: str = "") -> None:
        attributes: Any = {"Content-Type": media_type} if media_type else None
        obstore.put(self.bucket, path, data, attributes=attributes)

    def put_pieces(self, path: str, pieces: Iterator[bytes]) -> None:
        obstore.put(self.bucket, path, pieces, chunk_size=8 << 20)

    def remove(self, path: str) -> None:
        obstore.delete(self.bucket, path)

    def read(self, path: str) -> bytes:
        return bytes(obstore.get(self.bucket, path).bytes())

    def file(self, path: str, method: str = "GET", **options: Any) -> httpx.Response:
        return self.client.request(method, f"files/{quote(path)}", **options)

    def ask(self, name: str, **query: Any) -> httpx.Response:
        return self.client.get(f"almanac/api/storage/{name}", params=query)

    def tell(self, name: str, **body: Any) -> httpx.Response:
        return self.client.post(f"almanac/api/storage/{name}", json=body)

    def memory(self) -> int:
        """Bytes that the server holds in memory now."""
        return int(self.process().memory_info().rss)

    def connections_to_store(self) -> int:
        """How many the server holds open now."""
        port = httpx.URL(self.store.endpoint).port
        return sum(
            bool(item.raddr) and item.raddr.port == port
            for item in self.process().net_connections("tcp")
        )

    def process(self) -> psutil.Process:
        port = httpx.URL(self.lab.url).port
        for process in psutil.Process().children():
            connections = process.net_connections("tcp")
            if any(item.status == "LISTEN" and item.laddr.port == port for item in connections):
                return process
        raise AssertionError(f"nobody listens on port {port}")


@contextmanager
def object_lab(
    folder: Path,
    kernel_python: Path,
    store: RunningStore,
    prefix: str,
    *,
    traits: Mapping[str, Any] | None = None,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    **environment: str,
) -> Iterator[ObjectLab]:
    """Start one.

    Args:
        folder: empty; home and settings of the server.
        traits: of the contents manager, besides where its store is.
        settings: of other classes.
    """
    config: dict[str, Any] = {
        "ServerApp": {"contents_manager_class": "lab_extension.contents.S3ContentsManager"},
        "S3ContentsManager": {
            "bucket": store.bucket,
            "prefix": prefix,
            "endpoint_url": store.endpoint,
            "access_key_id": store.access_key,
            "secret_access_key": store.secret_key,
            "region_name": store.region,
            **(traits or {}),
        },
        **(settings or {}),
    }
    place = folder / "config" / "jupyter_server_config.json"
    place.parent.mkdir(parents=True)
    place.write_text(json.dumps(config))
    os.chmod(place, 0o600)  # noqa: PTH101
    bucket = S3Store(
        config["S3ContentsManager"]["bucket"],
        prefix=prefix.strip("/"),
        endpoint=store.endpoint,
        region=store.region,
        access_key_id=store.access_key,
        secret_access_key=store.secret_key,
        client_options={"allow_http": True, "timeout": timedelta(minutes=1)},
    )
    with (
        running_lab(folder, kernel_python, **environment) as lab,
        httpx.Client(
            base_url=lab.url, headers={"Authorization": f"token {lab.token}"}, timeout=60
        ) as client,
    ):
        yield ObjectLab(lab, client, bucket, prefix.strip("/"), store)
