"""Cookies: what was not sealed here, with this key and for this purpose, is refused."""

from __future__ import annotations

import base64
import hashlib
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub_ext.auth.sealed import Attempt, Seals, Session, State

SEALS = Seals("k" * 64)
OTHER = Seals("o" * 64)
SESSION = Session.new("a-token")
SEALED = SEALS.seal_session(SESSION)


def test_values_come_back_as_they_were() -> None:
    attempt = Attempt.new()
    state = State(attempt.id, "/services/jobs/x?y=z")
    assert SEALS.open_session(SEALS.seal_session(SESSION), max_age=60) == SESSION
    assert SEALS.open_attempt(SEALS.seal_attempt(attempt), max_age=60) == attempt
    assert SEALS.open_state(SEALS.seal_state(state), max_age=60) == state


def test_nothing_can_be_read_from_outside() -> None:
    raw = base64.urlsafe_b64decode(SEALED + "=" * (-len(SEALED) % 4))
    assert b"a-token" not in raw
    assert SESSION.id.encode() not in raw


def test_a_value_of_one_kind_is_none_of_another() -> None:
    attempt = Attempt.new()
    assert SEALS.open_attempt(SEALED, max_age=60) is None
    assert SEALS.open_state(SEALED, max_age=60) is None
    assert SEALS.open_session(SEALS.seal_attempt(attempt), max_age=60) is None


def test_a_value_of_another_key_is_refused() -> None:
    assert OTHER.open_session(SEALED, max_age=60) is None
    assert OTHER.fingerprint != SEALS.fingerprint


def test_an_old_value_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    # Sealed here: the module's own is as old as the tests that ran before.
    sealed, later = SEALS.seal_session(SESSION), time.time() + 61
    monkeypatch.setattr(time, "time", lambda: later)
    assert SEALS.open_session(sealed, max_age=60) is None
    assert SEALS.open_session(sealed, max_age=120) == SESSION


@given(st.integers(0, len(SEALED) - 1), st.sampled_from("ABCabc019-_=%;é "))
def test_one_changed_character_is_enough(at: int, new: str) -> None:
    changed = SEALED[:at] + new + SEALED[at + 1 :]
    opened = SEALS.open_session(changed, max_age=60)
    # The last character holds bits that mean nothing.
    assert opened is None or changed == SEALED or at == len(SEALED) - 1


@given(st.one_of(st.none(), st.text(), st.binary().map(lambda b: b.decode("latin-1"))))
def test_rubbish_is_refused_without_an_exception(value: str | None) -> None:
    assert SEALS.open_session(value, max_age=60) is None
    assert SEALS.open_state(value, max_age=60) is None
    assert SEALS.open_attempt(value, max_age=60) is None


def test_sealed_values_need_no_quotes_in_a_cookie() -> None:
    assert set(SEALED) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


def test_xsrf_token_belongs_to_its_session() -> None:
    token = SEALS.xsrf_token(SESSION)
    assert SEALS.xsrf_matches(SESSION, token)
    assert not SEALS.xsrf_matches(Session.new("a-token"), token)
    assert not OTHER.xsrf_matches(SESSION, token)
    for wrong in (None, "", token[:-1], token + "A", "é", "\udc80"):
        assert not SEALS.xsrf_matches(SESSION, wrong)


def test_challenge_is_that_of_rfc_7636() -> None:
    # The example of its appendix B.
    attempt = Attempt("id", "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")
    assert attempt.challenge == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
    assert 43 <= len(Attempt.new().verifier) <= 128
    assert hashlib.sha256(Attempt.new().verifier.encode()).digest()


def test_short_keys_are_refused() -> None:
    with pytest.raises(ValueError, match="32"):
        Seals("short")
