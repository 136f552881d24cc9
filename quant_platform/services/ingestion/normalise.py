"""Turn frames of the broker's feed into raw ticks: carry partial frames forward, set the impossible aside."""

import dataclasses
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from quant_platform.domain.instruments import SymbolTable
from quant_platform.domain.snapshots import grow, pack, unpack
from quant_platform.domain.ticks import LEVELS, NS_PER_MS, NS_PER_SECOND, TickBatch, cut, empty_ticks
from quant_platform.protocol.upstox.frame_scan import ODD, TOO_MANY, keys_of, plain, scratch_for
from quant_platform.protocol.upstox.frame_tables import PRICE, STAMP, VOLUME
from quant_platform.services.ingestion import entries
from quant_platform.services.ingestion.entries import (
    ENTRIES,
    LAST,
    LEFT_OUT,
    LINES,
    MAX_NS,
    REASON,
    STAMP_DOUBTED,
    TALLY,
    VOLUME_NEGATIVE,
    read_frame,
)

KIND = "normaliser/1"
MAX_AHEAD_NS = 5 * NS_PER_SECOND
"""A live stamp further ahead of our clock than this is implausible."""
SET_ASIDE_KEPT = 1000
FIRST_ROOM = 256
"""Entries of a frame that there is room for at first."""


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
        self._known = keys_of({})
        self._known_keys = -1
        self._ranks = np.zeros(0, np.int32)
        self._last: NDArray[Any] = np.zeros(0, LAST)
        self._tally = np.zeros(TALLY, np.int64)
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
        if self._tally[LEFT_OUT]:
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
        self.counters = FrameCounters(**values["counters"])

    def carry(self, ticks: TickBatch) -> None:
        """Carry forward from ticks that another process made of frames, in their order."""
        self._last = grow(self._last, len(self._table))
        entries.carry(self._last, ticks.symbol, ticks.ts, ticks.ltp, ticks.volume)

    def _notice_symbols(self) -> None:
        if len(self._keys) != self._known_keys:
            self._known, self._known_keys = keys_of(self._keys), len(self._keys)
        if self._ranks.size != len(self._table):
            self._ranks = self._table.rank
            self._last = grow(self._last, len(self._table))

    def _make_room_for_entries(self, entries: int) -> None:
        self._scratch = scratch_for(entries)
        self._work = np.zeros((LINES, entries), np.int64)
        self._begin_block()

    def _begin_block(self) -> None:
        """Rows to be handed out in pieces: cheaper than columns of their own for every frame."""
        self._block = empty_ticks(4 * self._work.shape[1], self.levels)
        self._used = 0

    def _read(self, payload: bytes, latest_ns: int, *, is_plain: bool = False) -> int:
        while True:
            if self._block.ts.size - self._used < self._work.shape[1]:
                self._begin_block()
            n: int = read_frame(
                payload,
                is_plain,
                latest_ns,
                *self._known,
                *self._scratch,
                self._last,
                self._ranks,
                self._work,
                self._tally,
                *self._block,
                self._used,
            )
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
            ts = int(self._scratch.head[STAMP]) * NS_PER_MS
            self._set_aside.extend(SetAside(symbol, ts, reason) for symbol, reason in self._complaints(ts, now_ns))

    def _complaints(self, ts: int, now_ns: int | None) -> Iterator[tuple[str, str]]:
        """Symbol of every entry of the frame read last that cannot be true, and why."""
        rows, doubles, integers = self._scratch.rows, self._scratch.doubles, self._scratch.integers
        for place in np.flatnonzero(self._work[REASON, : self._tally[ENTRIES]]).tolist():
            reason = self._work[REASON, place]
            if reason == STAMP_DOUBTED:
                text = _doubt_about(ts, now_ns)
            elif reason == VOLUME_NEGATIVE:
                text = f"volume {integers[place, VOLUME]} is negative"
            else:
                text = f"price {doubles[place, PRICE]} is not possible"
            yield self._table.name(int(rows[place]["number"])), text


def _doubt_about(ts: int, now_ns: int | None) -> str:
    """Why no entry of a frame with this stamp can be true."""
    if ts <= 0:
        return "the frame has no time stamp"
    if now_ns is None:
        return "stamped after the year 2262"
    return f"stamped {(ts - now_ns) / NS_PER_SECOND:.1f} s ahead of our clock"
