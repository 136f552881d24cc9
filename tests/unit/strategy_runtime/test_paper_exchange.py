"""What an order gets, case by case: a walk through the book, or the last price with slippage, when it is due."""

from collections.abc import Sequence

import numpy as np
import pytest

from quant_platform.domain.orders import BUY, SELL
from quant_platform.services.strategy_runtime import paper_exchange
from quant_platform.services.strategy_runtime.state import POSITION, Depth, Limits

NONE = (0, 0)
WALKS = [
    # what, levels, quantity, value (0: nothing to take)
    ("the best level holds it all", [(100, 9), (101, 9)], 9, 900),
    ("one share more takes the next", [(100, 9), (101, 9)], 10, 1001),
    ("five levels to their last share", [(100, 1), (101, 1), (102, 1), (103, 1), (104, 1)], 5, 510),
    ("the rest goes at the worst", [(100, 1), (101, 1), (102, 1), (103, 1), (104, 1)], 8, 510 + 3 * 104),
    ("one level for everything", [(100, 1)], 50, 5000),
    ("a level without a price is none", [(0, 40), (101, 2)], 3, 303),
    ("a level without shares is none", [(100, 0), (101, 2)], 2, 202),
    ("nor is it the worst", [(100, 1), (105, 0)], 2, 200),
    ("bids fall", [(100, 2), (99, 2)], 3, 299),
    ("an empty side", [NONE, NONE], 5, 0),
    ("sums above 32 bits", [(2_000_000_000, 2)], 4, 8_000_000_000),
]


def side_of(levels: Sequence[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    filled = [*levels, *[NONE] * (5 - len(levels))]
    columns = np.array([[NONE] * 5, filled], np.int32)
    return columns[:, :, 0].copy(), columns[:, :, 1].copy()


@pytest.mark.parametrize(("what", "levels", "quantity", "value"), WALKS)
def test_walk(what: str, levels: list[tuple[int, int]], quantity: int, value: int) -> None:
    assert paper_exchange.walk(*side_of(levels), 1, quantity) == value, what


@pytest.mark.parametrize(
    ("what", "side", "row", "bids", "asks", "value"),
    [
        ("a buy walks the asks", BUY, 1, [(90, 9)], [(110, 9)], 220),
        ("a sell walks the bids", SELL, 1, [(90, 9)], [(110, 9)], 180),
        ("a buy waits where there are no asks", BUY, 1, [(90, 9)], [], -1),
        ("a sell waits where there are no bids", SELL, 1, [], [(110, 9)], -1),
        ("both wait before the session's first depth", BUY, -1, [(90, 9)], [(110, 9)], -1),
    ],
)
def test_price_in_data_with_depth(
    what: str, side: int, row: int, bids: list[tuple[int, int]], asks: list[tuple[int, int]], value: int
) -> None:
    depth = Depth(*side_of(bids), *side_of(asks))
    limits = Limits(1000, 10, 100, 0, 50, True)  # slippage is for data without depth
    assert paper_exchange.price_of(limits, side, 2, 100, depth, row) == value, what


@pytest.mark.parametrize(
    ("ltp", "side", "bps", "a_share"),
    [
        (10_000, BUY, 0, 10_000),
        (10_000, SELL, 0, 10_000),
        (10_000, BUY, 5, 10_005),
        (10_000, SELL, 5, 9_995),
        (10_001, BUY, 5, 10_007),  # 10006.0005 up
        (10_001, SELL, 5, 9_995),  # 9995.9995 down
        (5, BUY, 1, 6),
        (5, SELL, 1, 4),
        (5, SELL, 9_999, 0),
        (2_000_000_000, BUY, 9_999, 3_999_800_000),
    ],
)
def test_slippage_goes_against_the_order_by_whole_paise(ltp: int, side: int, bps: int, a_share: int) -> None:
    assert paper_exchange.value_at_last(ltp, side, 7, bps) == 7 * a_share


@pytest.mark.parametrize(
    ("latency", "after", "due"), [(200, 199, False), (200, 200, True), (200, 201, True), (0, 0, True), (0, -1, False)]
)
def test_an_order_is_due_once_its_latency_is_over(latency: int, after: int, due: bool) -> None:
    position = np.zeros(1, POSITION)[0]
    position["side"], position["order_ts"] = BUY, 1_000
    assert paper_exchange.is_due(position, 1_000 + after, latency) == due


def test_no_order_is_never_due() -> None:
    assert not paper_exchange.is_due(np.zeros(1, POSITION)[0], 10**18, 0)
