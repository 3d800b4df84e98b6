"""AWS Signature Version 4 for the few requests that obstore does not make.

Making a bucket and asking for limited credentials (STS): both are single, small
requests, which do not justify a second S3 client. The algorithm is that of
"Signature Version 4 signing process" in the AWS General Reference; the tests
hold its published example.
"""

from __future__ import annotations

import hashlib
import hmac
from datetime import UTC, datetime
from urllib.parse import quote, urlsplit

import httpx

from hub_ext.errors import Forbidden, Unavailable
from hub_ext.storage.objects import on_this_machine

TIMEOUT = httpx.Timeout(10, connect=3)


def signed_headers(
    method: str,
    url: str,
    body: bytes,
    *,
    access_key: str,
    secret_key: str,
    region: str,
    service: str,
    headers: dict[str, str] | None = None,
    name_payload: bool = True,
    now: datetime | None = None,
) -> dict[str, str]:
    """The headers to send, signature included.

    Args:
        url: with its query, encoded as it goes over the wire.
        headers: further headers to sign; names in lower case.
        name_payload: send the body's hash along, as S3 demands; SeaweedFS
            does so of STS too.
        now: the instant to sign for, in UTC.
    """
    parts = urlsplit(url)
    moment = (now or datetime.now(UTC)).strftime("%Y%m%dT%H%M%SZ")
    signed = {"host": parts.netloc, "x-amz-date": moment, **(headers or {})}
    if name_payload:
        signed["x-amz-content-sha256"] = hashlib.sha256(body).hexdigest()
    names = ";".join(sorted(signed))
    query = "&".join(
        f"{name}={value}"
        for name, _, value in sorted(pair.partition("=") for pair in parts.query.split("&") if pair)
    )
    canonical = "\n".join(
        [
            method,
            quote(parts.path or "/", safe="/%-_.~"),
            query,
            *(f"{name}:{signed[name].strip()}" for name in sorted(signed)),
            "",
            names,
            hashlib.sha256(body).hexdigest(),
        ]
    )
    scope = f"{moment[:8]}/{region}/{service}/aws4_request"
    to_sign = "\n".join(
        ["AWS4-HMAC-SHA256", moment, scope, hashlib.sha256(canonical.encode()).hexdigest()]
    )
    key = b"AWS4" + secret_key.encode()
    for step in (moment[:8], region, service, "aws4_request"):
        key = hmac.digest(key, step.encode(), "sha256")
    signature = hmac.digest(key, to_sign.encode(), "sha256").hex()
    return {
        **signed,
        "authorization": f"AWS4-HMAC-SHA256 Credential={access_key}/{scope}, "
        f"SignedHeaders={names}, Signature={signature}",
    }


def send(
    method: str,
    url: str,
    body: bytes = b"",
    *,
    access_key: str,
    secret_key: str,
    region: str,
    service: str = "s3",
    content_type: str | None = None,
) -> httpx.Response:
    """Sign and send one request; the answer's status is the caller's to judge.

    Raises:
        Unavailable: nothing answers, or the store says 5xx.
        Forbidden: the store refuses the key.
    """
    headers = signed_headers(
        method,
        url,
        body,
        access_key=access_key,
        secret_key=secret_key,
        region=region,
        service=service,
        headers={"content-type": content_type} if content_type else None,
    )
    endpoint = "{0.scheme}://{0.netloc}".format(urlsplit(url))
    try:
        answer = httpx.request(
            method,
            url,
            content=body,
            headers=headers,
            timeout=TIMEOUT,
            trust_env=not on_this_machine(endpoint),
        )
    except httpx.HTTPError as error:
        raise Unavailable(
            f"The object store at {endpoint} does not answer.",
            mend="`almanac status` says whether it runs; its log is store.log.",
        ) from error
    if answer.status_code >= 500:
        raise Unavailable(
            f"The object store at {endpoint} answers {answer.status_code}.",
            mend="It may still be starting; its log is store.log.",
        )
    if answer.status_code in (401, 403):
        raise Forbidden(
            f"The object store at {endpoint} refuses the platform's own key.",
            mend="Is it another store than the one this state folder belongs to?",
        )
    return answer
