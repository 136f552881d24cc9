"""Volume-weighted average price, anchored to the session: Σ price × shares / Σ shares."""

from typing import Any

import numpy as np

from quant_platform.domain.money import PAISE_PER_RUPEE
from quant_platform.kernel import kernel

STATE = np.dtype(
    [
        ("cum_value", np.int64),  # paise × shares since the anchor
        ("cum_volume", np.int64),  # shares since the anchor
        ("highest_volume", np.int64),  # the session's highest day volume so far, shares
    ]
)
"""One symbol's sums since the session's anchor."""


@kernel
def start(state: Any, volume: int, atp: float) -> None:
    """Anchor at the first in-session tick of an IST date.

    Args:
        state: record of :data:`STATE`.
        volume: the tick's day volume; without ``atp`` only the base to count from.
        atp: the exchange's average traded price, rupees; 0 where absent. It stands for all shares traded before.
    """
    if atp > 0.0:
        state["cum_value"] = np.int64(np.rint(atp * PAISE_PER_RUPEE * volume))
        state["cum_volume"] = volume
    else:
        state["cum_value"] = 0
        state["cum_volume"] = 0
    state["highest_volume"] = volume


@kernel
def update(state: Any, ltp: int, volume: int) -> None:
    """Count a later tick: what the day's volume rose above its highest so far traded at ``ltp`` (paise)."""
    traded = volume - state["highest_volume"]
    if traded > 0:
        state["cum_value"] += traded * ltp
        state["cum_volume"] += traded
        state["highest_volume"] = volume


@kernel
def value(state: Any, ltp: int) -> float:
    """VWAP in rupees; the last price (``ltp``, paise) while nothing has been counted."""
    if state["cum_volume"] == 0:
        return ltp / PAISE_PER_RUPEE
    return state["cum_value"] / (state["cum_volume"] * PAISE_PER_RUPEE)
