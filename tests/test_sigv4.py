from __future__ import annotations

import hashlib
from datetime import UTC, datetime

import pytest

from hub_ext import sigv4

# The keys and the bucket of the published examples.
KEYS = {
    "access_key": "AKIAIOSFODNN7EXAMPLE",
    "secret_key": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
}
NOON = datetime(2013, 5, 24, tzinfo=UTC)
BUCKET = "https://examplebucket.s3.amazonaws.com"


def signature(headers: dict[str, str]) -> str:
    return headers["authorization"].rpartition("Signature=")[2]


def signed(method: str, path: str, body: bytes = b"", **more: object) -> dict[str, str]:
    return sigv4.signed_headers(
        method,
        BUCKET + path,
        body,
        region="us-east-1",
        service="s3",
        now=NOON,
        **KEYS,
        **more,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "expected"),
    [
        (
            "GET",
            "/test.txt",
            b"",
            {"range": "bytes=0-9"},
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
        ),
        (
            "PUT",
            "/test%24file.text",
            b"Welcome to Amazon S3.",
            {"date": "Fri, 24 May 2013 00:00:00 GMT", "x-amz-storage-class": "REDUCED_REDUNDANCY"},
            "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
        ),
        (
            "GET",
            "/?lifecycle",
            b"",
            {},
            "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
        ),
        (
            "GET",
            "/?max-keys=2&prefix=J",
            b"",
            {},
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
        ),
    ],
)
def test_signs_as_the_published_examples_of_s3(
    method: str, path: str, body: bytes, headers: dict[str, str], expected: str
) -> None:
    """Those of "Signature Calculations for the Authorization Header", Amazon S3 API Reference."""
    assert signature(signed(method, path, body, headers=headers)) == expected


def test_presigns_as_the_published_example_of_s3() -> None:
    """That of "Authenticating Requests: Using Query Parameters", Amazon S3 API Reference."""
    address = sigv4.presigned_url(
        "GET", f"{BUCKET}/test.txt", region="us-east-1", seconds=86400, now=NOON, **KEYS
    )
    assert address == (
        f"{BUCKET}/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256"
        "&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request"
        "&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host"
        "&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
    )


def test_a_hash_that_is_known_stands_for_the_body() -> None:
    body = b"data"
    known = signed("PUT", "/x", payload_hash=hashlib.sha256(body).hexdigest())
    assert known == signed("PUT", "/x", body)
    assert (
        signed("PUT", "/x", payload_hash=sigv4.UNSIGNED)["x-amz-content-sha256"] == sigv4.UNSIGNED
    )


def test_a_session_token_is_sent_and_signed() -> None:
    headers = signed("GET", "/x", session_token="session")
    assert headers["x-amz-security-token"] == "session"
    assert "x-amz-security-token" in headers["authorization"]
    assert signature(headers) != signature(signed("GET", "/x"))
    address = sigv4.presigned_url(
        "GET", f"{BUCKET}/x?versionId=1", region="r", seconds=1, session_token="a/b", **KEYS
    )
    assert "x?versionId=1&" in address
    assert "X-Amz-Security-Token=a%2Fb" in address


@pytest.mark.parametrize("seconds", [0, -1, sigv4.LONGEST_PRESIGNED + 1])
def test_refuses_lifetimes_that_the_protocol_does_not_have(seconds: int) -> None:
    with pytest.raises(ValueError, match="seconds"):
        sigv4.presigned_url("GET", BUCKET, region="r", seconds=seconds, **KEYS)
