"""OBI: the weight of the book's sides, or, in data without depth, where the last minute closed."""

import numpy as np
import pytest

from tests.golden.reference import DAY, MINUTE, SECOND, Level, Row

from .streams import OPENS, SYMBOLS, Stream
from .suite import NAN, IndicatorSuite, closed_bars, standing_depth

NOTHING: tuple[Level, ...] = ((0, 0),) * 5


def five(*levels: Level) -> tuple[Level, ...]:
    return (*levels, *NOTHING)[:5]


class TestObiOfBook(IndicatorSuite):
    feature = "obi"
    streams = ("depth", "short periods")
    depth = True
    cold = (
        Row(OPENS, SYMBOLS[0], 10_000, 0, 0.0, NOTHING, NOTHING),
        Row(OPENS + 1, SYMBOLS[0], 10_000, 1, 0.0, NOTHING, five((0, 5), (10_000, 0))),
    )
    warm = Row(OPENS + 2, SYMBOLS[0], 10_000, 2, 0.0, five((9_995, 3)), NOTHING)

    def naive(self, rows: list[Row], stream: Stream) -> float:
        depth = standing_depth(rows)
        if depth is None:
            return NAN
        bids, asks = (sum(quantity for _, quantity in side) for side in depth)
        return (bids - asks) / (bids + asks)

    @pytest.mark.parametrize(
        ("what", "bids", "asks", "expected"),
        [
            ("levels add up", five((9_995, 3), (9_990, 4)), five((10_005, 1)), 6 / 8),
            ("even sides weigh nothing", five((9_995, 4)), five((10_005, 4)), 0.0),
            ("an empty side leaves the other all", five((9_995, 4)), NOTHING, 1.0),
            ("the same of bids", NOTHING, five((10_005, 4)), -1.0),
            ("a level without a price is none", five((0, 900), (9_990, 1)), five((10_005, 1)), 0.0),
            ("a level without shares is none", five((9_995, 0), (9_990, 1)), five((10_005, 3)), -0.5),
            ("a frame without levels leaves the last standing", NOTHING, NOTHING, 1 / 3),
            ("so do levels that are none", five((9_995, 0)), five((0, 7)), 1 / 3),
        ],
    )
    def test_depth_by_the_rules(
        self, what: str, bids: tuple[Level, ...], asks: tuple[Level, ...], expected: float
    ) -> None:
        before = Row(OPENS, SYMBOLS[0], 10_000, 0, 0.0, five((9_995, 2)), five((10_005, 1)))
        now = Row(OPENS + SECOND, SYMBOLS[0], 10_000, 0, 0.0, bids, asks)
        column = self.column(Stream((before, now), (True, True), True, 14, 20))
        assert column.tolist() == pytest.approx([1 / 3, expected]), what

    def test_a_session_starts_without_depth(self) -> None:
        seen = Row(OPENS, SYMBOLS[0], 10_000, 0, 0.0, five((9_995, 2)), NOTHING)
        next_day = Row(OPENS + DAY, SYMBOLS[0], 10_000, 0, 0.0, NOTHING, NOTHING)
        column = self.column(Stream((seen, next_day), (True, True), True, 14, 20))
        assert column[0] == 1
        assert np.isnan(column[1])


class TestObiOfBar(IndicatorSuite):
    feature = "obi"
    streams = ("plain", "short periods, plain", "flat", "up and down", "one tick")
    warm = Row(OPENS, SYMBOLS[0], 10_000, 0)

    def naive(self, rows: list[Row], stream: Stream) -> float:
        bars = closed_bars(rows)
        if not bars or max(bars[-1]) == min(bars[-1]):
            return 0.0
        high, low, close = max(bars[-1]), min(bars[-1]), bars[-1][-1]
        return ((close - low) - (high - close)) / (high - low)

    def test_the_bar_before_counts_and_the_running_one_does_not(self) -> None:
        seconds_and_prices = [(0, 100), (20, 110), (40, 107), (60, 104), (119, 99), (120, 50)]
        rows = tuple(Row(OPENS + s * SECOND, SYMBOLS[0], price, 0) for s, price in seconds_and_prices)
        column = self.column(Stream(rows, (True,) * 6, False, 14, 20))
        assert column.tolist() == pytest.approx([0, 0, 0, 0.4, 0.4, -1.0])

    def test_the_last_bar_of_yesterday_serves_at_the_open(self) -> None:
        prices = [(OPENS, 100), (OPENS + 1, 120), (OPENS + 2, 115), (OPENS + DAY, 500), (OPENS + DAY + MINUTE, 500)]
        rows = tuple(Row(ts, SYMBOLS[0], price, 0) for ts, price in prices)
        column = self.column(Stream(rows, (True,) * 5, False, 14, 20))
        assert column.tolist() == pytest.approx([0, 0, 0, 0.5, 0.0])
