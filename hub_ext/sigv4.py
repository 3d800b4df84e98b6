"""AWS Signature Version 4, for the few requests that obstore does not make.

Pure: what to send is computed, and sending it is the caller's. The algorithm is
that of "Signature Version 4 signing process" in the AWS General Reference and
of "Authenticating Requests" in the Amazon S3 API Reference; the tests hold
their published examples.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import quote, urlsplit

ALGORITHM = "AWS4-HMAC-SHA256"
UNSIGNED = "UNSIGNED-PAYLOAD"
LONGEST_PRESIGNED = 7 * 24 * 3600
"""Seconds that a presigned address can be good for at most, by the protocol."""


def signed_headers(
    method: str,
    url: str,
    body: bytes,
    *,
    access_key: str,
    secret_key: str,
    region: str,
    service: str,
    session_token: str | None = None,
    headers: Mapping[str, str] | None = None,
    name_payload: bool = True,
    payload_hash: str | None = None,
    now: datetime | None = None,
) -> dict[str, str]:
    """The headers to send, signature included.

    Args:
        url: with its query, encoded as it goes over the wire.
        session_token: of temporary keys.
        headers: further headers to sign; names in lower case.
        name_payload: send the body's hash along, as S3 demands; SeaweedFS
            does so of STS too.
        payload_hash: SHA-256 of the body in hex, where it is known already, or
            `UNSIGNED`; ``body`` is not looked at then.
        now: the instant to sign for, in UTC.
    """
    digest = payload_hash or hashlib.sha256(body).hexdigest()
    moment = _moment(now)
    signed = {"host": urlsplit(url).netloc, "x-amz-date": moment, **(headers or {})}
    if session_token:
        signed["x-amz-security-token"] = session_token
    if name_payload:
        signed["x-amz-content-sha256"] = digest
    names = ";".join(sorted(signed))
    scope = _scope(moment, region, service)
    canonical = _canonical_request(method, url, urlsplit(url).query, signed, digest)
    signature = _signature(canonical, moment, scope, secret_key)
    return {
        **signed,
        "authorization": f"{ALGORITHM} Credential={access_key}/{scope}, "
        f"SignedHeaders={names}, Signature={signature}",
    }


def presigned_url(
    method: str,
    url: str,
    *,
    access_key: str,
    secret_key: str,
    region: str,
    seconds: int,
    service: str = "s3",
    session_token: str | None = None,
    now: datetime | None = None,
) -> str:
    """``url`` with its signature in the query: whoever has it may do this one thing.

    It is good for ``seconds``, and no longer than the keys that it is signed with.

    Args:
        url: with its query, encoded as it goes over the wire.

    Raises:
        ValueError: ``seconds`` is not between 1 and `LONGEST_PRESIGNED`.
    """
    if not 1 <= seconds <= LONGEST_PRESIGNED:
        raise ValueError(f"a presigned address is good for 1 to {LONGEST_PRESIGNED} seconds")
    parts = urlsplit(url)
    moment = _moment(now)
    scope = _scope(moment, region, service)
    added = {
        "X-Amz-Algorithm": ALGORITHM,
        "X-Amz-Credential": f"{access_key}/{scope}",
        "X-Amz-Date": moment,
        "X-Amz-Expires": str(seconds),
        "X-Amz-SignedHeaders": "host",
    }
    if session_token:
        added["X-Amz-Security-Token"] = session_token
    query = "&".join(
        [
            *(pair for pair in parts.query.split("&") if pair),
            *(f"{name}={quote(value, safe='-_.~')}" for name, value in added.items()),
        ]
    )
    canonical = _canonical_request(method, url, query, {"host": parts.netloc}, UNSIGNED)
    signature = _signature(canonical, moment, scope, secret_key)
    return parts._replace(query=f"{query}&X-Amz-Signature={signature}").geturl()


def _canonical_request(
    method: str, url: str, query: str, signed: Mapping[str, str], payload_hash: str
) -> str:
    ordered = "&".join(
        f"{name}={value}"
        for name, _, value in sorted(pair.partition("=") for pair in query.split("&") if pair)
    )
    return "\n".join(
        [
            method,
            quote(urlsplit(url).path or "/", safe="/%-_.~"),
            ordered,
            *(f"{name}:{signed[name].strip()}" for name in sorted(signed)),
            "",
            ";".join(sorted(signed)),
            payload_hash,
        ]
    )


def _signature(canonical: str, moment: str, scope: str, secret_key: str) -> str:
    to_sign = "\n".join([ALGORITHM, moment, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = b"AWS4" + secret_key.encode()
    for step in scope.split("/"):
        key = hmac.digest(key, step.encode(), "sha256")
    return hmac.digest(key, to_sign.encode(), "sha256").hex()


def _scope(moment: str, region: str, service: str) -> str:
    return f"{moment[:8]}/{region}/{service}/aws4_request"


def _moment(now: datetime | None) -> str:
    return (now or datetime.now(UTC)).strftime("%Y%m%dT%H%M%SZ")
