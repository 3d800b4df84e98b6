"""Keys of a role: what a pod's token (web identity) or the machine itself is given.

For servers that run outside of Almanac, where nothing else hands out keys. The
protocols are those of STS's AssumeRoleWithWebIdentity and of the EC2 instance
metadata service, version 2.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote, urlencode
from xml.etree import ElementTree

from hub_ext.errors import PublicError
from lab_extension.contents.objects.credentials import (
    NO_KEYS_MEND,
    Keys,
    RenewedKeys,
    ask,
    keys_of,
    not_keys,
    parsed,
    read_token,
)
from lab_extension.contents.objects.faults import Refused

METADATA = "http://169.254.169.254"
_SECONDS = "3600"


class WebIdentityKeys(RenewedKeys):
    """Keys of the role ``arn``, for the token in a file that is renewed by others."""

    def __init__(self, sts: str, arn: str, token_file: Path, session: str):
        super().__init__()
        self._sts = sts
        self._arn = arn
        self._token_file = token_file
        self._session = session

    def __repr__(self) -> str:
        return f"WebIdentityKeys({self._sts!r}, {self._arn!r})"

    async def fetch(self) -> Keys:
        form = {
            "Action": "AssumeRoleWithWebIdentity",
            "Version": "2011-06-15",
            "RoleArn": self._arn,
            "RoleSessionName": self._session,
            "DurationSeconds": _SECONDS,
            "WebIdentityToken": await asyncio.to_thread(read_token, self._token_file),
        }
        answer = await ask(
            "POST",
            self._sts,
            headers={"content-type": "application/x-www-form-urlencoded"},
            body=urlencode(form).encode(),
            direct=False,
        )
        try:
            found = {
                element.tag.rpartition("}")[2]: element.text
                for element in ElementTree.fromstring(answer.content).iter()  # noqa: S314
            }
            return keys_of(
                found["AccessKeyId"],
                found["SecretAccessKey"],
                found.get("SessionToken"),
                found.get("Expiration"),
            )
        except (ElementTree.ParseError, KeyError, ValueError, TypeError):
            raise not_keys(self._sts) from None


class InstanceKeys(RenewedKeys):
    """Keys of the role that the machine has; by a token, so that no page can ask for them."""

    def __init__(self, endpoint: str):
        super().__init__()
        self._endpoint = endpoint.rstrip("/")

    def __repr__(self) -> str:
        return f"InstanceKeys({self._endpoint!r})"

    async def fetch(self) -> Keys:
        place = f"{self._endpoint}/latest/meta-data/iam/security-credentials/"
        try:
            asked = {"x-aws-ec2-metadata-token-ttl-seconds": "21600"}
            token = await ask("PUT", f"{self._endpoint}/latest/api/token", headers=asked)
            headers = {"x-aws-ec2-metadata-token": token.text}
            role = (await ask("GET", place, headers=headers)).text.split("\n")[0].strip()
            if not role:
                raise not_keys(place)
            url = place + quote(role)
            return parsed(await ask("GET", url, headers=headers), url)
        except PublicError as fault:
            # The last place to look, and most often none at all.
            raise Refused(
                f"This server has no access key for object storage. {fault.message}",
                mend=NO_KEYS_MEND,
            ) from fault


def web_identity(environment: Mapping[str, str]) -> RenewedKeys | None:
    name, arn = environment.get("AWS_WEB_IDENTITY_TOKEN_FILE"), environment.get("AWS_ROLE_ARN")
    if not name or not arn:
        return None
    region = environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION")
    regional = f"https://sts.{region}.amazonaws.com" if region else "https://sts.amazonaws.com"
    return WebIdentityKeys(
        environment.get("AWS_ENDPOINT_URL_STS") or regional,
        arn,
        Path(name),
        environment.get("AWS_ROLE_SESSION_NAME") or "jupyter",
    )


def instance(environment: Mapping[str, str]) -> RenewedKeys | None:
    if environment.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true":
        return None
    return InstanceKeys(environment.get("AWS_EC2_METADATA_SERVICE_ENDPOINT") or METADATA)
