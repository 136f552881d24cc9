"""What is stored of enriched ticks, and when."""

import numpy as np
import pytest

from quant_platform.domain.enriched_json import KnownSymbols, read_enriched
from quant_platform.domain.money import prices_to_paise
from quant_platform.domain.records import BarRow, BarsRecord, EnrichedRecord, GreeksRecord, encode
from quant_platform.domain.ticks import LATE, NS_PER_SECOND, EnrichedBatch, empty_ticks
from quant_platform.ports.series_store import CANDLES_1M, OPTION_GREEKS, TICKS
from quant_platform.services.market_persistor.flush import FlushRule
from quant_platform.services.market_persistor.rows import candle_rows, greeks_rows, stored_columns, tick_rows
from tests.series import plain

CONTRACT = ["timestamp", "symbol", "seq", "ltp", "volume", "atp"]
FEATURES = ["flags", "vwap", "rsi", "obi", "sma", "spread", "aggressor"]


def enriched(n: int, levels: int) -> EnrichedBatch:
    ticks = empty_ticks(n, levels)
    ticks.ltp[:] = 100_05
    features = [np.full(n, np.nan) for _ in range(5)]
    return EnrichedBatch(ticks, *features, np.zeros(n, np.uint8), np.zeros(n, np.bool_))


def test_a_stream_with_depth_is_stored_with_five_levels_a_side() -> None:
    depth = [f"{side}_{what}_{level}" for side in ("bid", "ask") for what in ("price", "qty") for level in range(1, 6)]
    assert list(stored_columns(enriched(2, 5))) == [*CONTRACT, *depth, *FEATURES]


def test_a_stream_without_depth_is_stored_without_depth_columns() -> None:
    assert list(stored_columns(enriched(2, 0))) == [*CONTRACT, *FEATURES]


def test_every_price_comes_back_to_the_paisa() -> None:
    batch = enriched(200_000, 0)
    batch.ticks.ltp[:] = np.arange(1, 200_001) * 997
    assert np.array_equal(prices_to_paise(stored_columns(batch)["ltp"].astype(np.float64)), batch.ticks.ltp)


def test_what_is_absent_is_not_a_number() -> None:
    batch = enriched(2, 5)
    batch.ticks.atp[1] = 99.5
    batch.ticks.bid_price[1, 0] = 99_95
    columns = stored_columns(batch)
    assert np.isnan(columns["atp"][0])
    assert columns["atp"][1] == 99.5
    assert np.isnan(columns["bid_price_1"][0])
    assert columns["bid_price_1"][1] == 99.95
    assert np.isnan(columns["vwap"]).all()


def test_a_record_is_a_row_with_what_is_undefined_left_out() -> None:
    known = KnownSymbols()
    known.add(["NSE_EQ:A", "NSE_EQ:B"])
    first = ("NSE_EQ:A", 5, 1, 99.95, 10, 99.9, 50.5, -0.5, 99.8, 0.05, "S", LATE)
    second = ("NSE_EQ:B", 4, 2**62, 0.05, 0, None, None, None, None, None, "N", 0)
    columns, is_read = read_enriched([encode(EnrichedRecord(*each)) for each in (first, second)], known)
    assert is_read.all()
    rows = tick_rows(columns, known.names)
    assert plain(TICKS, rows) == [(ts, symbol, *rest) for symbol, ts, *rest in (first, second)]
    assert rows.symbol.names == ("NSE_EQ:A", "NSE_EQ:B")


def test_greeks_are_rows_with_what_the_broker_left_out_left_out() -> None:
    content = ("NSE_FO:A", 5, 12.5, 0.2, None, 0.01, -7.0, None, 0.5, 75.0)
    rows = greeks_rows([GreeksRecord(*content)])
    assert plain(OPTION_GREEKS, rows) == [(5, "NSE_FO:A", *content[2:])]


def test_every_bar_of_every_record_is_a_candle() -> None:
    bars = [BarRow(60 * NS_PER_SECOND * n, 1.0, 2.0, 0.5, 1.5, n) for n in range(1, 4)]
    records = [BarsRecord("NSE_EQ:A", 9, "warm-up", 1, bars[:2]), BarsRecord("NSE_EQ:B", 9, "repair", 7, bars[2:])]
    candles = [
        (bar.ts, symbol, *bar[1:]) for bar, symbol in zip(bars, ["NSE_EQ:A", "NSE_EQ:A", "NSE_EQ:B"], strict=True)
    ]
    assert plain(CANDLES_1M, candle_rows([*records, BarsRecord("NSE_EQ:C", 9, "repair", 1, [])])) == candles


@pytest.mark.parametrize(
    ("taken", "now", "due"),
    [
        ([], 10 * NS_PER_SECOND, False),
        ([(9, 0)], NS_PER_SECOND - 1, False),
        ([(9, 0)], NS_PER_SECOND, True),
        ([(9, 0), (1, 1)], 1, True),
        ([(0, 0), (9, NS_PER_SECOND)], NS_PER_SECOND + 1, False),
    ],
)
def test_rows_are_due_by_number_or_by_age(taken: list[tuple[int, int]], now: int, due: bool) -> None:
    rule = FlushRule(max_rows=10)
    for rows, when in taken:
        rule.took(rows, when)
    assert rule.is_due(now) is due


def test_after_a_flush_counting_starts_again() -> None:
    rule = FlushRule(max_rows=10)
    rule.took(10, 0)
    rule.flushed()
    assert not rule.is_due(NS_PER_SECOND)
    rule.took(1, 5)
    assert not rule.is_due(NS_PER_SECOND)
    assert rule.is_due(NS_PER_SECOND + 5)
