"""A seeded market of the NIFTY 100 with believable days, made when they are asked for."""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta

import numpy as np

from quant_platform.domain.errors import CalendarError, UsageError
from quant_platform.domain.instruments import Instrument, nifty_100
from quant_platform.domain.session import IST, covered, latest_session, previous_session, session_on
from quant_platform.domain.ticks import LEVELS, NS_PER_MINUTE, NS_PER_MS, TickBatch, empty_ticks
from quant_platform.ports.broker import Candle
from quant_platform.simulator.candles import minute_candles
from quant_platform.simulator.demo_prices import Prices
from quant_platform.simulator.demo_rows import StockDay, stock_day
from quant_platform.simulator.market_day import MarketDay

LISTED_DAYS = 400
"""The market has history of this many days before its date; before it nothing was traded."""


class DemoSource:
    """One day of a made-up market, and the days before it as history.

    Args:
        seed: 0 or more; another one is another market.
        day: IST date; None for the last trading day that the calendar covers, today at the latest.

    Raises:
        UsageError: the seed is negative.
        CalendarError: the exchange is closed that day, or the calendar does not cover it.
    """

    name = "demo"
    has_depth = True

    def __init__(self, seed: int, day: date | None = None) -> None:
        if seed < 0:
            raise UsageError(f"the seed {seed} is negative", "choose 0 or more")
        today = datetime.now(UTC).astimezone(IST).date()
        self._day = latest_session(min(today, covered()[1])) if day is None else day
        if session_on(self._day) is None:
            near = latest_session(self._day)
            raise CalendarError(f"the exchange is closed on {self._day}", f"choose a trading day, such as {near}")
        self.instruments: Sequence[Instrument] = nifty_100()
        self._prices = Prices(self.instruments, seed)

    def trading_days(self) -> Sequence[date]:
        """The one IST date."""
        return [self._day]

    def days(self) -> Iterator[MarketDay]:
        """The one day."""
        stocks = [self._stock(number) for number in range(len(self.instruments))]
        stamps = np.concatenate([stock.ticks.ts for stock in stocks]) // NS_PER_MS
        symbols = np.concatenate([stock.ticks.symbol for stock in stocks])
        # There are fewer than 2**10 stocks: one key holds stamp and symbol.
        order = np.argsort((stamps - stamps.min()) * 1024 + symbols, kind="stable")
        place = np.empty_like(order)
        place[order] = np.arange(order.size)
        ticks, indicative = empty_ticks(order.size, LEVELS), np.zeros(order.size, np.int32)
        start = 0
        for stock in stocks:
            at = place[start : start + stock.ticks.ts.size]
            for name in TickBatch._fields:
                getattr(ticks, name)[at] = getattr(stock.ticks, name)
            indicative[at] = stock.indicative
            start += at.size
        yield MarketDay(self._day, ticks, self._prices.closes(previous_session(self._day)), indicative)

    def _stock(self, number: int) -> StockDay:
        return stock_day(self._prices, self.instruments[number], number, self._day)

    def history(self, number: int, first: date, last: date) -> list[Candle]:
        """One-minute candles of a security on past days, oldest first."""
        candles: list[Candle] = []
        day = max(first, self._day - timedelta(days=LISTED_DAYS))
        while day <= min(last, self._day):
            if _trades(day):
                stock = self.instruments[number]
                made = stock_day(self._prices, stock, number, day, with_levels=False)
                candles += _candles(day, made.ticks, stock.cas_eligible)
            day += timedelta(days=1)
        return candles

    def intraday(self, day: MarketDay, number: int, stop: int) -> list[Candle]:
        """One-minute candles of the rows before ``stop``, the closing auction's print as one of them."""
        rows = day.rows_of(number)
        seen = day.without_depth(rows[: np.searchsorted(rows, stop)])
        return _candles(day.day, seen, self.instruments[number].cas_eligible)


def _trades(day: date) -> bool:
    """Whether the calendar knows a session on a date."""
    try:
        return session_on(day) is not None
    except CalendarError:
        return False


def _candles(day: date, ticks: TickBatch, cas_eligible: bool) -> list[Candle]:
    """What vendors show of a day: continuous trading, then flat minutes up to 15:29, which holds the auction."""
    session = session_on(day)
    if session is None:
        return []
    candles = minute_candles(ticks, session.windows(cas_eligible))
    if not candles or not session.closing_auction or not cas_eligible:
        return candles
    closes = session.close_ns(cas_eligible)
    after = np.flatnonzero(ticks.ts >= closes)
    if not after.size:
        return candles
    before, last = int(after[0]) - 1, int(after[-1])
    printed = int(ticks.volume[last] - ticks.volume[before])
    until = session.last_close_ns - NS_PER_MINUTE if printed else int(ticks.ts[last]) // NS_PER_MINUTE * NS_PER_MINUTE
    flat = candles[-1].close
    candles += [Candle(ts, flat, flat, flat, flat, 0) for ts in range(closes, until, NS_PER_MINUTE)]
    if printed:
        price = int(ticks.ltp[last])
        candles.append(Candle(until, price, price, price, price, printed))
    return candles
