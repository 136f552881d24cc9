"""Spread: best ask less best bid."""

import pytest

from tests.golden.reference import Level, Row

from .streams import OPENS, SYMBOLS, Stream
from .suite import NAN, IndicatorSuite, standing_depth
from .test_obi import NOTHING, five


class TestSpread(IndicatorSuite):
    feature = "spread"
    depth = True
    cold = (
        Row(OPENS, SYMBOLS[0], 10_000, 0, 0.0, NOTHING, NOTHING),
        Row(OPENS, SYMBOLS[0], 10_000, 0, 0.0, five((9_995, 1)), NOTHING),
        Row(OPENS, SYMBOLS[0], 10_000, 0, 0.0, NOTHING, five((10_005, 1))),
    )
    warm = Row(OPENS, SYMBOLS[0], 10_000, 0, 0.0, five((9_995, 1)), five((10_005, 1)))

    def naive(self, rows: list[Row], stream: Stream) -> float:
        depth = standing_depth(rows)
        if depth is None or not depth[0] or not depth[1]:
            return NAN
        return (depth[1][0][0] - depth[0][0][0]) / 100

    @pytest.mark.parametrize(
        ("bids", "asks", "expected"),
        [
            (five((9_995, 1)), five((10_005, 1)), 0.1),
            (five((9_995, 0), (9_990, 1)), five((0, 5), (10_010, 1)), 0.2),
            (five((10_000, 1)), five((10_000, 1)), 0.0),
        ],
    )
    def test_is_between_the_best_real_levels(
        self, bids: tuple[Level, ...], asks: tuple[Level, ...], expected: float
    ) -> None:
        row = Row(OPENS, SYMBOLS[0], 10_000, 0, 0.0, bids, asks)
        assert self.column(Stream((row,), (True,), True, 14, 20)).tolist() == [pytest.approx(expected)]
