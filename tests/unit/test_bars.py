"""Candles become ticks and ticks become bars as the trading rules say."""

from datetime import date, time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quant_platform.domain.bars import bars_to_ticks, exchange_bars, ticks_to_bars
from quant_platform.domain.session import ns_at
from quant_platform.domain.tick_order import in_that_order, is_in_order, processing_order
from quant_platform.domain.ticks import NS_PER_MINUTE, NS_PER_SECOND, BarBatch, TickBatch, empty_ticks

NINE_FIFTEEN = ns_at(date(2021, 4, 5), time(9, 15))
NEXT_DAY = ns_at(date(2021, 4, 6), time(9, 15))


def bars(*rows: tuple[int, int, int, int, int, int, int]) -> BarBatch:
    ts, symbol, opens, highs, lows, closes, volume = zip(*rows, strict=True)
    prices = [np.array(column, np.int32) for column in (opens, highs, lows, closes)]
    return BarBatch(np.array(ts), np.array(symbol, np.int32), *prices, np.array(volume))


def ticks(*rows: tuple[int, int, int, int]) -> TickBatch:
    batch = empty_ticks(len(rows), 0)
    for column, values in zip((batch.ts, batch.symbol, batch.ltp, batch.volume), zip(*rows, strict=True), strict=True):
        column[:] = values
    return batch


def test_a_rising_bar_goes_to_its_low_first() -> None:
    batch = bars_to_ticks(bars((NINE_FIFTEEN, 0, 100, 130, 90, 120, 11)))
    assert batch.ltp.tolist() == [100, 90, 130, 120]
    assert ((batch.ts - NINE_FIFTEEN) // NS_PER_SECOND).tolist() == [0, 15, 30, 59]
    assert batch.volume.tolist() == [2, 4, 6, 11]
    assert batch.bid_price.shape == (4, 0)


def test_a_falling_bar_goes_to_its_high_first() -> None:
    assert bars_to_ticks(bars((NINE_FIFTEEN, 0, 120, 130, 90, 119, 4))).ltp.tolist() == [120, 130, 90, 119]


def test_a_bar_that_closes_where_it_opened_counts_as_rising() -> None:
    assert bars_to_ticks(bars((NINE_FIFTEEN, 0, 120, 130, 90, 120, 4))).ltp.tolist() == [120, 90, 130, 120]


def test_volume_adds_up_in_time_order_per_symbol_and_date() -> None:
    batch = bars_to_ticks(
        bars(
            (NEXT_DAY, 0, 100, 100, 100, 100, 8),
            (NINE_FIFTEEN + NS_PER_MINUTE, 0, 100, 100, 100, 100, 4),
            (NINE_FIFTEEN, 1, 100, 100, 100, 100, 40),
            (NINE_FIFTEEN, 0, 100, 100, 100, 100, 5),
        )
    )
    assert is_in_order(batch.ts, batch.symbol)
    of_first = batch.volume[batch.symbol == 0].tolist()
    assert of_first == [1, 2, 3, 5, 6, 7, 8, 9, 2, 4, 6, 8]
    assert batch.volume[batch.symbol == 1].tolist() == [10, 20, 30, 40]


def test_bars_of_one_symbol_and_minute_keep_their_order() -> None:
    batch = bars_to_ticks(bars((NINE_FIFTEEN, 0, 200, 200, 200, 200, 4), (NINE_FIFTEEN, 0, 100, 100, 100, 100, 4)))
    assert batch.ltp.tolist() == [200, 100] * 4
    assert batch.volume.tolist() == [1, 5, 2, 6, 3, 7, 4, 8]


def test_ticks_become_bars_of_the_minutes_that_have_any() -> None:
    second = NS_PER_SECOND
    batch = ticks_to_bars(
        ticks(
            (NINE_FIFTEEN, 1, 500, 10),
            (NINE_FIFTEEN + 5 * second, 0, 100, 70),
            (NINE_FIFTEEN + 20 * second, 0, 120, 75),
            (NINE_FIFTEEN + 59 * second, 0, 90, 80),
            (NINE_FIFTEEN + 125 * second, 0, 95, 79),
            (NINE_FIFTEEN + 126 * second, 0, 94, 90),
        )
    )
    assert ((batch.ts - NINE_FIFTEEN) // NS_PER_MINUTE).tolist() == [0, 2, 0]
    assert batch.symbol.tolist() == [0, 0, 1]
    assert batch.open.tolist() == [100, 95, 500]
    assert batch.high.tolist() == [120, 95, 500]
    assert batch.low.tolist() == [90, 94, 500]
    assert batch.close.tolist() == [90, 94, 500]
    assert batch.volume.tolist() == [10, 10, 0]


def test_no_ticks_make_no_bars() -> None:
    assert ticks_to_bars(empty_ticks(0, 0)).ts.size == 0


def test_bars_come_back_from_the_ticks_they_became() -> None:
    given_bars = bars(
        (NINE_FIFTEEN, 0, 100, 130, 90, 120, 40),
        (NINE_FIFTEEN + NS_PER_MINUTE, 0, 121, 125, 80, 81, 44),
        (NINE_FIFTEEN, 1, 7, 7, 7, 7, 4),
    )
    again = ticks_to_bars(bars_to_ticks(given_bars))
    for name in ("ts", "symbol", "open", "high", "low", "close"):
        assert getattr(again, name).tolist() == getattr(given_bars, name).tolist(), name
    assert again.volume.tolist() == [30, 44, 3]  # a date's first tick is only the base to count from


@pytest.mark.parametrize("unit", [1, 1000, 1_000_000, NS_PER_SECOND])
@given(data=st.data())
def test_processing_order_is_the_stable_order_of_time_and_symbol(unit: int, data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 60))
    row = st.lists(st.integers(0, 40), min_size=size, max_size=size)
    spread = data.draw(st.sampled_from([1, 977, 1_000_003]))
    ts = NINE_FIFTEEN + np.array(data.draw(row), np.int64) * unit * spread
    symbol = np.array(data.draw(row), np.int32)
    expected = np.lexsort((symbol, ts)).tolist()
    order = processing_order(ts, symbol)
    assert (list(range(size)) if order is None else order.tolist()) == expected


@pytest.mark.parametrize("shape", [(5,), (5, 3), (5, 0)])
@pytest.mark.parametrize("kind", [np.int64, np.int32, np.uint8, np.float64])
def test_columns_follow_an_order(shape: tuple[int, ...], kind: type) -> None:
    column = np.arange(np.prod(shape)).reshape(shape).astype(kind)
    order = np.array([3, 0, 4, 1, 2], np.int32)
    moved = in_that_order(column, order)
    assert moved.dtype == kind
    assert moved.tolist() == column[order].tolist()


def test_rows_in_order_are_left_alone() -> None:
    assert processing_order(np.array([5, 5, 6]), np.array([1, 1, 0], np.int32)) is None
    assert processing_order(np.zeros(0, np.int64), np.zeros(0, np.int32)) is None


def test_an_exchange_counts_the_shares_of_a_dates_first_tick_into_its_first_bar() -> None:
    rows = ticks(
        (NINE_FIFTEEN - NS_PER_MINUTE, 0, 100, 40),  # pre-open: only the base to count from
        (NINE_FIFTEEN, 0, 100, 70),
        (NINE_FIFTEEN, 1, 500, 11),
        (NINE_FIFTEEN + NS_PER_SECOND, 0, 101, 75),
        (NINE_FIFTEEN + NS_PER_MINUTE, 0, 101, 80),
        (NEXT_DAY, 0, 102, 9),
    )
    counted = exchange_bars(rows, rows.ts >= NINE_FIFTEEN)
    assert counted.symbol.tolist() == [0, 0, 0, 1]
    assert counted.volume.tolist() == [35, 5, 9, 11]
    assert exchange_bars(rows, rows.ts < 0).ts.size == 0


@pytest.mark.parametrize("volume", [0, 3, 1001])
def test_bars_come_back_whole_from_the_ticks_that_they_became(volume: int) -> None:
    given_bars = bars(
        (NINE_FIFTEEN, 0, 100, 130, 90, 120, volume),
        (NINE_FIFTEEN + NS_PER_MINUTE, 0, 120, 121, 80, 90, 7),
        (NINE_FIFTEEN, 1, 5, 5, 5, 5, 2 * volume),
    )
    as_ticks = bars_to_ticks(given_bars)
    again = exchange_bars(as_ticks, as_ticks.ts > 0)
    assert [column.tolist() for column in again] == [column.tolist() for column in given_bars]
