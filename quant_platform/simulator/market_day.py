"""One day of a market as columns, with what the exchange knows about every symbol at every row of it."""

from datetime import date
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from quant_platform.domain.bars import ticks_to_bars
from quant_platform.domain.ticks import NS_PER_MINUTE, BarBatch, TickBatch, empty_ticks, select


class Frames(NamedTuple):
    """The day cut into feed frames: frame k holds the rows ``starts[k]`` to ``starts[k + 1]``."""

    starts: NDArray[np.int64]  # (frames + 1,)
    ts: NDArray[np.int64]  # (frames,) ns UTC


class MarketDay:
    """Ticks of one date, and the running state of their symbols.

    Args:
        day: IST date.
        ticks: rows in the order (ts, symbol, arrival); ``symbol`` numbers the source's instruments, and rises
            with their names. Stamps are whole milliseconds.
        previous_close: paise by symbol, 0 where there is none.
        indicative: paise by row, the auction's indicative price, 0 outside an auction; None: nowhere.

    Attributes:
        frames: the feed frames: maximal runs of rows with one stamp and rising symbols.
        place: int64 by row, where the row stands in the columns that follow, which go symbol by symbol.
        open, high, low: int32 paise by place, of the day so far; 0 while nothing has traded.
        shares: int64 by place, what the symbol traded since its row before.
        depth_row: int64 by place, the latest row of the symbol with any level, up to this one; -1: none yet.
        bar: int64 by place, position in ``bars`` of the last minute that has ended, -1: none yet.
        bars: one-minute bars of all that traded, by symbol, then start.
    """

    def __init__(
        self,
        day: date,
        ticks: TickBatch,
        previous_close: NDArray[np.int32],
        indicative: NDArray[np.int32] | None = None,
    ) -> None:
        self.day = day
        self.ticks = ticks
        self.previous_close = previous_close
        self.indicative = np.zeros(ticks.ts.size, np.int32) if indicative is None else indicative
        self.frames = _frames(ticks)
        self.has_levels = _has_levels(ticks)
        # Rows symbol by symbol, each symbol's in order of time: what runs over a symbol is one slice of these.
        self._by_symbol = np.argsort(ticks.symbol, kind="stable")
        counts = np.bincount(ticks.symbol, minlength=previous_close.size)
        self._group_starts = np.concatenate(([0], np.cumsum(counts)))
        n = ticks.ts.size
        self.place = np.empty(n, np.int64)
        self.place[self._by_symbol] = np.arange(n)
        self.open, self.high, self.low = (np.zeros(n, np.int32) for _ in range(3))
        self.shares = np.zeros(n, np.int64)
        self.depth_row = np.full(n, -1, np.int64)
        self.bar = np.full(n, -1, np.int64)
        self.bars = self._run_over_symbols()

    def _run_over_symbols(self) -> BarBatch:
        arranged = self.without_depth(self._by_symbol)
        traded = np.zeros(arranged.ts.size, np.bool_)
        minutes = arranged.ts // NS_PER_MINUTE
        bars_before = 0
        for start, stop in zip(self._group_starts.tolist(), self._group_starts[1:].tolist(), strict=False):
            if start == stop:
                continue
            rows, volume = self._by_symbol[start:stop], arranged.volume[start:stop]
            self.depth_row[start:stop] = np.maximum.accumulate(np.where(self.has_levels[rows], rows, -1))
            self.shares[start + 1 : stop] = np.maximum(np.diff(volume), 0)
            first = start + int(np.argmax(volume > 0))
            if arranged.volume[first] <= 0:
                continue
            since = slice(first, stop)
            traded[since] = True
            self.open[since] = arranged.ltp[first]
            np.maximum.accumulate(arranged.ltp[since], out=self.high[since])
            np.minimum.accumulate(arranged.ltp[since], out=self.low[since])
            within = np.cumsum(np.diff(minutes[since], prepend=minutes[first]) > 0)
            self.bar[since] = np.where(within > 0, bars_before + within - 1, -1)
            bars_before += int(within[-1]) + 1
        return ticks_to_bars(select(arranged, traded))

    def without_depth(self, rows: NDArray[np.int64]) -> TickBatch:
        """The named rows as ticks without levels."""
        batch = empty_ticks(rows.size, 0)
        batch.ts[:] = self.ticks.ts[rows]
        batch.symbol[:] = self.ticks.symbol[rows]
        batch.ltp[:] = self.ticks.ltp[rows]
        batch.volume[:] = self.ticks.volume[rows]
        return batch

    def rows_of(self, number: int) -> NDArray[np.int64]:
        """Rows of a symbol, in order of time."""
        return self._by_symbol[self._group_starts[number] : self._group_starts[number + 1]]

    def last_row(self, number: int, stop: int) -> int:
        """The last row of a symbol before row ``stop``, -1 where there is none."""
        rows = self.rows_of(number)
        position = int(np.searchsorted(rows, stop)) - 1
        return int(rows[position]) if position >= 0 else -1

    def rows_until(self, ts: int) -> int:
        """How many rows have a stamp up to and including ``ts``."""
        return int(np.searchsorted(self.ticks.ts, ts, side="right"))


def _frames(ticks: TickBatch) -> Frames:
    n = ticks.ts.size
    starts = np.ones(n, np.bool_)
    starts[1:] = (ticks.ts[1:] != ticks.ts[:-1]) | (ticks.symbol[1:] <= ticks.symbol[:-1])
    positions = np.flatnonzero(starts)
    return Frames(np.append(positions, n), ticks.ts[positions])


def _has_levels(ticks: TickBatch) -> NDArray[np.bool_]:
    bids = (ticks.bid_price > 0) & (ticks.bid_qty > 0)
    asks = (ticks.ask_price > 0) & (ticks.ask_qty > 0)
    return np.asarray((bids | asks).any(axis=1), np.bool_)
