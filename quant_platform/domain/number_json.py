"""Numbers of JSON read by kernels: as decimals, whole numbers, and float64 rounded as Python rounds them."""

import math

import numpy as np
from numpy.typing import NDArray

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
        if text[at + i] != wanted[i]:
            return BAD
    return at + wanted.size


@kernel
def decimal(text: NDArray[np.uint8], at: int, end: int, most: int) -> tuple[int, int, int]:
    """An unsigned number of at most ``most`` digits after the first that is not 0, at most 22 of them decimals.

    Returns:
        Its digits as one whole number, how many are decimals, and the place behind it.
    """
    start, point, digits, counted = at, BAD, np.int64(0), 0
    while at < end and counted <= most:
        if ZERO <= text[at] <= NINE:
            digits = digits * 10 + np.int64(text[at] - ZERO)
            counted += 1 if digits > 0 else 0
        elif text[at] == POINT and point == BAD:
            point = at
        else:
            break
        at += 1
    whole = (at if point == BAD else point) - start
    decimals = 0 if point == BAD else at - point - 1
    is_zero_before_digits = whole > 1 and text[start] == ZERO
    if whole == 0 or counted > most or decimals >= TENS.size or is_zero_before_digits or at - 1 == point:
        return 0, 0, BAD
    return digits, decimals, at  # type: ignore[return-value]


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
