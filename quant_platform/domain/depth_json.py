"""Depth as it stands in records: read into columns by a kernel, without an object for every level.

A depth is *plain* where it is written as our own services write it: ``null``, or ``{"bids":[[1440.2,4663]],"asks":[]}``
without spaces, prices in at most 15 digits without an exponent, quantities in whole numbers. Whatever else JSON allows
is read once by the schema, and made plain (:func:`plain`).
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from quant_platform.domain.money import PAISE_PER_RUPEE
from quant_platform.domain.records import MAX_PRICE, NO_DEPTH, Depth, encode
from quant_platform.domain.ticks import LEVELS, MAX_LEVEL_QUANTITY
from quant_platform.kernel import kernel

MOST_DIGITS = 15
"""Of a price, so that it and the power of ten below it are exact as float64 and their quotient is correctly rounded."""
MOST_QUANTITY_DIGITS = 18
MAX_PAISE = 2**31 - 1

_BIDS = np.frombuffer(b'{"bids":[', np.uint8)
_ASKS = np.frombuffer(b',"asks":[', np.uint8)
_NULL = np.frombuffer(b"null", np.uint8)
_TENS = np.array([10.0**power for power in range(MOST_DIGITS + 1)])
_ZERO, _NINE, _POINT, _COMMA, _OPEN, _CLOSE, _END = (ord(character) for character in "09.,[]}")
_BAD = -1


class DepthColumns(NamedTuple):
    """Levels of many records, each (n, 5), best first; a price or quantity of 0 is no level."""

    bid_price: NDArray[np.int32]  # paise
    bid_qty: NDArray[np.int32]
    ask_price: NDArray[np.int32]  # paise
    ask_qty: NDArray[np.int32]

    def split(self, rows: int) -> "tuple[DepthColumns, DepthColumns]":
        """The first rows, and the others."""
        return DepthColumns(*(column[:rows] for column in self)), DepthColumns(*(column[rows:] for column in self))


@kernel
def _past(text: Any, at: int, end: int, wanted: Any) -> int:
    """The place behind ``wanted``, where the text goes on with it."""
    if end - at < wanted.size:
        return _BAD
    for i in range(wanted.size):
        if text[at + i] != wanted[i]:
            return _BAD
    return at + wanted.size


@kernel
def _decimal(text: Any, at: int, end: int, most: int) -> tuple[int, int, int]:
    """An unsigned number of at most ``most`` digits: its digits, how many are decimals, and the place behind it."""
    start, point, digits = at, _BAD, np.int64(0)
    while at < end and at - start <= most + 1:
        if _ZERO <= text[at] <= _NINE:
            digits = digits * 10 + np.int64(text[at] - _ZERO)
        elif text[at] == _POINT and point == _BAD:
            point = at
        else:
            break
        at += 1
    whole = (at if point == _BAD else point) - start
    decimals = 0 if point == _BAD else at - point - 1
    is_zero_before_digits = whole > 1 and text[start] == _ZERO
    if whole == 0 or whole + decimals > most or is_zero_before_digits or (point != _BAD and decimals == 0):
        return 0, 0, _BAD
    return digits, decimals, at  # type: ignore[return-value]


@kernel
def _side(text: Any, at: int, end: int, prices: Any, quantities: Any, row: int) -> int:
    """Fill in the levels of one side; gives the place behind its closing bracket."""
    level = 0
    while at < end and text[at] == _OPEN:
        digits, decimals, at = _decimal(text, at + 1, end, MOST_DIGITS)
        if at == _BAD or at >= end or text[at] != _COMMA:
            return _BAD
        quantity, fraction, at = _decimal(text, at + 1, end, MOST_QUANTITY_DIGITS)
        rupees = digits / _TENS[decimals]
        if at == _BAD or fraction > 0 or rupees >= MAX_PRICE or end - at < 2 or text[at] != _CLOSE:
            return _BAD
        if level < LEVELS:
            prices[row, level] = np.int32(min(np.rint(rupees * PAISE_PER_RUPEE), MAX_PAISE))
            quantities[row, level] = np.int32(min(quantity, MAX_LEVEL_QUANTITY))
        level += 1
        at += 1
        if text[at] == _COMMA:
            at += 1
            if at >= end or text[at] != _OPEN:
                return _BAD
    return at + 1 if at < end and text[at] == _CLOSE else _BAD


@kernel
def _read(
    text: Any, ends: Any, bid_price: Any, bid_qty: Any, ask_price: Any, ask_qty: Any, bids: Any, asks: Any, null: Any
) -> NDArray[np.bool_]:
    """Fill in every row that is plain; tells which are."""
    plain_rows = np.zeros(ends.size, np.bool_)
    at = 0
    for row in range(ends.size):
        end = ends[row]
        if _past(text, at, end, null) == end:
            plain_rows[row] = True
        else:
            place = _past(text, at, end, bids)
            if place != _BAD:
                place = _side(text, place, end, bid_price, bid_qty, row)
            if place != _BAD:
                place = _past(text, place, end, asks)
            if place != _BAD:
                place = _side(text, place, end, ask_price, ask_qty, row)
            plain_rows[row] = place != _BAD and place == end - 1 and text[place] == _END
        at = end
    return plain_rows


def read_depth(depths: Sequence[msgspec.Raw]) -> tuple[DepthColumns, NDArray[np.bool_]]:
    """Columns of depths, and which of them are plain: what the columns hold of another is worth nothing."""
    columns = DepthColumns(*(np.zeros((len(depths), LEVELS), np.int32) for _ in range(4)))
    text = np.frombuffer(b"".join(depths), np.uint8)
    ends = np.cumsum(np.fromiter(map(len, depths), np.int64, len(depths)))
    return columns, _read(text, ends, *columns, _BIDS, _ASKS, _NULL)


def plain(depth: Depth | None) -> msgspec.Raw:
    """A depth in the form that the kernel reads: prices at their paise, quantities as the columns hold them."""
    if depth is None:
        return NO_DEPTH
    sides: list[list[Any]] = [
        [
            (min(round(price * PAISE_PER_RUPEE), MAX_PAISE) / PAISE_PER_RUPEE, min(quantity, MAX_LEVEL_QUANTITY))
            for price, quantity in side
        ]
        for side in (depth.bids, depth.asks)
    ]
    return msgspec.Raw(encode(Depth(*sides)))
