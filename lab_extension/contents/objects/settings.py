"""Where the objects are, and how to be let in."""

from __future__ import annotations

from dataclasses import dataclass

from lab_extension.contents.objects.credentials import CredentialsProvider


@dataclass(frozen=True)
class StoreSettings:
    """Where the objects are, and how to be let in.

    Attributes:
        endpoint_url: ``http://host:port``; None for AWS's own of ``region``.
        prefix: where in the bucket; slashes at its ends do not matter.
        credentials: None takes them from the environment (``AWS_*``).
        anonymous: sign nothing; for buckets that are open to everybody.
        verify_tls: False accepts any certificate, and so anybody in between.
        ca_bundle: a file of certificates (PEM) to trust beside the machine's own;
            None takes it from ``AWS_CA_BUNDLE`` or ``SSL_CERT_FILE``.
        sse: server-side encryption that writes ask for: ``AES256`` or ``aws:kms``.
        kms_key_id: the key for ``aws:kms``.
        public_url: the endpoint by which others reach the store, for addresses
            that are shared; ours where it is empty.
    """

    endpoint_url: str | None
    bucket: str
    prefix: str = ""
    region: str = "us-east-1"
    credentials: CredentialsProvider | None = None
    anonymous: bool = False
    verify_tls: bool = True
    ca_bundle: str | None = None
    sse: str = ""
    kms_key_id: str = ""
    public_url: str = ""
