"""Rows of a market day as frames of the V3 feed."""

from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from quant_platform.domain.instruments import Instrument
from quant_platform.domain.money import PAISE_PER_RUPEE
from quant_platform.domain.session import midnight_ns
from quant_platform.domain.ticks import LEVELS, NS_PER_MS
from quant_platform.protocol.upstox import market_data_feed_pb2 as wire
from quant_platform.protocol.upstox.feed_requests import FULL, LTPC, OPTION_GREEKS, REQUEST_MODES
from quant_platform.simulator.market_day import MarketDay
from quant_platform.simulator.wire_template import (
    MAX_VARINT,
    Template,
    integer,
    length_delimited,
    varint,
)

NOT_SUBSCRIBED = -1
MODES = (LTPC, FULL, OPTION_GREEKS)
"""Modes of subscription that are served; a symbol's mode is its place here."""

_HAS_DEPTH, _HAS_TRADED, _HAS_BAR, _IS_INDICATIVE = 1, 2, 4, 8

_LIVE = Template().constant(integer(1, wire.live_feed)).integer(3, "now")

Rows = NDArray[np.int64]


def _ltpc(indicative: bool) -> Template:
    template = Template().double(1, "ltp").integer(2, "ltt").integer(3, "ltq").double(4, "cp")
    return template.message(5, Template().double(1, "iep")) if indicative else template


def _quote(level: int) -> Template:
    names = (f"bid_qty_{level}", f"bid_price_{level}", f"ask_qty_{level}", f"ask_price_{level}")
    return Template().integer(1, names[0]).double(2, names[1]).integer(3, names[2]).double(4, names[3])


def _ohlc(interval: str, prefix: str) -> Template:
    template = Template().constant(length_delimited(1, interval.encode()))
    for number, name in enumerate(("open", "high", "low", "close"), start=2):
        template.double(number, f"{prefix}_{name}")
    return template.integer(6, f"{prefix}_vol").integer(7, f"{prefix}_ts")


@cache
def _feed_template(mode: int, shape: int, cas_eligible: bool) -> Template:
    """Feed of one mode, with the members that the flags of ``shape`` name."""
    ltpc = _ltpc(bool(shape & _IS_INDICATIVE))
    request_mode = integer(4, REQUEST_MODES[MODES[mode]])
    if MODES[mode] == LTPC:
        return Template().message(1, ltpc).constant(request_mode)
    if MODES[mode] == OPTION_GREEKS:
        first = Template().message(1, ltpc)
        if shape & _HAS_DEPTH:
            first.message(2, _quote(1))
        first.constant(length_delimited(3, b"")).integer(4, "vtt")
        return Template().message(3, first).constant(request_mode)
    full = Template().message(1, ltpc)
    if shape & _HAS_DEPTH:
        levels = Template()
        for level in range(1, LEVELS + 1):
            levels.message(1, _quote(level))
        full.message(2, levels)
    full.constant(length_delimited(3, b""))  # an equity's greeks: present and empty
    candles = Template()
    if shape & _HAS_TRADED:
        candles.message(1, _ohlc("1d", "day"))
    if shape & _HAS_BAR:
        candles.message(1, _ohlc("I1", "bar"))
    full.message(4, candles).double(5, "atp").integer(6, "vtt")
    if shape & _HAS_DEPTH:
        full.double(9, "tbq").double(10, "tsq")
    if shape & _IS_INDICATIVE:
        full.double(11, "iep")
    if cas_eligible:
        full.constant(integer(16, 1))
    return Template().message(2, Template().message(1, full)).constant(request_mode)


class FrameWriter:
    """Writes the frames of one market for any subscription.

    Args:
        instruments: by number.
    """

    def __init__(self, instruments: Sequence[Instrument]) -> None:
        self._keys = [length_delimited(1, each.instrument_key.encode()) for each in instruments]
        self._cas = np.array([each.cas_eligible for each in instruments], np.bool_)

    def live(self, day: MarketDay, start: int, stop: int, modes: NDArray[np.int8]) -> tuple[list[bytes], Rows]:
        """Frames of the rows from ``start`` to ``stop``, holding only subscribed symbols.

        Args:
            day: the market.
            start: first row, of a frame.
            stop: row after the last one, of a frame.
            modes: of every symbol, NOT_SUBSCRIBED or a place in MODES.

        Returns:
            The frames that hold anything, and for each the day's row after its last one.
        """
        rows = start + np.flatnonzero(modes[day.ticks.symbol[start:stop]] != NOT_SUBSCRIBED)
        if not rows.size:
            return [], rows
        entries = self._entries(day, rows, np.where(day.has_levels[rows], rows, -1), modes)
        frame_of_row = np.searchsorted(day.frames.starts, rows, side="right") - 1
        firsts = np.flatnonzero(np.diff(frame_of_row, prepend=-1))
        frames = frame_of_row[firsts]
        stamps = _LIVE.pour({"now": day.frames.ts[frames] // NS_PER_MS}, frames.size)
        lasts = [*firsts[1:].tolist(), rows.size]
        written = [
            b"".join((stamp, *entries[first:last]))
            for first, last, stamp in zip(firsts.tolist(), lasts, stamps, strict=True)
        ]
        return written, day.frames.starts[frames + 1]

    def snapshot(self, day: MarketDay | None, stop: int, now_ns: int, modes: dict[int, int]) -> bytes:
        """The initial_feed of some symbols as of row ``stop``; one without any state yet is left out.

        Args:
            day: the market, None before its first day.
            stop: rows before this one have happened.
            now_ns: the exchange's clock.
            modes: symbol number → place in MODES.
        """
        entries: list[bytes] = []
        if day is not None:
            last = [(number, day.last_row(number, stop)) for number in sorted(modes)]
            rows = np.array([row for _, row in last if row >= 0], np.int64)
            if rows.size:
                by_symbol = np.full(len(self._keys), NOT_SUBSCRIBED, np.int8)
                by_symbol[list(modes)] = list(modes.values())
                entries = self._entries(day, rows, day.depth_row[day.place[rows]], by_symbol)
        # initial_feed is 0, which proto3 leaves off the wire.
        return b"".join((*entries, integer(3, now_ns // NS_PER_MS)))

    def _entries(self, day: MarketDay, rows: Rows, depth: Rows, modes: NDArray[np.int8]) -> list[bytes]:
        """Members of the map ``feeds``, one a row; ``depth`` names the row whose levels are shown, or -1."""
        symbols, places = day.ticks.symbol[rows], day.place[rows]
        shapes = (
            np.where(depth >= 0, _HAS_DEPTH, 0)
            | np.where(day.high[places] > 0, _HAS_TRADED, 0)
            | np.where(day.bar[places] >= 0, _HAS_BAR, 0)
            | np.where(day.indicative[rows] > 0, _IS_INDICATIVE, 0)
        )
        kinds = (modes[symbols].astype(np.int64) * 16 + shapes) * 2 + self._cas[symbols]
        entries = [b""] * rows.size
        numbers = symbols.tolist()
        for kind in np.unique(kinds).tolist():
            chosen = np.flatnonzero(kinds == kind)
            template = _feed_template(kind // 32, kind // 2 % 16, bool(kind % 2))
            feeds = template.pour(_columns(day, rows[chosen], depth[chosen]), chosen.size)
            heads: dict[int, bytes] = {}
            for position, feed in zip(chosen.tolist(), feeds, strict=True):
                number = numbers[position]
                head = heads.get(number)
                if head is None:
                    head = heads[number] = self._head(number, template.size)
                entries[position] = head + feed
        return entries

    def _head(self, number: int, size: int) -> bytes:
        """What stands before a Feed of ``size`` bytes in its map entry."""
        inner = self._keys[number] + varint(2 << 3 | 2) + varint(size)
        return varint(2 << 3 | 2) + varint(len(inner) + size) + inner


def _rupees(paise: NDArray[np.int32]) -> NDArray[np.float64]:
    return paise / float(PAISE_PER_RUPEE)


def _columns(day: MarketDay, rows: Rows, depth: Rows) -> dict[str, NDArray[np.float64] | NDArray[np.int64]]:
    """Every value that any template may want."""
    ticks, bars, places = day.ticks, day.bars, day.place[rows]
    vtt = np.clip(ticks.volume[rows], 0, MAX_VARINT)
    ltp = _rupees(ticks.ltp[rows])
    columns: dict[str, NDArray[np.float64] | NDArray[np.int64]] = {
        "ltp": ltp,
        "ltt": ticks.ts[rows] // NS_PER_MS,
        "ltq": np.clip(day.shares[places], 0, MAX_VARINT),
        "cp": _rupees(day.previous_close[ticks.symbol[rows]]),
        "iep": _rupees(day.indicative[rows]),
        "atp": ticks.atp[rows],
        "vtt": vtt,
        "day_open": _rupees(day.open[places]),
        "day_high": _rupees(day.high[places]),
        "day_low": _rupees(day.low[places]),
        "day_close": ltp,
        "day_vol": vtt,
        "day_ts": np.full(rows.size, midnight_ns(day.day) // NS_PER_MS),
    }
    bar = day.bar[places]
    if bar.size and bars.ts.size:
        columns["bar_open"] = _rupees(bars.open[bar])
        columns["bar_high"] = _rupees(bars.high[bar])
        columns["bar_low"] = _rupees(bars.low[bar])
        columns["bar_close"] = _rupees(bars.close[bar])
        columns["bar_vol"] = bars.volume[bar]
        columns["bar_ts"] = bars.ts[bar] // NS_PER_MS
    if depth.size and depth[0] >= 0:  # all rows of one kind have levels, or none
        columns |= _level_columns(day, depth)
    return columns


def _level_columns(day: MarketDay, depth: Rows) -> dict[str, NDArray[np.float64] | NDArray[np.int64]]:
    ticks = day.ticks
    bid_qty, ask_qty = ticks.bid_qty[depth].astype(np.int64), ticks.ask_qty[depth].astype(np.int64)
    bid_price, ask_price = _rupees(ticks.bid_price[depth]), _rupees(ticks.ask_price[depth])
    columns: dict[str, NDArray[np.float64] | NDArray[np.int64]] = {
        "tbq": bid_qty.sum(axis=1).astype(np.float64),
        "tsq": ask_qty.sum(axis=1).astype(np.float64),
    }
    for level in range(LEVELS):
        columns[f"bid_qty_{level + 1}"] = bid_qty[:, level]
        columns[f"bid_price_{level + 1}"] = bid_price[:, level]
        columns[f"ask_qty_{level + 1}"] = ask_qty[:, level]
        columns[f"ask_price_{level + 1}"] = ask_price[:, level]
    return columns
