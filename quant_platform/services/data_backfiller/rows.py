"""Downloaded candles as rows of the table that screens read."""

from collections.abc import Sequence

import numpy as np

from quant_platform.domain.money import PAISE_PER_RUPEE
from quant_platform.domain.ticks import BarBatch
from quant_platform.ports.series_store import CandleRows, Labels


def candle_rows(symbols: Sequence[str], bars: BarBatch) -> CandleRows:
    """Rows of ``candles_1m`` of one-minute bars.

    Args:
        symbols: name of every number in the bars.
        bars: in any order.
    """
    opens, highs, lows, closes = (
        column / np.float64(PAISE_PER_RUPEE) for column in (bars.open, bars.high, bars.low, bars.close)
    )
    return CandleRows(bars.ts, Labels(bars.symbol, symbols), opens, highs, lows, closes, bars.volume)
