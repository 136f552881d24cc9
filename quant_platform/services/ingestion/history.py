"""Choose the candles that warm a symbol up, and those that repair a gap in its feed."""

from collections.abc import Iterable, Sequence
from typing import Any

from numpy.typing import NDArray

from quant_platform.domain.session import ist_date, session_on
from quant_platform.domain.ticks import NS_PER_MINUTE, BarBatch, empty_bars
from quant_platform.ports.broker import Candle

WARM_UP_BARS = 250
"""Closed one-minute bars that a symbol starts with, where history has them."""


def warm_up(
    history: Iterable[Candle],
    intraday: Iterable[Candle],
    now_ns: int,
    cas_eligible: bool,
    bars: int = WARM_UP_BARS,
) -> list[Candle]:
    """The last closed one-minute bars before a moment, oldest first.

    Args:
        history: candles of past days.
        intraday: candles of the current day; of two with one stamp this one counts.
        now_ns: the moment, ns UTC. The minute it lies in is not closed.
        cas_eligible: whether the security takes part in the closing auction, which decides its hours.
        bars: how many at most.

    Returns:
        Bars with volume, in session: the print of the closing auction is none of them.

    Raises:
        CalendarError: a candle lies on a date that the calendar does not cover.
    """
    by_start = {candle.ts: candle for candles in (history, intraday) for candle in candles}
    newest_first = (by_start[ts] for ts in sorted(by_start, reverse=True))
    found: list[Candle] = []
    for candle in newest_first:
        if len(found) == bars:
            break
        if _counts(candle, now_ns, cas_eligible):
            found.append(candle)
    return found[::-1]


def repair(intraday: Iterable[Candle], last_seen_ns: int, now_ns: int, cas_eligible: bool) -> list[Candle]:
    """The closed bars that a gap in the feed left unseen, oldest first.

    They start with the minute of the last tick seen, of which only a part was seen, and end with the last minute
    closed at ``now_ns``.

    Args:
        intraday: candles of the current day.
        last_seen_ns: stamp of the symbol's last tick before the gap, ns UTC.
        now_ns: the moment the feed came back, ns UTC.
        cas_eligible: whether the security takes part in the closing auction.

    Raises:
        CalendarError: a candle lies on a date that the calendar does not cover.
    """
    first = last_seen_ns - last_seen_ns % NS_PER_MINUTE
    by_start = {candle.ts: candle for candle in intraday if candle.ts >= first}
    return [by_start[ts] for ts in sorted(by_start) if _counts(by_start[ts], now_ns, cas_eligible)]


def bars_batch(candles: Sequence[Candle], number: int) -> BarBatch:
    """Candles of one symbol as a batch.

    Args:
        candles: in the order they are to be processed.
        number: of the symbol in the run's table.
    """
    batch = empty_bars(len(candles))
    if candles:
        batch.symbol[:] = number
        columns: tuple[NDArray[Any], ...] = (batch.ts, batch.open, batch.high, batch.low, batch.close, batch.volume)
        for column, values in zip(columns, zip(*candles, strict=True), strict=True):
            column[:] = values
    return batch


def _counts(candle: Candle, now_ns: int, cas_eligible: bool) -> bool:
    """Whether a candle is closed, was traded in, and lies in continuous trading."""
    if candle.volume <= 0 or candle.ts + NS_PER_MINUTE > now_ns:
        return False
    session = session_on(ist_date(candle.ts))
    return session is not None and any(opens <= candle.ts < closes for opens, closes in session.windows(cas_eligible))
