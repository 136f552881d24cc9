"""Bars as ticks and ticks as bars: the two ways between candles and the tick stream."""

import numpy as np
from numpy.typing import NDArray

from quant_platform.domain.tick_order import in_that_order, processing_order
from quant_platform.domain.ticks import (
    NS_PER_MINUTE,
    NS_PER_SECOND,
    BarBatch,
    TickBatch,
    empty_bars,
    empty_ticks,
    select,
    trading_days,
)

TICKS_PER_BAR = 4
_OFFSETS = np.array([0, 15, 30, 59], np.int64) * NS_PER_SECOND


def _group_starts(*keys: NDArray[np.int64] | NDArray[np.int32]) -> NDArray[np.intp]:
    """Positions at which any of the keys differs from the row before; the first row always does."""
    changes = np.zeros(keys[0].size, np.bool_)
    changes[:1] = True
    for key in keys:
        changes[1:] |= key[1:] != key[:-1]
    return np.flatnonzero(changes)


def bars_to_ticks(bars: BarBatch) -> TickBatch:
    """The trading rules' "candles as ticks".

    A bar becomes four ticks at +0, +15, +30 and +59 s: open, low, high, close when close ≥ open, else open, high,
    low, close. Each of the first three adds a quarter of the volume, rounded down, the last the rest, to the count
    of the symbol's IST date.

    Args:
        bars: n bars in any order; bars of one symbol and start keep their order.

    Returns:
        4n ticks without depth in the order (ts, symbol, arrival).
    """
    days = trading_days(bars.ts)
    order = np.lexsort((bars.ts, bars.symbol, days))
    bars = BarBatch._make(column[order] for column in bars)
    before = np.cumsum(bars.volume) - bars.volume
    starts = _group_starts(bars.symbol, days[order])
    before -= np.repeat(before[starts], np.diff(starts, append=order.size))

    rising = bars.close >= bars.open
    ticks = empty_ticks(TICKS_PER_BAR * order.size, 0)
    ticks.ts[:] = (bars.ts[:, None] + _OFFSETS).ravel()
    ticks.symbol[:] = np.repeat(bars.symbol, TICKS_PER_BAR)
    prices = ticks.ltp.reshape(-1, TICKS_PER_BAR)
    prices[:, 0] = bars.open
    prices[:, 1] = np.where(rising, bars.low, bars.high)
    prices[:, 2] = np.where(rising, bars.high, bars.low)
    prices[:, 3] = bars.close
    counts = ticks.volume.reshape(-1, TICKS_PER_BAR)
    counts[:, :3] = before[:, None] + (bars.volume // TICKS_PER_BAR)[:, None] * np.arange(1, TICKS_PER_BAR)
    counts[:, 3] = before + bars.volume
    arranged = processing_order(ticks.ts, ticks.symbol)
    return ticks if arranged is None else TickBatch._make(in_that_order(column, arranged) for column in ticks)


def ticks_to_bars(ticks: TickBatch) -> BarBatch:
    """One-minute bars of ticks, as the features see them: bucket = floor(ts / 60 s), no bar without a tick.

    A bar's volume is the rise of the day's highest cumulative count since the bar before; a date's first tick is
    only the base to count from, as for VWAP.

    Args:
        ticks: rows that count (in session, not late), each symbol's in order of time.

    Returns:
        Bars by symbol, then start.
    """
    if not ticks.ts.size:
        return empty_bars(0)
    order = np.argsort(ticks.symbol, kind="stable")
    symbol, ltp, volume = ticks.symbol[order], ticks.ltp[order], ticks.volume[order]
    minutes = ticks.ts[order] // NS_PER_MINUTE
    starts = _group_starts(symbol, minutes)
    ends = np.append(starts[1:], symbol.size) - 1
    bar_ts = minutes[starts] * NS_PER_MINUTE
    highest = np.maximum.reduceat(volume, starts)
    shares = np.empty_like(highest)
    dates = _group_starts(symbol[starts], trading_days(bar_ts))
    for first, stop in zip(dates, np.append(dates[1:], starts.size), strict=True):
        counts = np.maximum.accumulate(highest[first:stop])
        shares[first:stop] = np.diff(counts, prepend=volume[starts[first]])
    return BarBatch(
        bar_ts,
        symbol[starts],
        ltp[starts],
        np.maximum.reduceat(ltp, starts),
        np.minimum.reduceat(ltp, starts),
        ltp[ends],
        shares,
    )


def exchange_bars(ticks: TickBatch, counting: NDArray[np.bool_]) -> BarBatch:
    """One-minute bars as an exchange counts them: a date's first bar holds the shares of its first tick too.

    Those are the rise of the count since the symbol's row before on that date, since 0 where there is none.

    Args:
        ticks: rows of any number of symbols and dates, each symbol's in order of time.
        counting: which rows make bars.

    Returns:
        Bars by symbol, then start, otherwise those of :func:`ticks_to_bars`.
    """
    bars = ticks_to_bars(select(ticks, counting))
    order = np.argsort(ticks.symbol, kind="stable")
    symbol, volume, days = ticks.symbol[order], ticks.volume[order], trading_days(ticks.ts[order])
    before = np.zeros_like(volume)
    before[1:] = np.where((symbol[1:] == symbol[:-1]) & (days[1:] == days[:-1]), volume[:-1], 0)
    places = np.flatnonzero(counting[order])
    first_ticks = places[_group_starts(symbol[places], days[places])]
    first_bars = _group_starts(bars.symbol, trading_days(bars.ts))
    bars.volume[first_bars] += np.maximum(volume[first_ticks] - before[first_ticks], 0)
    return bars
