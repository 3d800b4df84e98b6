"""Old versions and unfinished uploads of a bucket, which obstore does not know.

Signed requests with the platform's own key; `hub_ext.storage.retention` decides
what of it goes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import unquote_plus
from xml.etree import ElementTree
from xml.sax.saxutils import escape

import httpx

from hub_ext.storage.requests import Bucket

AT_ONCE = 1000
"""Keys of one page, and of one bulk delete: the most that S3 allows."""


@dataclass(frozen=True, slots=True)
class Version:
    """One version of an object, or a delete marker (``deleted``), which is one too."""

    key: str
    version: str
    size: int
    modified: datetime
    latest: bool
    deleted: bool


@dataclass(frozen=True, slots=True)
class Upload:
    """A multipart upload that was begun and not finished."""

    key: str
    upload: str
    started: datetime


class Versions:
    """The versions of one bucket. Safe to share between threads.

    Every method raises:
        Unavailable: the store does not answer, or does not know such requests.
        Forbidden: it refuses the key.
    """

    def __init__(self, endpoint: str, bucket: str, region: str, access_key: str, secret_key: str):
        self._bucket = Bucket(endpoint, bucket, region, access_key, secret_key)

    def pages(self, prefix: str = "", *, page: int = AT_ONCE) -> Iterator[list[Version]]:
        """The versions of all objects below ``prefix``, page by page.

        Those of one key are together and newest first; they may be on two
        pages. (VersityGW lists a page's delete markers apart from its versions.)
        """
        after: dict[str, str] = {}
        while True:
            answer = self._bucket.send(
                "GET",
                query={
                    "versions": "",
                    "encoding-type": "url",
                    "max-keys": str(page),
                    **({"prefix": prefix} if prefix else {}),
                    **after,
                },
            )
            root = _parse(answer)
            decode = _decoder(root)
            listed = [
                Version(
                    key=decode(_text(item, "Key")),
                    version=_text(item, "VersionId"),
                    size=int(_text(item, "Size") or 0),
                    modified=_instant(_text(item, "LastModified")),
                    latest=_text(item, "IsLatest") == "true",
                    deleted=_name(item) == "DeleteMarker",
                )
                for item in root
                if _name(item) in ("Version", "DeleteMarker")
            ]
            yield _by_key(listed)
            marker = decode(_text(root, "NextKeyMarker"))
            following = {"key-marker": marker} if marker else {}
            if version := _text(root, "NextVersionIdMarker"):
                following["version-id-marker"] = version
            if _text(root, "IsTruncated") != "true" or not following or following == after:
                return
            after = following

    def delete(self, versions: Sequence[Version]) -> int:
        """Remove versions for good; returns how many the store did not remove."""
        failed = 0
        for start in range(0, len(versions), AT_ONCE):
            objects = "".join(
                f"<Object><Key>{escape(item.key)}</Key>"
                f"<VersionId>{escape(item.version)}</VersionId></Object>"
                for item in versions[start : start + AT_ONCE]
            )
            body = f"<Delete><Quiet>true</Quiet>{objects}</Delete>".encode()
            root = _parse(self._bucket.send("POST", query={"delete": ""}, body=body))
            failed += sum(_name(item) == "Error" for item in root)
        return failed

    def uploads(self, prefix: str = "") -> list[Upload]:
        """Unfinished uploads, as many as the store lists at once."""
        query = {"uploads": "", "encoding-type": "url", **({"prefix": prefix} if prefix else {})}
        root = _parse(self._bucket.send("GET", query=query))
        decode = _decoder(root)
        return [
            Upload(
                key=decode(_text(item, "Key")),
                upload=_text(item, "UploadId"),
                started=_instant(_text(item, "Initiated")),
            )
            for item in root
            if _name(item) == "Upload"
        ]

    def abort(self, upload: Upload) -> None:
        """Give an upload up and free its parts; harmless where it is gone."""
        self._bucket.send(
            "DELETE", upload.key, query={"uploadId": upload.upload}, expected=(204, 404)
        )


def _parse(answer: httpx.Response) -> ElementTree.Element:
    # The store's own answer over loopback or TLS, so the parser need not be armed.
    return ElementTree.fromstring(answer.content)  # noqa: S314


def _name(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]


def _text(element: ElementTree.Element, name: str) -> str:
    """The text of a child, whatever its namespace; empty where there is none."""
    return element.findtext(f"{{*}}{name}") or ""


def _decoder(root: ElementTree.Element) -> Callable[[str], str]:
    """How keys are to be read: a store that knows no encoding leaves them as they are."""
    return unquote_plus if _text(root, "EncodingType") == "url" else str


def _by_key(versions: Sequence[Version]) -> list[Version]:
    """Grouped by key, each group newest first; what is of one instant stays in its order."""
    groups: dict[str, list[Version]] = {}
    for version in versions:
        groups.setdefault(version.key, []).append(version)
    return [
        version
        for group in groups.values()
        for version in sorted(group, key=lambda each: (each.latest, each.modified), reverse=True)
    ]


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)
