"""Turn frames of the broker's feed into raw ticks: carry partial frames forward, set the impossible aside."""

import dataclasses
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from quant_platform.domain.instruments import SymbolTable
from quant_platform.domain.money import PAISE_PER_RUPEE
from quant_platform.domain.snapshots import pack, unpack
from quant_platform.domain.ticks import (
    LEVELS,
    MAX_LEVEL_QUANTITY,
    NS_PER_MS,
    NS_PER_SECOND,
    TickBatch,
    trading_day,
)
from quant_platform.protocol.upstox import market_data_feed_pb2 as wire

KIND = "normaliser/1"
MAX_AHEAD_NS = 5 * NS_PER_SECOND
"""A live stamp further ahead of our clock than this is implausible."""
MAX_PRICE_PAISE = 2**31 - 1
"""Prices are 32 bits wide."""
SET_ASIDE_KEPT = 1000

_INITIAL = wire.initial_feed
_LEVEL_UNITS = np.array([PAISE_PER_RUPEE, 1.0, PAISE_PER_RUPEE, 1.0])
"""What bid price, bid quantity, ask price and ask quantity of the wire are multiplied by."""
_NO_LEVELS: tuple[wire.Quote, ...] = ()


@dataclasses.dataclass(slots=True)
class FrameCounters:
    """What became of the frames and of the entries in them."""

    frames: int = 0
    undecodable: int = 0  # frames that are no protobuf
    ticks: int = 0  # entries that became ticks
    ignored: int = 0  # entries of indices, or of keys that are not ours
    without_price: int = 0  # entries that came before any price of their symbol
    repeats: int = 0  # snapshot entries that said nothing new
    implausible: int = 0  # entries set aside


class SetAside(NamedTuple):
    """An entry that cannot be true, and why."""

    symbol: str
    ts: int  # ns UTC
    reason: str


class _Last(NamedTuple):
    """What a symbol's entries carried last."""

    day: int  # IST date, days since the epoch
    price: int  # paise
    volume: int  # shares


class _Row(NamedTuple):
    """An entry on its way to becoming a tick; the rank comes first because rows are sorted by it."""

    rank: int
    number: int
    price: int  # paise
    volume: int
    atp: float  # rupees
    levels: Iterable[wire.Quote]


class Normaliser:
    """The ingestion core that faces the wire.

    A live entry carries only what changed: without a trade the last price holds, without a volume the session's last
    one. Without a book the tick has no levels; the standing depth is kept further down the stream. Prices and
    volumes are carried within one IST date.

    Args:
        table: the run's symbols; may grow while the core runs.
        keys: instrument key → number in the table; may grow with it.
        levels: depth levels a side of the ticks made, 5; or 0 for a source whose frames never carry a book.

    Attributes:
        counters: of the run so far.
        levels: as given.
    """

    def __init__(self, table: SymbolTable, keys: Mapping[str, int], levels: int = LEVELS) -> None:
        self._table = table
        self._keys = keys
        self.levels = levels
        self._ranks: list[int] = []
        self._last: dict[int, _Last] = {}
        self._set_aside: deque[SetAside] = deque(maxlen=SET_ASIDE_KEPT)
        self.counters = FrameCounters()

    def ticks(self, payload: bytes, now_ns: int | None = None) -> TickBatch | None:
        """The ticks of one frame, by rank of their symbols; all bear the frame's stamp.

        A snapshot entry with the price of the symbol's last tick and no more volume is no tick: its trade was counted
        before the reconnect. A frame that is no protobuf is counted and gives nothing.

        Args:
            payload: one binary message of the feed.
            now_ns: our clock, ns UTC, to judge the stamp by when live; None where time is the data's own.

        Returns:
            A batch with ``seq`` and ``flags`` 0, or None where the frame holds no tick.
        """
        self.counters.frames += 1
        try:
            frame = wire.FeedResponse.FromString(payload)
        except DecodeError:
            self.counters.undecodable += 1
            return None
        ts = frame.currentTs * NS_PER_MS
        rows = self._rows(frame, ts, _doubt_about(ts, now_ns))
        if not rows:
            return None
        rows.sort()
        self.counters.ticks += len(rows)
        return self._batch(rows, ts)

    def take_set_aside(self) -> list[SetAside]:
        """The implausible entries since the last call, at most the newest thousand."""
        taken = list(self._set_aside)
        self._set_aside.clear()
        return taken

    def snapshot(self) -> bytes:
        """What is carried forward, by symbol, and the counters."""
        last = {self._table.name(number): tuple(values) for number, values in self._last.items()}
        return pack(KIND, {}, {"last": last, "counters": dataclasses.asdict(self.counters)})

    def restore(self, state: bytes) -> None:
        """Go on from a snapshot; its symbols are added to the table where they are not there.

        Raises:
            LedgerError: it was made by another version.
        """
        _, values = unpack(KIND, state, {})
        self._last = {self._table.add(symbol): _Last(*carried) for symbol, carried in values["last"].items()}
        self.counters = FrameCounters(**values["counters"])

    def carry(self, ticks: TickBatch) -> None:
        """Carry forward from ticks that another process made of frames, in their order."""
        for number, ts, price, volume in zip(
            ticks.symbol.tolist(), ticks.ts.tolist(), ticks.ltp.tolist(), ticks.volume.tolist(), strict=True
        ):
            day, carried = trading_day(ts), self._last.get(number)
            if carried is None or carried.day <= day:
                self._last[number] = _Last(day, price, volume)

    def _rows(self, frame: wire.FeedResponse, ts: int, doubt: str) -> list[_Row]:
        """The entries that are ticks, as they stand in the frame. Written for speed: it runs once a tick."""
        if len(self._ranks) != len(self._table):
            self._ranks = self._table.rank.tolist()
        keys, ranks, last, counters = self._keys, self._ranks, self._last, self.counters
        is_snapshot = frame.type == _INITIAL
        day = trading_day(ts)
        rows: list[_Row] = []
        for key, feed in frame.feeds.items():
            number = keys.get(key)
            content = None if number is None else _content(feed)
            if number is None or content is None:
                counters.ignored += 1
                continue
            ltpc, volume, atp, levels = content
            carried = last.get(number)
            if carried is not None and carried.day < day:
                carried = None
            if doubt or volume < 0:
                self._put_aside(number, ts, doubt or f"volume {volume} is negative")
                continue
            if ltpc is not None:
                rupees = ltpc.ltp
                price = round(rupees * PAISE_PER_RUPEE) if abs(rupees) < MAX_PRICE_PAISE else 0
                if not 0 < price <= MAX_PRICE_PAISE:
                    self._put_aside(number, ts, f"price {rupees} is not possible")
                    continue
            elif carried is not None:
                price = carried.price
            else:
                counters.without_price += 1
                continue
            if carried is not None:
                volume = volume or carried.volume
                if is_snapshot and price == carried.price and volume <= carried.volume:
                    counters.repeats += 1
                    continue
            if carried is None or carried.day == day:  # a late frame of an earlier day is not remembered
                last[number] = _Last(day, price, volume)
            rows.append(_Row(ranks[number], number, price, volume, atp, levels))
        return rows

    def _put_aside(self, number: int, ts: int, reason: str) -> None:
        self.counters.implausible += 1
        self._set_aside.append(SetAside(self._table.name(number), ts, reason))

    def _batch(self, rows: list[_Row], ts: int) -> TickBatch:
        n = len(rows)
        _, numbers, prices, volumes, averages, books = zip(*rows, strict=True)
        depth = _depth(books) if self.levels and any(books) else np.zeros((4, n, self.levels), np.int32)
        return TickBatch(
            np.full(n, ts, np.int64),
            np.array(numbers, np.int32),
            np.zeros(n, np.int64),
            np.array(prices, np.int32),
            np.array(volumes, np.int64),
            np.array(averages, np.float64),
            np.zeros(n, np.uint8),
            *depth,
        )


_Content = tuple[wire.LTPC | None, int, float, Iterable[wire.Quote]]


def _content(feed: wire.Feed) -> _Content | None:
    """Last trade, volume, average price and book of an entry; None for an index or an empty entry."""
    body: Any
    if feed.HasField("fullFeed"):
        full = feed.fullFeed
        if not full.HasField("marketFF"):
            return None
        body = full.marketFF
        atp = body.atp
        levels = body.marketLevel.bidAskQuote
    elif feed.HasField("firstLevelWithGreeks"):
        body = feed.firstLevelWithGreeks
        atp = 0.0
        levels = (body.firstDepth,) if body.HasField("firstDepth") else _NO_LEVELS
    elif feed.HasField("ltpc"):
        return feed.ltpc, 0, 0.0, _NO_LEVELS
    else:
        return None
    return (body.ltpc if body.HasField("ltpc") else None), body.vtt, atp if 0 < atp < np.inf else 0.0, levels


def _doubt_about(ts: int, now_ns: int | None) -> str:
    """Why no entry of a frame with this stamp can be true; empty where it can."""
    if ts <= 0:
        return "the frame has no time stamp"
    if now_ns is not None and ts > now_ns + MAX_AHEAD_NS:
        return f"stamped {(ts - now_ns) / NS_PER_SECOND:.1f} s ahead of our clock"
    return ""


def _depth(books: Iterable[Iterable[wire.Quote]]) -> NDArray[np.int32]:
    """Bid prices, bid quantities, ask prices and ask quantities of up to five levels, shape (4, n, 5).

    A value below zero, or not a number, counts as 0: no level.
    """
    flat: list[float] = []
    add = flat.extend
    filled = 0
    for book in books:
        filled += 4 * LEVELS
        for level in book:
            add((level.bidP, level.bidQ, level.askP, level.askQ))
            if len(flat) == filled:
                break
        else:
            add([0.0] * (filled - len(flat)))
    scaled = np.rint(np.array(flat).reshape(-1, LEVELS, 4) * _LEVEL_UNITS)
    depth = np.fmin(np.fmax(scaled, 0.0), MAX_LEVEL_QUANTITY).astype(np.int32)
    return np.ascontiguousarray(depth.transpose(2, 0, 1))
