"""Turn frames of the broker's feed into raw ticks: carry partial frames forward, set the impossible aside."""

import dataclasses
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from quant_platform.domain.instruments import SymbolTable
from quant_platform.domain.money import MAX_PAISE, PAISE_PER_RUPEE
from quant_platform.domain.snapshots import grow, pack, unpack
from quant_platform.domain.ticks import (
    IST_OFFSET_NS,
    LEVELS,
    MAX_LEVEL_QUANTITY,
    NS_PER_DAY,
    NS_PER_MS,
    NS_PER_SECOND,
    TickBatch,
    cut,
    empty_ticks,
    integer,
)
from quant_platform.kernel import kernel
from quant_platform.protocol.upstox import frame_tables as tables
from quant_platform.protocol.upstox import market_data_feed_pb2 as wire
from quant_platform.protocol.upstox.frame_scan import (
    NOT_OURS,
    ODD,
    TOO_MANY,
    Keys,
    Scratch,
    keys_of,
    plain,
    scan,
    scratch_for,
)

KIND = "normaliser/1"
MAX_AHEAD_NS = 5 * NS_PER_SECOND
"""A live stamp further ahead of our clock than this is implausible."""
SET_ASIDE_KEPT = 1000
FIRST_ROOM = 256
"""Entries of a frame that there is room for at first."""

LAST = np.dtype(
    [
        ("seen", np.int64),  # 1 once the symbol had an entry
        ("day", np.int64),  # IST date, days since the epoch
        ("price", np.int64),  # paise
        ("volume", np.int64),  # shares
    ]
)
"""What a symbol's entries carried last."""

MAX_NS = 2**63 - 1

_ORDER, _PAISE, _REASON, _LINES = 0, 1, 2, 3
"""Lines of the work array: ranks with places, to be sorted; prices; why an entry was set aside. Their number."""
_FINE, _STAMP_DOUBTED, _VOLUME_NEGATIVE, _PRICE_IMPOSSIBLE = 0, 1, 2, 3
"""Reasons."""
_ENTRIES, _LEFT_OUT, _IGNORED, _WITHOUT_PRICE, _REPEATS, _IMPLAUSIBLE, _TALLY = 0, 1, 2, 3, 4, 5, 6
"""Places of the tally: entries of the frame; those that are no ticks, and why not. The number of places."""

_INITIAL: int = wire.initial_feed
_MAX_STAMP_MS = MAX_NS // NS_PER_MS


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


@kernel
def _paise(rupees: float) -> int:
    """The price of a level; below zero, or not a number, counts as 0: no level."""
    scaled = rupees * PAISE_PER_RUPEE
    return integer(np.rint(min(scaled, MAX_LEVEL_QUANTITY))) if scaled > 0 else 0


@kernel
def _take(scratch: Scratch, n: int, last: Any, ranks: Any, work: Any, tally: Any, day: int) -> int:
    """Which entries are ticks, by rank of their symbols; those of a frame without a day have a stamp to be doubted."""
    taken = 0
    for i in range(n):
        number, marks = scratch.rows[i]["number"], scratch.rows[i]["marks"]
        work[_REASON, i] = _FINE
        if number == NOT_OURS or marks & tables.IS_TICK == 0:
            tally[_IGNORED] += 1
            continue
        volume, rupees = scratch.integers[i, tables.VOLUME], scratch.doubles[i, tables.PRICE]
        kept = last[number]
        is_carried = kept["seen"] == 1 and kept["day"] >= day
        price = kept["price"]
        if marks & tables.HAS_PRICE:
            price = integer(np.rint(rupees * PAISE_PER_RUPEE)) if abs(rupees) < MAX_PAISE else 0
        if day < 0:
            work[_REASON, i] = _STAMP_DOUBTED
        elif volume < 0:
            work[_REASON, i] = _VOLUME_NEGATIVE
        elif marks & tables.HAS_PRICE and not 0 < price <= MAX_PAISE:
            work[_REASON, i] = _PRICE_IMPOSSIBLE
        if work[_REASON, i] != _FINE:
            tally[_IMPLAUSIBLE] += 1
            continue
        if not (marks & tables.HAS_PRICE or is_carried):
            tally[_WITHOUT_PRICE] += 1
            continue
        if is_carried:
            volume = volume if volume != 0 else kept["volume"]
            if scratch.head[tables.KIND] == _INITIAL and price == kept["price"] and volume <= kept["volume"]:
                tally[_REPEATS] += 1
                continue
        if not is_carried or kept["day"] == day:  # a late frame of an earlier day is not remembered
            kept["seen"], kept["day"], kept["price"], kept["volume"] = 1, day, price, volume
        scratch.integers[i, tables.VOLUME] = volume
        work[_PAISE, i] = price
        work[_ORDER, taken] = integer(ranks[number]) * n + i
        taken += 1
    return taken


@kernel
def _sort(order: Any) -> None:
    """Shell's way, in place and without memory of its own."""
    gap = order.size // 2
    while gap > 0:
        for k in range(gap, order.size):
            value, place = order[k], k
            while place >= gap and order[place - gap] > value:
                order[place] = order[place - gap]
                place -= gap
            order[place] = value
        gap //= 2


@kernel
def _write(scratch: Scratch, n: int, work: Any, taken: int, ts: int, out: TickBatch, at: int) -> None:
    average = scratch.doubles[:, tables.AVERAGE]
    for k in range(taken):
        i, to = work[_ORDER, k] % n, at + k
        out.ts[to] = ts
        out.symbol[to] = scratch.rows[i]["number"]
        out.ltp[to] = work[_PAISE, i]
        out.volume[to] = scratch.integers[i, tables.VOLUME]
        out.atp[to] = average[i] if 0.0 < average[i] < np.inf else 0.0
        for level in range(out.bid_price.shape[1]):
            out.bid_price[to, level] = _paise(scratch.doubles[i, tables.BID_PRICE + level])
            out.ask_price[to, level] = _paise(scratch.doubles[i, tables.ASK_PRICE + level])
            out.bid_qty[to, level] = min(max(scratch.integers[i, tables.BID_SHARES + level], 0), MAX_LEVEL_QUANTITY)
            out.ask_qty[to, level] = min(max(scratch.integers[i, tables.ASK_SHARES + level], 0), MAX_LEVEL_QUANTITY)


@kernel
def _read_frame(
    frame: bytes, is_plain: bool, latest_ns: int, at: int,
    slots: Any, known: Any, text: Any,
    head: Any, rows: Any, doubles: Any, integers: Any, above: Any,
    last: Any, ranks: Any, work: Any, tally: Any,
    ts: Any, symbol: Any, seq: Any, ltp: Any, volume: Any, atp: Any, flags: Any,
    bid_price: Any, bid_qty: Any, ask_price: Any, ask_qty: Any,
) -> int:  # fmt: skip
    """One frame into rows from ``at`` on; returns their number, or what :func:`scan` says against it.

    The columns come one by one: to take a named tuple apart costs a call more than what it is called for.
    """
    scratch = Scratch(head, rows, doubles, integers, above)
    tally[:] = 0
    n = scan(frame, Keys(slots, known, text), scratch, is_plain)
    if n <= 0:
        return n
    stamp, day = head[tables.STAMP], integer(-1)
    if 0 < stamp <= _MAX_STAMP_MS and stamp * NS_PER_MS <= latest_ns:
        day = (stamp * NS_PER_MS + IST_OFFSET_NS) // NS_PER_DAY
    taken = _take(scratch, n, last, ranks, work, tally, day)
    tally[_ENTRIES], tally[_LEFT_OUT] = n, n - taken
    if taken > 0:
        _sort(work[_ORDER, :taken])
        out = TickBatch(ts, symbol, seq, ltp, volume, atp, flags, bid_price, bid_qty, ask_price, ask_qty)
        _write(scratch, n, work, taken, stamp * NS_PER_MS, out, at)
    return taken


@kernel
def _carry(last: Any, symbol: Any, ts: Any, price: Any, volume: Any) -> None:
    for i in range(symbol.size):
        kept = last[symbol[i]]
        day = (integer(ts[i]) + IST_OFFSET_NS) // NS_PER_DAY
        if kept["seen"] == 0 or kept["day"] <= day:
            kept["seen"], kept["day"], kept["price"], kept["volume"] = 1, day, price[i], volume[i]


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
        self._known = keys_of(keys)
        self._ranks = np.zeros(0, np.int32)
        self._last: NDArray[Any] = np.zeros(0, LAST)
        self._tally = np.zeros(_TALLY, np.int64)
        self._set_aside: deque[SetAside] = deque(maxlen=SET_ASIDE_KEPT)
        self.counters = FrameCounters()
        self._used = 0
        self._make_room_for_entries(FIRST_ROOM)

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
        self._notice_symbols()
        latest_ns = MAX_NS if now_ns is None else now_ns + MAX_AHEAD_NS
        n = self._read(payload, latest_ns)
        if n == ODD:
            n = self._read_plain(payload, latest_ns)
        if self._tally[_LEFT_OUT]:
            self._count_left_out(now_ns)
        if n == 0:
            return None
        self.counters.ticks += n
        start, self._used = self._used, self._used + n
        return cut(self._block, start, self._used)

    def take_set_aside(self) -> list[SetAside]:
        """The implausible entries since the last call, at most the newest thousand."""
        taken = list(self._set_aside)
        self._set_aside.clear()
        return taken

    def snapshot(self) -> bytes:
        """What is carried forward, by symbol, and the counters."""
        numbers = np.flatnonzero(self._last["seen"])
        carried = self._last[numbers]
        values = zip(*(carried[name].tolist() for name in ("day", "price", "volume")), strict=True)
        last = {self._table.name(number): each for number, each in zip(numbers.tolist(), values, strict=True)}
        return pack(KIND, {}, {"last": last, "counters": dataclasses.asdict(self.counters)})

    def restore(self, state: bytes) -> None:
        """Go on from a snapshot; its symbols are added to the table where they are not there.

        Raises:
            LedgerError: it was made by another version.
        """
        _, values = unpack(KIND, state, {})
        numbers = [self._table.add(symbol) for symbol in values["last"]]
        self._last = np.zeros(len(self._table), LAST)
        for number, carried in zip(numbers, values["last"].values(), strict=True):
            self._last[number] = (1, *carried)
        self._gather()
        self.counters = FrameCounters(**values["counters"])

    def carry(self, ticks: TickBatch) -> None:
        """Carry forward from ticks that another process made of frames, in their order."""
        self._notice_symbols()
        _carry(self._last, ticks.symbol, ticks.ts, ticks.ltp, ticks.volume)

    def _notice_symbols(self) -> None:
        if len(self._keys) == self._known.known.size and len(self._table) == self._ranks.size:
            return
        self._known, self._ranks = keys_of(self._keys), self._table.rank
        self._last = grow(self._last, self._ranks.size)
        self._gather()

    def _make_room_for_entries(self, entries: int) -> None:
        self._known, self._scratch = keys_of(self._keys), scratch_for(entries)  # together: they count scans
        self._work = np.zeros((_LINES, entries), np.int64)
        self._begin_block()

    def _begin_block(self) -> None:
        """Rows to be handed out in pieces: cheaper than columns of their own for every frame."""
        self._block = empty_ticks(4 * self._work.shape[1], self.levels)
        self._used = 0
        self._gather()

    def _gather(self) -> None:
        """What every frame is read with, in the order of :func:`_read_frame`."""
        carried = self._last, self._ranks, self._work, self._tally
        self._arrays = *self._known, *self._scratch, *carried, *self._block

    def _read(self, payload: bytes, latest_ns: int, *, is_plain: bool = False) -> int:
        while True:
            if self._block.ts.size - self._used < self._work.shape[1]:
                self._begin_block()
            n: int = _read_frame(payload, is_plain, latest_ns, self._used, *self._arrays)
            if n != TOO_MANY:
                return n
            self._make_room_for_entries(2 * self._work.shape[1])

    def _read_plain(self, payload: bytes, latest_ns: int) -> int:
        """Read a frame by way of the generated parser; what that refuses is no frame."""
        try:
            n = self._read(plain(payload), latest_ns, is_plain=True)
        except DecodeError:
            n = ODD
        self.counters.undecodable += n == ODD
        return max(n, 0)

    def _count_left_out(self, now_ns: int | None) -> None:
        """Count the entries of the frame read last that are no ticks, and keep those that cannot be true."""
        _, _, ignored, without_price, repeats, implausible = self._tally.tolist()
        self.counters.ignored += ignored
        self.counters.without_price += without_price
        self.counters.repeats += repeats
        self.counters.implausible += implausible
        if implausible:
            ts = int(self._scratch.head[tables.STAMP]) * NS_PER_MS
            self._set_aside.extend(SetAside(symbol, ts, reason) for symbol, reason in self._complaints(ts, now_ns))

    def _complaints(self, ts: int, now_ns: int | None) -> Iterator[tuple[str, str]]:
        """Symbol of every entry of the frame read last that cannot be true, and why."""
        rows, doubles, integers = self._scratch.rows, self._scratch.doubles, self._scratch.integers
        for place in np.flatnonzero(self._work[_REASON, : self._tally[_ENTRIES]]).tolist():
            reason = self._work[_REASON, place]
            if reason == _STAMP_DOUBTED:
                text = _doubt_about(ts, now_ns)
            elif reason == _VOLUME_NEGATIVE:
                text = f"volume {integers[place, tables.VOLUME]} is negative"
            else:
                text = f"price {doubles[place, tables.PRICE]} is not possible"
            yield self._table.name(int(rows[place]["number"])), text


def _doubt_about(ts: int, now_ns: int | None) -> str:
    """Why no entry of a frame with this stamp can be true."""
    if ts <= 0:
        return "the frame has no time stamp"
    if now_ns is None:
        return "stamped after the year 2262"
    return f"stamped {(ts - now_ns) / NS_PER_SECOND:.1f} s ahead of our clock"
