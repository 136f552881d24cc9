"""Ticks to one-minute candles, and these to the longer ones of the history endpoints."""

from collections.abc import Iterable, Sequence
from datetime import date, timedelta

import numpy as np
from numpy.typing import NDArray

from quant_platform.domain.bars import exchange_bars
from quant_platform.domain.session import WindowsNs, ist_date, midnight_ns, session_on
from quant_platform.domain.ticks import NS_PER_MINUTE, BarBatch, TickBatch
from quant_platform.ports.broker import Candle

MINUTES_PER_UNIT = {"minutes": 1, "hours": 60}


def in_windows(ts: NDArray[np.int64], windows: WindowsNs) -> NDArray[np.bool_]:
    """Which stamps lie in continuous trading."""
    inside = np.zeros(ts.size, np.bool_)
    for opens, closes in windows:
        inside |= (ts >= opens) & (ts < closes)
    return inside


def candles_of(bars: BarBatch) -> list[Candle]:
    """Rows of a batch as candles."""
    columns = (column.tolist() for column in (bars.ts, bars.open, bars.high, bars.low, bars.close, bars.volume))
    return [Candle(*row) for row in zip(*columns, strict=True)]


def minute_candles(ticks: TickBatch, windows: WindowsNs) -> list[Candle]:
    """One-minute candles of one symbol's rows in continuous trading, counting volume from the rows before it."""
    return candles_of(exchange_bars(ticks, in_windows(ticks.ts, windows)))


def longer_candles(candles: Sequence[Candle], unit: str, interval: int) -> list[Candle]:
    """One-minute candles, oldest first, put together to longer ones, which start where the exchange starts them.

    Args:
        candles: one-minute candles, oldest first.
        unit: minutes, hours, days, weeks or months.
        interval: how many of them; counted from the session's open for minutes and hours, else 1.
    """
    joined: list[Candle] = []
    for candle in candles:
        start = _start_of(candle.ts, unit, interval)
        if joined and joined[-1].ts == start:
            joined[-1] = _join(joined[-1], candle)
        else:
            joined.append(candle._replace(ts=start))
    return joined


def _join(first: Candle, then: Candle) -> Candle:
    return Candle(
        first.ts,
        first.open,
        max(first.high, then.high),
        min(first.low, then.low),
        then.close,
        first.volume + then.volume,
    )


def _start_of(ts: int, unit: str, interval: int) -> int:
    if unit in MINUTES_PER_UNIT:
        session = session_on(ist_date(ts))
        opens = session.open_ns(False) if session else ts
        length = MINUTES_PER_UNIT[unit] * interval * NS_PER_MINUTE
        return ts if length == NS_PER_MINUTE or ts < opens else opens + (ts - opens) // length * length
    day = ist_date(ts)
    if unit == "weeks":
        day -= timedelta(days=day.weekday())
    elif unit == "months":
        day = day.replace(day=1)
    return midnight_ns(day)


def between(candles: Iterable[Candle], first: date, last: date) -> list[Candle]:
    """Candles that start on the dates from ``first`` to ``last``."""
    lowest, highest = midnight_ns(first), midnight_ns(last + timedelta(days=1))
    return [candle for candle in candles if lowest <= candle.ts < highest]
