"""A small OpenID provider: discovery, keys, and tokens that it signs. For tests alone.

What a cluster is for its pods: it says who a service account is, and a store
that was told to trust it believes that.
"""

from __future__ import annotations

import base64
import contextlib
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

KEY_ID = "test-key"


@dataclass(frozen=True)
class IdentityProvider:
    """Attributes:
    issuer: ``http://127.0.0.1:PORT``.
    """

    issuer: str
    _key: rsa.RSAPrivateKey

    @property
    def discovery(self) -> str:
        return f"{self.issuer}/.well-known/openid-configuration"

    def token(
        self, *, audience: str, seconds: int = 3600, key: rsa.RSAPrivateKey | None = None
    ) -> str:
        """A JWT as kubelet projects one; ``key`` signs it in place of the provider's own."""
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "aud": audience,
            "sub": "system:serviceaccount:almanac:jobs",
            "iat": now,
            "exp": now + seconds,
        }
        head = _encoded({"alg": "RS256", "typ": "JWT", "kid": KEY_ID})
        signed = f"{head}.{_encoded(claims)}"
        signature = (key or self._key).sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{signed}.{_base64(signature)}"


@contextlib.contextmanager
def identity_provider() -> Iterator[IdentityProvider]:
    key = new_key()
    numbers = key.public_key().public_numbers()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            documents = {
                "/.well-known/openid-configuration": {
                    "issuer": issuer,
                    "jwks_uri": f"{issuer}/keys",
                    "token_endpoint": f"{issuer}/token",
                    "authorization_endpoint": f"{issuer}/authorize",
                    "response_types_supported": ["id_token"],
                    "id_token_signing_alg_values_supported": ["RS256"],
                },
                "/keys": {
                    "keys": [
                        {
                            "kty": "RSA",
                            "use": "sig",
                            "alg": "RS256",
                            "kid": KEY_ID,
                            "n": _base64(numbers.n.to_bytes(256, "big")),
                            "e": _base64(numbers.e.to_bytes(3, "big")),
                        }
                    ]
                },
            }
            found = documents.get(self.path)
            body = json.dumps(found or {}).encode()
            self.send_response(200 if found else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    issuer = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield IdentityProvider(issuer, key)
    finally:
        server.shutdown()
        server.server_close()


def new_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def _encoded(document: dict[str, Any]) -> str:
    return _base64(json.dumps(document).encode())


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
