"""RSI: Wilder's averages over closed minutes and the running price, as TA-Lib computes them."""

from itertools import pairwise
from pathlib import Path
from random import Random

import numpy as np
import pyarrow.parquet as pq
import pytest
import talib

from tests.golden.reference import MINUTE, Row

from .streams import OPENS, STREAMS, SYMBOLS, Stream, minute_by_minute
from .suite import NAN, IndicatorSuite, closed_bars


class TestRsi(IndicatorSuite):
    feature = "rsi"
    cold = tuple(Row(OPENS + i * MINUTE, SYMBOLS[0], 10_000 + i, i) for i in range(14))
    warm = Row(OPENS + 14 * MINUTE, SYMBOLS[0], 10_000, 14)

    def naive(self, rows: list[Row], stream: Stream) -> float:
        n = stream.rsi_period
        prices = [bar[-1] for bar in closed_bars(rows)] + [rows[-1].ltp]
        if len(prices) <= n:
            return NAN
        changes = [b - a for a, b in pairwise(prices)]
        gain = sum(max(change, 0) for change in changes[:n]) / n
        loss = sum(max(-change, 0) for change in changes[:n]) / n
        for change in changes[n:]:
            gain = (gain * (n - 1) + max(change, 0)) / n
            loss = (loss * (n - 1) + max(-change, 0)) / n
        return 100 * gain / (gain + loss) if gain + loss else 0.0

    @pytest.mark.parametrize("seed", [1, 2, 3])
    def test_equals_talib_on_random_prices(self, seed: int) -> None:
        random = Random(seed)
        prices = [100_000]
        for _ in range(700):
            prices.append(max(5, prices[-1] + random.choice((-500, -5, 0, 0, 5, 5, 500))))
        self.compare_with_talib(prices)

    def test_equals_talib_on_real_prices(self, shared_data: Path) -> None:
        closes = pq.read_table(shared_data / "candles_1m_TCS_2025-01.parquet", columns=["close"])["close"]
        self.compare_with_talib([round(close * 100) for close in closes.to_pylist()[:1500]])

    def compare_with_talib(self, prices: list[int]) -> None:
        column = self.column(minute_by_minute(prices))
        for i in range(0, len(prices), 13):
            expected = talib.RSI(np.array(prices[: i + 1], np.float64), 14)[-1]
            np.testing.assert_allclose(column[i], expected, rtol=0, atol=1e-9)

    def test_prices_that_never_moved_give_zero_like_talib(self) -> None:
        assert talib.RSI(np.full(40, 10_000.0), 14)[-1] == 0
        column = self.column(STREAMS["flat"])
        assert (column[14:] == 0).all()

    def test_only_rises_give_a_hundred_and_only_falls_zero(self) -> None:
        assert self.column(minute_by_minute(range(10_000, 10_040)))[-1] == 100
        assert self.column(minute_by_minute(range(10_040, 10_000, -1)))[-1] == 0
