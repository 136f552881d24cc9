"""Judge raw ticks as they arrive: late, duplicate, out of session; and number them.

Live streams and files pass through the same judgement, so that a backtest counts what a live run would count.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from quant_platform.domain.instruments import SymbolTable
from quant_platform.domain.prefetch import AHEAD, prefetch, prefetch_levels, ticks_ahead
from quant_platform.domain.session import Session, ist_date, session_on
from quant_platform.domain.snapshots import grow, pack, unpack
from quant_platform.domain.ticks import (
    IST_OFFSET_NS,
    LATE,
    LEVELS,
    NS_PER_DAY,
    OUT_OF_SESSION,
    TickBatch,
    integer,
    select,
    trading_day,
    unsigned,
)
from quant_platform.kernel import kernel

STATE = np.dtype(
    [
        ("seen", np.int64),  # 1 once the symbol had a tick
        ("ts", np.int64),  # ns UTC of its last tick that was not late
        ("day", np.int64),  # that tick's IST date, days since the epoch
        ("seq", np.int64),  # its number within the date
        ("ltp", np.int64),  # paise; this and the next two are of a tick from an earlier batch
        ("volume", np.int64),  # shares
        ("atp", np.float64),  # rupees
        ("row", np.int64),  # its row in the batch being judged, plus one; 0: from an earlier batch
    ]
)
"""The last tick of one symbol; its depth stands in an array beside it. Of a tick of the batch being judged only stamp
and row are here: what else it was hardly anybody asks, and the batch still knows."""
STATE_BYTES = STATE.itemsize

KIND = "ingestion/1"
MAX_WINDOWS = 4


class Admitted(NamedTuple):
    """What a batch came to."""

    ticks: TickBatch  # without duplicates; flags and seq filled in
    late: int
    duplicates: int


class DayWindows(NamedTuple):
    """Continuous trading of one IST date, for both classes of securities."""

    start: int  # ns UTC, midnight IST
    end: int
    windows: NDArray[np.int64]  # (2, MAX_WINDOWS, 2) ns UTC [open, close); unused ones are empty


@kernel
def _is_repeated(ticks: TickBatch, row: int, last: Any, kept: Any) -> bool:
    """Whether a row equals its symbol's last tick (in this batch, or kept from an earlier one), stamps apart.

    Args:
        ticks: the batch.
        row: which row.
        last: record of :data:`STATE`.
        kept: (4, levels) depth of the last tick of an earlier batch.
    """
    before = unsigned(last["row"] - 1)
    in_batch = last["row"] > 0
    if ticks.volume[row] != (ticks.volume[before] if in_batch else last["volume"]):  # first: it nearly always grows
        return False
    if ticks.ltp[row] != (ticks.ltp[before] if in_batch else last["ltp"]):
        return False
    if ticks.atp[row] != (ticks.atp[before] if in_batch else last["atp"]):
        return False
    depth = (ticks.bid_price, ticks.bid_qty, ticks.ask_price, ticks.ask_qty)
    for side in range(4):
        column = depth[side]
        for level in range(column.shape[1]):
            if column[row, level] != (column[before, level] if in_batch else kept[side, level]):
                return False
    return True


@kernel
def _flag_of_time(ts: int, windows: Any, security_class: int) -> int:
    for k in range(windows.shape[1]):
        if windows[security_class, k, 0] <= ts < windows[security_class, k, 1]:
            return 0
    return OUT_OF_SESSION


@kernel
def _judge(
    state: Any, kept: Any, classes: Any, day: DayWindows, ticks: TickBatch, start: int, duplicate: Any
) -> tuple[int, int, int]:
    """Judge rows from ``start`` on; stops before a row of another IST date.

    Returns:
        Position of that row, or the number of rows; late rows; duplicates.
    """
    date = (day.start + IST_OFFSET_NS) // NS_PER_DAY
    late = duplicates = 0
    opened = max(day.windows[0, 0, 0], day.windows[1, 0, 0])
    closed = min(day.windows[0, 0, 1], day.windows[1, 0, 1])
    ahead = ticks_ahead(state)
    for row in range(start, ticks.ts.size):
        i = unsigned(row)
        if ahead and i + ahead < ticks.ts.size:
            prefetch(state, integer(ticks.symbol[i + ahead]), STATE_BYTES)
        ts = integer(ticks.ts[i])
        is_open = (ts >= opened) & (ts < closed)  # for every security, as nearly always
        if not is_open and (ts < day.start or ts >= day.end):
            return i, late, duplicates
        symbol = unsigned(ticks.symbol[i])
        last = state[symbol]
        # A stored late row has its verdict.
        in_order = last["seen"] == 1 and ticks.flags[i] & LATE == 0
        duplicate[i] = in_order and ts == last["ts"] and _is_repeated(ticks, i, last, kept[symbol])
        if duplicate[i]:
            duplicates += 1
            continue
        if last["day"] < date:
            last["day"] = date
            last["seq"] = 0
        if ticks.seq[i] == 0:
            ticks.seq[i] = last["seq"] + 1
        last["seq"] = max(last["seq"], ticks.seq[i])
        flags = ticks.flags[i]
        if not is_open:
            flags |= _flag_of_time(ts, day.windows, classes[symbol])
        if last["seen"] == 1 and ts < last["ts"]:
            flags |= LATE
        ticks.flags[i] = flags
        if flags & LATE == 0:
            last["seen"] = 1
            last["ts"] = ts
            last["row"] = row + 1
        else:
            late += 1
    return ticks.ts.size, late, duplicates


@kernel
def _keep(state: Any, kept: Any, ticks: TickBatch) -> None:
    """Copy every symbol's last row out of the batch, which is about to go away."""
    depth = (ticks.bid_price, ticks.bid_qty, ticks.ask_price, ticks.ask_qty)
    by_symbol = state.size < ticks.ts.size  # the shorter of two ways to every symbol's last row
    count = state.size if by_symbol else ticks.ts.size
    for k in range(count):
        if by_symbol and k + AHEAD < count:  # these rows lie all over the batch
            there = state[k + AHEAD]["row"] - 1
            prefetch_levels(depth, there)
            if there >= 0:
                prefetch(ticks.ltp, there, ticks.ltp.itemsize)
                prefetch(ticks.volume, there, ticks.volume.itemsize)
                prefetch(ticks.atp, there, ticks.atp.itemsize)
        symbol = k if by_symbol else integer(ticks.symbol[k])
        row = state[symbol]["row"] - 1
        if row >= 0:
            last = state[symbol]
            last["row"] = 0
            last["ltp"] = ticks.ltp[row]
            last["volume"] = ticks.volume[row]
            last["atp"] = ticks.atp[row]
            for side in range(4):
                for level in range(depth[side].shape[1]):
                    kept[symbol, side, level] = depth[side][row, level]


@kernel
def _admit(
    state: Any, kept: Any, classes: Any,
    day_start: int, day_end: int, windows: Any,
    ts: Any, symbol: Any, seq: Any, ltp: Any, volume: Any, atp: Any, flags: Any,
    bid_price: Any, bid_qty: Any, ask_price: Any, ask_qty: Any,
    start: int, duplicate: Any,
) -> tuple[int, int, int]:  # fmt: skip
    """As :func:`_judge`; after the last row what was last is kept.

    The columns come one by one: a named tuple costs a call more than the work on a tick.
    """
    ticks = TickBatch(ts, symbol, seq, ltp, volume, atp, flags, bid_price, bid_qty, ask_price, ask_qty)
    day = DayWindows(day_start, day_end, windows)
    stopped, late, duplicates = _judge(state, kept, classes, day, ticks, start, duplicate)
    if stopped == ts.size:
        _keep(state, kept, ticks)
    return stopped, late, duplicates


def day_windows(day: int) -> DayWindows:
    """Continuous trading of an IST date given in days since the epoch; no window at all where it is closed.

    Raises:
        CalendarError: the calendar does not cover the date.
    """
    start = day * NS_PER_DAY - IST_OFFSET_NS
    windows = np.zeros((2, MAX_WINDOWS, 2), np.int64)
    session: Session | None = session_on(ist_date(start))
    if session is not None:
        for security_class in (0, 1):
            for k, window in enumerate(session.windows(bool(security_class))):
                windows[security_class, k] = window
    return DayWindows(start, start + NS_PER_DAY, windows)


class Admission:
    """The ingestion core behind the normaliser.

    Args:
        table: the run's symbols; may grow while the core runs.
    """

    def __init__(self, table: SymbolTable) -> None:
        self._table = table
        self._state: NDArray[Any] = np.zeros(0, STATE)
        self._kept = np.zeros((0, 4, LEVELS), np.int32)
        self._day = DayWindows(0, 0, np.zeros((2, MAX_WINDOWS, 2), np.int64))
        self._duplicate = np.zeros(0, np.bool_)

    def on_ticks(self, ticks: TickBatch) -> Admitted:
        """Judge a batch in order of arrival. Its ``seq`` (where 0) and ``flags`` columns are filled in place.

        A tick is *late* when its stamp is below the symbol's highest so far, a *duplicate* (dropped) when it equals
        the symbol's last one in every field but ``seq``, and *in session* when open ≤ ts < close of its security.

        Raises:
            CalendarError: a stamp lies on a date that the calendar does not cover.
        """
        n = ticks.ts.size
        if n == 0:
            return Admitted(ticks, 0, 0)
        symbols = len(self._table)
        if symbols > self._state.size:
            self._state = grow(self._state, symbols)
            self._kept = grow(self._kept, symbols)
        if n > self._duplicate.size:
            self._duplicate = np.zeros(n, np.bool_)
        done = late = duplicates = 0
        while True:
            done, more_late, more_duplicates = _admit(
                self._state, self._kept, self._table.cas_eligible, *self._day, *ticks, done, self._duplicate
            )
            late += more_late
            duplicates += more_duplicates
            if done == n:
                break
            self._day = day_windows(trading_day(int(ticks.ts[done])))
        if duplicates:
            ticks = select(ticks, ~self._duplicate[:n])
        return Admitted(ticks, late, duplicates)

    def next_seq(self, number: int, ts: int) -> int:
        """The ``seq`` that the symbol's next tick will bear if it comes on the date of ``ts`` (ns UTC)."""
        if number >= self._state.size or self._state[number]["day"] != trading_day(ts):
            return 1
        return int(self._state[number]["seq"]) + 1

    def snapshot(self) -> bytes:
        """The last tick of every symbol."""
        return pack(KIND, {"state": self._state, "kept": self._kept})

    def restore(self, state: bytes) -> None:
        """Go on from a snapshot.

        Raises:
            LedgerError: it was made by another version.
        """
        arrays, _ = unpack(KIND, state, {"state": STATE, "kept": np.int32})
        self._state, self._kept = arrays["state"], arrays["kept"]
