"""One-minute bars: which tick closes a bar, and what the last closed bar was."""

from typing import Any

import numpy as np

from quant_platform.domain.ticks import NS_PER_MINUTE
from quant_platform.kernel import kernel

STATE = np.dtype(
    [
        ("end", np.int64),  # ns UTC at which the running bar ends; 0: no bar is running
        ("high", np.int64),  # paise, of the running bar
        ("low", np.int64),  # paise
        ("last", np.int64),  # paise
        ("closed_end", np.int64),  # ns UTC at which the last closed bar ended; 0: none yet
        ("closed_high", np.int64),  # paise
        ("closed_low", np.int64),  # paise
        ("closed_close", np.int64),  # paise
    ]
)
"""One symbol's running bar and its last closed one; of zeros before the first."""


@kernel
def reset(bar: Any) -> None:
    """No bar seen yet."""
    bar["end"] = 0
    bar["closed_end"] = 0


@kernel
def close(bar: Any) -> None:
    """End the running bar: it becomes the last closed one."""
    bar["closed_end"] = bar["end"]
    bar["closed_high"] = bar["high"]
    bar["closed_low"] = bar["low"]
    bar["closed_close"] = bar["last"]
    bar["end"] = 0


@kernel
def update(bar: Any, ts: int, ltp: int) -> bool:
    """Count a tick in; bucket = floor(ts / 60 s).

    Args:
        bar: record of :data:`STATE`.
        ts: ns UTC, not below the symbol's tick before.
        ltp: paise.

    Returns:
        Whether the tick closed the bar before it, which is then the last closed one.
    """
    if ts < bar["end"]:
        bar["high"] = max(bar["high"], ltp)
        bar["low"] = min(bar["low"], ltp)
        bar["last"] = ltp
        return False
    closes = bar["end"] != 0
    if closes:
        close(bar)
    bar["end"] = (ts // NS_PER_MINUTE + 1) * NS_PER_MINUTE
    bar["high"] = ltp
    bar["low"] = ltp
    bar["last"] = ltp
    return closes


@kernel
def insert(bar: Any, start: int, high: int, low: int, last: int) -> bool:
    """Take a closed bar from history: it replaces a running bar of the same minute, seen only in part.

    The caller has closed a running bar of an earlier minute. A bar not later than the last closed one, or earlier
    than the running one, is left out.

    Returns:
        Whether the bar was taken.
    """
    end = start + NS_PER_MINUTE
    if end <= bar["closed_end"] or end < bar["end"]:
        return False
    bar["closed_end"] = end
    bar["closed_high"] = high
    bar["closed_low"] = low
    bar["closed_close"] = last
    bar["end"] = 0
    return True
