"""What the platform's store can do: tried on a scratch key with the platform's own key."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Mapping

import httpx

from hub_ext.errors import Forbidden, PublicError, Unavailable
from hub_ext.loopback import on_this_machine
from hub_ext.sigv4 import presigned_url
from hub_ext.storage.credentials import Broker
from hub_ext.storage.objects import ObjectStore
from hub_ext.storage.requests import TIMEOUT, Bucket
from hub_ext.storage.versions import Versions

SCRATCH = "almanac-probe/"
PRECONDITION_FAILED = 412


def probe(
    endpoint: str,
    bucket: str,
    region: str,
    access_key: str,
    secret_key: str,
    broker: Broker,
) -> Mapping[str, bool]:
    """Which of `hub_ext.capabilities.CAPABILITIES` the store has, by name.

    It writes a few bytes under `SCRATCH` and removes them, their versions too.

    Raises:
        Unavailable: the store does not answer, or has no such bucket.
        Forbidden: it refuses the key.
    """
    requests = Bucket(endpoint, bucket, region, access_key, secret_key)
    versions = Versions(endpoint, bucket, region, access_key, secret_key)
    key = SCRATCH + secrets.token_hex(8)
    try:
        written = requests.send("PUT", key, body=b"probe")
        return {
            "conditional_writes": _conditions(requests, key),
            "versions": written.headers.get("x-amz-version-id", "null") != "null",
            "sts": _limits(requests, broker, key),
            "ranges": _ranges(requests, key),
            "presigned": _presigned(requests, key),
            "upload_listing": _works(lambda: versions.uploads(SCRATCH)),
        }
    finally:
        with contextlib.suppress(PublicError):
            requests.send("DELETE", key, expected=None)
            for page in list(versions.pages(key)):
                versions.delete(page)
        requests.close()


def _works(attempt: Callable[[], object]) -> bool:
    try:
        attempt()
    except PublicError:
        return False
    return True


def _conditions(requests: Bucket, key: str) -> bool:
    """Whether writes whose conditions do not hold are refused for that."""
    conditions = ({"if-none-match": "*"}, {"if-match": f'"{"0" * 32}"'})
    return all(
        requests.send("PUT", key, body=b"probe", headers=condition, expected=None).status_code
        == PRECONDITION_FAILED
        for condition in conditions
    )


def _limits(requests: Bucket, broker: Broker, key: str) -> bool:
    """Whether there are credentials that reach what they should, and no more."""
    try:
        issued = broker.issue(read=[SCRATCH], name="probe")
        session = ObjectStore.connect(
            requests.endpoint,
            requests.bucket,
            requests.region,
            issued.access_key,
            issued.secret_key,
            issued.session_token,
        )
        if session.get(key) != b"probe":
            return False
    except PublicError:
        return False
    try:
        session.put(key, b"more")
    except Forbidden:
        return True
    return False


def _ranges(requests: Bucket, key: str) -> bool:
    answer = requests.send("GET", key, headers={"range": "bytes=1-2"}, expected=None)
    return answer.status_code == 206 and answer.content == b"ro"


def _presigned(requests: Bucket, key: str) -> bool:
    url = presigned_url(
        "GET",
        requests.url(key),
        access_key=requests.access_key,
        secret_key=requests.secret_key,
        region=requests.region,
        seconds=60,
    )
    try:
        answer = httpx.get(url, timeout=TIMEOUT, trust_env=not on_this_machine(requests.endpoint))
    except httpx.HTTPError as error:
        raise Unavailable(f"The object store at {requests.endpoint} does not answer.") from error
    return answer.content == b"probe"
