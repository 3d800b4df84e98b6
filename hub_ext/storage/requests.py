"""Signed requests to one bucket that obstore does not make.

With the platform's own key: old versions, uploads under way, and what a store
can do at all.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Collection, Mapping
from urllib.parse import quote, urlencode

import httpx

from hub_ext.errors import Forbidden, Unavailable
from hub_ext.loopback import on_this_machine
from hub_ext.sigv4 import signed_headers

TIMEOUT = httpx.Timeout(60, connect=5)


class Bucket:
    """Sends them. Safe to share between threads; keeps its connections."""

    def __init__(self, endpoint: str, bucket: str, region: str, access_key: str, secret_key: str):
        self.endpoint = endpoint
        self.bucket = bucket
        self.region = region
        self.access_key = access_key
        self.secret_key = secret_key
        self._http = httpx.Client(timeout=TIMEOUT, trust_env=not on_this_machine(endpoint))

    def url(self, key: str = "", query: Mapping[str, str] | None = None) -> str:
        """The address of an object, or of the bucket, encoded as it is signed."""
        path = f"{self.bucket}/{quote(key, safe='/~')}" if key else self.bucket
        text = urlencode(sorted((query or {}).items()), quote_via=quote, safe="-_.~")
        return f"{self.endpoint}/{path}" + (f"?{text}" if text else "")

    def send(
        self,
        method: str,
        key: str = "",
        *,
        query: Mapping[str, str] | None = None,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        expected: Collection[int] | None = (200,),
    ) -> httpx.Response:
        """Send one request.

        Args:
            key: of an object; empty for the bucket itself.
            headers: further headers, signed; names in lower case.
            expected: statuses that are an answer; None takes any.

        Raises:
            Unavailable: no answer, or one that was not expected.
            Forbidden: the store refuses the key.
        """
        url = self.url(key, query)
        sent = dict(headers or {})
        if body:  # bulk deletes and configurations are refused without it
            digest = hashlib.md5(body, usedforsecurity=False).digest()
            sent["content-md5"] = base64.b64encode(digest).decode()
        signed = signed_headers(
            method,
            url,
            body,
            access_key=self.access_key,
            secret_key=self.secret_key,
            region=self.region,
            service="s3",
            headers=sent,
        )
        try:
            answer = self._http.request(method, url, content=body, headers=signed)
        except httpx.HTTPError as error:
            raise Unavailable(
                f"The object store at {self.endpoint} does not answer.",
                mend="`almanac status` says whether it runs; its log is store.log.",
            ) from error
        if expected is None or answer.status_code in expected:
            return answer
        if answer.status_code in (401, 403):
            raise Forbidden(f"The object store at {self.endpoint} refuses the platform's own key.")
        asked = ", ".join(name for name in query or () if not (query or {})[name])
        raise Unavailable(
            f"The object store at {self.endpoint} answers {answer.status_code} to {method} "
            f"{asked or key or self.bucket}."
        )

    def close(self) -> None:
        self._http.close()
