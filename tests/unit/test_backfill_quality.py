"""What is said of history: against the calendar, in every way in which a vendor's bars can be wrong."""

from collections.abc import Sequence
from datetime import date, time

import numpy as np
import pytest

from quant_platform.domain.session import ns_at
from quant_platform.domain.ticks import NS_PER_MINUTE
from quant_platform.ports.broker import Candle
from quant_platform.ports.candle_store import CandleQuality, Gap
from quant_platform.services.data_backfiller.plan import ONE_MINUTE, Interval, Request
from quant_platform.services.data_backfiller.quality import as_bars, findings, judge, report
from quant_platform.services.data_backfiller.rows import candle_rows

BEFORE_THE_AUCTION = date(2026, 7, 30)
WITH_THE_AUCTION = date(2026, 8, 4)
TCS = "NSE_EQ:TCS"


def at(day: date, clock: str) -> int:
    return ns_at(day, time.fromisoformat(clock))


def bar(ts: int, price: int = 10_000, **changes: int) -> Candle:
    return Candle(ts, price, price + 5, price - 5, price, 100)._replace(**changes)


def session_of(day: date, until: str = "15:30", minutes: int = 1) -> list[Candle]:
    return [bar(ts) for ts in range(at(day, "09:15"), at(day, until), minutes * NS_PER_MINUTE)]


def quality_of(
    candles: Sequence[Candle], day: date = BEFORE_THE_AUCTION, *, cas: bool = True, interval: Interval = ONE_MINUTE
) -> CandleQuality:
    return judge(interval, cas, Request(TCS, day, day, (day,)), candles)[day].quality


def test_a_whole_session_has_nothing_amiss() -> None:
    assert quality_of(session_of(BEFORE_THE_AUCTION)) == CandleQuality(375, 375)


@pytest.mark.parametrize(
    ("interval", "minutes", "bars"), [(Interval("minutes", 30), 30, 13), (Interval("hours", 1), 60, 7)]
)
def test_longer_candles_are_counted_from_the_open(interval: Interval, minutes: int, bars: int) -> None:
    candles = session_of(BEFORE_THE_AUCTION, minutes=minutes)
    assert quality_of(candles, interval=interval) == CandleQuality(bars, bars)


def test_a_day_has_one_daily_candle_at_midnight() -> None:
    daily = Interval("days", 1)
    midnight = at(BEFORE_THE_AUCTION, "00:00")
    assert quality_of([bar(midnight)], interval=daily) == CandleQuality(1, 1)
    assert quality_of([], interval=daily) == CandleQuality(0, 1, gaps=(Gap(midnight, 1),))


def test_gaps_are_runs_of_missing_bars() -> None:
    candles = session_of(BEFORE_THE_AUCTION)
    quality = quality_of([*candles[2:100], *candles[101:]])
    assert quality.gaps == (Gap(candles[0].ts, 2), Gap(candles[100].ts, 1))
    assert quality_of([]).gaps == (Gap(candles[0].ts, 375),)


@pytest.mark.parametrize("until", ["15:15", "15:20", "15:30"])
def test_bars_of_the_closing_auctions_time_are_neither_missed_nor_amiss(until: str) -> None:
    candles = session_of(WITH_THE_AUCTION, until)
    quality = quality_of(candles, WITH_THE_AUCTION)
    assert quality == CandleQuality(len(candles), 360)


def test_a_stock_without_the_auction_trades_until_half_past_three() -> None:
    quality = quality_of(session_of(WITH_THE_AUCTION, "15:15"), WITH_THE_AUCTION, cas=False)
    assert quality.gaps == (Gap(at(WITH_THE_AUCTION, "15:15"), 15),)


def test_a_special_session_has_the_windows_of_its_table() -> None:
    recovery = date(2024, 3, 2)
    quality = quality_of(session_of(recovery), recovery)
    assert quality.expected == 45 + 60
    assert len(quality.out_of_session) == 375 - 105
    assert not quality.gaps


def test_a_bar_before_the_open_or_beside_the_grid_is_out_of_session_and_kept() -> None:
    early, beside = at(BEFORE_THE_AUCTION, "09:08"), at(BEFORE_THE_AUCTION, "10:00:30")
    quality = quality_of([bar(early), bar(beside), *session_of(BEFORE_THE_AUCTION)])
    assert quality.out_of_session == (early, beside)
    assert quality.candles == 377


def test_of_a_bar_told_twice_the_last_one_is_kept() -> None:
    candles = session_of(BEFORE_THE_AUCTION)
    corrected = candles[7]._replace(volume=999)
    day = judge(ONE_MINUTE, True, Request(TCS, *[BEFORE_THE_AUCTION] * 2, (BEFORE_THE_AUCTION,)), [*candles, corrected])
    kept = day[BEFORE_THE_AUCTION]
    assert kept.quality == CandleQuality(375, 375, duplicates=(corrected.ts,))
    assert kept.bars.volume[7] == 999
    assert np.all(np.diff(kept.bars.ts) > 0)


@pytest.mark.parametrize(
    "changes", [{"open": 0}, {"low": -5}, {"high": 9_999}, {"low": 10_001}, {"volume": -1}, {"high": 2**31}]
)
def test_an_impossible_bar_is_left_out_and_not_missed_as_well(changes: dict[str, int]) -> None:
    candles = session_of(BEFORE_THE_AUCTION)
    candles[9] = candles[9]._replace(**changes)
    assert quality_of(candles) == CandleQuality(374, 375, impossible=(candles[9].ts,))


def test_a_price_far_from_both_sides_is_an_outlier_and_a_step_that_stays_is_none() -> None:
    candles = session_of(BEFORE_THE_AUCTION)
    candles = [*candles[:200], *(bar(candle.ts, 11_000) for candle in candles[200:])]
    assert quality_of(candles) == CandleQuality(375, 375)
    spike, dip = candles[50], candles[300]
    candles[50], candles[300] = spike._replace(high=10_501), dip._replace(low=10_400)
    assert quality_of(candles).outliers == (spike.ts, dip.ts)


def test_the_first_and_the_last_bar_are_measured_by_the_side_they_have() -> None:
    candles = session_of(BEFORE_THE_AUCTION)
    candles[0], candles[-1] = bar(candles[0].ts, 9_000), bar(candles[-1].ts, 12_000)
    assert quality_of(candles).outliers == (candles[0].ts, candles[-1].ts)
    assert quality_of(candles[:2]).outliers == ()


def test_a_bar_of_a_wrong_day_is_left_out_and_told_at_the_requests_first_date() -> None:
    first, last, holiday = date(2026, 3, 25), date(2026, 3, 27), date(2026, 3, 26)
    before, closed = at(date(2026, 3, 20), "10:00"), at(holiday, "10:00")
    candles = [*session_of(first), *session_of(last), bar(before), bar(closed)]
    judged = judge(ONE_MINUTE, True, Request(TCS, first, last, (first, last)), candles)
    assert judged[first].quality == CandleQuality(375, 375, wrong_day=(before, closed))
    assert judged[last].quality == CandleQuality(375, 375)
    rest = judge(
        ONE_MINUTE, True, Request(TCS, first, last, (last,)), candles
    )  # the first date was saved before a kill
    assert rest[last].quality == CandleQuality(375, 375)


def test_a_date_that_is_complete_already_is_passed_over() -> None:
    first, between, last = date(2026, 7, 28), date(2026, 7, 29), date(2026, 7, 30)
    candles = [candle for day in (first, between, last) for candle in session_of(day)]
    judged = judge(ONE_MINUTE, True, Request(TCS, first, last, (first, last)), candles)
    assert {day: found.quality for day, found in judged.items()} == dict.fromkeys(
        (first, last), CandleQuality(375, 375)
    )


def test_symbols_of_a_date_become_columns_and_rows_in_rupees() -> None:
    judged = {
        symbol: judge(ONE_MINUTE, True, Request(symbol, *[BEFORE_THE_AUCTION] * 2, (BEFORE_THE_AUCTION,)), candles)
        for symbol, candles in (
            ("NSE_EQ:TCS", session_of(BEFORE_THE_AUCTION)[:2]),
            ("NSE_EQ:INFY", []),
            ("NSE_EQ:ABB", []),
        )
    }
    names, bars = as_bars({symbol: days[BEFORE_THE_AUCTION] for symbol, days in judged.items()})
    rows = candle_rows(names, bars)
    assert names == ("NSE_EQ:ABB", "NSE_EQ:INFY", "NSE_EQ:TCS")
    assert rows.symbol.texts() == ["NSE_EQ:TCS"] * 2
    assert rows.close.tolist() == [100.0, 100.0]
    assert rows.low.tolist() == [99.95, 99.95]


def test_findings_are_added_up_by_symbol_and_told_one_by_one() -> None:
    days = [date(2026, 7, 29), BEFORE_THE_AUCTION]
    good = CandleQuality(375, 375)
    bad = CandleQuality(370, 375, gaps=(Gap(5, 3), Gap(9, 2)), duplicates=(7,), wrong_day=(1, 2))
    stored = {days[0]: {TCS: bad}, days[1]: {TCS: CandleQuality(0, 375, gaps=(Gap(3, 375),)), "NSE_EQ:INFY": good}}
    infy, tcs = report(["NSE_EQ:INFY", TCS], stored)
    assert infy[1:] == (1, 0, 375, 0, 0, 0, 0, 0, 0, 0)
    assert tcs[1:] == (2, 1, 370, 2, 5, 1, 0, 0, 0, 2)
    told = [(found.kind, found.start, found.bars) for found in findings([TCS], stored)]
    assert told == [
        *(("gap", 5, 3), ("gap", 9, 2), ("duplicate", 7, 1), ("wrong day", 1, 1), ("wrong day", 2, 1)),
        ("no candles", 3, 375),
    ]
