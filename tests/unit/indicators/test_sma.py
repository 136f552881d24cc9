"""SMA: the mean of the last closes and the running price."""

from random import Random

import numpy as np
import pytest
import talib

from tests.golden.reference import MINUTE, Row

from .streams import OPENS, SYMBOLS, Stream, minute_by_minute
from .suite import NAN, IndicatorSuite, closed_bars


class TestSma(IndicatorSuite):
    feature = "sma"
    cold = tuple(Row(OPENS + i * MINUTE, SYMBOLS[0], 10_000 + i, i) for i in range(19))
    warm = Row(OPENS + 19 * MINUTE, SYMBOLS[0], 10_000, 19)

    def naive(self, rows: list[Row], stream: Stream) -> float:
        n = stream.sma_period
        prices = [bar[-1] for bar in closed_bars(rows)] + [rows[-1].ltp]
        return sum(prices[-n:]) / n / 100 if len(prices) >= n else NAN

    @pytest.mark.parametrize("seed", [1, 2])
    def test_equals_talib(self, seed: int) -> None:
        random = Random(seed)
        prices = [random.randrange(90_000, 110_000, 5) for _ in range(300)]
        expected = talib.SMA(np.array(prices, np.float64) / 100, 20)
        np.testing.assert_allclose(self.column(minute_by_minute(prices)), expected, rtol=0, atol=1e-9)
