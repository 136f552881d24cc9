"""History becomes warm-up and repair bars."""

from datetime import date, time, timedelta

import numpy as np
import pytest

from quant_platform.domain.errors import CalendarError
from quant_platform.domain.session import ns_at
from quant_platform.domain.ticks import NS_PER_MINUTE, NS_PER_SECOND, empty_bars
from quant_platform.ports.broker import Candle
from quant_platform.services.ingestion.history import WARM_UP_BARS, bars_batch, repair, warm_up

THURSDAY, FRIDAY = date(2026, 4, 23), date(2026, 4, 24)
AUCTION_DAY = date(2026, 8, 4)


def minutes(day: date, first: time, count: int, close: int = 100_00, volume: int = 10) -> list[Candle]:
    start = ns_at(day, first)
    return [Candle(start + i * NS_PER_MINUTE, close, close, close, close + i, volume) for i in range(count)]


def starts(candles: list[Candle]) -> list[int]:
    return [candle.ts for candle in candles]


def test_warm_up_is_the_last_250_bars_across_days() -> None:
    history, today = minutes(THURSDAY, time(9, 15), 375), minutes(FRIDAY, time(9, 15), 10)
    bars = warm_up(history, today, ns_at(FRIDAY, time(9, 25)), cas_eligible=True)
    assert len(bars) == WARM_UP_BARS == 250
    assert bars == history[-240:] + today


def test_the_running_minute_is_no_bar() -> None:
    today = minutes(FRIDAY, time(9, 15), 3)
    before_its_end = ns_at(FRIDAY, time(9, 18)) - 1
    assert starts(warm_up([], today, before_its_end, True)) == starts(today[:2])
    assert starts(warm_up([], today, before_its_end + 1, True)) == starts(today)


def test_bars_without_volume_are_passed_over_and_older_ones_take_their_place() -> None:
    traded, quiet = minutes(FRIDAY, time(9, 15), 3), minutes(FRIDAY, time(9, 18), 2, volume=0)
    assert warm_up([], traded + quiet, ns_at(FRIDAY, time(9, 20)), True, bars=3) == traded


def test_bars_out_of_session_are_passed_over() -> None:
    early = minutes(THURSDAY, time(9, 14), 2)
    late = minutes(THURSDAY, time(15, 29), 2)
    saturday = minutes(date(2026, 4, 25), time(10, 0), 1)
    bars = warm_up([*early, *late, *saturday], [], ns_at(date(2026, 4, 27), time(9, 0)), True)
    assert starts(bars) == [early[1].ts, late[0].ts]


@pytest.mark.parametrize(("cas_eligible", "last"), [(True, time(15, 14)), (False, time(15, 29))])
def test_the_print_of_the_closing_auction_is_no_bar(cas_eligible: bool, last: time) -> None:
    day = minutes(AUCTION_DAY, time(15, 10), 26)
    bars = warm_up(day, [], ns_at(AUCTION_DAY, time(18, 0)), cas_eligible)
    assert bars[-1].ts == ns_at(AUCTION_DAY, last)


def test_order_of_arrival_does_not_matter_and_the_current_day_wins() -> None:
    history = minutes(FRIDAY, time(9, 15), 2, close=1)
    today = minutes(FRIDAY, time(9, 16), 2, close=2)
    bars = warm_up(history[::-1], today[::-1], ns_at(FRIDAY, time(10, 0)), True)
    assert [bar.open for bar in bars] == [1, 2, 2]
    assert starts(bars) == sorted(starts(bars))


def test_a_symbol_without_history_starts_cold() -> None:
    assert warm_up([], [], ns_at(FRIDAY, time(9, 15)), True) == []


def test_a_date_outside_the_calendar_is_refused() -> None:
    with pytest.raises(CalendarError):
        warm_up(minutes(date(2050, 1, 3), time(10, 0), 1), [], ns_at(date(2050, 1, 4), time(9, 0)), True)


def test_repair_starts_with_the_minute_seen_in_part_and_ends_with_the_last_closed_one() -> None:
    today = minutes(FRIDAY, time(10, 0), 10)
    last_seen = ns_at(FRIDAY, time(10, 2)) + 31 * NS_PER_SECOND
    now = ns_at(FRIDAY, time(10, 6)) + 20 * NS_PER_SECOND
    assert repair(today[::-1], last_seen, now, True) == today[2:6]


def test_a_gap_within_one_minute_needs_no_repair() -> None:
    today = minutes(FRIDAY, time(10, 0), 10)
    at = ns_at(FRIDAY, time(10, 2))
    assert repair(today, at + NS_PER_SECOND, at + 50 * NS_PER_SECOND, True) == []


def test_repair_passes_over_bars_without_volume() -> None:
    today = minutes(FRIDAY, time(10, 0), 2) + minutes(FRIDAY, time(10, 2), 2, volume=0)
    assert repair(today, today[0].ts, ns_at(FRIDAY, time(10, 10)), True) == today[:2]


def test_candles_become_a_batch_column_by_column() -> None:
    ts = ns_at(FRIDAY, time(9, 15))
    batch = bars_batch([Candle(ts, 1, 4, 0, 2, 50), Candle(ts + NS_PER_MINUTE, 2, 5, 1, 3, 60)], number=7)
    columns = [column.tolist() for column in batch]
    assert columns == [[ts, ts + NS_PER_MINUTE], [7, 7], [1, 2], [4, 5], [0, 1], [2, 3], [50, 60]]
    assert [column.dtype for column in batch] == [column.dtype for column in empty_bars(2)]


def test_no_candles_make_an_empty_batch() -> None:
    assert all(np.size(column) == 0 for column in bars_batch([], 3))


def test_warm_up_of_real_candles_ends_where_the_file_does(shared_data) -> None:
    import pyarrow.parquet as pq

    rows = pq.read_table(shared_data / "candles_1m_TCS_2025-01.parquet").to_pylist()
    candles = [
        Candle(
            round(row["timestamp"].timestamp()) * NS_PER_SECOND,
            *(round(row[name] * 100) for name in ("open", "high", "low", "close")),
            row["volume"],
        )
        for row in rows
    ]
    newest = max(candles)
    evening = newest.ts + round(timedelta(hours=3).total_seconds()) * NS_PER_SECOND
    bars = warm_up(candles, [], evening, cas_eligible=True)
    assert len(bars) == 250
    assert bars[-1] == newest
