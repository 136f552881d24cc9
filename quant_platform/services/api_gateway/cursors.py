"""Cursors: where a page ended, in a word that its reader hands back and need not understand."""

import base64
import hashlib
from collections.abc import Mapping
from typing import NamedTuple, TypeVar

import msgspec

from quant_platform.domain.errors import UsageError
from quant_platform.domain.records import Count, Stamp

MAX_CURSOR = 512
"""Characters that a cursor has at most."""


class TickPlace(NamedTuple):
    """Where the next page of a symbol's ticks starts."""

    timestamp: Stamp
    seq: Count


class CandlePlace(NamedTuple):
    """Where the next page of a symbol's candles starts."""

    timestamp: Stamp


P = TypeVar("P", bound=tuple[object, ...])


def make_cursor(listing: str, filters: Mapping[str, object], place: tuple[object, ...]) -> str:
    """The cursor of what comes after a place.

    Args:
        listing: what is listed.
        filters: name → value; with others the cursor is refused.
        place: the key of the page's last row.
    """
    return base64.urlsafe_b64encode(msgspec.json.encode((_digest(listing, filters), place))).decode().rstrip("=")


def read_cursor(cursor: str | None, listing: str, filters: Mapping[str, object], kind: type[P]) -> P | None:
    """The place that a cursor of the same listing and filters holds; None for None.

    Args:
        cursor: as :func:`make_cursor` wrote it.
        listing: as there.
        filters: as there.
        kind: the place's type; values that it does not allow are refused.

    Raises:
        UsageError: it was made for other filters, or not by us.
    """
    if cursor is None:
        return None
    padded = cursor + "=" * (-len(cursor) % 4)
    try:
        digest, place = msgspec.json.decode(
            base64.b64decode(padded, b"-_", validate=True), type=tuple[str, msgspec.Raw]
        )
        if digest != _digest(listing, filters):
            raise UsageError("the cursor belongs to other filters", "keep the filters of its page, or leave it out")
        return msgspec.json.decode(place, type=kind)
    except (ValueError, msgspec.MsgspecError):
        raise UsageError(
            "the cursor is not one of ours", "hand back `next_cursor` as it was, or leave it out"
        ) from None


def _digest(listing: str, filters: Mapping[str, object]) -> str:
    text = msgspec.json.encode((listing, sorted(filters.items())))
    return hashlib.sha256(text).hexdigest()[:16]
