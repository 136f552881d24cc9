"""Simple moving average: the mean of the last closes and the running price."""

from typing import Any

import numpy as np

from quant_platform.domain.money import PAISE_PER_RUPEE
from quant_platform.kernel import kernel

STATE = np.dtype(
    [
        ("closes", np.int64),  # closed bars in the ring, at most its length
        ("oldest", np.int64),  # place of the oldest close once the ring is full
        ("total", np.int64),  # paise: the exact sum of the ring
    ]
)
"""One symbol's window; its closes stand in a ring of ``period − 1`` int64 beside it."""


@kernel
def reset(state: Any) -> None:
    """No bar counted yet."""
    state["closes"] = 0
    state["oldest"] = 0
    state["total"] = 0


@kernel
def next_place(state: Any, length: int) -> int:
    """Where in its ring of ``length`` closes the next one will stand."""
    return state["closes"] if state["closes"] < length else state["oldest"]


@kernel
def push(state: Any, rings: Any, row: int, close: int) -> None:
    """Count a closed bar.

    Args:
        state: record of :data:`STATE`.
        rings: int64 (symbols, period − 1) paise.
        row: the symbol's ring.
        close: paise.
    """
    length = rings.shape[1]
    place = next_place(state, length)
    if state["closes"] < length:
        state["closes"] += 1
        state["total"] += close
    else:
        state["oldest"] = 0 if place + 1 == length else place + 1
        state["total"] += close - rings[row, place]
    rings[row, place] = close


@kernel
def value(state: Any, length: int, ltp: int) -> float:
    """The mean in rupees of the ring's ``length`` closes and ``ltp`` (paise); NaN until the ring is full."""
    if state["closes"] < length:
        return np.nan
    return (state["total"] + ltp) / ((length + 1) * PAISE_PER_RUPEE)
