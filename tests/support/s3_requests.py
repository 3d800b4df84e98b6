"""Signed S3 requests as no client would make them, with any credentials."""

from __future__ import annotations

import base64
import hashlib
import http.client
from dataclasses import dataclass, field
from urllib.parse import urlencode, urlsplit

import httpx

from hub_ext.sigv4 import presigned_url, signed_headers
from hub_ext.storage.credentials import Credentials


@dataclass(frozen=True)
class Requests:
    """One signer at one store; addresses go over the wire as they are given."""

    endpoint: str
    region: str
    access_key: str
    secret_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)

    def of(self, credentials: Credentials) -> Requests:
        """The same with other credentials."""
        return Requests(
            self.endpoint,
            self.region,
            credentials.access_key,
            credentials.secret_key,
            credentials.session_token,
        )

    def send(
        self, method: str, path: str, body: bytes = b"", service: str = "s3", **headers: str
    ) -> httpx.Response:
        """``x_amz_copy_source`` becomes ``x-amz-copy-source``; a body gets its MD5."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.session_token:
            sent["x-amz-security-token"] = self.session_token
        if body and service == "s3":
            digest = hashlib.md5(body, usedforsecurity=False).digest()
            sent["content-md5"] = base64.b64encode(digest).decode()
        url = self.endpoint + path
        signed = signed_headers(
            method,
            url,
            body,
            access_key=self.access_key,
            secret_key=self.secret_key,
            region=self.region,
            service=service,
            headers=sent,
        )
        return self._raw(method, path, body, signed)

    def _raw(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> httpx.Response:
        """As it stands: httpx would take ``/a/../b`` for ``/b`` before it is sent."""
        connection = http.client.HTTPConnection(urlsplit(self.endpoint).netloc, timeout=30)
        try:
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            for name, value in {**headers, "content-length": str(len(body))}.items():
                connection.putheader(name, value)
            connection.endheaders(body)
            answer = connection.getresponse()
            return httpx.Response(answer.status, headers=answer.getheaders(), content=answer.read())
        finally:
            connection.close()

    def presigned(self, method: str, path: str) -> httpx.Response:
        url = presigned_url(
            method,
            self.endpoint + path,
            access_key=self.access_key,
            secret_key=self.secret_key,
            region=self.region,
            seconds=300,
            session_token=self.session_token,
        )
        body = b"planted" if method == "PUT" else b""
        return httpx.request(method, url, content=body, trust_env=False)

    def sts(self, service: str = "sts", **form: str) -> httpx.Response:
        body = urlencode({"Version": "2011-06-15", **form}).encode()
        return self.send(
            "POST", "/", body, service, content_type="application/x-www-form-urlencoded"
        )
