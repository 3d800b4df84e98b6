"""The platform's bucket as the platform's own code uses it.

Blocking, on obstore. Content never passes through memory as a whole: files go
up in parts and come down in chunks. What can go wrong is said in the
platform's own errors, and said soon: a store that is down is an `Unavailable`
that names the endpoint within seconds.
"""

from __future__ import annotations

import contextlib
import mimetypes
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import obstore
from obstore import exceptions as faults
from obstore.store import S3Store

from hub_ext.errors import Forbidden, NotFound, PublicError, Unavailable
from hub_ext.loopback import directly

if TYPE_CHECKING:
    pass

CHUNK = 8 * 1024 * 1024
"""Bytes of a part going up and of a chunk coming down. S3 refuses parts under 5 MiB."""
CONNECT_TIMEOUT = timedelta(seconds=3)
READ_TIMEOUT = timedelta(seconds=20)
"""Longest silence of the store within an answer."""
REQUEST_TIMEOUT = timedelta(minutes=10)
"""Longest time for one request; a part is one request, a file is many."""
RETRY_FOR = timedelta(seconds=5)
"""How long requests are tried again; bridges the restart of a store."""
UNKNOWN_TYPE = "application/octet-stream"
REFUSALS = ("AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken")
DELETE_AT_ONCE = 500
"""Keys of one bulk delete; S3 allows 1000."""


@dataclass(frozen=True)
class ObjectInfo:
    """What the store says about one object.

    Attributes:
        key: its whole key in the bucket.
        size: in bytes.
        modified: when it was written, in UTC.
        etag: changes with the content; opaque.
        version: the store's name for this version; None without versions.
    """

    key: str
    size: int
    modified: datetime
    etag: str | None = None
    version: str | None = None


@dataclass(frozen=True)
class OpenObject:
    """An object that is being read.

    Attributes:
        info: what the store says about it; its size is that of ``chunks`` together.
        media_type: as it was stored.
        chunks: the content, once.
    """

    info: ObjectInfo
    media_type: str
    chunks: Iterator[bytes]


class ObjectStore:
    """One bucket. Safe to share between threads.

    Every method raises:
        Unavailable: the store does not answer, or its bucket is not there.
        Forbidden: the credentials do not reach that far.
    """

    def __init__(self, store: S3Store, *, endpoint: str, bucket: str):
        self._store = store
        self.endpoint = endpoint
        self.bucket = bucket

    @classmethod
    def connect(
        cls,
        endpoint: str,
        bucket: str,
        region: str,
        access_key: str,
        secret_key: str,
        session_token: str | None = None,
    ) -> ObjectStore:
        """A store at ``endpoint`` (``http://host:port``); sends no request yet."""
        # What obstore would take from AWS_* of the environment is set here, and a
        # provider gives the keys: a stray AWS_SESSION_TOKEN would be added to
        # keys of the configuration, and break them.
        credential = {
            "access_key_id": access_key,
            "secret_access_key": secret_key,
            "token": session_token,
            "expires_at": None,
        }
        store = S3Store(
            bucket,
            endpoint=endpoint,
            region=region,
            config={
                "aws_endpoint_url_s3": endpoint,
                "virtual_hosted_style_request": False,
                "skip_signature": False,
                "s3_express": False,
            },
            credential_provider=lambda: credential,  # type: ignore[arg-type]
            client_options={
                "allow_http": True,
                "connect_timeout": CONNECT_TIMEOUT,
                "read_timeout": READ_TIMEOUT,
                "timeout": REQUEST_TIMEOUT,
                **directly(endpoint),
            },
            retry_config={
                "max_retries": 10,
                "retry_timeout": RETRY_FOR,
                "backoff": {
                    "init_backoff": timedelta(milliseconds=100),
                    "max_backoff": timedelta(seconds=1),
                    "base": 2,
                },
            },
        )
        return cls(store, endpoint=endpoint, bucket=bucket)

    def put(self, key: str, data: bytes, *, media_type: str | None = None) -> str | None:
        """Write ``data`` under ``key``, over what was there; returns the etag."""
        with self._faults(key):
            return obstore.put(self._store, key, data, attributes=_attributes(key, media_type))[
                "e_tag"
            ]

    def put_file(self, key: str, path: Path, *, media_type: str | None = None) -> str | None:
        """Write the file under ``key``, in parts where it is large; returns the etag.

        The object appears when it is whole: a failure half-way leaves what was
        there before.
        """
        size = path.stat().st_size  # here, or a missing file would look like a missing object
        with self._faults(key):
            return obstore.put(
                self._store,
                key,
                path,
                use_multipart=size > CHUNK,
                attributes=_attributes(key, media_type),
                chunk_size=CHUNK,
                max_concurrency=4,
            )["e_tag"]

    def put_stream(
        self, key: str, chunks: Iterator[bytes], *, media_type: str | None = None
    ) -> str | None:
        """As `put_file`, from chunks of any size; holds a few parts in memory."""
        with self._faults(key):
            return obstore.put(
                self._store,
                key,
                chunks,
                attributes=_attributes(key, media_type),
                chunk_size=CHUNK,
                max_concurrency=2,
            )["e_tag"]

    def get(self, key: str) -> bytes:
        """The whole object.

        Raises:
            NotFound: there is none.
        """
        with self._faults(key):
            return bytes(obstore.get(self._store, key).bytes())

    def open(self, key: str) -> OpenObject:
        """The object's description and its content, which comes as it is read.

        Raises:
            NotFound: there is none.
        """
        with self._faults(key):
            answer = obstore.get(self._store, key)
            return OpenObject(
                info=_info(answer.meta),  # type: ignore[arg-type]
                media_type=str(answer.attributes.get("Content-Type", UNKNOWN_TYPE)),
                chunks=self._chunks(key, answer),
            )

    def stream(self, key: str) -> Iterator[bytes]:
        """The object in chunks. Asks for it at once, so `NotFound` comes at the call."""
        return self.open(key).chunks

    def _chunks(self, key: str, answer: Any) -> Iterator[bytes]:
        with self._faults(key):
            for chunk in answer.stream(min_chunk_size=CHUNK // 8):
                yield bytes(chunk)

    def get_file(self, key: str, path: Path) -> int:
        """Write the object to ``path`` and return its size in bytes.

        The file appears when it is whole, with mode 0600; its folder must be there.

        Raises:
            NotFound: there is no such object.
        """
        chunks = self.stream(key)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(descriptor, "wb") as file:
                for chunk in chunks:
                    file.write(chunk)
                size = file.tell()
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        return size

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """The objects whose keys begin with ``prefix``, folder by folder.

        ``prefix`` is a folder, with or without its closing slash, or empty for
        all: S3 clients, obstore among them, match whole segments of a key.
        """
        with self._faults(prefix):
            for batch in obstore.list(self._store, prefix.rstrip("/") or None, chunk_size=500):
                for meta in batch:
                    yield _info(meta)  # type: ignore[arg-type]

    def folders(self, prefix: str) -> Sequence[str]:
        """The folders directly below ``prefix``, each as a prefix with its closing slash."""
        with self._faults(prefix):
            found = obstore.list_with_delimiter(self._store, prefix.rstrip("/") or None)
            return sorted(f"{name.rstrip('/')}/" for name in found["common_prefixes"])

    def head(self, key: str) -> ObjectInfo:
        """What the store knows of an object, without its content.

        Raises:
            NotFound: there is none.
        """
        with self._faults(key):
            return _info(obstore.head(self._store, key))  # type: ignore[arg-type]

    def exists(self, key: str) -> bool:
        try:
            self.head(key)
        except NotFound:
            return False
        return True

    def delete(self, key: str) -> None:
        """Remove the object; harmless if it is not there."""
        with contextlib.suppress(NotFound), self._faults(key):
            obstore.delete(self._store, key)

    def delete_prefix(self, prefix: str) -> int:
        """Remove every object below ``prefix``; returns how many there were.

        Raises:
            ValueError: an empty prefix, which would empty the bucket.
        """
        if not prefix.strip("/"):
            raise ValueError("refusing to delete a whole bucket")
        removed = 0
        keys: list[str] = []
        for info in self.list(prefix):
            keys.append(info.key)
            if len(keys) == DELETE_AT_ONCE:
                removed += self._delete_many(prefix, keys)
                keys = []
        return removed + self._delete_many(prefix, keys)

    def _delete_many(self, prefix: str, keys: Sequence[str]) -> int:
        if keys:
            with self._faults(prefix):
                obstore.delete(self._store, keys)
        return len(keys)

    @contextlib.contextmanager
    def _faults(self, key: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:  # obstore's class for an object
            raise self._missing(key, error) from error
        except (faults.PermissionDeniedError, faults.UnauthenticatedError) as error:
            raise self._refused(key) from error
        except faults.InvalidPathError as error:
            raise NotFound(f"{key!r} cannot be the key of an object.") from error
        except faults.BaseError as error:
            # Lists and bulk deletes have no class of their own for these.
            if any(code in str(error) for code in REFUSALS):
                raise self._refused(key) from error
            if "NoSuchBucket" in str(error):
                raise self._missing(key, error) from error
            raise Unavailable(
                f"The object store at {self.endpoint} does not answer.",
                mend="`almanac status` says whether it runs; its log is store.log.",
            ) from error

    def _refused(self, key: str) -> Forbidden:
        return Forbidden(
            f"The object store at {self.endpoint} refuses access to {self.bucket}/{key}.",
            mend="The credentials do not cover this place, or have expired.",
        )

    def _missing(self, key: str, error: Exception) -> PublicError:
        if "NoSuchBucket" in str(error):
            return Unavailable(f"The object store at {self.endpoint} has no bucket {self.bucket}.")
        return NotFound(f"There is no object {key} in {self.bucket}.")


def _attributes(key: str, media_type: str | None) -> dict[str, str]:
    chosen = media_type or mimetypes.guess_type(key)[0] or UNKNOWN_TYPE
    return {"Content-Type": chosen}


def _info(meta: dict[str, Any]) -> ObjectInfo:
    return ObjectInfo(
        key=meta["path"],
        size=meta["size"],
        modified=meta["last_modified"].astimezone(UTC),
        etag=meta.get("e_tag"),
        version=meta.get("version"),
    )
