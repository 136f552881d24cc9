"""Quoted spread: best ask less best bid."""

from typing import Any

import numpy as np

from quant_platform.domain.money import PAISE_PER_RUPEE
from quant_platform.kernel import kernel


@kernel
def value(book: Any) -> float:
    """The spread in rupees; NaN when a side is empty or no depth was seen.

    Args:
        book: record of :data:`quant_platform.indicators.book.STATE`.
    """
    if book["bid"] == 0 or book["ask"] == 0:
        return np.nan
    return (book["ask"] - book["bid"]) / PAISE_PER_RUPEE
