"""Credentials for kernels from their own server."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from fastapi.responses import JSONResponse

from hub_ext.errors import Forbidden, Unauthenticated
from lab_extension.contents.rest.loopback import admit
from tests.lab_extension.conftest import TOKEN, Lab, StandIn

DOCUMENT = {
    "AccessKeyId": "key",
    "SecretAccessKey": "secret",
    "Token": "session",
    "Expiration": "2031-03-03T06:00:00Z",
}


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    file = tmp_path / "token"
    file.write_text("token of-a-server\n")
    return {"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(file)}


@pytest.mark.parametrize("peer", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"])
def test_who_is_on_this_machine_and_has_the_token_is_let_in(
    peer: str, environment: dict[str, str]
) -> None:
    admit(peer, {"Authorization": "token of-a-server"}, environment)


@pytest.mark.parametrize("peer", ["10.0.0.7", "0.0.0.0", "::ffff:10.0.0.7", "localhost", ""])
def test_who_is_elsewhere_is_not(peer: str, environment: dict[str, str]) -> None:
    with pytest.raises(Forbidden):
        admit(peer, {"Authorization": "token of-a-server"}, environment)


@pytest.mark.parametrize("header", ["X-Forwarded-For", "X-Forwarded-Host", "Forwarded", "Via"])
def test_nor_is_who_comes_through_a_proxy(header: str, environment: dict[str, str]) -> None:
    headers = {"Authorization": "token of-a-server", header: "127.0.0.1"}
    with pytest.raises(Forbidden):
        admit("127.0.0.1", headers, environment)


@pytest.mark.parametrize("given", ["", "token", "token of-another", "of-a-server", "tökèn"])
def test_another_token_is_refused(given: str, environment: dict[str, str]) -> None:
    with pytest.raises(Unauthenticated):
        admit("127.0.0.1", {"Authorization": given} if given else {}, environment)


def test_without_a_file_or_with_an_empty_one_nobody_is_let_in(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.touch()
    for file in ("", str(empty), str(tmp_path / "none"), str(tmp_path)):
        with pytest.raises(Unauthenticated):
            admit("::1", {"Authorization": ""}, {"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": file})


def test_a_server_hands_on_what_the_job_service_gives(
    start_lab: Callable[..., Lab], service: StandIn, tmp_path: Path
) -> None:
    service.refuse["credentials"] = JSONResponse(DOCUMENT)
    file = tmp_path / "hub-token"
    lab = start_lab(
        ALMANAC_JOBS_URL=service.url,
        JUPYTERHUB_API_TOKEN=TOKEN,
        AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE=str(file),
    )
    url = f"{lab.url}almanac/api/credentials"
    answer = httpx.get(url, headers={"Authorization": file.read_text()})
    assert (answer.status_code, answer.json()) == (200, DOCUMENT)
    assert answer.headers["cache-control"] == "no-store"

    # The server's own sign-in, which its pages use, is none here.
    for headers in ({}, {"Authorization": f"token {lab.token}"}):
        refused = httpx.get(url, headers=headers)
        assert refused.status_code == 401
        assert refused.json()["code"] == "unauthenticated"
    assert lab.api.get("credentials", params={"token": lab.token}).status_code == 401

    service.problem("credentials", 503, "unavailable", title="The store is down.")
    down = httpx.get(url, headers={"Authorization": file.read_text()})
    assert (down.status_code, down.json()["title"]) == (503, "The store is down.")
    assert TOKEN not in lab.log.read_text()
