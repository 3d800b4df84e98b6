"""Each broker of credentials with a store that takes what it asks for."""

from __future__ import annotations

import base64
import contextlib
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import stores
from identity_provider import IdentityProvider, identity_provider
from s3_requests import Requests
from stores import RunningStore

from hub_ext.storage.credentials import Broker, CredentialsBroker, WebIdentityBroker

KINDS = ("seaweedfs", "minio", "minio-web-identity")
AUDIENCE = "almanac-storage"


@dataclass(frozen=True)
class Brokered:
    """A broker, the store behind it, and requests with the platform's own key."""

    broker: Broker
    store: RunningStore
    platform: Requests


def brokered(broker: Broker, store: RunningStore) -> Brokered:
    return Brokered(
        broker, store, Requests(store.endpoint, store.region, store.access_key, store.secret_key)
    )


def by_key(store: RunningStore) -> Brokered:
    """AssumeRole with the platform's key."""
    broker = CredentialsBroker(
        store.endpoint,
        store.bucket,
        store.region,
        **store.keys,
        lists_uploads=store.kind == "seaweedfs",
    )
    return brokered(broker, store)


@dataclass(frozen=True)
class Federated:
    """A MinIO that trusts an identity provider, and a broker with a token of it."""

    brokered: Brokered
    provider: IdentityProvider
    role: str
    token_file: Path

    def broker(self, token: str, folder: Path) -> WebIdentityBroker:
        """A broker that shows another token, from a file in ``folder``."""
        path = folder / "token"
        path.write_text(token)
        store = self.brokered.store
        return WebIdentityBroker(store.endpoint, store.bucket, role=self.role, token_file=path)


@contextlib.contextmanager
def by_web_identity(folder: Path) -> Iterator[Federated]:
    with identity_provider() as provider:
        # MinIO names the role after the client: what it prints at its start.
        digest = hashlib.sha1(AUDIENCE.encode(), usedforsecurity=False).digest()
        role = "arn:minio:iam:::role/" + base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        trust = {
            "MINIO_IDENTITY_OPENID_CONFIG_URL": provider.discovery,
            "MINIO_IDENTITY_OPENID_CLIENT_ID": AUDIENCE,
            "MINIO_IDENTITY_OPENID_ROLE_POLICY": "readwrite",
        }
        with stores.running_store("minio", folder, trust) as store:
            token = folder / "platform-token"
            token.write_text(provider.token(audience=AUDIENCE))
            broker = WebIdentityBroker(store.endpoint, store.bucket, role=role, token_file=token)
            yield Federated(brokered(broker, store), provider, role, token)
