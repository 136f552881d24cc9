"""Who crossed the spread: the quote rule, then the tick rule (Lee & Ready, Journal of Finance 46, 1991).

On a feed of snapshots one row may merge several trades; the side is then that of the last price, an approximation.
"""

from typing import Any

import numpy as np

from quant_platform.domain.ticks import AGGRESSOR_BUY, AGGRESSOR_NONE, AGGRESSOR_SELL
from quant_platform.kernel import kernel

STATE = np.dtype(
    [
        ("last", np.int64),  # paise, the price before; 0: none yet
        ("side", np.int64),  # the previous answer
    ]
)
"""One symbol's previous price and answer."""


@kernel
def update(state: Any, book: Any, ltp: int) -> int:
    """The side of the tick's last trade.

    Args:
        state: record of :data:`STATE`.
        book: record of :data:`quant_platform.indicators.book.STATE`, this tick's depth included.
        ltp: paise.

    Returns:
        AGGRESSOR_BUY at or above the best ask, AGGRESSOR_SELL at or below the best bid, otherwise by the change of
        price (unchanged: the previous answer); AGGRESSOR_NONE before any of these can tell.
    """
    side = state["side"]
    if book["ask"] > 0 and ltp >= book["ask"]:
        side = AGGRESSOR_BUY
    elif book["bid"] > 0 and ltp <= book["bid"]:
        side = AGGRESSOR_SELL
    elif state["last"] == 0:
        side = AGGRESSOR_NONE
    elif ltp > state["last"]:
        side = AGGRESSOR_BUY
    elif ltp < state["last"]:
        side = AGGRESSOR_SELL
    state["last"] = ltp
    state["side"] = side
    return side
