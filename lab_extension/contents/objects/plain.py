"""Objects by way of obstore: what is asked most often, off the event loop and without copies.

Keys are whole and regular (`keys.regular`). Faults come out as those of
`faults`, and requests are repeated as `patience` has it: obstore itself repeats
none, since it does not heed Retry-After.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import obstore
from obstore import exceptions
from obstore.store import S3Store

from hub_ext.errors import PublicError
from hub_ext.loopback import directly, on_this_machine
from lab_extension.contents.objects.credentials import CredentialsProvider
from lab_extension.contents.objects.entries import Buffer, Entry
from lab_extension.contents.objects.faults import (
    BLOCKED,
    BadName,
    Refused,
    Unsupported,
    Where,
    from_obstore,
    show,
)
from lab_extension.contents.objects.patience import patiently
from lab_extension.contents.objects.s3api import UNKNOWN_TYPE, Encryption
from lab_extension.contents.objects.trust import Trust

if TYPE_CHECKING:
    pass

PART = 8 * 1024 * 1024
"""Bytes of a part going up. S3 refuses parts under 5 MiB, the last one apart."""
CONNECT_TIMEOUT = timedelta(seconds=3)
SILENCE = timedelta(seconds=20)
"""Longest silence of the store within an answer."""
LONG_SILENCE = timedelta(minutes=5)
"""The same while it is sent a large body, or copies one."""
LONGEST_REQUEST = timedelta(minutes=30)

Answer = TypeVar("Answer")
# The answers to HEAD have no body, and so no code that tells why.
_BODYLESS = re.compile(r"non-2xx status code: (40[0134]) [\w ]+: *\n")


class NotFlat(Exception):
    """A folder holds more than files, or cannot be listed as if it did not."""


class Objects:
    """One bucket. Every method raises the faults of `faults`.

    Args:
        ask_busy: see `patience.patiently`.
        ask_reason: why the store refuses a key; answers to HEAD do not say.
    """

    def __init__(
        self,
        where: Where,
        *,
        region: str,
        credentials: CredentialsProvider | None,
        trust: Trust,
        encryption: Encryption,
        ask_busy: Callable[[], Awaitable[float | None]],
        ask_reason: Callable[[str], Awaitable[PublicError | None]],
    ):
        self.where = where
        self._region = region
        self._credentials = credentials
        self._trust = trust
        self._encryption = encryption
        self._ask_busy = ask_busy
        self._ask_reason = ask_reason
        self._seen = False
        self._no_keys: PublicError | None = None
        self._connect()

    def _connect(self) -> None:
        self._quick = self._store(SILENCE)
        self._slow = self._store(LONG_SILENCE)

    def _store(self, silence: timedelta) -> S3Store:
        # What obstore would take from AWS_* of the environment is set here, and a
        # provider gives the keys: a stray AWS_SESSION_TOKEN would be added to
        # keys of the configuration, and break them.
        endpoint = self.where.endpoint
        config: dict[str, Any] = {
            "aws_endpoint_url_s3": endpoint,
            "virtual_hosted_style_request": False,
            "skip_signature": self._credentials is None,
            "s3_express": False,
            "copy_if_not_exists": "header: if-none-match: *",
            # TLS, and this machine's own memory, bring a body unchanged: hashing it is for nothing.
            "unsigned_payload": endpoint.startswith("https://") or on_this_machine(endpoint),
        }
        if self._encryption.sse:
            config["server_side_encryption"] = self._encryption.sse
        if self._encryption.kms_key_id:
            config["sse_kms_key_id"] = self._encryption.kms_key_id
        return S3Store(
            self.where.bucket,
            endpoint=endpoint,
            region=self._region,
            config=config,  # type: ignore[arg-type]
            credential_provider=self._keys if self._credentials else None,  # type: ignore[arg-type]
            client_options={
                "allow_http": endpoint.startswith("http://"),
                "allow_invalid_certificates": not self._trust.verify,
                **({"root_certificate": self._trust.added} if self._trust.added else {}),
                "connect_timeout": CONNECT_TIMEOUT,
                "read_timeout": silence,
                "timeout": LONGEST_REQUEST,
                **directly(endpoint),
            },
            retry_config={"max_retries": 0},
        )

    async def _keys(self) -> dict[str, Any]:
        assert self._credentials is not None
        try:
            keys = await self._credentials.keys()
        except PublicError as fault:
            self._no_keys = fault  # obstore keeps of it no more than its text
            raise
        self._no_keys = None
        return {
            "access_key_id": keys.access_key,
            "secret_access_key": keys.secret_key,
            "token": keys.session_token,
            "expires_at": keys.expires,
        }

    async def head(self, key: str) -> Entry:
        return entry_of(
            await self._ask(key, lambda: obstore.head_async(self._quick, key)), self.where
        )

    async def get(self, key: str, **options: Any) -> Any:
        """obstore's answer, whose content has not been read; options as obstore has them."""
        given: Any = {name: value for name, value in options.items() if value is not None}
        return await self._ask(key, lambda: obstore.get_async(self._quick, key, options=given))

    async def content(self, key: str, **options: Any) -> tuple[Any, Buffer]:
        """The same with its content, which is asked for again if it breaks off."""
        given: Any = {name: value for name, value in options.items() if value is not None}

        async def whole() -> tuple[Any, Buffer]:
            answer = await obstore.get_async(self._quick, key, options=given)
            return answer, await answer.bytes_async()  # type: ignore[return-value]

        return await self._ask(key, whole)

    async def put(
        self,
        key: str,
        data: Buffer,
        *,
        media_type: str | None,
        if_match: str | None = None,
        if_absent: bool = False,
    ) -> tuple[str | None, str | None]:
        """Write; the etag and the version of what was written.

        On condition it goes up in one piece, and is repeated only where it
        surely had no effect.
        """
        mode: Any = (
            {"e_tag": f'"{if_match}"'} if if_match else "create" if if_absent else "overwrite"
        )
        conditional = bool(if_match or if_absent)

        async def send() -> tuple[str | None, str | None]:
            result = await obstore.put_async(
                self._slow,
                key,
                data,
                mode=mode,
                attributes={"Content-Type": media_type or UNKNOWN_TYPE},
                use_multipart=not conditional and len(data) > 2 * PART,
                chunk_size=PART,
                max_concurrency=4,
            )
            return bare(result["e_tag"]), result["version"]

        def refused(error: Exception) -> PublicError | None:
            text = str(error)
            if any(code in text for code in (*BLOCKED, "NoSuchBucket")):
                return None
            failed = isinstance(
                error, (exceptions.PreconditionError, exceptions.AlreadyExistsError)
            )
            if if_absent and failed:
                return self.where.already_there(key)
            if if_match and (failed or isinstance(error, FileNotFoundError)):
                return self.where.changed(key)
            return None

        return await self._ask(key, send, harmless=not conditional, first=refused)

    async def level(self, prefix: str) -> tuple[list[str], list[Any]] | None:
        """What lies directly below ``prefix`` (no slash at its end, empty for all).

        Keys of folders, without a slash at their ends, and obstore's descriptions
        of objects, of which a marker of the folder itself has lost its slash.

        None where obstore cannot tell: a key there is not regular, or the answer
        may be none of a store's, which obstore takes for an empty folder.
        """
        try:
            found = await self._ask(
                prefix, lambda: obstore.list_with_delimiter_async(self._quick, prefix or None)
            )
        except BadName:
            return None
        prefixes, objects = found["common_prefixes"], found["objects"]
        if not prefixes and not objects:
            return None
        # A byte that XML cannot hold comes as this: the true key is another.
        if any("\ufffd" in meta["path"] for meta in objects) or "\ufffd" in "".join(prefixes):
            return None
        return list(prefixes), list(objects)

    async def flat(self, prefix: str, middle: str) -> AsyncIterator[list[Any]]:
        """As `level`, of a folder that holds nothing but files: some 1,000 at a time.

        With the delimiter, obstore gives nothing before it has everything, page
        after page. Here the next page is on its way while one is looked at, and
        both halves of the folder are asked for at once.

        Args:
            middle: a key about the middle of the folder, known from the last time.

        Raises:
            NotFlat: there is a folder by now, or obstore cannot tell.
        """
        behind: asyncio.Queue[list[Any] | NotFlat | None] = asyncio.Queue()

        async def second_half() -> None:
            try:
                async for metas in self._files(prefix, after=middle):
                    behind.put_nowait(metas)
                behind.put_nowait(None)
            except NotFlat as error:
                behind.put_nowait(error)

        running = asyncio.create_task(second_half())
        try:
            async for metas in self._files(prefix, until=middle):
                yield metas
            while (more := await behind.get()) is not None:
                if isinstance(more, NotFlat):
                    raise more
                yield more
        finally:
            running.cancel()

    async def _files(
        self, prefix: str, *, after: str | None = None, until: str | None = None
    ) -> AsyncIterator[list[Any]]:
        """The files of a flat folder that come after one, up to another (included).

        In the order of the store, which not always is that of the keys: SeaweedFS
        keeps versions of ``a`` as ``a.versions``, and so lists ``a.b`` before it.
        """
        begin = len(prefix) + 1 if prefix else 0
        pages = obstore.list(self._quick, prefix or None, offset=after, chunk_size=1000)
        ahead = asyncio.ensure_future(anext(pages))
        try:
            while True:
                metas = list(await ahead)
                at = next((n for n, meta in enumerate(metas) if meta["path"] == until), None)
                if at is None:
                    ahead = asyncio.ensure_future(anext(pages))
                else:
                    del metas[at + 1 :]
                if any("/" in meta["path"][begin:] or "\ufffd" in meta["path"] for meta in metas):
                    raise NotFlat
                yield metas
                if at is not None:
                    return
        except StopAsyncIteration:
            return
        except (exceptions.BaseError, FileNotFoundError, ValueError) as error:
            raise NotFlat from error
        finally:
            ahead.cancel()

    async def copy(self, source: str, target: str, *, if_absent: bool = False) -> None:
        """Copy within the store; on condition, a repetition may find what the first try made."""

        def refused(error: Exception) -> PublicError | None:
            there = if_absent and isinstance(error, exceptions.AlreadyExistsError)
            return self.where.already_there(target) if there else None

        await self._ask(
            source,
            lambda: obstore.copy_async(self._slow, source, target, overwrite=not if_absent),
            first=refused,
        )

    async def delete(self, keys: Sequence[str]) -> None:
        """Any number; harmless where there is none."""
        await self._ask(keys[0], lambda: obstore.delete_async(self._quick, list(keys)))

    async def _ask(
        self,
        key: str,
        call: Callable[[], Awaitable[Answer]],
        *,
        harmless: bool = True,
        first: Callable[[Exception], PublicError | None] = lambda _: None,
    ) -> Answer:
        async def attempt() -> Answer:
            try:
                answer = await call()
            except (exceptions.BaseError, FileNotFoundError, ValueError) as error:
                raise await self._fault(key, error, first) from error
            self._seen = True
            return answer

        try:
            return await patiently(attempt, harmless=harmless, ask=self._ask_busy)
        except Refused as fault:
            if not fault.stale or self._credentials is None:
                raise
            # obstore keeps keys until they end: only a new one asks for others.
            self._credentials.forget()
            self._connect()
            return await patiently(attempt, harmless=harmless, ask=self._ask_busy)

    async def _fault(
        self, key: str, error: Exception, first: Callable[[Exception], PublicError | None]
    ) -> PublicError:
        if found := self._no_keys or first(error):
            return found
        if isinstance(error, exceptions.InvalidPathError) or (
            isinstance(error, ValueError) and "parse path" in str(error)
        ):
            return BadName(f"The name {show(key)} cannot be asked for.")
        if isinstance(error, (exceptions.PreconditionError, exceptions.NotModifiedError)):
            return self.where.changed(key)
        text = str(error)
        if "partial" in text:
            return Unsupported(f"The object store at {self.where.endpoint} does not send ranges.")
        bodyless = _BODYLESS.search(text)
        # That an object is missing is told often: only before anything was found
        # there is it worth a question whether the bucket is missing.
        ask = bodyless is not None and (bodyless[1] != "404" or not self._seen)
        if ask and (reason := await self._ask_reason(key)):
            return reason
        return from_obstore(self.where, key, text)


def entry_of(meta: Any, where: Where) -> Entry:
    """obstore's description of an object as ours; its key is still whole.

    Raises:
        StoreDown: there is no etag: what answered is no object store.
    """
    etag = bare(meta.get("e_tag"))
    if etag is None:
        raise where.no_store()
    return Entry(
        meta["path"], meta["size"], meta["last_modified"].astimezone(UTC), etag, meta.get("version")
    )


def bare(etag: str | None) -> str | None:
    """An etag without the quotes that some answers have and others have not."""
    return (etag or "").strip('"') or None
