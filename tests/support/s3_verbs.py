"""Every way in which S3 could let somebody into another's prefix: a table.

Each entry tries one verb, or one spelling of it, with the credentials of an
intruder, and gives the answers. They write the word ``planted``; what must not
be read holds `SECRET`.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import httpx
from s3_requests import Requests

SECRET = b"the-secret-of-another"
PLANTED = b"planted"
WIDE = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": ["s3:*"], "Resource": ["arn:aws:s3:::*"]}],
    }
)


@dataclass(frozen=True)
class Break:
    """Who tries, and at what.

    Attributes:
        own: prefix that the intruder may write; empty for none. Holds ``mine``.
        other: prefix that is another's. Holds ``secret.txt`` twice over, so that
            it has an older ``version``, and an unfinished ``upload`` of ``part``.
        own_upload: an unfinished upload of the intruder's own, of ``own`` ``part``.
    """

    requests: Requests
    bucket: str
    own: str
    other: str
    version: str
    etag: str
    upload: str
    own_upload: str

    @property
    def at(self) -> str:
        return f"/{self.bucket}"

    @property
    def secret(self) -> str:
        return f"{self.at}/{self.other}secret.txt"

    @property
    def mine(self) -> str:
        return f"{self.at}/{self.own}mine"


Answers = Iterable[httpx.Response]
Verb = Callable[[Break], Answers]


def _get(path: str, **headers: str) -> Verb:
    """A GET of ``path``, where ``{secret}``, ``{at}`` and the like stand for the case's own."""
    return _send("GET", path, **headers)


def _send(method: str, path: str, body: bytes = b"", **headers: str) -> Verb:
    def verb(case: Break) -> Answers:
        values = {
            "at": case.at,
            "secret": case.secret,
            "mine": case.mine,
            "own": case.own,
            "other": case.other,
            "q_other": quote(case.other, safe=""),
            "q_own": quote(case.own, safe=""),
            "cut_own": quote(case.own.rstrip("/"), safe=""),
            "cut_other": quote(case.other.rstrip("/"), safe=""),
            "parent": quote(case.other.partition("/")[0] + "/", safe=""),
            "up": "../" * case.own.count("/"),
            "q_up": "%2e%2e/" * case.own.count("/"),
            "slash_up": "..%2F" * case.own.count("/"),
            "twice_up": "%252e%252e/" * case.own.count("/"),
            "version": case.version,
            "etag": case.etag,
            "upload": case.upload,
            "own_upload": case.own_upload,
            "bucket": case.bucket,
        }
        yield case.requests.send(
            method,
            path.format(**values),
            body,
            **{name: value.format(**values) for name, value in headers.items()},
        )

    return verb


def _bulk_delete(case: Break) -> Answers:
    objects = "".join(
        f"<Object><Key>{case.other}{name}</Key>{version}</Object>"
        for name, version in (
            ("secret.txt", ""),
            ("secret.txt", f"<VersionId>{case.version}</VersionId>"),
            ("not-there", ""),
        )
    )
    own = f"<Object><Key>{case.own}not-there</Key></Object>" if case.own else ""
    body = f"<Delete>{own}{objects}</Delete>".encode()
    answer = case.requests.send("POST", f"{case.at}?delete=", body)
    # A list is answered as a whole, with an error for each that was refused.
    refused = answer.text.count("<Code>AccessDenied</Code>")
    yield answer if refused < 3 else httpx.Response(403)


def _presigned(method: str) -> Verb:
    return lambda case: [case.requests.presigned(method, case.secret)]


def _form(case: Break) -> Answers:
    """The upload of a browser's form, with a policy that the intruder signs."""
    now = datetime.now(UTC)
    day = now.strftime("%Y%m%d")
    scope = f"{day}/{case.requests.region}/s3/aws4_request"
    key = f"{case.other}secret.txt"
    fields = {
        "key": key,
        "x-amz-algorithm": "AWS4-HMAC-SHA256",
        "x-amz-credential": f"{case.requests.access_key}/{scope}",
        "x-amz-date": now.strftime("%Y%m%dT%H%M%SZ"),
        "x-amz-security-token": case.requests.session_token or "",
    }
    policy = {
        "expiration": (now + timedelta(minutes=5)).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "conditions": [
            {"bucket": case.bucket},
            ["starts-with", "$key", ""],
            *({name: value} for name, value in fields.items() if name != "key"),
        ],
    }
    encoded = base64.b64encode(json.dumps(policy).encode()).decode()
    signing = b"AWS4" + case.requests.secret_key.encode()
    for step in scope.split("/"):
        signing = hmac.digest(signing, step.encode(), hashlib.sha256)
    fields |= {
        "policy": encoded,
        "x-amz-signature": hmac.digest(signing, encoded.encode(), hashlib.sha256).hex(),
    }
    yield httpx.post(
        f"{case.requests.endpoint}{case.at}",
        data=fields,
        files={"file": ("a", PLANTED)},
        trust_env=False,
    )


def _sts(service: str = "sts", **form: str) -> Verb:
    return lambda case: [case.requests.sts(service, **form)]


_PART = "partNumber=1&uploadId="
_COMPLETE = (
    "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber>"
    f"<ETag>{hashlib.md5(SECRET, usedforsecurity=False).hexdigest()}</ETag></Part>"
    "</CompleteMultipartUpload>"
).encode()
TAGS = b"<Tagging><TagSet><Tag><Key>planted</Key><Value>x</Value></Tag></TagSet></Tagging>"
_GRANT_ALL = {"x_amz_acl": "public-read-write"}
_BUCKET_POLICY = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": "*",
                "Action": "s3:*",
                "Resource": "arn:aws:s3:::almanac/*",
            }
        ],
    }
).encode()

READS: dict[str, Verb] = {
    "list v1": _get("{at}?prefix={q_other}"),
    "list v2": _get("{at}?list-type=2&prefix={q_other}"),
    "list, the prefix twice": _get("{at}?list-type=2&prefix={q_other}&prefix={q_own}"),
    "list, the prefix twice, the own first": _get(
        "{at}?list-type=2&prefix={q_own}&prefix={q_other}"
    ),
    "list versions, the prefix twice": _get("{at}?prefix={q_other}&prefix={q_own}&versions="),
    "list without its slash": _get("{at}?list-type=2&prefix={cut_other}"),
    "list what begins like the own": _get("{at}?list-type=2&prefix={cut_own}"),
    "list the own parent": _get("{at}?delimiter=%2F&list-type=2&prefix={parent}"),
    "list all": _get("{at}?list-type=2"),
    "list from the own upwards": _get("{at}?list-type=2&prefix={q_own}{slash_up}{q_other}"),
    "list versions": _get("{at}?prefix={q_other}&versions="),
    "list versions of all": _get("{at}?versions="),
    "list versions like the own": _get("{at}?prefix={cut_own}&versions="),
    "list uploads": _get("{at}?prefix={q_other}&uploads="),
    "list uploads of all": _get("{at}?uploads="),
    "list uploads like the own": _get("{at}?prefix={cut_own}&uploads="),
    "get": _get("{secret}"),
    "head": _send("HEAD", "{secret}"),
    "get a range": _get("{secret}", range="bytes=0-3"),
    "get the last bytes": _get("{secret}", range="bytes=-4"),
    "get a part": _get("{secret}?partNumber=1"),
    "get if changed": _get("{secret}", if_none_match='"{etag}"'),
    "get a version": _get("{secret}?versionId={version}"),
    "head a version": _send("HEAD", "{secret}?versionId={version}"),
    "get attributes": _get("{secret}?attributes=", x_amz_object_attributes="ETag,ObjectSize"),
    "get tags": _get("{secret}?tagging="),
    "get the ACL": _get("{secret}?acl="),
    "get its retention": _get("{secret}?retention="),
    "get the torrent": _get("{secret}?torrent="),
    "list parts": _get("{at}/{other}part?uploadId={upload}"),
    "presigned get": _presigned("GET"),
    "get up and over": _get("{at}/{own}{up}{other}secret.txt"),
    "get up and over, encoded": _get("{at}/{own}{q_up}{other}secret.txt"),
    "get up and over, slashes too": _get("{at}/{own}{slash_up}{other}secret.txt"),
    "get up and over, encoded twice": _get("{at}/{own}{twice_up}{other}secret.txt"),
    "get with a slash more": _get("{at}//{other}secret.txt"),
    "get as a version of the own": _get("{mine}?versionId={slash_up}{q_other}secret.txt"),
    "get the parts of uploads": _get("{at}/.uploads/{upload}/0001.part"),
    "list the parts of uploads": _get("{at}?list-type=2&prefix=.uploads%2F"),
    "get the bucket's policy": _get("{at}?policy="),
    "get the bucket's ACL": _get("{at}?acl="),
}

COPIES: dict[str, Verb] = {
    f"{name} {verb}": _send("PUT", target, x_amz_copy_source=source)
    for verb, target in (
        ("into the own", "{at}/{own}stolen"),
        ("into an own part", "{at}/{own}part?" + _PART + "{own_upload}"),
    )
    for name, source in (
        ("copy", "/{bucket}/{other}secret.txt"),
        ("copy, no slash", "{bucket}/{other}secret.txt"),
        ("copy, encoded", "/{bucket}/{q_other}secret.txt"),
        ("copy a version", "/{bucket}/{other}secret.txt?versionId={version}"),
        ("copy up and over", "/{bucket}/{own}{up}{other}secret.txt"),
        ("copy up and over, encoded", "/{bucket}/{own}{q_up}{other}secret.txt"),
        ("copy up and over, slashes too", "/{bucket}/{own}{slash_up}{q_other}secret.txt"),
    )
}

WRITES: dict[str, Verb] = {
    "put": _send("PUT", "{secret}", PLANTED),
    "put a new one": _send("PUT", "{at}/{other}new.txt", PLANTED),
    "put if absent": _send("PUT", "{at}/{other}new.txt", PLANTED, if_none_match="*"),
    "put if unchanged": _send("PUT", "{secret}", PLANTED, if_match='"{etag}"'),
    "put a folder marker": _send("PUT", "{at}/{other}folder/"),
    "put up and over": _send("PUT", "{at}/{own}{up}{other}secret.txt", PLANTED),
    "put up and over, encoded": _send("PUT", "{at}/{own}{q_up}{other}secret.txt", PLANTED),
    "put with a slash more": _send("PUT", "{at}//{other}secret.txt", PLANTED),
    "put at an offset": _send("PUT", "{secret}", PLANTED, x_amz_write_offset_bytes="21"),
    "post a form": _form,
    "presigned put": _presigned("PUT"),
    "copy into it": _send("PUT", "{secret}", x_amz_copy_source="/{bucket}/{own}mine"),
    "copy it onto itself": _send(
        "PUT",
        "{secret}",
        x_amz_copy_source="/{bucket}/{other}secret.txt",
        x_amz_metadata_directive="REPLACE",
    ),
    "begin an upload": _send("POST", "{at}/{other}part2?uploads="),
    "upload a part": _send("PUT", "{at}/{other}part?" + _PART + "{upload}", PLANTED),
    "upload a part to the own upload's key there": _send(
        "PUT", "{at}/{other}part?" + _PART + "{own_upload}", PLANTED
    ),
    "upload a part up and over": _send(
        "PUT", "{at}/{own}part?" + _PART + "{own_upload}%2F{slash_up}{q_other}", PLANTED
    ),
    "complete its upload": _send("POST", "{at}/{other}part?uploadId={upload}", _COMPLETE),
    "complete the own upload there": _send(
        "POST", "{at}/{other}part?uploadId={own_upload}", _COMPLETE
    ),
    "put tags": _send("PUT", "{secret}?tagging=", TAGS),
    "put an ACL": _send("PUT", "{secret}?acl=", **_GRANT_ALL),
    "put a legal hold": _send(
        "PUT", "{secret}?legal-hold=", b"<LegalHold><Status>ON</Status></LegalHold>"
    ),
    "restore": _send(
        "POST", "{secret}?restore=", b"<RestoreRequest><Days>1</Days></RestoreRequest>"
    ),
}

DELETES: dict[str, Verb] = {
    "delete": _send("DELETE", "{secret}"),
    "delete a version": _send("DELETE", "{secret}?versionId={version}"),
    "delete up and over": _send("DELETE", "{at}/{own}{up}{other}secret.txt"),
    "delete a folder": _send("DELETE", "{at}/{other}"),
    "delete in bulk": _bulk_delete,
    "delete tags": _send("DELETE", "{secret}?tagging="),
    "abort its upload": _send("DELETE", "{at}/{other}part?uploadId={upload}"),
}

# On an upload of another's with the own key: not refused by S3's own rules, where
# an upload belongs to its key, but it must not be found.
FOREIGN_UPLOADS: dict[str, Verb] = {
    "abort its upload by the own key": _send("DELETE", "{at}/{own}part?uploadId={upload}"),
    "upload a part by the own key": _send("PUT", "{at}/{own}part?" + _PART + "{upload}", PLANTED),
    "complete its upload by the own key": _send(
        "POST", "{at}/{own}part?uploadId={upload}", _COMPLETE
    ),
    "list parts by the own key": _get("{at}/{own}part?uploadId={upload}"),
}

BUCKET: dict[str, Verb] = {
    **{
        f"{method.lower()} the bucket's {what}": _send(method, f"{{at}}?{what}=", body)
        for what, body in (
            ("policy", _BUCKET_POLICY),
            (
                "lifecycle",
                b"<LifecycleConfiguration><Rule><ID>r</ID><Status>Enabled</Status><Filter>"
                b"<Prefix></Prefix></Filter><Expiration><Days>1</Days></Expiration></Rule>"
                b"</LifecycleConfiguration>",
            ),
            (
                "cors",
                b"<CORSConfiguration><CORSRule><AllowedMethod>GET</AllowedMethod>"
                b"<AllowedOrigin>*</AllowedOrigin></CORSRule></CORSConfiguration>",
            ),
            ("tagging", TAGS),
        )
        for method in ("PUT", "DELETE")
    },
    "put the bucket's versioning": _send(
        "PUT",
        "{at}?versioning=",
        b'<VersioningConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        b"<Status>Suspended</Status></VersioningConfiguration>",
    ),
    "put the bucket's ACL": _send("PUT", "{at}?acl=", **_GRANT_ALL),
    "delete the bucket": _send("DELETE", "{at}"),
    "make a bucket": _send("PUT", "/planted-bucket"),
}

MORE_KEYS: dict[str, Verb] = {
    "assume the role again": _sts(
        Action="AssumeRole",
        RoleArn="arn:aws:iam::000000000000:role/project",
        RoleSessionName="more",
        Policy=WIDE,
    ),
    "assume no role": _sts(Action="AssumeRole", RoleSessionName="more"),
    "get a session token": _sts(Action="GetSessionToken"),
    "get a federation token": _sts(Action="GetFederationToken", Name="more", Policy=WIDE),
    "make a user": _sts("iam", Action="CreateUser", UserName="more"),
    "make an access key": _sts("iam", Action="CreateAccessKey", UserName="almanac"),
    "list users": _sts("iam", Action="ListUsers"),
}
