"""The XML of S3: answers to plain data, and the two bodies that are sent. Pure.

The answers come from the store that the settings name, over loopback or TLS, so
that the parser need not be armed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import unquote_plus
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from lab_extension.contents.objects.entries import Entry, PendingUpload, Version

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class NotS3(ValueError):
    """The answer is not what S3 answers to that."""


@dataclass(frozen=True)
class Page:
    """One page of a listing; keys are whole and raw.

    Attributes:
        prefixes: what ends at the delimiter, with it.
        next: what to ask the next page with; None after the last.
    """

    entries: list[Entry]
    prefixes: list[str]
    next: str | None


@dataclass(frozen=True)
class VersionsPage:
    """One page of versions, by key and of one key newest first; ``next`` are the two markers."""

    versions: list[Version]
    next: tuple[str, str] | None


@dataclass(frozen=True)
class UploadsPage:
    uploads: list[PendingUpload]
    next: tuple[str, str] | None


def page(body: bytes) -> Page:
    root = _root(body, "ListBucketResult")
    decode = _decoder(root)
    entries: list[Entry] = []
    prefixes: list[str] = []
    values: dict[str, str] = {}
    for element in root:
        name = _name(element)
        if name == "Contents":
            found = {_name(child): child.text or "" for child in element}
            entries.append(
                Entry(
                    decode(found["Key"]),
                    int(found.get("Size") or 0),
                    instant(found.get("LastModified", "")),
                    found.get("ETag", "").strip('"') or None,
                )
            )
        elif name == "CommonPrefixes":
            prefixes += [decode(child.text or "") for child in element]
        else:
            values[name] = element.text or ""
    more = values.get("IsTruncated") == "true"
    return Page(entries, prefixes, (values.get("NextContinuationToken") or None) if more else None)


def versions(body: bytes) -> VersionsPage:
    root = _root(body, "ListVersionsResult")
    decode = _decoder(root)
    found: list[Version] = []
    values: dict[str, str] = {}
    for element in root:
        name = _name(element)
        if name in ("Version", "DeleteMarker"):
            item = {_name(child): child.text or "" for child in element}
            found.append(
                Version(
                    decode(item["Key"]),
                    item.get("VersionId") or "null",
                    int(item.get("Size") or 0),
                    instant(item.get("LastModified", "")),
                    item.get("IsLatest") == "true",
                    name == "DeleteMarker",
                )
            )
        else:
            values[name] = element.text or ""
    markers = None
    if values.get("IsTruncated") == "true" and values.get("NextKeyMarker"):
        markers = decode(values["NextKeyMarker"]), values.get("NextVersionIdMarker", "")
    # S3 gives them in this order; some stores give all delete markers first.
    found.sort(key=lambda item: item.modified, reverse=True)
    found.sort(key=lambda item: (item.key, not item.latest))
    return VersionsPage(found, markers)


def uploads(body: bytes) -> UploadsPage:
    root = _root(body, "ListMultipartUploadsResult")
    decode = _decoder(root)
    found: list[PendingUpload] = []
    values: dict[str, str] = {}
    for element in root:
        name = _name(element)
        if name == "Upload":
            item = {_name(child): child.text or "" for child in element}
            begun = instant(item.get("Initiated", ""))
            found.append(PendingUpload(decode(item["Key"]), item["UploadId"], begun))
        else:
            values[name] = element.text or ""
    markers = None
    if values.get("IsTruncated") == "true" and values.get("NextKeyMarker"):
        markers = decode(values["NextKeyMarker"]), values.get("NextUploadIdMarker", "")
    return UploadsPage(found, markers)


def value(body: bytes, root: str, name: str) -> str:
    """The text of the one element ``name`` below ``root``."""
    for element in _root(body, root):
        if _name(element) == name:
            return element.text or ""
    raise NotS3(f"no {name} in {root}")


def result(body: bytes, root: str) -> dict[str, str]:
    """The texts of the elements directly below ``root``."""
    return {_name(element): element.text or "" for element in _root(body, root)}


def fault(body: bytes) -> tuple[str, str]:
    """The code and the message of an error; empty where the answer is none."""
    try:
        root = ElementTree.fromstring(body)  # noqa: S314
    except ElementTree.ParseError:
        return "", ""
    if _name(root) != "Error":
        return "", ""
    found = {_name(element): element.text or "" for element in root}
    return found.get("Code", ""), found.get("Message", "")


def failures(body: bytes) -> Iterator[tuple[str, str, str]]:
    """Key, code and message of what a bulk delete left undone."""
    for element in _root(body, "DeleteResult"):
        if _name(element) == "Error":
            found = {_name(child): child.text or "" for child in element}
            yield found.get("Key", ""), found.get("Code", ""), found.get("Message", "")


def complete(parts: Sequence[str]) -> bytes:
    """The body that ends an upload of these parts, given by their etags in order."""
    items = "".join(
        f'<Part><PartNumber>{number}</PartNumber><ETag>"{escape(etag)}"</ETag></Part>'
        for number, etag in enumerate(parts, 1)
    )
    return f"<CompleteMultipartUpload>{items}</CompleteMultipartUpload>".encode()


def delete(keys: Sequence[tuple[str, str | None]]) -> bytes:
    """The body that deletes these keys, or these versions of them."""
    items = "".join(
        f"<Object><Key>{escape(key)}</Key>"
        + (f"<VersionId>{escape(version)}</VersionId>" if version else "")
        + "</Object>"
        for key, version in keys
    )
    return f"<Delete><Quiet>true</Quiet>{items}</Delete>".encode()


def instant(text: str) -> datetime:
    """A time as S3 writes it, in UTC; stores differ in how many digits a second has."""
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except ValueError:
        return EPOCH


def _root(body: bytes, name: str) -> ElementTree.Element:
    try:
        root = ElementTree.fromstring(body)  # noqa: S314
    except ElementTree.ParseError as error:
        raise NotS3(f"no XML where {name} should be") from error
    if _name(root) != name:
        raise NotS3(f"{_name(root)} where {name} should be")
    return root


def _name(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]


def _decoder(root: ElementTree.Element) -> Callable[[str], str]:
    for element in root:
        if _name(element) == "EncodingType" and element.text == "url":
            return unquote_plus
    return str
