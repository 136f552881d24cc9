"""Relative Strength Index after Wilder (New Concepts in Technical Trading Systems, 1978), as TA-Lib computes it."""

from typing import Any

import numpy as np

from quant_platform.kernel import kernel

STATE = np.dtype(
    [
        ("closes", np.int64),  # how many closed bars were counted
        ("last_close", np.int64),  # paise
        ("gain", np.float64),  # paise: sum of rises until the first average stands, then the average
        ("loss", np.float64),  # paise: the same of falls, positive
    ]
)
"""One symbol's averages over closed one-minute bars."""


@kernel
def reset(state: Any) -> None:
    """No bar counted yet."""
    state["closes"] = 0
    state["gain"] = 0.0
    state["loss"] = 0.0


@kernel
def push(state: Any, close: int, period: int) -> None:
    """Count a closed bar: avg ← (avg × (period − 1) + change) / period, the first average being a plain mean.

    Args:
        state: record of :data:`STATE`.
        close: paise.
        period: closes of the average, ≥ 2.
    """
    if state["closes"] > 0:
        change = np.float64(close - state["last_close"])
        rise = max(change, 0.0)
        fall = max(-change, 0.0)
        if state["closes"] <= period:
            state["gain"] += rise
            state["loss"] += fall
            if state["closes"] == period:
                state["gain"] /= period
                state["loss"] /= period
        else:
            state["gain"] = (state["gain"] * (period - 1) + rise) / period
            state["loss"] = (state["loss"] * (period - 1) + fall) / period
    state["closes"] += 1
    state["last_close"] = close


@kernel
def value(state: Any, ltp: int, period: int) -> float:
    """RSI of the closed bars and the running price: 100 × gain / (gain + loss).

    Args:
        state: record of :data:`STATE`.
        ltp: the running price, paise.
        period: as in :func:`push`.

    Returns:
        0 … 100; NaN until ``period`` bars have closed; 0 where nothing has moved at all, as TA-Lib answers.
    """
    if state["closes"] < period:
        return np.nan
    change = np.float64(ltp - state["last_close"])
    rise = max(change, 0.0)
    fall = max(-change, 0.0)
    if state["closes"] == period:
        gain = (state["gain"] + rise) / period
        loss = (state["loss"] + fall) / period
    else:
        gain = (state["gain"] * (period - 1) + rise) / period
        loss = (state["loss"] * (period - 1) + fall) / period
    total = gain + loss
    if total == 0.0:
        return 0.0
    return 100.0 * (gain / total)
