"""Object store credentials that reach some prefixes and nothing else.

The store itself enforces them: each is a session of the role "project"
(`hub_ext.storage.embedded_files.roles`), asked for by STS AssumeRole with a session
policy that names the prefixes. What the session may do is in its token, signed
by the store, so that it outlives a restart of store or platform and nothing has
to be remembered or taken back. They end by themselves, after 15 minutes, the
least that STS grants: so long may a notebook that is already open still reach
the data of a project its owner has just left. Clients ask again by themselves.

Nothing is cached: asking takes a few milliseconds.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode
from xml.etree import ElementTree

from hub_ext.errors import Forbidden, Invalid, Unavailable
from hub_ext.storage import signing
from hub_ext.storage.embedded_files import PROJECT_ROLE

TTL = timedelta(minutes=15)
"""How long credentials are good; STS grants 15 minutes at least, 12 hours at most."""
LARGEST_POLICY = 2048
"""Characters of a session policy that STS accepts: some 20 projects."""

READ = ("s3:GetObject*",)
WRITE = (
    *READ,
    "s3:PutObject",
    "s3:PutObjectTagging",
    "s3:DeleteObject*",
    "s3:AbortMultipartUpload",
    "s3:ListMultipartUploadParts",
)


@dataclass(frozen=True)
class Credentials:
    """What an S3 client signs with; good until ``expires`` (UTC)."""

    access_key: str
    secret_key: str = field(repr=False)
    session_token: str = field(repr=False)
    expires: datetime

    def container_document(self) -> dict[str, Any]:
        """The answer that ``AWS_CONTAINER_CREDENTIALS_FULL_URI`` has to give."""
        return {
            "AccessKeyId": self.access_key,
            "SecretAccessKey": self.secret_key,
            "Token": self.session_token,
            "Expiration": self.expires.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        }


def session_policy(bucket: str, read: Sequence[str], write: Sequence[str]) -> str:
    """The policy that limits a session to prefixes; as short as it can be.

    Args:
        read: prefixes whose objects may be read and listed.
        write: prefixes where they may be written and removed as well.

    Raises:
        ValueError: a prefix that does not end with a slash, or that would be
            read as a pattern.
        Invalid: more prefixes than a policy can hold.
    """
    prefixes = sorted({*read, *write})
    for prefix in prefixes:
        if not re.fullmatch(r"(?:[A-Za-z0-9_=@+-][A-Za-z0-9._=@+-]*/)+", prefix):
            raise ValueError(f"{prefix!r} is not a prefix of keys: segments, each with its slash")
    writable = set(write)
    objects = f"arn:aws:s3:::{bucket}/"
    statements: list[dict[str, Any]] = []
    for actions, below in (
        (READ, [prefix for prefix in prefixes if prefix not in writable]),
        (WRITE, sorted(writable)),
    ):
        if below:
            statements.append(
                {
                    "Effect": "Allow",
                    "Action": list(actions),
                    "Resource": [f"{objects}{prefix}*" for prefix in below],
                }
            )
    statements.append(
        {
            "Effect": "Allow",
            "Action": ["s3:ListBucket"],
            "Resource": [f"arn:aws:s3:::{bucket}"],
            # With its slash: a list of "home/ana" would show "home/anatole".
            "Condition": {"StringLike": {"s3:prefix": [f"{prefix}*" for prefix in prefixes]}},
        }
    )
    policy = json.dumps({"Version": "2012-10-17", "Statement": statements}, separators=(",", ":"))
    if len(policy) > LARGEST_POLICY:
        raise Invalid(
            f"Credentials for {len(prefixes)} projects at once are more than the store can grant.",
            mend="Ask for those of fewer projects.",
        )
    return policy


class CredentialsBroker:
    """Issues credentials for prefixes of one bucket. Safe to share between threads."""

    def __init__(
        self,
        endpoint: str,
        bucket: str,
        region: str,
        access_key: str,
        secret_key: str,
        *,
        role: str = PROJECT_ROLE,
    ):
        self.endpoint = endpoint
        self.bucket = bucket
        self.region = region
        self.role = role
        self._access_key = access_key
        self._secret_key = secret_key

    def issue(
        self,
        *,
        read: Sequence[str] = (),
        write: Sequence[str] = (),
        name: str,
        ttl: timedelta = TTL,
    ) -> Credentials:
        """New credentials.

        Args:
            read, write: prefixes of keys, each ending with a slash; what may
                be written may be read.
            name: who asked, for the store's own log.
            ttl: how long they shall be good, 15 minutes to 12 hours.

        Raises:
            Forbidden: no prefix at all.
            Unavailable: the store does not answer, or issues none.
            Invalid, ValueError: see `session_policy`.
        """
        if not read and not write:
            raise Forbidden("There is no place in the object store that you may reach.")
        form = {
            "Action": "AssumeRole",
            "Version": "2011-06-15",
            "RoleArn": self.role,
            "RoleSessionName": re.sub(r"[^\w+=,.@-]", "-", name, flags=re.ASCII)[:64].ljust(2, "-"),
            "DurationSeconds": str(int(ttl.total_seconds())),
            "Policy": session_policy(self.bucket, read, write),
        }
        answer = signing.send(
            "POST",
            f"{self.endpoint}/",
            urlencode(form).encode(),
            access_key=self._access_key,
            secret_key=self._secret_key,
            region=self.region,
            service="sts",
            content_type="application/x-www-form-urlencoded",
        )
        if answer.status_code != 200:
            raise Unavailable(
                f"The object store at {self.endpoint} issues no credentials "
                f"({answer.status_code}).",
                mend="Its log is store.log.",
            )
        return _parse(answer.text)

    def __call__(self, *, read: Sequence[str], write: Sequence[str], name: str) -> dict[str, Any]:
        """`issue`, as the document that S3 clients read."""
        return self.issue(read=read, write=write, name=name).container_document()


def _parse(answer: str) -> Credentials:
    # The store's own answer over loopback or TLS, so the parser need not be armed.
    found = {
        element.tag.rpartition("}")[2]: element.text or ""
        for element in ElementTree.fromstring(answer).iter()  # noqa: S314
    }
    return Credentials(
        access_key=found["AccessKeyId"],
        secret_key=found["SecretAccessKey"],
        session_token=found["SessionToken"],
        expires=datetime.fromisoformat(found["Expiration"]),
    )
