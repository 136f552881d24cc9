"""The order in which ticks across symbols are processed: by (ts, symbol, arrival)."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from quant_platform.domain.ticks import NS_PER_MS, NS_PER_SECOND, read_only
from quant_platform.kernel import kernel

_DIGIT_BITS = 16
"""Widest digit of the radix sort: its 65,536 counters stay in the second-level cache."""
_UNITS = (NS_PER_SECOND, NS_PER_MS, 1000, 1)


@kernel
def is_in_order(ts: NDArray[np.int64], symbol: NDArray[np.int32]) -> bool:
    """Whether rows already stand by (ts, symbol)."""
    for i in range(1, ts.size):  # noqa: SIM110  # a kernel: compiled, a loop with an early way out
        if ts[i] < ts[i - 1] or (ts[i] == ts[i - 1] and symbol[i] < symbol[i - 1]):
            return False
    return True


@kernel
def _counting_sort(
    keys: NDArray[np.int64],
    order: NDArray[np.int32],
    shift: int,
    following: NDArray[np.int32],
    result: NDArray[np.int32],
) -> None:
    """Put positions ``order`` into ``result``, sorted stably by one digit of their keys.

    ``following`` has a zero for each value of a digit, and one more; it is used up.
    """
    size = following.size - 1
    mask = size - 1
    for i in range(keys.size):
        following[((keys[i] >> shift) & mask) + 1] += 1
    for digit in range(size):
        following[digit + 1] += following[digit]
    for i in range(order.size):
        position = order[i]
        digit = (keys[position] >> shift) & mask
        result[following[digit]] = position
        following[digit] += 1


def _radix_sort(keys: NDArray[np.int64], order: NDArray[np.int32]) -> NDArray[np.int32]:
    width = int(keys.max()).bit_length()
    passes = -(-width // _DIGIT_BITS)
    for number in range(passes):
        bits = -(-width // passes)
        result = np.empty_like(order)
        _counting_sort(keys, order, number * bits, np.zeros((1 << bits) + 1, np.int32), result)
        order = result
    return order


@kernel
def _are_whole(ts: NDArray[np.int64], first: int, unit: int, elapsed: NDArray[np.int64]) -> bool:
    """Count all times from ``first`` in a unit; False where one is not whole in it."""
    for i in range(ts.size):
        since = ts[i] - first
        elapsed[i] = since // unit
        if elapsed[i] * unit != since:
            return False
    return True


def _in_coarsest_unit(ts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Times since the earliest, in seconds, milliseconds or microseconds where all are whole: fewer digits to sort."""
    first, elapsed = ts.min(), np.empty_like(ts)
    next(unit for unit in _UNITS if _are_whole(ts, first, unit, elapsed))
    return elapsed


def processing_order(ts: NDArray[np.int64], symbol: NDArray[np.int32]) -> NDArray[np.int32] | None:
    """Positions that put rows into the order (ts, symbol, arrival).

    A radix sort (least significant digit first), which is linear in the rows and stable.

    Args:
        ts: ns UTC, fewer than 2³¹ rows.
        symbol: numbers ≥ 0 that rise with the symbols' names.

    Returns:
        Row numbers, or None where the rows already stand in order.
    """
    if is_in_order(ts, symbol):
        return None
    order = np.arange(ts.size, dtype=np.int32)
    if (symbol[1:] < symbol[:-1]).any():
        order = _radix_sort(symbol.astype(np.int64), order)
    return _radix_sort(_in_coarsest_unit(ts), order)


@kernel
def _take(column: NDArray[Any], order: NDArray[np.int32], result: NDArray[Any]) -> None:
    for i in range(order.size):
        result[i] = column[order[i]]


@kernel
def _take_rows(column: NDArray[Any], order: NDArray[np.int32], result: NDArray[Any]) -> None:
    for i in range(order.size):
        position = order[i]
        for place in range(column.shape[1]):
            result[i, place] = column[position, place]


def in_that_order(column: NDArray[Any], order: NDArray[np.int32]) -> NDArray[Any]:
    """A column's rows, put into an order of :func:`processing_order`: a tenth of the time that NumPy takes.

    Args:
        column: one entry a row, or one row of entries.
        order: row numbers.
    """
    result: NDArray[Any] = np.empty_like(column, order="C")
    (_take if column.ndim == 1 else _take_rows)(read_only(column), order, result)
    return result
