"""A replayed market: files of ticks or candles, behind the TickSource port, as days of an exchange."""

from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from itertools import chain

import numpy as np

from quant_platform.domain.errors import DataError
from quant_platform.domain.instruments import Instrument, instrument_for
from quant_platform.domain.session import session_on
from quant_platform.domain.ticks import IST_OFFSET_NS, NS_PER_MS, TickBatch
from quant_platform.ports.broker import Candle
from quant_platform.ports.tick_source import TickSource
from quant_platform.simulator.candles import between, minute_candles
from quant_platform.simulator.market_day import MarketDay

BARS_PER_DAY = 400
"""At least as many one-minute bars as a session can have."""


class ReplaySource:
    """The days of a tick source, or one of them.

    Args:
        ticks: where the rows come from.
        day: the only IST date to replay, None for all.

    Raises:
        DataError: the source has no rows, or none on that date, or a stamp too fine for the feed on the first one.
    """

    name = "replay"

    def __init__(self, ticks: TickSource, day: date | None = None) -> None:
        self._source = ticks
        self._days = [each for each in ticks.trading_days() if day in {None, each}]
        if not self._days:
            what = "the replayed files hold no ticks" + (f" on {day}" if day else "")
            raise DataError(what, "name other files or another date")
        self.instruments: Sequence[Instrument] = [instrument_for(symbol) for symbol in ticks.symbols]
        self.has_depth = ticks.has_depth
        opened = self._open_days()
        self._opened = chain([next(opened)], opened)  # bad data is refused before anybody connects

    def trading_days(self) -> Sequence[date]:
        """The IST dates with rows, in order."""
        return self._days

    def days(self) -> Iterator[MarketDay]:
        """The days in order, once.

        Raises:
            DataError: a stamp that the feed, which counts milliseconds, cannot carry.
        """
        return self._opened

    def _open_days(self) -> Iterator[MarketDay]:
        close = np.zeros(len(self.instruments), np.int32)
        wanted = frozenset(self._days)
        for day in self._source.days():
            if day.day in wanted:
                self._require_milliseconds(day.ticks)
                yield MarketDay(day.day, day.ticks, close)
            close = close.copy()
            close[day.ticks.symbol] = day.ticks.ltp  # of several rows of a symbol the last one stays

    def _require_milliseconds(self, ticks: TickBatch) -> None:
        finer = np.flatnonzero(ticks.ts % NS_PER_MS)
        if finer.size:
            ts, number = int(ticks.ts[finer[0]]), int(ticks.symbol[finer[0]])
            at = np.datetime64(ts + IST_OFFSET_NS, "ns")
            raise DataError(
                f"the row of {self.instruments[number].symbol} at {at} IST has a stamp finer than a millisecond, "
                "which the feed cannot carry",
                "round the file's timestamps to milliseconds to replay it, or run `quant backtest` on it",
            )

    def history(self, number: int, first: date, last: date) -> list[Candle]:
        """One-minute candles of past days of the files, oldest first."""
        days = max((last - first).days + 1, 0)
        symbol = self.instruments[number].symbol
        bars = self._source.history(symbol, last + timedelta(days=1), days * BARS_PER_DAY)
        return between(bars, first, last)

    def intraday(self, day: MarketDay, number: int, stop: int) -> list[Candle]:
        """One-minute candles of the day's rows before ``stop`` that lie in continuous trading."""
        rows = day.rows_of(number)
        session = session_on(day.day)
        if session is None:
            return []
        windows = session.windows(self.instruments[number].cas_eligible)
        return minute_candles(day.without_depth(rows[: np.searchsorted(rows, stop)]), windows)
