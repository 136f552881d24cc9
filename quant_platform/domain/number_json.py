"""Numbers of JSON read by kernels: as decimals, whole numbers, and float64 rounded as Python rounds them."""

import math

import numpy as np
from numpy.typing import NDArray

from quant_platform.domain.ticks import unsigned
from quant_platform.kernel import kernel

BAD = -1
"""Instead of a place: what stands there is not read by the kernel, and has to be read by the schema."""

TENS = np.array([10.0**power for power in range(23)])
"""Exact as float64."""
MOST_DIGITS = 18
"""So that they fit 64 bits whatever they are."""

ZERO, NINE, POINT, MINUS = (ord(character) for character in "09.-")

_EXACT = 2**53
_SPLITTER = 2.0**27 + 1
_NEARLY_HALF = 0.499999
_NULL = np.frombuffer(b"null", np.uint8)


@kernel
def past(text: NDArray[np.uint8], at: int, end: int, wanted: NDArray[np.uint8]) -> int:
    """The place behind ``wanted``, where the text goes on with it."""
    if at == BAD or end - at < wanted.size:
        return BAD
    for i in range(wanted.size):
        if text[unsigned(at + i)] != wanted[i]:
            return BAD
    return at + wanted.size


@kernel
def _digits(text: NDArray[np.uint8], at: int, end: int, before: int) -> tuple[int, int]:
    """The digits from here on put behind those of ``before``, and the place behind them."""
    digits = np.int64(before)
    while at < end and ZERO <= text[unsigned(at)] <= NINE:
        digits = digits * 10 + np.int64(text[unsigned(at)] - ZERO)
        at += 1
    return digits, at  # type: ignore[return-value]


@kernel
def decimal(text: NDArray[np.uint8], at: int, end: int, most: int) -> tuple[int, int, int]:
    """An unsigned number of at most ``most`` digits after the first that is not 0, at most 22 of them decimals.

    Returns:
        Its digits as one whole number, how many are decimals, and the place behind it.
    """
    start = at
    digits, at = _digits(text, at, min(end, at + most + 1), 0)
    whole = at - start
    if whole == 0 or whole > most or (whole > 1 and text[start] == ZERO):
        return 0, 0, BAD
    if at == end or text[at] != POINT:
        return digits, 0, at
    at += 1
    point, room = at, most - whole
    if digits == 0:
        while at < end and text[unsigned(at)] == ZERO:
            at += 1
        room = most
    start = at
    digits, at = _digits(text, at, min(end, at + room + 1), digits)
    decimals = at - point
    if at - start > room or decimals == 0 or decimals >= TENS.size:
        return 0, 0, BAD
    return digits, decimals, at


@kernel
def whole_number(text: NDArray[np.uint8], at: int, end: int) -> tuple[int, int]:
    """A whole number from 0 on, below 9 × 10¹⁸, and the place behind it."""
    if at == BAD or at >= end:
        return 0, BAD
    most = MOST_DIGITS + (text[at] < NINE)
    number, decimals, at = decimal(text, at, end, most)
    return number, BAD if decimals else at


@kernel
def quotient(digits: int, decimals: int) -> tuple[float, bool]:
    """``digits / 10**decimals`` rounded to the nearest float64, and whether that is certain.

    Beyond 53 bits the quotient is computed in two parts, as Dekker does (Numerische Mathematik 18, 1971), and taken
    where it does not lie half-way between two floats, or so near that the second part's own error could decide.
    """
    ten = TENS[decimals]
    high = np.float64(digits)
    if digits < _EXACT:
        return high / ten, True
    low = np.float64(digits - np.int64(high))
    first = high / ten
    product = first * ten
    split = _SPLITTER * first
    first_high = split - (split - first)
    split = _SPLITTER * ten
    ten_high = split - (split - ten)
    first_low, ten_low = first - first_high, ten - ten_high
    lost = ((first_high * ten_high - product) + first_high * ten_low + first_low * ten_high) + first_low * ten_low
    second = (((high - product) - lost) + low) / ten
    rounded = first + second
    rest = (first - rounded) + second
    _, exponent = math.frexp(rounded)
    return rounded, abs(rest) < _NEARLY_HALF * math.ldexp(1.0, exponent - 53)


@kernel
def real(text: NDArray[np.uint8], at: int, end: int) -> tuple[float, int]:
    """A number without an exponent, or NaN for ``null``, and the place behind it."""
    if at == BAD or at >= end:
        return 0.0, BAD
    behind = past(text, at, end, _NULL)
    if behind != BAD:
        return np.nan, behind
    is_negative = text[at] == MINUS
    digits, decimals, at = decimal(text, at + is_negative, end, MOST_DIGITS)
    value, is_certain = quotient(digits, decimals)
    return -value if is_negative else value, at if is_certain else BAD
