from __future__ import annotations

from datetime import UTC, datetime

from hub_ext.storage import signing


def test_signs_as_the_published_example_of_aws() -> None:
    """The worked example of "Signature Version 4 signing process", AWS General Reference."""
    headers = signing.signed_headers(
        "GET",
        "https://iam.amazonaws.com/?Action=ListUsers&Version=2010-05-08",
        b"",
        access_key="AKIDEXAMPLE",
        secret_key="wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
        region="us-east-1",
        service="iam",
        headers={"content-type": "application/x-www-form-urlencoded; charset=utf-8"},
        name_payload=False,
        now=datetime(2015, 8, 30, 12, 36, tzinfo=UTC),
    )
    assert headers["authorization"] == (
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, "
        "SignedHeaders=content-type;host;x-amz-date, "
        "Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"
    )
