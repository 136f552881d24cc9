"""What becomes of the entries of a frame: carried forward, set aside, or a row of the batch."""

from typing import Any

import numpy as np

from quant_platform.domain.money import PAISE_PER_RUPEE
from quant_platform.domain.ticks import IST_OFFSET_NS, MAX_LEVEL_QUANTITY, NS_PER_DAY, NS_PER_MS, TickBatch, integer
from quant_platform.kernel import kernel
from quant_platform.protocol.upstox import market_data_feed_pb2 as wire
from quant_platform.protocol.upstox.frame_scan import NOT_OURS, Keys, Scratch, scan
from quant_platform.protocol.upstox.frame_tables import (
    ASK_PRICE,
    ASK_SHARES,
    AVERAGE,
    BID_PRICE,
    BID_SHARES,
    HAS_PRICE,
    IS_TICK,
    KIND,
    PRICE,
    STAMP,
    VOLUME,
)

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
MAX_PRICE_PAISE = 2**31 - 1
"""Prices are 32 bits wide."""

ORDER, PAISE, REASON, LINES = 0, 1, 2, 3
"""Lines of the work array: ranks with places, to be sorted; prices; why an entry was set aside. Their number."""
FINE, STAMP_DOUBTED, VOLUME_NEGATIVE, PRICE_IMPOSSIBLE = 0, 1, 2, 3
"""Reasons."""
ENTRIES, LEFT_OUT, IGNORED, WITHOUT_PRICE, REPEATS, IMPLAUSIBLE, TALLY = 0, 1, 2, 3, 4, 5, 6
"""Places of the tally: entries of the frame; those that are no ticks, and why not. The number of places."""

_INITIAL: int = wire.initial_feed
_MAX_STAMP_MS = MAX_NS // NS_PER_MS


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
        work[REASON, i] = FINE
        if number == NOT_OURS or marks & IS_TICK == 0:
            tally[IGNORED] += 1
            continue
        volume, rupees = scratch.integers[i, VOLUME], scratch.doubles[i, PRICE]
        kept = last[number]
        is_carried = kept["seen"] == 1 and kept["day"] >= day
        price = kept["price"]
        if marks & HAS_PRICE:
            price = integer(np.rint(rupees * PAISE_PER_RUPEE)) if abs(rupees) < MAX_PRICE_PAISE else 0
        if day < 0:
            work[REASON, i] = STAMP_DOUBTED
        elif volume < 0:
            work[REASON, i] = VOLUME_NEGATIVE
        elif marks & HAS_PRICE and not 0 < price <= MAX_PRICE_PAISE:
            work[REASON, i] = PRICE_IMPOSSIBLE
        if work[REASON, i] != FINE:
            tally[IMPLAUSIBLE] += 1
            continue
        if not (marks & HAS_PRICE or is_carried):
            tally[WITHOUT_PRICE] += 1
            continue
        if is_carried:
            volume = volume if volume != 0 else kept["volume"]
            if scratch.head[KIND] == _INITIAL and price == kept["price"] and volume <= kept["volume"]:
                tally[REPEATS] += 1
                continue
        if not is_carried or kept["day"] == day:  # a late frame of an earlier day is not remembered
            kept["seen"], kept["day"], kept["price"], kept["volume"] = 1, day, price, volume
        scratch.integers[i, VOLUME] = volume
        work[PAISE, i] = price
        work[ORDER, taken] = integer(ranks[number]) * n + i
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
    average = scratch.doubles[:, AVERAGE]
    for k in range(taken):
        i, to = work[ORDER, k] % n, at + k
        out.ts[to] = ts
        out.symbol[to] = scratch.rows[i]["number"]
        out.ltp[to] = work[PAISE, i]
        out.volume[to] = scratch.integers[i, VOLUME]
        out.atp[to] = average[i] if 0.0 < average[i] < np.inf else 0.0
        for level in range(out.bid_price.shape[1]):
            out.bid_price[to, level] = _paise(scratch.doubles[i, BID_PRICE + level])
            out.ask_price[to, level] = _paise(scratch.doubles[i, ASK_PRICE + level])
            out.bid_qty[to, level] = min(max(scratch.integers[i, BID_SHARES + level], 0), MAX_LEVEL_QUANTITY)
            out.ask_qty[to, level] = min(max(scratch.integers[i, ASK_SHARES + level], 0), MAX_LEVEL_QUANTITY)


@kernel
def read_frame(
    frame: bytes,
    is_plain: bool,
    latest_ns: int,
    slots: Any,
    known: Any,
    text: Any,
    head: Any,
    rows: Any,
    doubles: Any,
    integers: Any,
    above: Any,
    last: Any,
    ranks: Any,
    work: Any,
    tally: Any,
    ts: Any,
    symbol: Any,
    seq: Any,
    ltp: Any,
    volume: Any,
    atp: Any,
    flags: Any,
    bid_price: Any,
    bid_qty: Any,
    ask_price: Any,
    ask_qty: Any,
    at: int,
) -> int:
    """One frame into rows from ``at`` on; returns their number, or what :func:`scan` says against it.

    The columns come one by one: to take a named tuple apart costs a call more than what it is called for.
    """
    scratch = Scratch(head, rows, doubles, integers, above)
    tally[:] = 0
    n = scan(frame, Keys(slots, known, text), scratch, is_plain)
    if n <= 0:
        return n
    stamp, day = head[STAMP], integer(-1)
    if 0 < stamp <= _MAX_STAMP_MS and stamp * NS_PER_MS <= latest_ns:
        day = (stamp * NS_PER_MS + IST_OFFSET_NS) // NS_PER_DAY
    taken = _take(scratch, n, last, ranks, work, tally, day)
    tally[ENTRIES], tally[LEFT_OUT] = n, n - taken
    if taken > 0:
        _sort(work[ORDER, :taken])
        out = TickBatch(ts, symbol, seq, ltp, volume, atp, flags, bid_price, bid_qty, ask_price, ask_qty)
        _write(scratch, n, work, taken, stamp * NS_PER_MS, out, at)
    return taken


@kernel
def carry(last: Any, symbol: Any, ts: Any, price: Any, volume: Any) -> None:
    """Let ticks be what their symbols' entries carried last.

    Args:
        last: record of :data:`LAST` for every symbol.
        symbol: numbers.
        ts: ns UTC.
        price: paise.
        volume: shares.
    """
    for i in range(symbol.size):
        kept = last[symbol[i]]
        day = (integer(ts[i]) + IST_OFFSET_NS) // NS_PER_DAY
        if kept["seen"] == 0 or kept["day"] <= day:
            kept["seen"], kept["day"], kept["price"], kept["volume"] = 1, day, price[i], volume[i]
