"""Aggressor: by the quotes where they tell, otherwise by the last change of price."""

import pytest

from quant_platform.domain.ticks import AGGRESSOR_BUY, AGGRESSOR_CODES, AGGRESSOR_NONE, AGGRESSOR_SELL
from tests.golden.reference import Level, Row

from .streams import OPENS, SYMBOLS, Stream
from .suite import IndicatorSuite, standing_depth
from .test_obi import NOTHING, five

Side = tuple[Level, ...]
ONE_BID, ONE_ASK = five((9_990, 1)), five((10_010, 1))


class TestAggressor(IndicatorSuite):
    feature = "aggressor"
    not_fed = AGGRESSOR_NONE
    warm = Row(OPENS, SYMBOLS[0], 10_000, 0)

    def naive(self, rows: list[Row], stream: Stream) -> float:
        """The quotes, else the change of price, else whatever was answered on the row before."""
        for last in range(len(rows), 0, -1):
            depth = standing_depth(rows[:last]) or ([], [])
            price = rows[last - 1].ltp
            if depth[1] and price >= depth[1][0][0]:
                return AGGRESSOR_BUY
            if depth[0] and price <= depth[0][0][0]:
                return AGGRESSOR_SELL
            if last > 1 and price != rows[last - 2].ltp:
                return AGGRESSOR_BUY if price > rows[last - 2].ltp else AGGRESSOR_SELL
        return AGGRESSOR_NONE

    def test_is_undefined_until_it_is_warm(self) -> None:
        rows = tuple(Row(OPENS + i, SYMBOLS[0], price, 0) for i, price in enumerate((10_000, 10_000, 10_005)))
        column = self.column(Stream(rows, (True,) * 3, False, 14, 20))
        assert [AGGRESSOR_CODES[side] for side in column.astype(int)] == ["N", "N", "B"]

    @pytest.mark.parametrize(
        ("what", "prices", "bids", "asks", "expected"),
        [
            ("at the ask", [10_010], ONE_BID, ONE_ASK, "B"),
            ("above the ask", [10_500], ONE_BID, ONE_ASK, "B"),
            ("at the bid", [9_990], ONE_BID, ONE_ASK, "S"),
            ("below the bid", [9_000], ONE_BID, ONE_ASK, "S"),
            ("between, first", [10_000], ONE_BID, ONE_ASK, "N"),
            ("between, up", [10_000, 10_005], ONE_BID, ONE_ASK, "NB"),
            ("between, down", [10_000, 9_995], ONE_BID, ONE_ASK, "NS"),
            ("between, unchanged keeps the answer", [10_010, 10_005, 10_005], ONE_BID, ONE_ASK, "BSS"),
            ("no bids: below the ask by the tick rule", [10_000, 9_000], NOTHING, ONE_ASK, "NS"),
            ("no asks: above the bid by the tick rule", [10_000, 10_600], ONE_BID, NOTHING, "NB"),
            ("crossed quotes: the ask is asked first", [10_000], five((10_000, 1)), five((10_000, 1)), "B"),
        ],
    )
    def test_by_quotes_then_by_ticks(self, what: str, prices: list[int], bids: Side, asks: Side, expected: str) -> None:
        rows = tuple(Row(OPENS + i, SYMBOLS[0], price, 0, 0.0, bids, asks) for i, price in enumerate(prices))
        column = self.column(Stream(rows, (True,) * len(rows), True, 14, 20))
        assert "".join(AGGRESSOR_CODES[side] for side in column.astype(int)) == expected, what
