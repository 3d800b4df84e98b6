from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import parse_qs

import pytest
from fake_stores import Answer, FakeStore, Request

from lab_extension.contents.objects.credentials import from_environment
from lab_extension.contents.objects.faults import Refused, StoreDown

GIVEN = b"""<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
  <AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>key</AccessKeyId>
  <SecretAccessKey>s3cr3t</SecretAccessKey><SessionToken>session</SessionToken>
  <Expiration>2100-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleWithWebIdentityResult>
</AssumeRoleWithWebIdentityResponse>"""


def pod(fake: FakeStore, folder: Path) -> dict[str, str]:
    token = folder / "token"
    token.write_text("jwt")
    return {
        "AWS_ROLE_ARN": "arn:aws:iam::1:role/notebooks",
        "AWS_WEB_IDENTITY_TOKEN_FILE": str(token),
        "AWS_ENDPOINT_URL_STS": fake.endpoint,
        "HOME": str(folder),
    }


async def test_a_pod_takes_its_role(fake: FakeStore, tmp_path: Path) -> None:
    fake.answer = lambda _: Answer(200, GIVEN)
    provider = from_environment(pod(fake, tmp_path))
    keys = await provider.keys()
    assert (keys.access_key, keys.session_token) == ("key", "session")
    assert keys.expires
    assert keys.expires.year == 2100
    [asked] = fake.asked
    form = parse_qs(asked.body.decode())
    assert form["WebIdentityToken"] == ["jwt"]
    assert form["RoleArn"] == ["arn:aws:iam::1:role/notebooks"]
    assert "jwt" not in repr(provider)


@pytest.mark.parametrize("body", [b"<html>", b"{}", GIVEN.replace(b"s3cr3t", b"")])
async def test_an_answer_that_holds_no_keys(fake: FakeStore, tmp_path: Path, body: bytes) -> None:
    fake.answer = lambda _: Answer(200, body)
    with pytest.raises(Refused, match="no credentials") as caught:
        await from_environment(pod(fake, tmp_path)).keys()
    assert "s3cr3t" not in str(caught.value)


async def test_a_role_that_is_not_given(fake: FakeStore, tmp_path: Path) -> None:
    fake.answer = lambda _: Answer(403, b"<ErrorResponse>jwt</ErrorResponse>")
    with pytest.raises(Refused, match="403"):
        await from_environment(pod(fake, tmp_path)).keys()
    fake.answer = lambda _: None
    with pytest.raises(StoreDown, match="Nothing answers"):
        await from_environment(pod(fake, tmp_path)).keys()


async def test_a_machine_has_a_role(fake: FakeStore, tmp_path: Path) -> None:
    def answer(request: Request) -> Answer:
        if request.path == "/latest/api/token":
            assert request.method == "PUT"
            return Answer(200, b"token")
        assert request.headers["x-aws-ec2-metadata-token"] == "token"
        if request.path.endswith("/security-credentials/"):
            return Answer(200, b"my role\n")
        assert request.path.endswith("/security-credentials/my%20role")
        document = {"AccessKeyId": "key", "SecretAccessKey": "s3cr3t", "Token": "session"}
        return Answer(200, json.dumps(document).encode())

    fake.answer = answer
    environment = {"AWS_EC2_METADATA_SERVICE_ENDPOINT": fake.endpoint, "HOME": str(tmp_path)}
    assert (await from_environment(environment).keys()).access_key == "key"
    fake.answer = lambda _: Answer(404)
    with pytest.raises(Refused, match="no access key") as caught:
        await from_environment(environment).keys()
    assert "AWS_ACCESS_KEY_ID" in caught.value.mend
