"""What can go wrong between us and the store, in words for who reads them in the browser.

Each says what happened, where, and who can mend it. `from_answer` makes them of
what the store answered: S3's error codes where there are any, the HTTP status
where a proxy or the store left the code out.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from hub_ext.errors import Conflict, Forbidden, Invalid, NotFound, PublicError, Unavailable

STALE_KEYS = ("ExpiredToken", "ExpiredTokenException", "InvalidToken", "TokenRefreshRequired")
WRONG_KEYS = (
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "InvalidSecurity",
    "XAdminUserNotFound",
    *STALE_KEYS,
)
SKEWED = ("RequestTimeTooSkewed", "RequestExpired")
BUSY = ("SlowDown", "ServiceUnavailable", "Busy", "InternalError", "RequestTimeout", "Throttling")
UNSUPPORTED = ("NotImplemented", "MethodNotAllowed", "XNotImplemented")
BAD_NAMES = ("KeyTooLongError", "InvalidURI", "XMinioInvalidObjectName")
# Stores on a disk's folders cannot have a file and a folder of one name.
BLOCKED = ("ObjectParentIsFile", "ExistingObjectIsDirectory", "XMinioParentIsObject")
CONDITION = ("PreconditionFailed", "ConditionalRequestConflict")


class Missing(NotFound):
    """There is no such object."""


class Refused(Forbidden):
    """The store refuses the credentials, here or altogether.

    Attributes:
        stale: they were good once; new ones may be let in.
    """

    def __init__(self, message: str, *, mend: str = "", stale: bool = False):
        super().__init__(message, mend=mend)
        self.stale = stale


class Changed(Conflict):
    """The object is no longer the one that the write was based on."""

    code = "changed"


class AlreadyThere(Conflict):
    """There is an object where there should be none."""

    code = "already-there"


class StoreDown(Unavailable):
    """The store does not answer, or answers that it cannot.

    Attributes:
        untouched: the request surely had no effect, so that any may be repeated.
        busy: the store answered that it cannot now.
        silent: it did not answer, or not to the end.
        retry_after: seconds after which it wants to be asked again; None if it did not say.
    """

    code = "store-down"

    def __init__(
        self,
        message: str,
        *,
        mend: str = "",
        untouched: bool = False,
        busy: bool = False,
        silent: bool = False,
        retry_after: float | None = None,
    ):
        super().__init__(message, mend=mend)
        self.untouched = untouched
        self.busy = busy
        self.silent = silent
        self.retry_after = retry_after


class Unsupported(Unavailable):
    """The store has no such thing: versions, say, or conditions."""

    code, status = "unsupported", 501


class Rejected(PublicError):
    """The store understands the request and does not do it.

    Attributes:
        reason: S3's error code.
    """

    code, status = "rejected", 502

    def __init__(self, message: str, *, mend: str = "", reason: str = ""):
        super().__init__(message, mend=mend)
        self.reason = reason


class BadRange(Invalid):
    """No byte of the object lies in the range."""

    code, status = "bad-range", 416


class ClockSkew(Unavailable):
    """The clocks of this machine and of the store are too far apart to sign a request."""

    code = "clock-skew"


class NoBucket(Unavailable):
    """The store has no such bucket."""

    code = "no-bucket"


class Full(PublicError):
    """The store has no room left, or grants none."""

    code, status = "full", 507


class BadName(Invalid):
    """No object can have this name."""

    code, status = "bad-name", 400


def show(key: str) -> str:
    """A key as it can stand in a sentence: no control characters, and not too long."""
    shown = "".join(
        f"\\x{ord(char):02x}" if unicodedata.category(char) in ("Cc", "Cs") else char
        for char in key
    )
    return shown if len(shown) <= 120 else f"{shown[:80]}…{shown[-39:]}"


@dataclass(frozen=True)
class Where:
    """What the sentences name: the store and its bucket."""

    endpoint: str
    bucket: str

    def missing(self, key: str) -> Missing:
        return Missing(f"There is no {show(key)} in the bucket {self.bucket}.")

    def changed(self, key: str) -> Changed:
        return Changed(
            f"{show(key)} has been changed since it was opened.",
            mend="Look at what it holds now before writing over it.",
        )

    def already_there(self, key: str) -> AlreadyThere:
        return AlreadyThere(f"There is a {show(key)} already.", mend="Choose another name.")

    def no_bucket(self) -> NoBucket:
        return NoBucket(
            f"The object store at {self.endpoint} has no bucket {self.bucket}.",
            mend="Who runs this platform can make it, or correct its name in the settings.",
        )

    def refused(self, key: str, code: str = "") -> Refused:
        if code in WRONG_KEYS:
            return Refused(
                f"The object store at {self.endpoint} does not know the access key ({code}).",
                mend="Who runs this platform can correct the keys. "
                "If they were changed just now, restart your server.",
                stale=True,
            )
        return Refused(
            f"You have no right to do this with {self.bucket}/{show(key)}: the store refuses it.",
            mend="Ask the owners of the project, or who runs this platform, for the right to.",
        )

    def skewed(self) -> ClockSkew:
        return ClockSkew(
            f"The clock of this server and that of the object store at {self.endpoint} are more "
            "than 15 minutes apart, so that it refuses every request.",
            mend="Who runs this platform has to set the clocks right (NTP).",
        )

    def silent(self, *, untouched: bool = False) -> StoreDown:
        return StoreDown(
            f"The object store at {self.endpoint} does not answer.",
            mend="It may be restarting: try again in a moment. If that does not help, who runs "
            "this platform can see whether it runs, and whether its address is right.",
            untouched=untouched,
            silent=True,
        )

    def nowhere(self) -> StoreDown:
        return StoreDown(
            f"There is no host by the name in {self.endpoint}, where the object store should be.",
            mend="Who runs this platform can correct the endpoint in the settings.",
        )

    def untrusted(self) -> StoreDown:
        return StoreDown(
            f"The certificate of the object store at {self.endpoint} is not one that this server "
            "trusts.",
            mend="Who runs this platform can add the authority that issued it: ca_bundle, or "
            "AWS_CA_BUNDLE in the environment of the server.",
        )

    def busy(self, status: int, retry_after: float | None = None) -> StoreDown:
        wait = f" and asks to come back in {retry_after:.0f} s" if retry_after else ""
        return StoreDown(
            f"The object store at {self.endpoint} cannot answer now ({status}){wait}.",
            mend="Try again in a moment; nothing was lost. If it stays so, tell who runs this "
            "platform.",
            # 503 is said before anything is done; other 5xx may come half-way.
            untouched=status == 503,
            busy=True,
            retry_after=retry_after,
        )

    def no_store(self) -> StoreDown:
        return StoreDown(
            f"What answers at {self.endpoint} is not an object store.",
            mend="Who runs this platform can correct the endpoint in the settings.",
        )


def from_answer(
    where: Where,
    key: str,
    status: int,
    code: str = "",
    message: str = "",
    retry_after: float | None = None,
) -> PublicError:
    """The fault that an answer of the store means.

    Args:
        key: what was asked for; a folder, where folders are listed.
        code: S3's error code; empty where the answer has none (those to HEAD).
        message: S3's own words.
    """
    if code == "NoSuchBucket":
        return where.no_bucket()
    if code in SKEWED:
        return where.skewed()
    if code in ("NoSuchKey", "NoSuchVersion", "NoSuchUpload") or (status == 404 and not code):
        return where.missing(key)
    if code in CONDITION or status in (412, 304):
        return where.changed(key)
    if code == "InvalidRange" or status == 416:
        return BadRange(f"The part of {show(key)} that was asked for lies behind its end.")
    if code in BAD_NAMES:
        return BadName(
            f"The object store at {where.endpoint} cannot have a file with the name {show(key)}.",
            mend="Choose a shorter name, or one without special characters.",
        )
    if code in BLOCKED:
        return AlreadyThere(
            f"{show(key)} cannot be: this object store has a file where the path needs a folder, "
            "or a folder of that name.",
            mend="Choose another name.",
        )
    if code in ("QuotaExceeded", "XMinioStorageFull", "XMinioAdminBucketQuotaExceeded"):
        return Full(
            f"There is no room left for {show(key)} in the object store.",
            mend="Delete what is no longer needed, or ask who runs this platform for more room.",
        )
    if code in UNSUPPORTED or status == 501:
        return Unsupported(
            f"The object store at {where.endpoint} does not support this ({code or status})."
        )
    if code in WRONG_KEYS or code == "AccessDenied" or status in (401, 403):
        return where.refused(key, code)
    if status == 429 or status >= 500 or code in BUSY:
        return where.busy(status, retry_after)
    if status in (301, 307, 308):
        return StoreDown(
            f"The bucket {where.bucket} is not at {where.endpoint}: another address or region "
            "is meant.",
            mend="Who runs this platform can correct the endpoint or the region in the settings.",
        )
    if not code:
        return where.no_store()
    return Rejected(
        f"The object store at {where.endpoint} does not accept this for {show(key)}: "
        f"{message or code} ({code}).",
        mend="Tell who runs this platform.",
        reason=code,
    )


_STATUS = re.compile(r"non-2xx status code: (\d{3})")
# In the answer itself, or as obstore quotes a bulk delete's.
_CODE = re.compile(r"<Code>\s*(\w+)\s*</Code>|\(code: (\w+)\)")
_MESSAGE = re.compile(r"<Message>([^<]*)</Message>")
_UNSENT = re.compile(r"kind: Connect\b")


def from_obstore(where: Where, key: str, text: str) -> PublicError:
    """The fault that the text of obstore's error means.

    obstore has classes for some, but the class alone does not tell a wrong key
    from a missing right, nor a missing bucket from a missing object.
    """
    status, code, said = _STATUS.search(text), _CODE.search(text), _MESSAGE.search(text)
    if status is None and code is None:
        if "dns error" in text:
            return where.nowhere()
        if "InvalidCertificate(" in text:
            return where.untrusted()
        if "HTTP error" in text or "error sending request" in text:
            return where.silent(untouched=bool(_UNSENT.search(text)))
        return where.no_store()
    return from_answer(
        where,
        key,
        int(status[1]) if status else 400,
        (code[1] or code[2]) if code else "",
        said[1] if said else "",
    )
