"""Files of every shape come out as the same sorted days."""

import json
import math
import subprocess
import sys
import tempfile
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from quant_platform.adapters.ticks.files import FileTickSource
from quant_platform.domain.errors import DataError
from quant_platform.domain.session import ist_date
from quant_platform.domain.tick_order import is_in_order
from quant_platform.domain.ticks import LATE, MAX_LEVEL_QUANTITY, TickBatch

from .file_rig import (
    MONDAY,
    SESSIONS,
    STAMP,
    candle_table,
    expected_rows,
    moment,
    rows_of,
    shuffled,
    tick_table,
    with_value,
    write,
)

# What comes out


def test_sorted_days_come_out_with_every_row(tmp_path: Path) -> None:
    table = tick_table()
    source = FileTickSource([write(tmp_path / "ticks.parquet", table)])
    assert source.symbols == ("NSE_EQ:INFY", "NSE_EQ:SBIN", "NSE_EQ:TCS")
    assert source.trading_days() == SESSIONS
    assert source.rows == len(table)
    assert not source.has_depth
    assert rows_of(source) == expected_rows(table)


def test_columns_are_typed_writable_and_contiguous(tmp_path: Path) -> None:
    day = next(FileTickSource([write(tmp_path / "ticks.parquet", tick_table())]).days())
    types = {name: column.dtype.name for name, column in day.ticks._asdict().items()}
    assert types == {
        "ts": "int64",
        "symbol": "int32",
        "seq": "int64",
        "ltp": "int32",
        "volume": "int64",
        "atp": "float64",
        "flags": "uint8",
        "bid_price": "int32",
        "bid_qty": "int32",
        "ask_price": "int32",
        "ask_qty": "int32",
    }
    for column in day.ticks:
        assert column.flags.writeable
        assert column.flags.c_contiguous
        assert len(column) == 900


def test_a_day_already_in_order_is_writable_too(tmp_path: Path) -> None:
    table = tick_table(days=[MONDAY]).sort_by([("timestamp", "ascending"), ("symbol", "ascending")])
    day = next(FileTickSource([write(tmp_path / "ticks.parquet", table)]).days())
    assert all(column.flags.writeable and column.flags.c_contiguous for column in day.ticks)


@pytest.mark.parametrize("buffer_bytes", [1 << 30, 1000])
@pytest.mark.parametrize("row_group_size", [50, 100_000])
def test_shuffled_rows_come_out_sorted_whatever_the_memory(
    tmp_path: Path, row_group_size: int, buffer_bytes: int
) -> None:
    table = shuffled(tick_table())
    path = write(tmp_path / "ticks.parquet", table, row_group_size=row_group_size)
    assert rows_of(FileTickSource([path], buffer_bytes=buffer_bytes)) == expected_rows(table)


def test_rows_of_one_moment_and_symbol_keep_the_order_of_the_files(tmp_path: Path) -> None:
    at = moment(MONDAY, "10:00")
    parts = [
        pa.table({"timestamp": pa.array([at] * 3, STAMP), "symbol": ["TCS"] * 3, "ltp": prices, "volume": [1, 1, 1]})
        for prices in ([5.0, 3.0, 4.0], [2.0, 9.0, 1.0])
    ]
    second, first = (
        write(tmp_path / f"{name}.parquet", part, row_group_size=1) for name, part in zip("ab", parts, strict=True)
    )
    for buffer_bytes in (1, 1 << 20):
        source = FileTickSource([first, second], buffer_bytes=buffer_bytes)
        assert [row[2] for row in rows_of(source)] == [200, 900, 100, 500, 300, 400]


def test_files_folders_and_patterns_are_read_once_each(tmp_path: Path) -> None:
    table = tick_table()
    for number, day in enumerate(SESSIONS):
        write(tmp_path / "ticks" / f"date={day}" / "part.parquet", table.slice(number * 900, 900))
    expected = expected_rows(table)
    assert rows_of(FileTickSource([tmp_path])) == expected
    assert rows_of(FileTickSource([f"{tmp_path}/ticks/*/part.parquet"])) == expected
    assert rows_of(FileTickSource([f"{tmp_path}/ticks/date=2021-04-0*"])) == expected
    files = sorted(tmp_path.rglob("*.parquet"), reverse=True)
    assert rows_of(FileTickSource([*files, tmp_path])) == expected


@pytest.mark.parametrize("kind", [pa.dictionary(pa.int32(), pa.string()), pa.large_string(), pa.string()])
def test_symbols_may_be_text_or_categories_bare_or_full(tmp_path: Path, kind: pa.DataType) -> None:
    table = tick_table()
    bare = pa.array([name.removeprefix("NSE_EQ:") for name in table["symbol"].to_pylist()])
    path = write(tmp_path / "ticks.parquet", table.set_column(1, "symbol", bare.cast(kind)))
    assert rows_of(FileTickSource([path])) == expected_rows(table)


def test_a_category_without_rows_is_no_symbol(tmp_path: Path) -> None:
    table = tick_table()
    text = table["symbol"].combine_chunks()
    names = ["NSE_EQ:WIPRO", *text.unique().to_pylist()]
    codes = pa.array([names.index(name) for name in text.to_pylist()], pa.int32())
    path = write(tmp_path / "t.parquet", table.set_column(1, "symbol", pa.DictionaryArray.from_arrays(codes, names)))
    assert "NSE_EQ:WIPRO" not in FileTickSource([path]).symbols


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", ["UTC", "Asia/Kolkata", "+05:30"])
def test_any_unit_and_zone_of_time_is_understood(tmp_path: Path, unit: str, zone: str) -> None:
    table = tick_table()
    stamps = table["timestamp"].cast(pa.timestamp(unit, zone))
    path = write(tmp_path / "ticks.parquet", table.set_column(0, "timestamp", stamps))
    assert rows_of(FileTickSource([path])) == expected_rows(table)


def test_range_and_symbols_select(tmp_path: Path) -> None:
    table = tick_table()
    path = write(tmp_path / "ticks.parquet", shuffled(table), row_group_size=400)
    source = FileTickSource([path], first=SESSIONS[1], last=SESSIONS[2], symbols=["TCS", "NSE_EQ:INFY"])
    assert source.symbols == ("NSE_EQ:INFY", "NSE_EQ:TCS")
    assert source.trading_days() == SESSIONS[1:3]
    rows = rows_of(source)
    assert len(rows) == source.rows == 2 * 2 * 300
    assert {row[1] for row in rows} == {"NSE_EQ:INFY", "NSE_EQ:TCS"}


def test_candles_come_out_as_four_ticks_each(tmp_path: Path) -> None:
    source = FileTickSource([write(tmp_path / "candles.parquet", shuffled(candle_table()), row_group_size=70)])
    assert source.kind == "candles"
    assert source.rows == 4 * 5 * 2 * 60
    rows = [row for row in rows_of(source) if row[1] == "NSE_EQ:TCS"]
    assert [row[2] for row in rows[:8]] == [100000, 99800, 100200, 100100, 100100, 99900, 100300, 100200]
    assert [row[3] for row in rows[:12]] == [1, 2, 3, 7, 11, 15, 19, 24, 30, 36, 42, 51]


def depth_table() -> pa.Table:
    base = tick_table(days=[MONDAY], a_day=2)
    columns: dict[str, Any] = {name: base[name] for name in base.schema.names}
    columns["seq"] = list(range(1, 7))
    columns["atp"] = [1000.5, None, math.nan, 0.0, -1.0, 1001.25]
    for level in range(1, 6):
        columns[f"bid_price_{level}"] = [100.0 - level, None, math.nan, 0.0, -1.0, math.inf]
        columns[f"bid_qty_{level}"] = pa.array([level, None, 0, 2**40, -3, 7], pa.int64())
        columns[f"ask_price_{level}"] = [100.05 + level] * 6
        columns[f"ask_qty_{level}"] = [1.0, math.nan, 2.0, 3e12, 4.0, 5.0]
    return pa.table(columns)


def only_day(source: FileTickSource) -> TickBatch:
    (day,) = source.days()
    return day.ticks


def test_depth_levels_that_are_none_become_zero_and_huge_ones_saturate(tmp_path: Path) -> None:
    table = depth_table()
    source = FileTickSource([write(tmp_path / "depth.parquet", table)])
    assert source.has_depth
    ticks = only_day(source)
    by_seq = np.argsort(ticks.seq)
    assert ticks.seq[by_seq].tolist() == [1, 2, 3, 4, 5, 6]
    assert ticks.bid_price[by_seq][0].tolist() == [9900, 9800, 9700, 9600, 9500]
    assert not ticks.bid_price[by_seq][1:].any()
    assert ticks.bid_qty[by_seq][:, 0].tolist() == [1, 0, 0, MAX_LEVEL_QUANTITY, 0, 7]
    assert ticks.ask_price[by_seq][5].tolist() == [10105, 10205, 10305, 10405, 10505]
    assert ticks.ask_qty[by_seq][:, 4].tolist() == [1, 0, 2, MAX_LEVEL_QUANTITY, 4, 5]
    assert ticks.atp[by_seq].tolist() == [1000.5, 0.0, 0.0, 0.0, 0.0, 1001.25]


def test_a_file_without_depth_joins_one_with_depth(tmp_path: Path) -> None:
    deep = write(tmp_path / "deep.parquet", depth_table())
    plain = write(tmp_path / "plain.parquet", tick_table(days=[MONDAY], seed=9))
    for buffer_bytes in (1, 1 << 20):
        ticks = only_day(FileTickSource([plain, deep], buffer_bytes=buffer_bytes))
        assert ticks.bid_price.shape == (906, 5)
        assert (ticks.ask_price[:, 0] > 0).sum() == 6
        assert (ticks.seq > 0).sum() == 6


def test_a_stored_late_tick_stays_late(tmp_path: Path) -> None:
    table = tick_table(days=[MONDAY], a_day=3).append_column("flags", pa.array([0, LATE, 0] * 3, pa.uint8()))
    assert (only_day(FileTickSource([write(tmp_path / "t.parquet", table)])).flags == LATE).sum() == 3


def test_recorded_days_bring_their_warm_up_bars(tmp_path: Path) -> None:
    folder = tmp_path / "ticks" / f"date={MONDAY}"
    table = tick_table(days=[MONDAY])
    write(folder / "part.parquet", table)
    bars = candle_table(days=[date(2021, 4, 1)], minutes=3)
    kinds = pa.array(["warm-up"] * 3 + ["repair"] * 3)
    bars = bars.append_column("before_seq", pa.array([1, 1, 1, 7, 7, 7])).append_column("kind", kinds)
    write(folder / "bars" / "0001.parquet", bars)
    source = FileTickSource([tmp_path])
    assert source.kind == "ticks"
    assert source.trading_days() == [MONDAY]
    (day,) = source.days()
    assert day.ticks.ts.size == len(table)
    first, second = day.bars
    assert (first.symbol, first.before_seq, first.kind) == ("NSE_EQ:INFY", 1, "warm-up")
    assert (second.symbol, second.before_seq, second.kind) == ("NSE_EQ:TCS", 7, "repair")
    assert first.bars.close.tolist() == [100100, 100200, 100300]
    assert {source.symbols[number] for number in second.bars.symbol} == {"NSE_EQ:TCS"}


def test_ticks_on_a_day_without_a_session_are_handed_out(tmp_path: Path) -> None:
    saturday = date(2021, 4, 10)
    assert FileTickSource([write(tmp_path / "t.parquet", tick_table(days=[saturday]))]).trading_days() == [saturday]


# History


def test_history_comes_from_before_the_range_in_session_only(tmp_path: Path) -> None:
    path = write(tmp_path / "ticks.parquet", shuffled(tick_table()), row_group_size=100)
    source = FileTickSource([path], first=SESSIONS[3])
    everything = source.history("NSE_EQ:TCS", SESSIONS[3], 10_000)
    assert {ist_date(candle.ts) for candle in everything} == set(SESSIONS[:3])
    assert everything == sorted(everything)
    for candle in everything:
        day = ist_date(candle.ts)
        assert candle.ts >= moment(day, "09:15").timestamp() * 10**9
        assert candle.low <= min(candle.open, candle.close) <= max(candle.open, candle.close) <= candle.high
    assert source.history("NSE_EQ:TCS", SESSIONS[3], 70) == everything[-70:]
    assert source.history("NSE_EQ:TCS", SESSIONS[0], 70) == []
    assert source.history("NSE_EQ:WIPRO", SESSIONS[3], 70) == []


def test_history_of_candles_is_those_candles(tmp_path: Path) -> None:
    source = FileTickSource([write(tmp_path / "candles.parquet", candle_table())], first=SESSIONS[4])
    candles = source.history("NSE_EQ:INFY", SESSIONS[4], 90)
    assert len(candles) == 90
    last = candles[-1]
    assert (last.open, last.high, last.low, last.close) == (105900, 106100, 105700, 106000)
    assert [candle.volume for candle in candles[-60:]] == [10 * minute + 7 for minute in range(60)]
    assert ist_date(candles[0].ts) == SESSIONS[2]


def test_history_leaves_late_ticks_out(tmp_path: Path) -> None:
    table = tick_table(days=SESSIONS[:2], a_day=40)
    flags = pa.array([LATE] * 120 + [0] * 120, pa.uint8())
    path = write(tmp_path / "t.parquet", table.append_column("flags", flags))
    assert FileTickSource([path], first=SESSIONS[1]).history("NSE_EQ:TCS", SESSIONS[1], 9) == []


# Resources


@pytest.mark.parametrize("stop_after", [1, 99])
def test_temporary_files_are_gone_at_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop_after: int) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    path = write(tmp_path / "ticks.parquet", shuffled(tick_table()), row_group_size=100)
    days = FileTickSource([path], buffer_bytes=1000).days()
    next(days)
    assert list(scratch.iterdir())
    for _ in zip(range(stop_after), days, strict=False):
        pass
    days.close()
    assert not list(scratch.iterdir())


def test_temporary_files_are_gone_after_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    table = with_value(shuffled(tick_table()), "ltp", 4321, math.nan)
    path = write(tmp_path / "ticks.parquet", table, row_group_size=100)
    with pytest.raises(DataError, match="row 4321"):
        list(FileTickSource([path], buffer_bytes=1000).days())
    assert not list(scratch.iterdir())


PEAK = """
import json, sys
from pathlib import Path
from quant_platform.adapters.ticks.files import FileTickSource
source = FileTickSource([sys.argv[1]], buffer_bytes=4 << 20)
rows = sum(day.ticks.ts.size for day in source.days())
(peak,) = [line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line]
print(json.dumps({"rows": rows, "peak_kb": int(peak)}))
"""


def peak_kb(path: Path) -> int:
    done = subprocess.run([sys.executable, "-c", PEAK, str(path)], check=True, capture_output=True, text=True)
    return int(json.loads(done.stdout)["peak_kb"])


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of memory is read from /proc")
@pytest.mark.parametrize("order", ["by day", "shuffled"])
def test_memory_does_not_grow_with_the_number_of_days(tmp_path: Path, order: str) -> None:
    days = [day for day in (date(2021, 6, 1) + timedelta(days=n) for n in range(28)) if day.weekday() < 5]
    peaks = []
    for count in (2, 20):
        table = long_days(days[:count])
        table = shuffled(table) if order == "shuffled" else table
        path = write(tmp_path / f"{count}.parquet", table, row_group_size=100_000)
        # One run in ten takes 30 MB more, as its threads meet in the allocator; what is held is held in every run.
        peaks.append(min(peak_kb(path) for _ in range(3)))
    few, many = peaks
    # Held whole, eighteen days more would take 18 × 100,000 rows × 24 bytes = 42 MB more.
    assert many - few < 30_000


def long_days(days: list[date]) -> pa.Table:
    rng = np.random.default_rng(4)
    a_day = 100_000
    opens = [int(moment(day, "09:15").timestamp()) * 1000 for day in days]
    stamps = np.concatenate([start + np.sort(rng.integers(0, 22_500_000, a_day)) for start in opens])
    codes = rng.integers(0, 3, stamps.size).astype(np.int32)
    names = pa.DictionaryArray.from_arrays(pa.array(codes), ["INFY", "SBIN", "TCS"])
    prices = 1000 + rng.integers(-100, 100, stamps.size) * 0.05
    return pa.table(
        {
            "timestamp": pa.array(stamps).cast(STAMP),
            "symbol": names,
            "ltp": prices,
            "volume": np.arange(stamps.size),
        }
    )


# Real files


def test_the_real_trades_come_out_sorted_and_complete(shared_data: Path) -> None:
    source = FileTickSource([shared_data / "trades_1s_2021-03-30_2021-05-07.parquet"])
    assert (len(source.symbols), len(source.trading_days()), source.rows) == (34, 26, 8_933_597)
    rows = 0
    for day in source.days():
        assert is_in_order(day.ticks.ts, day.ticks.symbol)
        rows += day.ticks.ts.size
    assert rows == source.rows


def test_the_real_candles_agree_with_bars_of_the_real_trades(shared_data: Path) -> None:
    first = date(2021, 4, 13)
    candles = FileTickSource([shared_data / "candles_1m_2021-03-30_2021-05-07.parquet"], first=first)
    trades = FileTickSource([shared_data / "trades_1s_2021-03-30_2021-05-07.parquet"], first=first)
    for symbol in ("NSE_EQ:RELIANCE", "NSE_EQ:SBIN"):
        ours, theirs = (source.history(symbol, first, 250) for source in (trades, candles))
        assert len(ours) == 250
        # Opens and closes differ where one second holds several trades.
        for name in ("ts", "high", "low"):
            assert [getattr(bar, name) for bar in ours] == [getattr(bar, name) for bar in theirs]


def test_the_depth_file_has_depth_and_keeps_every_row(shared_data: Path) -> None:
    source = FileTickSource([shared_data / "ticks_depth_synthetic.parquet"])
    assert source.has_depth
    assert source.rows == 156_851
    assert sum(day.ticks.ts.size for day in source.days()) == source.rows
