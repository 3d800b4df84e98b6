"""The few requests of the platform that obstore does not make.

Making a bucket and asking for limited credentials (STS): both are single, small
requests, which do not justify a second S3 client. `hub_ext.sigv4` signs them.
"""

from __future__ import annotations

from urllib.parse import urlsplit

import httpx

from hub_ext.errors import Forbidden, Unavailable
from hub_ext.loopback import on_this_machine
from hub_ext.sigv4 import signed_headers

__all__ = ["send", "signed_headers"]

TIMEOUT = httpx.Timeout(10, connect=3)


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
