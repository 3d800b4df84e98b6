"""Which service the commands speak to, and as whom."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from hub_ext.commands.account import Account, token_page
from hub_ext.errors import PublicError, Unauthenticated

HERE = "http://127.0.0.1:8000/services/jobs"
THERE = "https://almanac.example.org/services/jobs"


def account(folder: Path, **variables: str) -> Account:
    return Account({"XDG_CONFIG_HOME": str(folder), **variables}, lambda: HERE)


def test_a_kept_token_can_be_read_by_its_owner_alone(tmp_path: Path) -> None:
    mine = account(tmp_path)
    mine.keep("first", url=None)
    mine.keep("secret", url=None)
    assert mine.token() == "secret"
    assert mine.token_file == tmp_path / "almanac" / "token"
    assert stat.S_IMODE(mine.token_file.stat().st_mode) == 0o600
    assert [path.name for path in mine.folder.iterdir()] == ["token"]


def test_variables_come_before_what_is_kept(tmp_path: Path) -> None:
    account(tmp_path).keep("kept", url=None)
    assert account(tmp_path).token() == "kept"
    assert account(tmp_path, JUPYTERHUB_API_TOKEN="server").token() == "server"
    both = account(tmp_path, JUPYTERHUB_API_TOKEN="server", ALMANAC_TOKEN="mine")
    assert both.token() == "mine"


def test_the_address_is_the_variable_the_kept_one_or_this_machines(tmp_path: Path) -> None:
    assert account(tmp_path).url() == HERE
    account(tmp_path).keep("t", url=THERE)
    assert account(tmp_path).url() == THERE
    assert account(tmp_path, ALMANAC_JOBS_URL=HERE + "/").url() == HERE


def test_a_kept_token_goes_to_no_other_address(tmp_path: Path) -> None:
    account(tmp_path).keep("t", url=THERE)
    assert account(tmp_path).token() == "t"
    with pytest.raises(Unauthenticated, match=r"not for http://evil\.test"):
        account(tmp_path, ALMANAC_JOBS_URL="http://evil.test/services/jobs").token()
    account(tmp_path).keep("t", url=None)
    with pytest.raises(Unauthenticated, match="this machine"):
        account(tmp_path, ALMANAC_JOBS_URL=THERE).token()


def test_who_is_not_signed_in_is_told_where_a_token_is_to_be_had(tmp_path: Path) -> None:
    with pytest.raises(Unauthenticated) as raised:
        account(tmp_path).token()
    assert "http://127.0.0.1:8000/hub/token" in raised.value.mend
    assert "almanac login" in raised.value.mend


def test_the_token_page_is_the_hubs() -> None:
    assert token_page(THERE) == "https://almanac.example.org/hub/token"
    assert token_page("https://a.org/base/services/jobs") == "https://a.org/base/hub/token"


def test_a_file_that_cannot_be_read_is_explained(tmp_path: Path) -> None:
    mine = account(tmp_path)
    mine.token_file.mkdir(parents=True)
    with pytest.raises(PublicError, match="cannot be read"):
        mine.token()
