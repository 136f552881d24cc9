"""When an access token dies: as it says, or at half past three."""

import base64
from datetime import datetime

import pytest

from quant_platform.domain.session import IST
from quant_platform.hosts.token_life import stated_expiry, usual_expiry


def token(claims: bytes) -> str:
    body = base64.urlsafe_b64encode(claims).decode().rstrip("=")
    return f"e30.{body}.signature"


@pytest.mark.parametrize("text", ["", "plain", "a.b", "a.!!.c", token(b"[]"), token(b"{}"), token(b'{"exp": 1e300}')])
def test_a_token_that_does_not_say_when_it_dies_is_no_error(text: str) -> None:
    assert stated_expiry(text) is None


def test_a_token_s_death_is_read_from_the_token() -> None:
    dies = datetime(2026, 8, 1, 3, 30, tzinfo=IST)
    assert stated_expiry(token(b'{"sub": "x", "exp": %d}' % dies.timestamp())) == dies


@pytest.mark.parametrize(
    ("issued", "end"),
    [
        ("2026-12-01T20:00+05:30", "2026-12-02T03:30:00+05:30"),
        ("2026-12-01T02:30+05:30", "2026-12-01T03:30:00+05:30"),
        ("2026-12-01T03:30+05:30", "2026-12-02T03:30:00+05:30"),
        ("2026-11-30T23:00+00:00", "2026-12-02T03:30:00+05:30"),
    ],
)
def test_a_token_that_does_not_say_dies_at_half_past_three(issued: str, end: str) -> None:
    assert usual_expiry(datetime.fromisoformat(issued)).isoformat() == end
