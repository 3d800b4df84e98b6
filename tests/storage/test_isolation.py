"""One principal's credentials do not reach another's prefix: every verb, over S3.

The table of verbs is `s3_verbs`; here it is tried for each pair of principals,
at each store, and after each verb the other's data are compared with what they
were.
"""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import quote

import httpx
import pytest
import s3_verbs
from brokers import Brokered
from s3_requests import Requests
from s3_verbs import SECRET, Break, Verb

from hub_ext.storage.versions import Versions

pytestmark = pytest.mark.stores


@dataclass(frozen=True)
class Pair:
    """Prefixes of somebody who has the credentials, and of somebody else; ``#`` is a number."""

    write: tuple[str, ...]
    other: str
    read: tuple[str, ...] = ()


PAIRS = {
    "user and user of a longer name": Pair(("home/ana#/",), "home/ana#tole/"),
    "user and user of a shorter name": Pair(("home/ana#tole/",), "home/ana#/"),
    "user and user": Pair(("home/ana#/", "projects/gdp#/"), "home/bo#/"),
    "user and project": Pair(("home/gdp#/", "projects/gdp#/"), "projects/gdp#-next/"),
    "run and home": Pair(("projects/gdp#/",), "home/gdp#/"),
    "run and results": Pair(("projects/gdp#/",), "runs/gdp#/1/"),
    "reader and another": Pair((), "projects/gdp#/", read=("projects/cpi#/",)),
}


@dataclass(frozen=True)
class Scene:
    case: Break
    versions: Versions
    platform: Requests

    def other(self) -> object:
        """All that lies in the other's prefix, and how the bucket is set up."""
        at = self.case.at
        versions = [version for page in self.versions.pages(self.case.other) for version in page]
        return (
            versions,
            [
                self.platform.send("GET", f"{at}/{version.key}?versionId={version.version}").content
                for version in versions
            ],
            self.versions.uploads(self.case.other),
            self.platform.send("GET", f"{self.case.secret}?tagging=").text,
            self.platform.send(
                "GET", f"{at}/{self.case.other}part?uploadId={self.case.upload}"
            ).text.count("<Part>"),
            [
                re.sub(r"<RequestId>.*?</HostId>|<RequestId>.*?</RequestId>", "", answer.text)
                for answer in (
                    self.platform.send("GET", f"{at}?{what}=")
                    for what in ("versioning", "policy", "lifecycle", "cors", "tagging", "acl")
                )
            ],
        )


def set_up(brokered: Brokered, pair: Pair, number: int) -> Scene:
    platform, store = brokered.platform, brokered.store
    at = f"/{store.bucket}"

    def numbered(prefixes: tuple[str, ...]) -> list[str]:
        return [prefix.replace("#", str(number)) for prefix in prefixes]

    write, read = numbered(pair.write), numbered(pair.read)
    (other,) = numbered((pair.other,))
    for content in (SECRET + b" as it was", SECRET):
        assert platform.send("PUT", f"{at}/{other}secret.txt", content).status_code == 200
    for prefix in (*write, *read):
        assert platform.send("PUT", f"{at}/{prefix}mine", b"mine").status_code == 200

    def begin(key: str) -> str:
        answer = platform.send("POST", f"{at}/{key}?uploads=")
        return answer.text.partition("<UploadId>")[2].partition("<")[0]

    upload, own = begin(f"{other}part"), write[0] if write else read[0]
    path = f"{at}/{other}part?partNumber=1&uploadId={upload}"
    assert platform.send("PUT", path, SECRET).status_code == 200
    versions = Versions(store.endpoint, store.bucket, store.region, **store.keys)
    (page,) = versions.pages(f"{other}secret.txt")
    credentials = brokered.broker.issue(read=read, write=write, name="user:ana")
    case = Break(
        requests=platform.of(credentials),
        bucket=store.bucket,
        own=own,
        other=other,
        version=page[-1].version,
        etag=platform.send("HEAD", f"{at}/{other}secret.txt").headers["etag"].strip('"'),
        upload=upload,
        own_upload=begin(f"{own}part"),
    )
    return Scene(case, versions, platform)


@pytest.fixture(scope="module")
def numbers() -> Iterator[int]:
    return itertools.count(1)


def let_through(scene: Scene, verbs: dict[str, Verb], *, harmless: Sequence[str] = ()) -> list[str]:
    """The verbs that were not refused, or that told or changed something of the other's.

    Args:
        harmless: verbs that a store may answer, since what they name is the
            intruder's own; the answer still has to tell nothing.
    """
    before = scene.other()
    bad = []
    for name, verb in verbs.items():
        for answer in verb(scene.case):
            text = answer.text
            answered = answer.status_code < 400
            broken = answer.status_code >= 500 and answer.status_code != 501
            if broken or (answered and name not in harmless):
                bad.append(f"{name}: {answer.status_code} {text[:300]}")
            elif SECRET.decode() in text or (answered and "secret.txt" in text):
                bad.append(f"{name}: tells {text[:300]}")
        # After reads once is enough: looking costs more than they do.
        looks = name not in s3_verbs.READS or name == list(verbs)[-1]
        if looks and (after := scene.other()) != before:
            bad.append(f"{name}: changed {before} to {after}")
            before = after
    return bad


HARMLESS = (
    # SeaweedFS looks at the first alone, for the right and for the list.
    "list, the prefix twice, the own first",
    # The dots as they stand: such a key would lie in the own prefix.
    "list from the own upwards",
    # MinIO says of any upload that is not there that it is gone.
    "abort its upload by the own key",
)


@pytest.mark.parametrize("pair", PAIRS)
def test_no_verb_reaches_anothers_prefix(
    brokered: Brokered, pair: str, numbers: Iterator[int]
) -> None:
    scene = set_up(brokered, PAIRS[pair], next(numbers))
    verbs = {
        **s3_verbs.READS,
        **s3_verbs.WRITES,
        **s3_verbs.DELETES,
        **s3_verbs.COPIES,
        **s3_verbs.FOREIGN_UPLOADS,
        **s3_verbs.BUCKET,
        **s3_verbs.MORE_KEYS,
    }
    assert let_through(scene, verbs, harmless=HARMLESS) == []


def test_the_platform_itself_gets_through(brokered: Brokered, numbers: Iterator[int]) -> None:
    """The table is no list of requests that nobody could make."""

    def refused(verbs: dict[str, Verb]) -> set[str]:
        scene = set_up(brokered, PAIRS["user and user"], next(numbers))
        case = dataclasses.replace(scene.case, requests=scene.platform)
        return {
            name
            for name, verb in verbs.items()
            for answer in verb(case)
            if answer.status_code >= 400
        }

    found = refused(s3_verbs.READS | s3_verbs.COPIES)
    for name, verb in (s3_verbs.WRITES | s3_verbs.DELETES).items():
        found |= refused({name: verb})
    assert {name for name in found if not any(trick in name for trick in TRICKS)} <= UNKNOWN


TRICKS = ("up and over", "upwards", "twice", "as a version", "own upload", "parts of uploads")
UNKNOWN = {
    # What the stores do not have, or have not been told.
    "get its retention",
    "get the bucket's policy",
    "get the torrent",
    "put a legal hold",
    "put an ACL",
    "put at an offset",
    "restore",
}


@pytest.mark.parametrize("may", ["read", "delete"])
def test_what_may_not_be_written_is_not(
    brokered: Brokered, may: str, numbers: Iterator[int]
) -> None:
    """Of somebody who may only read, and of a place that is over its limit."""
    scene = set_up(brokered, PAIRS["user and user"], next(numbers))
    case, prefix = scene.case, scene.case.other
    credentials = brokered.broker.issue(**{may: [prefix]}, name="user:ana")
    scene = dataclasses.replace(
        scene, case=dataclasses.replace(case, requests=scene.platform.of(credentials))
    )
    verbs = {
        **s3_verbs.WRITES,
        **(s3_verbs.DELETES if may == "read" else {}),
        **s3_verbs.BUCKET,
        **s3_verbs.MORE_KEYS,
    }
    assert let_through(scene, verbs) == []
    requests = scene.case.requests
    for path in (
        f"{case.secret}",
        f"{case.secret}?versionId={case.version}",
        f"{case.at}?list-type=2&prefix={quote(prefix, safe='')}",
        f"{case.at}?prefix={quote(prefix, safe='')}&versions=",
    ):
        assert requests.send("GET", path).status_code == 200, path
    if may == "delete":
        assert requests.send("DELETE", case.secret).status_code == 204
        upload = f"{case.at}/{prefix}part?uploadId={case.upload}"
        assert requests.send("DELETE", upload).status_code == 204


def test_the_own_prefix_takes_all_that_a_file_system_needs(
    brokered: Brokered, numbers: Iterator[int]
) -> None:
    """Versions and their return, uploads under way, tags, copies."""
    scene = set_up(brokered, PAIRS["user and user"], next(numbers))
    case, requests = scene.case, scene.case.requests
    key, listed = f"{case.at}/{case.own}file", quote(case.own, safe="")

    def send(method: str, path: str, body: bytes = b"", **headers: str) -> httpx.Response:
        answer = requests.send(method, path, body, **headers)
        assert answer.status_code < 300, (method, path, answer.text)
        return answer

    send("PUT", key, b"one", if_none_match="*")
    first = send("HEAD", key)
    send("PUT", key, b"two", if_match=first.headers["etag"])
    assert requests.send("PUT", key, b"3", if_match=first.headers["etag"]).status_code == 412
    send("DELETE", key)
    version = first.headers["x-amz-version-id"]
    assert version in send("GET", f"{case.at}?prefix={listed}file&versions=").text
    assert send("GET", f"{key}?versionId={version}").content == b"one"
    source = f"{case.at}/{case.own}file?versionId={version}"
    send("PUT", key, x_amz_copy_source=source)
    assert send("GET", key, range="bytes=1-").content == b"ne"
    send("PUT", f"{key}?tagging=", s3_verbs.TAGS)
    send("GET", f"{key}?tagging=")
    begun = send("POST", f"{key}-large?uploads=").text
    upload = begun.partition("<UploadId>")[2].partition("<")[0]
    part = f"{key}-large?partNumber=1&uploadId={upload}"
    send("PUT", part, x_amz_copy_source=source)
    assert send("GET", f"{key}-large?uploadId={upload}").text.count("<Part>") == 1
    uploads = requests.send("GET", f"{case.at}?prefix={listed}&uploads=")
    if brokered.broker.lists_uploads:
        assert upload in uploads.text
    else:
        assert uploads.status_code == 403
    send("DELETE", f"{key}-large?uploadId={upload}")
    send("DELETE", f"{key}?versionId={version}")
