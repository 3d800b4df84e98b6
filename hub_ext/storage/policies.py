"""What a session of the object store may do, as the policy that is asked for with it.

Pure: prefixes in, text out. The same policy is understood by SeaweedFS, MinIO
and AWS.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

from hub_ext.errors import Invalid

LARGEST_POLICY = 2048
"""Characters of a session policy that STS accepts: some 15 projects."""

READ = ("s3:GetObject*",)
DELETE = (
    *READ,
    "s3:DeleteObject*",
    "s3:AbortMultipartUpload",
    "s3:ListMultipartUploadParts",
)
WRITE = (*DELETE, "s3:PutObject", "s3:PutObjectTagging")
LIST = ("s3:ListBucket", "s3:ListBucketVersions")
LIST_UPLOADS = "s3:ListBucketMultipartUploads"
"""AWS and MinIO know no prefix for it, so it is asked for where the store does:
without one it would show what others are just uploading."""

_PREFIX = re.compile(r"(?:[A-Za-z0-9_=@+-][A-Za-z0-9._=@+-]*/)+")


class TooManyProjects(Invalid):
    """More prefixes than one policy can hold."""

    code = "too-many-projects"


def session_policy(
    bucket: str,
    read: Iterable[str],
    write: Iterable[str],
    *,
    delete: Iterable[str] = (),
    lists_uploads: bool = False,
) -> str:
    """The policy that limits a session to prefixes; as short as it can be.

    Args:
        read: prefixes whose objects, and versions of objects, may be read and listed.
        write: prefixes where they may be written and removed as well.
        delete: prefixes where they may be removed and not written: those that
            are over their limit.
        lists_uploads: also list uploads under way; only for a store that
            limits that to a prefix.

    Raises:
        ValueError: a prefix that does not end with a slash, or that would be
            read as a pattern.
        TooManyProjects: more prefixes than a policy can hold.
    """
    writable = sorted(set(write))
    removable = sorted(set(delete) - set(writable))
    readable = sorted(set(read) - set(writable) - set(removable))
    prefixes = sorted([*writable, *removable, *readable])
    for prefix in prefixes:
        if not _PREFIX.fullmatch(prefix):
            raise ValueError(f"{prefix!r} is not a prefix of keys: segments, each with its slash")
    statements: list[dict[str, Any]] = [
        {
            "Effect": "Allow",
            "Action": list(actions),
            "Resource": [f"arn:aws:s3:::{bucket}/{prefix}*" for prefix in below],
        }
        for actions, below in ((READ, readable), (DELETE, removable), (WRITE, writable))
        if below
    ]
    statements.append(
        {
            "Effect": "Allow",
            "Action": [*LIST, LIST_UPLOADS] if lists_uploads else list(LIST),
            "Resource": [f"arn:aws:s3:::{bucket}"],
            "Condition": {
                # Every prefix of the request has to be one of ours: MinIO takes
                # "?prefix=theirs&prefix=ours" for a list of theirs. And there has
                # to be one: of none, every one is ours.
                "Null": {"s3:prefix": "false"},
                # With its slash: a list of "home/ana" would show "home/anatole".
                "ForAllValues:StringLike": {"s3:prefix": [f"{prefix}*" for prefix in prefixes]},
            },
        }
    )
    statements.append(
        {
            # The region, and that there is a bucket: s3fs, and with it dask and zarr,
            # would else try to make one before they write below a folder.
            "Effect": "Allow",
            "Action": ["s3:GetBucketLocation"],
            "Resource": [f"arn:aws:s3:::{bucket}"],
        }
    )
    policy = json.dumps({"Version": "2012-10-17", "Statement": statements}, separators=(",", ":"))
    if len(policy) > LARGEST_POLICY:
        raise TooManyProjects(
            f"Credentials for {len(prefixes)} projects at once are more than the store can grant.",
            mend="Ask for those of one project, by its name.",
        )
    return policy


def session_name(name: str) -> str:
    """``name`` as STS takes it for the name of a session: 2 to 64 plain characters."""
    return re.sub(r"[^\w+=,.@-]", "-", name, flags=re.ASCII)[:64].ljust(2, "-")


def as_many_as_fit(bucket: str, prefixes: Sequence[str]) -> list[str]:
    """The first of ``prefixes``, as many of them as one policy can hold, whatever it allows."""
    # No more than this could fit if each were a letter and a slash.
    for count in range(min(len(prefixes), LARGEST_POLICY // 30), 0, -1):
        first = prefixes[:count]
        try:
            # The longest there is: one statement of each kind.
            session_policy(bucket, first[:1], first[2:], delete=first[1:2], lists_uploads=True)
        except TooManyProjects:
            continue
        return list(first)
    return []
