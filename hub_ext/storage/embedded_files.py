"""What the embedded store's files say: its keys, its roles, its certificate.

Pure builders of text; `hub_ext.storage.embedded.prepare` writes the files. Why
each is needed stands there.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

ADMIN = "almanac"
"""Name of the store's one identity: the platform itself."""
ACCOUNT = "000000000000"
PROJECT_ROLE = f"arn:aws:iam::{ACCOUNT}:role/project"
"""The role whose sessions people and runs get; see `hub_ext.storage.credentials`."""

LONGEST_SESSION_HOURS = 12


def security(signing_key: str, certificate: Path) -> str:
    """``security.toml``: signed tokens for HTTP, our certificate for the rest."""
    lines = []
    for table in ("jwt.signing", "jwt.signing.read", "jwt.filer_signing", "jwt.filer_signing.read"):
        lines += [f"[{table}]", f'key = "{_derived(signing_key, table).hex()}"']
    lines += ["[access]", "ui = false", "[filer.expose_directory_metadata]", "enabled = false"]
    # The admin server refuses nobody without a password, TLS or not.
    lines += [
        "[admin]",
        f'user = "{ADMIN}"',
        f'password = "{_derived(signing_key, "admin").hex()}"',
    ]
    path = json.dumps(str(certificate))
    lines += ["[grpc]", f"ca = {path}"]
    for part in ("master", "volume", "filer", "s3", "admin", "worker", "client"):
        lines += [f"[grpc.{part}]", f"cert = {path}", f"key = {path}"]
    for part in ("master", "admin"):
        lines += [f"[https.{part}]", f"cert = {path}", f"key = {path}", f"ca = {path}"]
    return "\n".join(lines) + "\n"


def identities(access_key: str, secret_key: str) -> str:
    """The one key with which the platform itself reaches the store."""
    return json.dumps(
        {
            "identities": [
                {
                    "name": ADMIN,
                    "credentials": [{"accessKey": access_key, "secretKey": secret_key}],
                    "actions": ["Admin", "Read", "Write", "List", "Tagging"],
                }
            ]
        }
    )


def roles(signing_key: str) -> str:
    """Whose sessions may do what. A session's own policy narrows its role's."""
    return json.dumps(
        {
            "sts": {
                "tokenDuration": "1h",
                "maxSessionLength": f"{LONGEST_SESSION_HOURS}h",
                "issuer": ADMIN,
                # Kept with the secrets, so that sessions outlive a restart.
                "signingKey": base64.b64encode(_derived(signing_key, "sts")).decode(),
            },
            "policy": {"defaultEffect": "Deny", "storeType": "memory"},
            "policies": [
                {
                    "name": "objects",
                    "document": {
                        "Version": "2012-10-17",
                        "Statement": [
                            {
                                "Effect": "Allow",
                                "Action": list(OBJECT_ACTIONS),
                                "Resource": ["arn:aws:s3:::*/*"],
                            },
                            {
                                "Effect": "Allow",
                                "Action": list(BUCKET_ACTIONS),
                                "Resource": ["arn:aws:s3:::*"],
                            },
                        ],
                    },
                }
            ],
            "roles": [
                {
                    "roleName": PROJECT_ROLE.rpartition("/")[2],
                    "roleArn": PROJECT_ROLE,
                    "attachedPolicies": ["objects"],
                    "trustPolicy": {
                        "Version": "2012-10-17",
                        "Statement": [
                            {
                                "Effect": "Allow",
                                "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:user/{ADMIN}"},
                                "Action": ["sts:AssumeRole"],
                            }
                        ],
                    },
                }
            ],
        }
    )


READ_ACTIONS = ("s3:GetObject", "s3:GetObjectVersion", "s3:GetObjectTagging")
WRITE_ACTIONS = (
    "s3:PutObject",
    "s3:DeleteObject",
    "s3:DeleteObjectVersion",
    "s3:AbortMultipartUpload",
    "s3:ListMultipartUploadParts",
    "s3:PutObjectTagging",
)
OBJECT_ACTIONS = (*READ_ACTIONS, *WRITE_ACTIONS)
BUCKET_ACTIONS = (
    "s3:ListBucket",
    "s3:ListBucketVersions",
    "s3:ListBucketMultipartUploads",
    "s3:GetBucketLocation",
)


def _derived(key: str, purpose: str) -> bytes:
    return hmac.digest(bytes.fromhex(key), purpose.encode(), hashlib.sha256)


def certificate() -> str:
    """A new key and its self-signed certificate (PEM), good for both ends of mutual TLS."""
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "almanac object store")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=365 * 30))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return (private + signed.public_bytes(serialization.Encoding.PEM)).decode()
