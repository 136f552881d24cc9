"""Files, rows and selections that cannot be are refused by name, in one line; bad rows are skipped on request."""

import math
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from quant_platform.adapters.ticks.files import FileTickSource
from quant_platform.domain.errors import CalendarError, DataError, UsageError

from .file_rig import (
    MONDAY,
    SESSIONS,
    candle_table,
    expected_rows,
    rows_of,
    tick_table,
    with_value,
    write,
)

# What is refused


def refused(paths: Any, **settings: Any) -> str:
    with pytest.raises(DataError) as caught:
        FileTickSource(paths if isinstance(paths, list) else [paths], **settings)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_paths_that_name_nothing_are_refused(tmp_path: Path) -> None:
    assert "nowhere.parquet does not exist" in refused(tmp_path / "nowhere.parquet")
    assert "no file matches" in refused(f"{tmp_path}/*.parquet")
    assert "holds no Parquet file" in refused(tmp_path)
    assert "no data file" in refused([])


@pytest.mark.parametrize("column", ["timestamp", "symbol", "ltp", "volume"])
def test_a_missing_tick_column_is_named(tmp_path: Path, column: str) -> None:
    message = refused(write(tmp_path / "ticks.parquet", tick_table().drop_columns([column])))
    assert f"ticks.parquet has no column {column}" in message


@pytest.mark.parametrize("column", ["timestamp", "symbol", "open", "high", "low", "close", "volume"])
def test_a_missing_candle_column_is_named(tmp_path: Path, column: str) -> None:
    message = refused(write(tmp_path / "candles.parquet", candle_table().drop_columns([column])))
    assert f"candles.parquet has no column {column}" in message


def test_columns_of_another_type_are_refused(tmp_path: Path) -> None:
    table = tick_table()
    naive = table.set_column(0, "timestamp", table["timestamp"].cast(pa.timestamp("ms")))
    assert "tz-aware" in refused(write(tmp_path / "a.parquet", naive))
    text = table.set_column(2, "ltp", table["ltp"].cast(pa.string()))
    assert "column ltp is string, not a number" in refused(write(tmp_path / "b.parquet", text))
    numbers = table.set_column(1, "symbol", table["volume"])
    assert "column symbol is int64, not text" in refused(write(tmp_path / "c.parquet", numbers))


def test_truncated_and_foreign_files_are_refused(tmp_path: Path) -> None:
    whole = write(tmp_path / "whole.parquet", tick_table()).read_bytes()
    for name, content in (("cut", whole[: len(whole) // 2]), ("empty", b""), ("text", b"timestamp,symbol\n" * 9)):
        path = tmp_path / f"{name}.parquet"
        path.write_bytes(content)
        assert f"{name}.parquet cannot be read as Parquet" in refused(path)


def test_a_damaged_page_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "ticks.parquet", tick_table(), compression="zstd")
    content = bytearray(path.read_bytes())
    content[4:60] = bytes(56)
    path.write_bytes(content)
    assert "cannot be read as Parquet" in refused(path)


@pytest.mark.parametrize("value", [0.0, -5.0, math.inf, None, 0.004, 1e9])
def test_impossible_prices_are_refused_by_row_before_anything_is_handed_out(tmp_path: Path, value: Any) -> None:
    table = with_value(tick_table(), "ltp", 1234, value)
    message = refused(write(tmp_path / "ticks.parquet", table, row_group_size=500))
    assert "ticks.parquet, row 1234 (counted from 0; NSE_EQ:SBIN at 2021-04-06" in message
    assert f"ltp {value} is no price" in message
    assert "--skip-bad-rows" in message


def test_a_nan_is_refused_when_its_day_is_read(tmp_path: Path) -> None:
    path = write(tmp_path / "ticks.parquet", with_value(tick_table(), "ltp", 1234, math.nan), row_group_size=500)
    source = FileTickSource([path])
    with pytest.raises(DataError, match=r"row 1234 .*ltp nan is no price"):
        list(source.days())
    assert source.skipped_rows == {}


@pytest.mark.parametrize("value", [-1, None])
def test_impossible_volumes_are_refused_by_row(tmp_path: Path, value: Any) -> None:
    table = with_value(tick_table(), "volume", 7, value)
    assert "row 7 (counted from 0; NSE_EQ:INFY at 2021-04-05" in refused(write(tmp_path / "t.parquet", table))


def test_rows_without_time_or_symbol_are_refused(tmp_path: Path) -> None:
    for column, value in (("timestamp", None), ("symbol", None), ("symbol", "NIFTY 50")):
        message = refused(write(tmp_path / "t.parquet", with_value(tick_table(), column, 42, value)))
        assert "row 42 (counted from 0)" in message
        assert column in message or "symbol" in message


def test_a_symbol_that_is_none_is_refused_in_a_file_of_one_day(tmp_path: Path) -> None:
    table = tick_table(days=[MONDAY])
    assert "row 5 (counted from 0): 'NIFTY 50' is no symbol" in refused(
        write(tmp_path / "t.parquet", with_value(table, "symbol", 5, "NIFTY 50"))
    )


def test_a_candle_whose_high_is_below_its_low_is_refused(tmp_path: Path) -> None:
    table = with_value(candle_table(), "high", 3, 1.0)
    source = FileTickSource([write(tmp_path / "c.parquet", table)])
    with pytest.raises(DataError, match=r"row 3 .*high 1\.0 is below low"):
        list(source.days())


def test_a_candle_that_opens_outside_its_range_is_taken_as_it_is(tmp_path: Path) -> None:
    source = FileTickSource([write(tmp_path / "c.parquet", with_value(candle_table(), "open", 0, 500.0))])
    assert rows_of(source)[0][2] == 50000


@pytest.mark.parametrize("buffer_bytes", [1, 1 << 20])
def test_bad_rows_are_skipped_and_counted_on_request(tmp_path: Path, buffer_bytes: int) -> None:
    good = tick_table()
    bad = good
    for column, row, value in (
        ("ltp", 5, math.nan),
        ("ltp", 6, -1.0),
        ("volume", 7, -1),
        ("timestamp", 8, None),
        ("symbol", 9, None),
    ):
        bad = with_value(bad, column, row, value)
    path = write(tmp_path / "ticks.parquet", bad)
    source = FileTickSource([path], skip_bad_rows=True, buffer_bytes=buffer_bytes)
    kept = good.take(pa.array([row for row in range(len(good)) if row not in range(5, 10)]))
    assert rows_of(source) == expected_rows(kept)
    assert source.skipped_rows == {"ltp": 2, "volume": 1, "timestamp": 1, "symbol": 1}


def test_bad_rows_outside_the_selection_do_not_matter(tmp_path: Path) -> None:
    path = write(tmp_path / "ticks.parquet", with_value(tick_table(), "ltp", 0, -1.0))
    assert FileTickSource([path], first=SESSIONS[1]).trading_days() == SESSIONS[1:]
    assert FileTickSource([path], symbols=["TCS"]).symbols == ("NSE_EQ:TCS",)


def test_selections_that_match_nothing_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "ticks.parquet", tick_table())
    message = refused(path, first=date(2022, 1, 3))
    assert "no rows in that range (the files hold 2021-04-05 to 2021-04-09)" in message
    assert "no rows of NSE_EQ:WIPRO" in refused(path, symbols=["TCS", "WIPRO"])
    assert "no rows in the data" in refused(write(tmp_path / "none.parquet", tick_table().slice(0, 0)))
    with pytest.raises(UsageError, match="range from 2021-04-09 to 2021-04-05 is empty"):
        FileTickSource([path], first=SESSIONS[4], last=SESSIONS[0])


def test_a_date_that_the_calendar_does_not_cover_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "ticks.parquet", tick_table(days=[*SESSIONS, date(2091, 4, 5)]))
    with pytest.raises(CalendarError, match="2091-04-05"):
        FileTickSource([path])
    assert FileTickSource([path], last=SESSIONS[4]).trading_days() == SESSIONS


def test_candles_and_ticks_in_one_run_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", tick_table())
    write(tmp_path / "b.parquet", candle_table())
    assert "holds candles and" in refused(tmp_path)
