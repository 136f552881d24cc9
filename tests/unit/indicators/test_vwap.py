"""VWAP: anchored to the session, by the exchange's average price where the first tick carries it."""

import numpy as np
import pytest

from tests.golden.reference import DAY, SECOND, Row

from .streams import OPENS, SYMBOLS, Stream
from .suite import IndicatorSuite, today

Seen = tuple[int, int, float]
"""Price in paise, day volume, average price in rupees."""


class TestVwap(IndicatorSuite):
    feature = "vwap"
    warm = Row(OPENS, SYMBOLS[0], 10_050, 700)

    def naive(self, rows: list[Row], stream: Stream) -> float:
        first, *later = today(rows)
        highest = np.maximum.accumulate([row.volume for row in (first, *later)])
        shares = np.diff(highest)
        value = int(shares @ np.array([row.ltp for row in later], np.int64)) if later else 0
        volume = int(shares.sum())
        if first.atp > 0:
            value += round(first.atp * 100 * first.volume)
            volume += first.volume
        return value / volume / 100 if volume else rows[-1].ltp / 100


def vwap_of(*days: list[Seen]) -> list[float]:
    rows = [
        Row(OPENS + day * DAY + i * SECOND, SYMBOLS[0], *seen)
        for day, ticks in enumerate(days)
        for i, seen in enumerate(ticks)
    ]
    stream = Stream(tuple(rows), (True,) * len(rows), False, 14, 20)
    return TestVwap().column(stream).tolist()


@pytest.mark.parametrize(
    ("what", "days", "expected"),
    [
        (
            "without an average price the first volume is only the base",
            [[(10_000, 900, 0.0), (10_400, 1000, 0.0)]],
            [100.0, 104.0],
        ),
        (
            "with an average price it stands for all before",
            [[(10_000, 300, 102.0), (10_400, 400, 0.0)]],
            [102.0, 102.5],
        ),
        (
            "an average price of nothing traded counts nothing",
            [[(10_000, 0, 102.0), (10_400, 100, 0.0)]],
            [100.0, 104.0],
        ),
        ("an average price counts on the first tick only", [[(10_000, 0, 0.0), (10_400, 100, 50.0)]], [100.0, 104.0]),
        (
            "a falling volume adds nothing until it passes the highest",
            [[(10_000, 100, 0.0), (10_200, 200, 0.0), (10_900, 150, 0.0), (10_900, 200, 0.0), (10_300, 300, 0.0)]],
            [100.0, 102.0, 102.0, 102.0, 102.5],
        ),
        (
            "the last price stands while nothing was counted",
            [[(10_000, 50, 0.0), (10_100, 50, 0.0), (9_900, 50, 0.0)]],
            [100.0, 101.0, 99.0],
        ),
        (
            "a new session starts anew",
            [[(10_000, 0, 0.0), (10_000, 500, 0.0)], [(20_000, 40, 0.0), (20_200, 50, 0.0)]],
            [100.0, 100.0, 200.0, 202.0],
        ),
        (
            "half a paisa of the anchor rounds to even",
            [[(10_000, 1, 100.005), (10_000, 1, 0.0)], [(10_000, 1, 100.015), (10_000, 1, 0.0)]],
            [100.0, 100.0, 100.02, 100.02],
        ),
    ],
)
def test_vwap_by_the_session_rules(what: str, days: list[list[Seen]], expected: list[float]) -> None:
    assert vwap_of(*days) == pytest.approx(expected, abs=1e-12), what
