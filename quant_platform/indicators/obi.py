"""Order book imbalance: which side of the depth is heavier, or, without depth, where the last bar closed.

(Σ bid − Σ ask) / (Σ bid + Σ ask) over the levels shown: Gould & Bonart, "Queue imbalance as a one-tick-ahead price
predictor", 2016, over five levels. Without depth the close-location value of the last closed one-minute bar stands in.
"""

from typing import Any

import numpy as np

from quant_platform.kernel import kernel


@kernel
def from_book(book: Any) -> float:
    """Imbalance of the standing depth.

    Args:
        book: record of :data:`quant_platform.indicators.book.STATE`.

    Returns:
        -1 … 1; 0 when both sums are 0; NaN until depth was seen in this session.
    """
    if book["bid"] == 0 and book["ask"] == 0:
        return np.nan
    total = book["bid_qty"] + book["ask_qty"]
    if total == 0:
        return 0.0
    return (book["bid_qty"] - book["ask_qty"]) / total


@kernel
def from_bar(bar: Any) -> float:
    """Close-location value of the last closed bar: ((c − l) − (h − c)) / (h − l).

    Args:
        bar: record of :data:`quant_platform.indicators.minute_bar.STATE`.

    Returns:
        -1 … 1; 0 when the bar has no range or none has closed yet.
    """
    if bar["closed_end"] == 0:
        return 0.0
    high, low, close = bar["closed_high"], bar["closed_low"], bar["closed_close"]
    if high == low:
        return 0.0
    return ((close - low) - (high - close)) / (high - low)
