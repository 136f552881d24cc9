"""Ticks and bars as batches of columns: the one form in which market data moves through the cores.

A batch is a named tuple of NumPy columns of equal length n, ordered as it is to be processed. Symbols are numbers,
given out by a :class:`~quant_platform.domain.instruments.SymbolTable`. Kernels take the tuples as they are.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from quant_platform.kernel import kernel

LEVELS = 5
"""Depth levels that count, on each side."""

NS_PER_MS = 1_000_000
NS_PER_SECOND = 1_000_000_000
NS_PER_MINUTE = 60 * NS_PER_SECOND
NS_PER_DAY = 86_400 * NS_PER_SECOND
IST_OFFSET_NS = 19_800 * NS_PER_SECOND
"""IST is UTC+05:30 all year."""

LATE = 1
"""Flag: the stamp is below the last one seen for the symbol. Stored, never fed."""
OUT_OF_SESSION = 2
"""Flag: not in continuous trading of its security. Stored, never fed."""
REPAIRED = 4
"""Flag: the row was filled in from history after a gap in the feed."""
NOT_FED = LATE | OUT_OF_SESSION
"""Any of these flags keeps a tick away from features and trading."""


class TickBatch(NamedTuple):
    """Raw ticks, one row each, in order of processing.

    A side's depth has shape (n, 5), best level first; data without depth has shape (n, 0). A level whose price or
    quantity is 0 is no level; a row without any level leaves the last depth standing.
    """

    ts: NDArray[np.int64]  # ns since the epoch, UTC: the exchange's stamp
    symbol: NDArray[np.int32]  # number in the run's symbol table
    seq: NDArray[np.int64]  # counts the symbol's ticks in a session, from 1; 0 before ingestion
    ltp: NDArray[np.int32]  # last traded price, paise
    volume: NDArray[np.int64]  # shares traded today so far, as the exchange counts
    atp: NDArray[np.float64]  # the exchange's average traded price of the day, rupees; 0 where absent
    flags: NDArray[np.uint8]  # LATE | OUT_OF_SESSION | REPAIRED
    bid_price: NDArray[np.int32]  # (n, levels) paise
    bid_qty: NDArray[np.int32]  # (n, levels) shares
    ask_price: NDArray[np.int32]  # (n, levels) paise
    ask_qty: NDArray[np.int32]  # (n, levels) shares


class BarBatch(NamedTuple):
    """Closed one-minute bars from history: warm-up and gap repair travel as these, in order with the ticks."""

    ts: NDArray[np.int64]  # ns since the epoch, UTC: the bar's start
    symbol: NDArray[np.int32]  # number in the run's symbol table
    open: NDArray[np.int32]  # paise
    high: NDArray[np.int32]  # paise
    low: NDArray[np.int32]  # paise
    close: NDArray[np.int32]  # paise
    volume: NDArray[np.int64]  # shares traded within the bar


class EnrichedBatch(NamedTuple):
    """Ticks with their features, row by row. Features are float64, NaN where undefined (also on rows not fed)."""

    ticks: TickBatch
    vwap: NDArray[np.float64]  # rupees
    rsi: NDArray[np.float64]  # 0 … 100
    obi: NDArray[np.float64]  # -1 … 1
    sma: NDArray[np.float64]  # rupees
    spread: NDArray[np.float64]  # rupees
    aggressor: NDArray[np.uint8]  # AGGRESSOR_NONE | AGGRESSOR_BUY | AGGRESSOR_SELL
    has_depth: NDArray[np.bool_]  # the row itself brought at least one level


AGGRESSOR_NONE = 0
AGGRESSOR_BUY = 1
AGGRESSOR_SELL = 2
AGGRESSOR_CODES = ("N", "B", "S")
"""How the numbers are written in topics and tables."""

MAX_LEVEL_QUANTITY = 2**31 - 1
"""A level that shows more shares than this counts as this many: the columns are 32 bits wide."""


def empty_ticks(n: int, levels: int) -> TickBatch:
    """A batch of ``n`` zeroed rows to be filled in, with ``levels`` (0 or 5) depth levels a side."""
    depth = [np.zeros((n, levels), np.int32) for _ in range(4)]
    return TickBatch(
        np.zeros(n, np.int64),
        np.zeros(n, np.int32),
        np.zeros(n, np.int64),
        np.zeros(n, np.int32),
        np.zeros(n, np.int64),
        np.zeros(n, np.float64),
        np.zeros(n, np.uint8),
        *depth,
    )


def empty_bars(n: int) -> BarBatch:
    """A batch of ``n`` zeroed bars to be filled in."""
    opens, highs, lows, closes = (np.zeros(n, np.int32) for _ in range(4))
    return BarBatch(np.zeros(n, np.int64), np.zeros(n, np.int32), opens, highs, lows, closes, np.zeros(n, np.int64))


def cut(batch: TickBatch, start: int, stop: int) -> TickBatch:
    """Rows ``start`` to ``stop`` without copying."""
    return TickBatch._make([column[start:stop] for column in batch])


def select(batch: TickBatch, keep: NDArray[np.bool_] | NDArray[np.intp]) -> TickBatch:
    """The rows named by a mask or by positions, copied."""
    return TickBatch._make(column[keep] for column in batch)


def join(batches: list[TickBatch]) -> TickBatch:
    """Batches one after another, copied; at least one."""
    return TickBatch._make(np.concatenate(columns) for columns in zip(*batches, strict=True))


def trading_day(ts: int) -> int:
    """The IST date of a stamp, counted in days since the epoch."""
    return int((ts + IST_OFFSET_NS) // NS_PER_DAY)


def trading_days(ts: NDArray[np.int64]) -> NDArray[np.int64]:
    """:func:`trading_day` of every stamp."""
    return (ts + IST_OFFSET_NS) // NS_PER_DAY


def read_only(column: NDArray[Any]) -> NDArray[Any]:
    """A column as most columns of files are: a kernel is compiled anew for those that can be written or lie apart."""
    view = np.ascontiguousarray(column).view()
    view.flags.writeable = False
    return view


@kernel
def integer(entry: Any) -> int:
    """A column's entry as a 64-bit integer: 32-bit columns would overflow in plain Python, and only there."""
    return np.int64(entry)  # type: ignore[return-value]


@kernel
def unsigned(entry: Any) -> int:
    """An index from 0 to 2³² − 1: nothing is compiled for one that would count from the end."""
    return np.int64(np.uint32(entry))  # type: ignore[return-value]
