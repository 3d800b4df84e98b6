"""DuckDB in a notebook: ``SELECT * FROM 's3://…'`` without a line of set-up.

Copied into the environments of notebooks and runs by `equipped`, and imported
by a ``.pth`` file whenever their Python starts; so it runs in any Python from
3.8 on, needs the standard library alone, and does nothing until ``duckdb`` is
imported. Every other client reads the variables of the kernel by itself.
DuckDB reads none for path-style addresses and for credentials that are renewed,
and a persistent secret would keep a key in a file. So each connection is given:

- ``extension_directories``: where the environment keeps the packaged extensions,
  so that ``httpfs`` loads (and ``INSTALL httpfs`` has nothing to do) without a
  way to the world and without a file in the home;
- a temporary secret for the platform's bucket, from the container-credentials
  endpoint, replaced by a thread long before it expires: DuckDB signs with what
  it had when it opened a file, to the end of the statement.

Whatever goes wrong here leaves DuckDB as it was: a connection is never refused.
Versions before 1.3 are left alone, since their secrets take no parameters.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False  # typing's own would have every start of Python import it
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from importlib.machinery import ModuleSpec
    from typing import Any

NAME = "almanac_storage"
"""Of the secret; a user's own for another bucket, or of a narrower scope, goes first."""
OLDEST = (1, 3)
SHARE = 0.25
"""Of the credentials' lifetime, after which they are renewed."""
TICK = 15.0
"""Seconds, at most, between two looks at the clock: it jumps when a machine was suspended."""
TIMEOUT = 5.0
"""Seconds that the endpoint may take to answer, and for which a failure is not tried again."""
URI, TOKEN_FILE = "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"
# Functions of the module that work on its default connection. That is made by
# the first of them: made at the import, it would not survive a fork.
DEFAULTED = (
    *("begin", "cursor", "default_connection", "duplicate", "execute", "executemany"),
    *("from_csv_auto", "from_parquet", "from_query", "get_table_names", "query", "query_df"),
    *("read_csv", "read_json", "read_parquet", "sql", "table", "table_function", "view"),
)


def install() -> None:
    """Have DuckDB equipped when it is imported."""
    if not any(isinstance(finder, Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, Finder())


class Finder:
    """Finds ``duckdb`` as it would be found without, and equips it once it is loaded."""

    def __init__(self) -> None:
        self.busy = False

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if name != "duckdb" or self.busy:
            return None
        from contextlib import suppress
        from importlib.util import find_spec

        self.busy = True
        try:
            spec = find_spec(name)
        finally:
            self.busy = False
        if spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def exec_module(module: Any) -> None:
            execute(module)
            with suppress(Exception):
                equip(module)

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def equip(duckdb: Any) -> None:
    """Let each connection that ``duckdb`` makes from now on be prepared."""
    from functools import wraps

    if tuple(map(int, duckdb.__version__.split(".")[:2])) < OLDEST:
        return
    storage = Storage(duckdb.default_connection)

    def preparing(make: Any) -> Any:
        @wraps(make)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            connection = make(*args, **kwargs)
            storage.prepare(connection)
            return connection

        return wrapper

    def defaulted(function: Any) -> Any:
        @wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            if kwargs.get("connection") is None:
                storage.prepare_default()
            return function(*args, **kwargs)

        return wrapper

    for name in DEFAULTED:
        if hasattr(duckdb, name):
            setattr(duckdb, name, defaulted(getattr(duckdb, name)))
    duckdb.connect = preparing(duckdb.connect)
    # A cursor is a connection of its own to the same database, and may outlive
    # the one that it was made from.
    for name in ("cursor", "duplicate"):
        made = getattr(duckdb.DuckDBPyConnection, name)
        setattr(duckdb.DuckDBPyConnection, name, following(made, storage))


def following(make: Any, storage: Storage) -> Any:
    from functools import wraps

    @wraps(make)
    def wrapper(self: Any) -> Any:
        connection = make(self)
        storage.follow(connection)
        return connection

    return wrapper


class Storage:
    """The connections of this process, and the credentials that they have.

    Args:
        default_connection: DuckDB's own.
    """

    def __init__(self, default_connection: Callable[[], Any]) -> None:
        import os
        import threading
        import weakref

        self.default_connection = default_connection
        self.default: Any = None
        self.connections: Any = weakref.WeakSet()
        self.document: dict[str, str] | None = None
        self.renew_at = 0.0
        self.complained = False
        self._begin(threading)

        def in_child() -> None:
            # The thread stays in the parent, and so may somebody's hold on the
            # lock. A database does not survive a fork either: it is not touched.
            self._begin(threading)
            self.connections = weakref.WeakSet()

        os.register_at_fork(after_in_child=in_child)

    def _begin(self, threading: Any) -> None:
        self.lock = threading.RLock()
        self.over = threading.Event()
        self.thread: Any = None

    def prepare_default(self) -> None:
        connection = self.default_connection()
        if connection is not self.default:
            # Another thread that comes meanwhile waits until it can be used.
            with self.lock:
                if connection is not self.default:
                    self.prepare(connection)
                    self.default = connection

    def follow(self, connection: Any) -> None:
        with self.lock:
            self.connections.add(connection)

    def prepare(self, connection: Any) -> None:
        """Give it the extensions and the secret, as far as there are any."""
        import os
        from contextlib import suppress

        with self.lock:
            if connection in self.connections:
                return
            self.connections.add(connection)
        # A database may refuse it: settings are locked, or nothing outside may be reached.
        with suppress(Exception):
            show_extensions(connection)
            # Without it the secret would have DuckDB look for it in the world.
            (there,) = connection.execute(
                "SELECT coalesce(bool_or(installed OR loaded), false) FROM duckdb_extensions() "
                "WHERE extension_name = 'httpfs'"
            ).fetchone()
            if there and os.environ.get(URI) and endpoint(os.environ):
                document = self.credentials()
                # Also without: it gives them as soon as there are any.
                self._watch()
                give(connection, document or {})

    def credentials(self) -> dict[str, str] | None:
        """The document of the endpoint, not older than a share of its lifetime."""
        import time

        with self.lock:
            if time.time() >= self.renew_at:
                try:
                    self.document = fetch()
                    self.renew_at = due(self.document, time.time())
                except Exception as error:
                    self.renew_at = time.time() + TIMEOUT
                    self.complain(error)
            return self.document

    def _watch(self) -> None:
        import atexit
        import threading

        with self.lock:
            if self.thread is None:
                self.thread = threading.Thread(
                    target=self._keep_new, name="almanac-duckdb", daemon=True
                )
                self.thread.start()
                atexit.register(self._end)

    def _end(self) -> None:
        thread, self.thread = self.thread, None
        self.over.set()
        if thread is not None:
            thread.join(TIMEOUT)

    def _keep_new(self) -> None:
        import time

        given = self.document
        while not self.over.wait(max(0.2, min(TICK, self.renew_at - time.time()))):
            document = self.credentials()
            if document is given or document is None:
                continue
            given = document
            with self.lock:
                connections = list(self.connections)
            for connection in connections:
                try:
                    # Never the connection itself: it may be at work.
                    with connection.cursor() as cursor:
                        give(cursor, document)
                except Exception:
                    # Closed, or not one of ours to change.
                    with self.lock:
                        self.connections.discard(connection)

    def complain(self, error: Exception) -> None:
        import warnings

        if not self.complained:
            self.complained = True
            text = f"DuckDB has no credentials for the object storage ({error})."
            warnings.warn(text, RuntimeWarning, stacklevel=1)


def show_extensions(connection: Any) -> None:
    """Have it find the extensions that were installed as packages; a user's own choice stays."""
    from pathlib import Path

    folder = Path(sys.prefix, "share", "almanac", "duckdb")
    if not folder.is_dir():
        return
    own = connection.execute(
        "SELECT value FROM duckdb_settings() WHERE name = 'extension_directories'"
    ).fetchone()
    if own is None:  # before 1.5
        (version,) = connection.execute("SELECT library_version FROM pragma_version()").fetchone()
        for file in folder.glob(f"{version}/*/httpfs.duckdb_extension"):
            connection.execute(f"LOAD {quoted(file)}")
    elif own[0] == "[]":
        connection.execute(f"SET extension_directories = [{quoted(folder)}]")


def quoted(text: object) -> str:
    return "'" + str(text).replace("'", "''") + "'"


def fetch() -> dict[str, str]:
    """New credentials, as the container-credentials endpoint gives them.

    Returns:
        Its document: ``AccessKeyId``, ``SecretAccessKey``, ``Token``, ``Expiration``.
    """
    import json
    import os
    from pathlib import Path
    from urllib.parse import urlsplit
    from urllib.request import ProxyHandler, Request, build_opener

    uri = os.environ[URI]
    here = urlsplit(uri).hostname in ("localhost", "127.0.0.1", "::1")
    if not here and not uri.startswith("https://"):
        raise ValueError(f"{URI} is neither https nor on this machine")
    if not uri.startswith(("http://", "https://")):
        raise ValueError(f"{URI} is no address of the web")
    headers = {"Accept": "application/json"}
    if os.environ.get(TOKEN_FILE):
        headers["Authorization"] = Path(os.environ[TOKEN_FILE]).read_text().strip()
    opener = build_opener(ProxyHandler({})) if here else build_opener()
    request = Request(uri, headers=headers)  # noqa: S310 - see above
    with opener.open(request, timeout=TIMEOUT) as answer:
        document: dict[str, str] = json.load(answer)
    if not document.get("AccessKeyId") or not document.get("Expiration"):
        raise ValueError(f"{uri} gives none")
    return document


def due(document: Mapping[str, str], now: float) -> float:
    """When to renew credentials that were issued now; seconds of the epoch."""
    from datetime import datetime

    expires = datetime.fromisoformat(document["Expiration"].replace("Z", "+00:00")).timestamp()
    return now + max(1.0, (expires - now) * SHARE)


def give(connection: Any, document: Mapping[str, str]) -> None:
    """Give the connection's database the secret.

    The keys are parameters and no part of the statement, which DuckDB may log.
    Without any it is still the platform's store that is asked, and refuses, and
    not somebody's in the world who is told the names.
    """
    import os

    scheme, _, address = endpoint(os.environ).rstrip("/").partition("://")
    connection.execute(
        f"CREATE OR REPLACE TEMPORARY SECRET {NAME} (TYPE s3, PROVIDER config, URL_STYLE 'path', "
        "KEY_ID $1, SECRET $2, SESSION_TOKEN $3, ENDPOINT $4, REGION $5, USE_SSL $6, SCOPE $7)",
        [
            document.get("AccessKeyId", ""),
            document.get("SecretAccessKey", ""),
            document.get("Token", ""),
            address,
            os.environ.get("AWS_REGION", "us-east-1"),
            scheme == "https",
            scope(os.environ),
        ],
    )


def endpoint(environment: Mapping[str, str]) -> str:
    return environment.get("AWS_ENDPOINT_URL_S3") or environment.get("AWS_ENDPOINT_URL", "")


def scope(environment: Mapping[str, str]) -> str:
    """Whose addresses the secret is for: those of the platform's bucket."""
    bucket = environment.get("ALMANAC_STORE_BUCKET")
    if not bucket:
        bucket = environment.get("ALMANAC_PROJECT_URI", "").partition("://")[2].partition("/")[0]
    return f"s3://{bucket}/" if bucket else "s3://"
