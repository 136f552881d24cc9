"""The feature_engine core: one pass over a batch of ticks, one record of state a symbol."""

from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from quant_platform.domain.errors import LedgerError
from quant_platform.domain.prefetch import prefetch, prefetch_element, ticks_ahead
from quant_platform.domain.snapshots import grow, pack, unpack
from quant_platform.domain.ticks import (
    IST_OFFSET_NS,
    NOT_FED,
    NS_PER_DAY,
    BarBatch,
    EnrichedBatch,
    TickBatch,
    integer,
)
from quant_platform.indicators import aggressor, book, minute_bar, obi, rsi, sma, spread, vwap
from quant_platform.kernel import kernel

STATE = np.dtype(
    [
        ("day_end", np.int64),  # ns UTC, end of the IST date of the last tick fed
        ("bar", minute_bar.STATE),
        ("vwap", vwap.STATE),
        ("rsi", rsi.STATE),
        ("sma", sma.STATE),
        ("book", book.STATE),
        ("aggressor", aggressor.STATE),
    ]
)
"""All features' state of one symbol; of zeros before its first tick."""
STATE_BYTES = STATE.itemsize

KIND = "feature_engine/1"
_FEATURES = 5
"""VWAP, RSI, OBI, SMA and spread."""


@kernel
def _count_closed_bar(record: Any, rings: Any, symbol: int, rsi_period: int) -> None:
    close = record["bar"]["closed_close"]
    rsi.push(record["rsi"], close, rsi_period)
    sma.push(record["sma"], rings, symbol, close)


@kernel
def _feed(record: Any, ts: int, ltp: int, volume: int, atp: float) -> bool:
    """Move VWAP and the running bar by one tick; tells whether the tick closed the bar before it."""
    if ts >= record["day_end"]:
        record["day_end"] = ((ts + IST_OFFSET_NS) // NS_PER_DAY + 1) * NS_PER_DAY - IST_OFFSET_NS
        vwap.start(record["vwap"], volume, atp)
        book.clear(record["book"])
    else:
        vwap.update(record["vwap"], ltp, volume)
    return minute_bar.update(record["bar"], ts, ltp)


@kernel
def _clear(values: Any, side: Any, has_depth: Any, row: int) -> None:
    for feature in range(values.shape[0]):
        values[feature, row] = np.nan
    side[row] = 0
    has_depth[row] = False


@kernel
def _enrich(
    state: Any, rings: Any,
    ts: Any, symbol: Any, ltp: Any, volume: Any, atp: Any, flags: Any,
    bid_price: Any, bid_qty: Any, ask_price: Any, ask_qty: Any,
    values: Any, side: Any, has_depth: Any,
    rsi_period: int, obi_from_book: bool,
) -> int:  # fmt: skip
    """Fill the features in; where a symbol has no record yet, do nothing and return how many records it takes.

    The columns come one by one: a named tuple costs a call more than the work on a tick.
    """
    highest = integer(-1)
    for i in range(symbol.size):
        highest = max(highest, integer(symbol[i]))
    if highest >= state.size:
        return highest + 1
    vwaps, rsis, obis, smas, spreads = values[0], values[1], values[2], values[3], values[4]
    ahead = ticks_ahead(state)
    for i in range(ts.size):
        if ahead and i + ahead < ts.size:
            prefetch(state, integer(symbol[i + ahead]), STATE_BYTES)
            soon = integer(symbol[i + ahead // 2])  # its record is there by now, and says which close it will need
            prefetch_element(rings, soon, sma.next_place(state[soon]["sma"], rings.shape[1]))
        if flags[i] & NOT_FED:
            _clear(values, side, has_depth, i)
            continue
        number, price = integer(symbol[i]), integer(ltp[i])
        record = state[number]
        if _feed(record, integer(ts[i]), price, integer(volume[i]), atp[i]):
            _count_closed_bar(record, rings, number, rsi_period)
        has_depth[i] = book.update(record["book"], bid_price, bid_qty, ask_price, ask_qty, i)
        vwaps[i] = vwap.value(record["vwap"], price)
        rsis[i] = rsi.value(record["rsi"], price, rsi_period)
        smas[i] = sma.value(record["sma"], rings.shape[1], price)
        obis[i] = obi.from_book(record["book"]) if obi_from_book else obi.from_bar(record["bar"])
        spreads[i] = spread.value(record["book"])
        side[i] = aggressor.update(record["aggressor"], record["book"], price)
    return 0


@kernel
def _insert_bars(state: Any, rings: Any, bars: BarBatch, rsi_period: int, anew: bool) -> None:
    for i in range(bars.ts.size):
        record = state[bars.symbol[i]]
        if anew and (i == 0 or bars.symbol[i] != bars.symbol[i - 1]):
            minute_bar.reset(record["bar"])
            rsi.reset(record["rsi"])
            sma.reset(record["sma"])
        running = record["bar"]
        if running["end"] != 0 and running["end"] <= bars.ts[i]:
            minute_bar.close(running)
            _count_closed_bar(record, rings, integer(bars.symbol[i]), rsi_period)
        if minute_bar.insert(
            running,
            integer(bars.ts[i]),
            integer(bars.high[i]),
            integer(bars.low[i]),
            integer(bars.close[i]),
        ):
            _count_closed_bar(record, rings, integer(bars.symbol[i]), rsi_period)


class FeatureEngine:
    """The feature_engine core.

    Args:
        rsi_period: closes of Wilder's average.
        sma_period: closes of the moving average, the running price included.
        depth: whether the run's data has depth; without, OBI is the last bar's close-location value.
    """

    def __init__(self, rsi_period: int, sma_period: int, *, depth: bool) -> None:
        self._rsi_period = rsi_period
        self._sma_period = sma_period
        self._depth = depth
        self._state: NDArray[Any] = np.zeros(0, STATE)
        self._rings = np.zeros((0, sma_period - 1), np.int64)
        self._layout = crc32(f"{KIND} {STATE.descr} {rsi_period} {sma_period} {depth}".encode()).to_bytes(4, "big")

    def _make_room(self, rows: int) -> None:
        self._state = grow(self._state, rows)
        self._rings = grow(self._rings, rows)

    def on_ticks(self, ticks: TickBatch) -> EnrichedBatch:
        """Features of every row, after that row; rows flagged as not to be fed get NaN and move nothing."""
        ts, symbol, _, ltp, volume, atp, flags, bid_price, bid_qty, ask_price, ask_qty = ticks
        n = ts.size
        values, side, has_depth = np.empty((_FEATURES, n)), np.empty(n, np.uint8), np.empty(n, np.bool_)
        missing = 1
        while missing:
            missing = _enrich(
                self._state, self._rings,
                ts, symbol, ltp, volume, atp, flags, bid_price, bid_qty, ask_price, ask_qty,
                values, side, has_depth, self._rsi_period, self._depth,
            )  # fmt: skip
            if missing:
                self._make_room(missing)
        vwaps, rsis, obis, smas, spreads = values
        return EnrichedBatch(ticks, vwaps, rsis, obis, smas, spreads, side, has_depth)

    def on_bars(self, bars: BarBatch, *, anew: bool) -> None:
        """Closed bars from history that come, in the stream's order, before the symbols' next ticks.

        Args:
            bars: grouped by symbol, oldest first.
            anew: warm-up: the symbols' bars start with these, whatever was counted before. Otherwise repair: they
                go on, and the first one replaces a running bar of its minute.
        """
        self._make_room(int(bars.symbol.max(initial=-1)) + 1)
        _insert_bars(self._state, self._rings, bars, self._rsi_period, anew)

    def state_of(self, number: int) -> bytes:
        """One symbol's state, for :meth:`take_over` of another engine with the same settings."""
        return self._layout + self._state[number].tobytes() + self._rings[number].tobytes()

    def take_over(self, number: int, state: bytes) -> None:
        """Go on with a symbol where another engine left it.

        Raises:
            LedgerError: the state was made with other settings, or by another version.
        """
        layout, body = state[: len(self._layout)], state[len(self._layout) :]
        if layout != self._layout or len(body) != STATE.itemsize + 8 * self._rings.shape[1]:
            raise LedgerError(
                "the stored state of a symbol was made with other settings, or by another version",
                "set trading.rsi_period, trading.sma_period and feed.depth as they were, or start the streams anew",
            )
        self._make_room(number + 1)
        self._state[number] = np.frombuffer(body, STATE, 1)[0]
        self._rings[number] = np.frombuffer(body, np.int64, offset=STATE.itemsize)

    def snapshot(self) -> bytes:
        """All symbols' state."""
        return pack(KIND, {"state": self._state, "rings": self._rings})

    def restore(self, state: bytes) -> None:
        """Go on from a snapshot made with the same periods.

        Raises:
            LedgerError: it was made with other periods, or by another version.
        """
        arrays, _ = unpack(KIND, state, {"state": STATE, "rings": np.int64})
        if arrays["rings"].shape[1] != self._sma_period - 1:
            raise LedgerError("the stored state has another sma_period", "start anew with --fresh")
        self._state, self._rings = arrays["state"], arrays["rings"]
