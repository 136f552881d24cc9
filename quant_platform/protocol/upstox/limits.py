"""Upstox's published limits: calls in a time, keys in a request, days in a candle request, keys on a feed."""

from calendar import monthrange
from collections.abc import Mapping
from datetime import date, timedelta
from typing import NamedTuple


class RateLimit(NamedTuple):
    """Calls that one user may make, over all requests of a class."""

    per_second: int
    per_minute: int
    per_half_hour: int

    @property
    def windows(self) -> tuple[tuple[int, int], ...]:
        """The same as (seconds, calls) pairs."""
        return (1, self.per_second), (60, self.per_minute), (1800, self.per_half_hour)


STANDARD = RateLimit(50, 500, 2000)
"""Quotes, candles, portfolio and everything else that is not an order."""
ORDERS = RateLimit(10, 500, 2000)
"""Place, modify and cancel, for an algorithm that is not registered with the exchange."""

KEYS_PER_QUOTE = 500
"""Instrument keys in one LTP, OHLC or full quote request."""
KEYS_PER_GREEKS = 50
"""Instrument keys in one option greeks request."""


class FeedLimit(NamedTuple):
    """Instrument keys on one feed connection."""

    alone: int  # all of them in this mode
    mixed: int  # together with other modes


FEED_CONNECTIONS = 2
"""Market data feeds that one user may hold open."""
FEED_KEYS: Mapping[str, FeedLimit] = {
    "ltpc": FeedLimit(5000, 2000),
    "option_greeks": FeedLimit(3000, 2000),
    "full": FeedLimit(2000, 1500),
    "full_d30": FeedLimit(50, 1500),
}
"""By mode of subscription."""


class CandleUnit(NamedTuple):
    """What the V3 history takes for one unit."""

    longest: int  # the highest interval
    first: date | None  # no candles before it
    months: int | None  # the longest span of one request; None: no limit


CANDLE_UNITS: Mapping[str, CandleUnit] = {
    "minutes": CandleUnit(300, date(2022, 1, 1), 3),
    "hours": CandleUnit(5, date(2022, 1, 1), 3),
    "days": CandleUnit(1, date(2000, 1, 1), 120),
    "weeks": CandleUnit(1, date(2000, 1, 1), None),
    "months": CandleUnit(1, date(2000, 1, 1), None),
}
SHORT_MINUTES = 15
"""Up to this many minutes a candle request spans one month only."""


def candle_span_months(unit: str, interval: int) -> int | None:
    """Calendar months that one V3 history request may span; None where there is no limit.

    Raises:
        KeyError: the unit is unknown.
    """
    if unit == "minutes" and interval <= SHORT_MINUTES:
        return 1
    return CANDLE_UNITS[unit].months


def earliest_from(unit: str, interval: int, to_date: date) -> date | None:
    """The lowest ``from_date`` of one V3 history request that ends with ``to_date``; None: no limit."""
    months = candle_span_months(unit, interval)
    if months is None:
        return None
    year, month0 = divmod(to_date.year * 12 + to_date.month - 1 - months, 12)
    day = min(to_date.day, monthrange(year, month0 + 1)[1])
    return date(year, month0 + 1, day)


def candle_spans(unit: str, interval: int, first: date, last: date) -> list[tuple[date, date]]:
    """The dates from first to last in the fewest pieces that one V3 history request may ask for, oldest first."""
    pieces: list[tuple[date, date]] = []
    while first <= last:
        earliest = earliest_from(unit, interval, last) or first
        pieces.append((max(first, earliest), last))
        last = earliest - timedelta(days=1)
    return pieces[::-1]
