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

from quant_platform.domain.money import MAX_PAISE, PAISE_PER_RUPEE
from quant_platform.domain.number_json import BAD, TENS, decimal, past
from quant_platform.domain.records import MAX_PRICE, NO_DEPTH, Depth, encode
from quant_platform.domain.ticks import LEVELS, MAX_LEVEL_QUANTITY
from quant_platform.kernel import kernel

MOST_DIGITS = 15
"""Of a price, so that it and the power of ten below it are exact as float64 and their quotient is correctly rounded."""
MOST_QUANTITY_DIGITS = 18

_BIDS = np.frombuffer(b'{"bids":[', np.uint8)
_ASKS = np.frombuffer(b',"asks":[', np.uint8)
_NULL = np.frombuffer(b"null", np.uint8)
_COMMA, _OPEN, _CLOSE, _END = (ord(character) for character in ",[]}")


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
def _side(text: Any, at: int, end: int, prices: Any, quantities: Any, row: int) -> int:
    """Fill in the levels of one side; gives the place behind its closing bracket."""
    level = 0
    while at < end and text[at] == _OPEN:
        digits, decimals, at = decimal(text, at + 1, end, MOST_DIGITS)
        if at == BAD or at >= end or text[at] != _COMMA:
            return BAD
        quantity, fraction, at = decimal(text, at + 1, end, MOST_QUANTITY_DIGITS)
        rupees = digits / TENS[decimals]
        if at == BAD or fraction > 0 or rupees >= MAX_PRICE or end - at < 2 or text[at] != _CLOSE:
            return BAD
        if level < LEVELS:
            prices[row, level] = np.int32(min(np.rint(rupees * PAISE_PER_RUPEE), MAX_PAISE))
            quantities[row, level] = np.int32(min(quantity, MAX_LEVEL_QUANTITY))
        level += 1
        at += 1
        if text[at] != _COMMA:
            break
        at += 1
        if at >= end or text[at] != _OPEN:
            return BAD
    return at + 1 if at < end and text[at] == _CLOSE else BAD


@kernel
def depth_at(text: Any, at: int, end: int, columns: DepthColumns, row: int) -> int:
    """Fill in a row with the depth that begins here; gives the place behind it, where it is plain."""
    place = past(text, at, end, _NULL)
    if place != BAD:
        return place
    place = past(text, at, end, _BIDS)
    if place != BAD:
        place = _side(text, place, end, columns.bid_price, columns.bid_qty, row)
    place = past(text, place, end, _ASKS)
    if place != BAD:
        place = _side(text, place, end, columns.ask_price, columns.ask_qty, row)
    return place + 1 if place != BAD and place < end and text[place] == _END else BAD


@kernel
def _read(
    text: Any, ends: Any, bid_price: Any, bid_qty: Any, ask_price: Any, ask_qty: Any, is_plain: NDArray[np.bool_]
) -> None:
    """Fill in every row that is plain, and which are."""
    columns = DepthColumns(bid_price, bid_qty, ask_price, ask_qty)
    at = 0
    for row in range(ends.size):
        is_plain[row] = depth_at(text, at, ends[row], columns, row) == ends[row]
        at = ends[row]


def read_depth(depths: Sequence[msgspec.Raw]) -> tuple[DepthColumns, NDArray[np.bool_]]:
    """Columns of depths, and which of them are plain: what the columns hold of another is worth nothing."""
    columns = no_depth(len(depths))
    text = np.frombuffer(b"".join(depths), np.uint8)
    ends = np.cumsum(np.fromiter(map(len, depths), np.int64, len(depths)))
    is_plain = np.zeros(len(depths), np.bool_)
    _read(text, ends, *columns, is_plain)
    return columns, is_plain


def no_depth(rows: int) -> DepthColumns:
    """Columns without any level, to be filled in."""
    return DepthColumns(*(np.zeros((rows, LEVELS), np.int32) for _ in range(4)))


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
