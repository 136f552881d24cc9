"""Which history is missing, and the fewest requests within the broker's limits that bring it."""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date, timedelta
from typing import NamedTuple

from quant_platform.domain.errors import CalendarError, UsageError
from quant_platform.domain.session import covered, session_on
from quant_platform.domain.ticks import NS_PER_MINUTE
from quant_platform.protocol.upstox import limits

_UNITS = {"m": "minutes", "h": "hours", "d": "days"}
_INTERVAL = re.compile(r"([1-9]\d{0,2})([mhd])")
_MINUTES = {"minutes": 1, "hours": 60}
_ONE_DAY = timedelta(days=1)

INTERVALS = "choose 1m to {minutes.longest}m, 1h to {hours.longest}h, or 1d".format_map(limits.CANDLE_UNITS)
"""What may be chosen, for messages."""


class Interval(NamedTuple):
    """The length of a candle, as the broker counts it."""

    unit: str  # minutes, hours or days
    multiple: int

    @property
    def name(self) -> str:
        """``1m``, ``2h``, ``1d``."""
        return f"{self.multiple}{self.unit[0]}"

    @property
    def length_ns(self) -> int | None:
        """Nanoseconds; None for days, which are as long as their session."""
        minutes = _MINUTES.get(self.unit)
        return None if minutes is None else minutes * self.multiple * NS_PER_MINUTE


ONE_MINUTE = Interval("minutes", 1)


def read_interval(text: str) -> Interval:
    """``1m`` as an interval.

    Raises:
        UsageError: the broker has no candles of that length.
    """
    found = _INTERVAL.fullmatch(text)
    if found is None or int(found[1]) > limits.CANDLE_UNITS[_UNITS[found[2]]].longest:
        raise UsageError(f"there are no candles of interval {text!r}", INTERVALS)
    return Interval(_UNITS[found[2]], int(found[1]))


class Span(NamedTuple):
    """Dates, both included."""

    first: date
    last: date


def span_of(interval: Interval, first: date | None, last: date | None, today: date, days: int) -> Span:
    """The dates to be downloaded.

    Args:
        interval: of the candles.
        first: as asked for; None: so many days before the last.
        last: as asked for; None: yesterday.
        today: the market's IST date, which is not history yet.
        days: see ``first``.

    Raises:
        UsageError: the dates are not history, not in order, or before the broker's first candles.
        CalendarError: the exchange calendar does not cover them.
    """
    yesterday = today - _ONE_DAY
    until = last or yesterday
    since = first or until - timedelta(days=days - 1)
    earliest = limits.CANDLE_UNITS[interval.unit].first
    for day in (since, until):
        if day > yesterday:
            raise UsageError(f"{day} is not history yet: it is {today} at the exchange", f"end with {yesterday}")
    if since > until:
        raise UsageError(f"the range from {since} to {until} is empty", "give an earlier --from or a later --to")
    if earliest is not None and since < earliest:
        raise UsageError(f"Upstox has no candles of {interval.name} before {earliest}", f"begin with {earliest}")
    for day in (since, until):
        if not covered()[0] <= day <= covered()[1]:
            session_on(day)  # which says what is covered
    return Span(since, until)


class Days(NamedTuple):
    """Dates of a span on which the exchange trades."""

    known: tuple[date, ...]
    unknown: tuple[date, ...]  # with a session whose hours the calendar does not know


def trading_days(span: Span) -> Days:
    """The dates of a span that the calendar covers, as far as the exchange trades on them."""
    known, unknown = [], []
    day = span.first
    while day <= span.last:
        try:
            if session_on(day) is not None:
                known.append(day)
        except CalendarError:
            unknown.append(day)
        day += _ONE_DAY
    return Days(tuple(known), tuple(unknown))


class Request(NamedTuple):
    """One call for the history of a symbol."""

    symbol: str
    first: date
    last: date
    days: tuple[date, ...]  # those that are missing; others in between are complete already


class Batch(NamedTuple):
    """Requests whose dates are saved together, once all are answered."""

    span: Span
    requests: tuple[Request, ...]


def plan(
    interval: Interval, symbols: Sequence[str], days: Iterable[date], complete: Mapping[date, Collection[str]]
) -> list[Batch]:
    """One request for each symbol and calendar span in which it misses anything, oldest first.

    Spans are calendar months, quarters or decades, the longest that one request may ask for: the same in every
    run, however far the one before came.

    Args:
        interval: of the candles.
        symbols: whose candles are wanted.
        days: dates that are wanted, in order.
        complete: which symbols need nothing more, by date.
    """
    by_span: dict[Span, list[date]] = defaultdict(list)
    for day in days:
        by_span[_calendar_span(interval, day)].append(day)
    batches = []
    for span, wanted in by_span.items():
        requests = []
        for symbol in symbols:
            missing = tuple(day for day in wanted if symbol not in complete.get(day, ()))
            if missing:
                requests.append(Request(symbol, missing[0], missing[-1], missing))
        if requests:
            batches.append(Batch(span, tuple(requests)))
    return batches


def _calendar_span(interval: Interval, day: date) -> Span:
    months = limits.candle_span_months(interval.unit, interval.multiple)
    assert months is not None, "minutes, hours and days have a limit"  # noqa: S101
    first = (day.year * 12 + day.month - 1) // months * months
    return Span(_first_of(first), _first_of(first + months) - _ONE_DAY)


def _first_of(month: int) -> date:
    return date(month // 12, month % 12 + 1, 1)
