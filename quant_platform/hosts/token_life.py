"""When an access token of Upstox dies: as it says itself, or at half past three in the morning as all of them do."""

import base64
import binascii
from datetime import datetime, timedelta
from datetime import time as clock_time

import msgspec

from quant_platform.domain.session import IST

DIES_AT = clock_time(3, 30)
"""IST, on the day after it was issued, or the same day before then."""


class _Claims(msgspec.Struct):
    exp: float | None = None


def stated_expiry(token: str) -> datetime | None:
    """When a token dies (IST), read from the token itself; None where it does not say."""
    try:
        payload = token.split(".")[1]
        claims = msgspec.json.decode(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)), type=_Claims)
        return None if claims.exp is None else datetime.fromtimestamp(claims.exp, IST)
    except (IndexError, binascii.Error, msgspec.DecodeError, ValueError, OverflowError):
        return None


def usual_expiry(issued: datetime) -> datetime:
    """When a token of this moment dies (IST) that does not say so itself."""
    local = issued.astimezone(IST)
    end = local.replace(hour=DIES_AT.hour, minute=DIES_AT.minute, second=0, microsecond=0)
    return end if local < end else end + timedelta(days=1)
