"""The standing depth of a symbol, condensed to what the indicators ask of it."""

from typing import Any

import numpy as np

from quant_platform.domain.ticks import LEVELS, integer
from quant_platform.kernel import kernel

STATE = np.dtype(
    [
        ("bid", np.int64),  # best bid, paise; 0: the side is empty
        ("ask", np.int64),  # best ask, paise; 0: the side is empty
        ("bid_qty", np.int64),  # shares over all bid levels
        ("ask_qty", np.int64),  # shares over all ask levels
    ]
)
"""One symbol's last depth in this session; of zeros before the first, since depth has at least one price."""


@kernel
def best_and_total(prices: Any, quantities: Any, row: int) -> tuple[int, int]:
    """Best price and sum of quantities of one side.

    Args:
        prices: (n, 5) paise, best level first.
        quantities: (n, 5) shares.
        row: which row.

    Returns:
        ``(paise, shares)``; ``(0, 0)`` for an empty side. A level without a price or shares is no level.
    """
    best = 0
    total = 0
    # A constant count and no branch: the compiler unrolls it. From the worst level up, the last price kept is the best.
    for level in range(LEVELS - 1, -1, -1):
        is_level = (prices[row, level] > 0) & (quantities[row, level] > 0)
        best = integer(prices[row, level]) if is_level else best
        total += integer(quantities[row, level]) if is_level else 0
    return best, total


@kernel
def update(state: Any, bid_price: Any, bid_qty: Any, ask_price: Any, ask_qty: Any, row: int) -> bool:
    """Let a row's depth replace the standing one; a row without any level leaves it.

    Args:
        state: record of :data:`STATE`.
        bid_price: (n, levels) paise, as the other three columns of a tick batch.
        bid_qty: shares.
        ask_price: paise.
        ask_qty: shares.
        row: which row.

    Returns:
        Whether the row brought a level.
    """
    if bid_price.shape[1] == 0:
        return False
    # Nearly every book is full, and without a choice at each level the compiler adds them up side by side.
    is_full = True
    bids = 0
    asks = 0
    for level in range(LEVELS):
        is_full &= (bid_price[row, level] > 0) & (bid_qty[row, level] > 0)
        is_full &= (ask_price[row, level] > 0) & (ask_qty[row, level] > 0)
        bids += integer(bid_qty[row, level])
        asks += integer(ask_qty[row, level])
    bid, ask = integer(bid_price[row, 0]), integer(ask_price[row, 0])
    if not is_full:
        bid, bids = best_and_total(bid_price, bid_qty, row)
        ask, asks = best_and_total(ask_price, ask_qty, row)
    if bid == 0 and ask == 0:
        return False
    state["bid"] = bid
    state["ask"] = ask
    state["bid_qty"] = bids
    state["ask_qty"] = asks
    return True


@kernel
def clear(state: Any) -> None:
    """A session starts without depth."""
    state["bid"] = 0
    state["ask"] = 0
    state["bid_qty"] = 0
    state["ask_qty"] = 0
