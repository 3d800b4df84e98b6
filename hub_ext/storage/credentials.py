"""Object store credentials that reach some prefixes and nothing else.

The store itself enforces them: each is a session, asked for by STS with a
session policy that names the prefixes. What the session may do is in its
token, signed by the store, so that it outlives a restart of store or platform
and nothing has to be remembered or taken back. They end by themselves, after
an hour: so long may a notebook that is already open still reach the data of a
project its owner has just left. Clients ask again by themselves.

One contract, `Broker`, and two ways to ask, by what the platform has to show:

- `CredentialsBroker`, AssumeRole signed with the platform's own key: the
  embedded SeaweedFS (whose role is in `hub_ext.storage.embedded_files.roles`),
  MinIO;
- `WebIdentityBroker`, AssumeRoleWithWebIdentity with a token that the platform
  runs with, as on Kubernetes: no key at all. AWS, MinIO.

Nothing is cached: asking takes a few milliseconds.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlencode
from xml.etree import ElementTree

import httpx

from hub_ext.errors import Forbidden, Unavailable
from hub_ext.loopback import on_this_machine
from hub_ext.storage import signing
from hub_ext.storage.embedded_files import PROJECT_ROLE
from hub_ext.storage.policies import as_many_as_fit, session_name, session_policy

TTL = timedelta(hours=1)
"""How long credentials are good; STS grants 15 minutes at least, 12 hours at most.

Not the least: botocore, and with it s3fs and polars, takes credentials with less
than 15 minutes left for old. It would ask for new ones at every request, and
polars, which reads key, secret and token one after another, would mix three sets
and be refused. DuckDB signs with what it had when it opened a file, to the end of
the statement.
"""
FULL_TTL = timedelta(minutes=20)
"""Of those that may not write because a place is full: room may be made soon. Still longer
than botocore's 15 minutes, for the reason above."""
MARGIN = timedelta(minutes=1)
"""So much sooner than they end do clients hear that they do: some use them to the last second."""

FORM = "application/x-www-form-urlencoded"


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
            "Expiration": (self.expires - MARGIN).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        }


class Broker(ABC):
    """Issues credentials for prefixes of one bucket. Safe to share between threads.

    To be implemented: `assume`, which asks the store.

    Attributes:
        endpoint: address of the STS that is asked.
        lists_uploads: whether the store limits the listing of uploads under
            way to a prefix, so that it can be allowed.
    """

    lists_uploads: bool = False

    def __init__(self, endpoint: str, bucket: str):
        self.endpoint = endpoint.rstrip("/")
        self.bucket = bucket

    @abstractmethod
    def assume(self, form: Mapping[str, str]) -> httpx.Response:
        """Ask for a session with these members of the request, and those that it needs besides.

        Raises:
            Unavailable: the store does not answer.
            Forbidden: it does not take what the platform shows.
        """

    def issue(
        self,
        *,
        read: Sequence[str] = (),
        write: Sequence[str] = (),
        delete: Sequence[str] = (),
        name: str,
        ttl: timedelta = TTL,
    ) -> Credentials:
        """New credentials.

        Args:
            read, write, delete: prefixes of keys, each ending with a slash; what
                may be written may be read and deleted, what may be deleted may
                be read.
            name: who asked, for the store's own log.
            ttl: how long they shall be good, 15 minutes to 12 hours.

        Raises:
            Forbidden: no prefix at all.
            Unavailable: the store does not answer, or issues none.
            TooManyProjects, ValueError: see `session_policy`.
        """
        if not (read or write or delete):
            raise Forbidden("There is no place in the object store that you may reach.")
        answer = self.assume(
            {
                "Version": "2011-06-15",
                "RoleSessionName": session_name(name),
                "DurationSeconds": str(int(ttl.total_seconds())),
                "Policy": session_policy(
                    self.bucket, read, write, delete=delete, lists_uploads=self.lists_uploads
                ),
            }
        )
        if answer.status_code != 200:
            raise Unavailable(
                f"The object store at {self.endpoint} issues no credentials "
                f"({answer.status_code}{_code(answer)}).",
                mend="Its log says why.",
            )
        return _parse(answer.content)

    def fitting(self, prefixes: Sequence[str]) -> list[str]:
        """The first of ``prefixes``, as many as credentials can reach at once."""
        return as_many_as_fit(self.bucket, prefixes)

    def __call__(
        self,
        *,
        read: Sequence[str] = (),
        write: Sequence[str] = (),
        delete: Sequence[str] = (),
        name: str,
    ) -> dict[str, Any]:
        """`issue`, as the document that S3 clients read."""
        ttl = FULL_TTL if delete else TTL
        issued = self.issue(read=read, write=write, delete=delete, name=name, ttl=ttl)
        return issued.container_document()


class CredentialsBroker(Broker):
    """Asks by AssumeRole, signed with the platform's own key.

    Args:
        endpoint: of the STS, which with SeaweedFS and MinIO is that of S3.
        role: what is assumed; MinIO has none and asks nothing of it.
        lists_uploads: see `Broker`; SeaweedFS does, MinIO does not.
    """

    def __init__(
        self,
        endpoint: str,
        bucket: str,
        region: str,
        access_key: str,
        secret_key: str,
        *,
        role: str = PROJECT_ROLE,
        lists_uploads: bool = True,
    ):
        super().__init__(endpoint, bucket)
        self.region = region
        self.role = role
        self.lists_uploads = lists_uploads
        self._access_key = access_key
        self._secret_key = secret_key

    def assume(self, form: Mapping[str, str]) -> httpx.Response:
        return signing.send(
            "POST",
            f"{self.endpoint}/",
            urlencode({"Action": "AssumeRole", "RoleArn": self.role, **form}).encode(),
            access_key=self._access_key,
            secret_key=self._secret_key,
            region=self.region,
            service="sts",
            content_type=FORM,
        )


class WebIdentityBroker(Broker):
    """Asks by AssumeRoleWithWebIdentity, with the token that the platform runs with.

    On Kubernetes that is a projected token of its service account, as with
    "IAM roles for service accounts": kubelet renews the file, so it is read at
    each request, and the platform holds no key of the store.

    Args:
        endpoint: of the STS: ``https://sts.REGION.amazonaws.com``; with MinIO
            that of S3.
        role: what the token may assume; the session policy narrows it.
        token_file: a JWT of an identity provider that the store trusts.
    """

    VARIABLES: ClassVar = ("AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE")

    def __init__(self, endpoint: str, bucket: str, *, role: str, token_file: Path):
        super().__init__(endpoint, bucket)
        self.role = role
        self.token_file = token_file

    @classmethod
    def from_environment(
        cls, environment: Mapping[str, str], *, bucket: str, region: str
    ) -> WebIdentityBroker | None:
        """The broker that the variables of the AWS SDKs describe; None where they do not.

        ``AWS_ROLE_ARN``, ``AWS_WEB_IDENTITY_TOKEN_FILE``, and for a store other
        than AWS ``AWS_ENDPOINT_URL_STS``.
        """
        role, file = (environment.get(name) for name in cls.VARIABLES)
        if not role or not file:
            return None
        endpoint = environment.get("AWS_ENDPOINT_URL_STS") or f"https://sts.{region}.amazonaws.com"
        return cls(endpoint, bucket, role=role, token_file=Path(file))

    def assume(self, form: Mapping[str, str]) -> httpx.Response:
        try:
            token = self.token_file.read_text().strip()
        except OSError as error:
            raise Unavailable(
                f"The platform's own token {self.token_file} cannot be read: {error.strerror}.",
                mend="It is mounted by the cluster: does the pod run with its service account?",
            ) from error
        body = {
            "Action": "AssumeRoleWithWebIdentity",
            "RoleArn": self.role,
            "WebIdentityToken": token,
            **form,
        }
        try:
            # In the body and never in the address: addresses end in logs.
            answer = httpx.post(
                f"{self.endpoint}/",
                data=body,
                timeout=signing.TIMEOUT,
                trust_env=not on_this_machine(self.endpoint),
            )
        except httpx.HTTPError as error:
            raise Unavailable(
                f"The token service of the object store at {self.endpoint} does not answer."
            ) from error
        if answer.status_code in (400, 401, 403):
            raise Forbidden(
                f"The token service at {self.endpoint} does not take the platform's own token"
                f"{_code(answer)}.",
                mend=f"May it assume {self.role}, and does the store trust who has signed it?",
            )
        return answer


def _code(answer: httpx.Response) -> str:
    """``: <error code>`` of an answer of STS; its message may hold what was sent, and is left."""
    try:
        root = ElementTree.fromstring(answer.content)  # noqa: S314 - see _parse
    except ElementTree.ParseError:
        return ""
    codes = [element.text for element in root.iter() if element.tag.rpartition("}")[2] == "Code"]
    return f": {codes[0]}" if codes and codes[0] else ""


def _parse(answer: bytes) -> Credentials:
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
