"""Ticks on the disk: a kill loses what was not flushed, a torn end is tolerated, a compacted day has each tick once."""

import os
import signal
import subprocess
import sys
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from quant_platform.adapters.ticks import compaction
from quant_platform.adapters.ticks.arrow import MAX_WAITING_ROWS, ArrowTickStore
from quant_platform.adapters.ticks.duckdb import TickQueries
from quant_platform.adapters.ticks.files import FileTickSource
from quant_platform.adapters.ticks.segments import read_segment
from quant_platform.domain.errors import UsageError
from quant_platform.domain.ticks import LATE, NS_PER_MINUTE, NS_PER_SECOND, EnrichedBatch, empty_bars, empty_ticks
from quant_platform.ports.tick_store import StoredBar, TickStore
from quant_platform.services.market_persistor.rows import stored_columns

DAY = date(2026, 7, 31)
OPEN = 1_785_469_500 * NS_PER_SECOND
SYMBOLS = ("NSE_EQ:TCS", "NSE_EQ:INFY")


def ticks(first: int, n: int, levels: int = 5) -> EnrichedBatch:
    """Ticks number ``first`` to ``first + n - 1``, the symbols in turn, two to a moment, NaN before the third."""
    numbers = np.arange(first, first + n)
    batch = empty_ticks(n, levels)
    batch.ts[:] = OPEN + numbers // 2 * NS_PER_SECOND + 123_456_789
    batch.symbol[:] = numbers % 2
    batch.seq[:] = numbers // 2 + 1
    batch.ltp[:] = 100_05 + numbers * 5
    batch.volume[:] = numbers * 10
    for side in batch[7:]:
        side[:, :2] = 5
    vwap = np.where(numbers < 2, np.nan, numbers / 3)
    others = [np.full(n, np.nan) for _ in range(4)]
    return EnrichedBatch(batch, vwap, *others, (numbers % 3).astype(np.uint8), np.ones(n, np.bool_))


def store_at(root: Path) -> ArrowTickStore:
    return ArrowTickStore(root, stored_columns)


def day_file(root: Path) -> Path:
    return root / "ticks" / f"date={DAY}" / "ticks.parquet"


def stored(root: Path) -> list[tuple[str, int]]:
    """Symbol and seq of every row of the compacted day, in file order."""
    table = pq.read_table(day_file(root), partitioning=None)
    return list(zip(table["symbol"].to_pylist(), table["seq"].to_pylist(), strict=True))


def expected(n: int) -> list[tuple[str, int]]:
    """Two symbols a moment, sorted by time and name."""
    return [(name, moment + 1) for moment in range(n // 2) for name in sorted(SYMBOLS)]


def test_it_is_a_tick_store(tmp_path: Path) -> None:
    store: TickStore = store_at(tmp_path)
    store.flush()
    assert list(tmp_path.iterdir()) == [], "nothing taken, nothing written"


def test_a_compacted_day_has_the_columns_of_the_contract(tmp_path: Path) -> None:
    store = store_at(tmp_path)
    store.append(DAY, ticks(0, 10), SYMBOLS)
    store.compact(DAY)
    file = pq.ParquetFile(day_file(tmp_path))
    schema = file.schema_arrow
    assert schema.field("timestamp").type == pa.timestamp("ns", tz="Asia/Kolkata")
    assert schema.field("bid_price_5").type == pa.float64()
    assert file.metadata.row_group(0).column(0).compression == "ZSTD"
    row = file.read().to_pylist()[0]
    assert (row["symbol"], row["ltp"], row["aggressor"]) == ("NSE_EQ:INFY", 100.1, "B")
    assert (row["bid_price_1"], row["bid_qty_2"], row["bid_price_5"], row["vwap"]) == (0.05, 5, None, None)


def test_what_is_read_back_is_what_was_taken(tmp_path: Path) -> None:
    store = store_at(tmp_path)
    batch = ticks(0, 10)
    batch.ticks.flags[4] = LATE
    store.append(DAY, batch, SYMBOLS)
    bars = empty_bars(3)
    bars.ts[:] = OPEN - np.arange(3, 0, -1) * NS_PER_MINUTE
    for price in bars[2:6]:
        price[:] = 99_95
    store.append_bars(DAY, StoredBar("NSE_EQ:TCS", 1, "warm-up", bars))
    store.compact(DAY)
    source = FileTickSource([day_file(tmp_path).parent])
    [day] = source.days()
    assert (source.has_depth, list(source.symbols), day.day) == (True, sorted(SYMBOLS), DAY)
    order = [1, 0, 3, 2, 5, 4, 7, 6, 9, 8]  # INFY comes before TCS
    for name in ("ts", "seq", "ltp", "volume", "atp", "flags", "bid_price", "bid_qty", "ask_price", "ask_qty"):
        assert np.array_equal(getattr(day.ticks, name), getattr(batch.ticks, name)[order]), name
    [found] = day.bars
    assert found[:3] == ("NSE_EQ:TCS", 1, "warm-up")
    assert np.array_equal(found.bars.ts, bars.ts)
    assert np.array_equal(found.bars.close, bars.close)


def test_a_stream_without_depth_reads_back_without_depth(tmp_path: Path) -> None:
    store = store_at(tmp_path)
    store.append(DAY, ticks(0, 4, levels=0), SYMBOLS)
    store.compact(DAY)
    assert not FileTickSource([day_file(tmp_path).parent]).has_depth


WRITER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_tick_store import DAY, SYMBOLS, store_at, ticks
store = store_at(Path(sys.argv[1]))
store.append(DAY, ticks(0, 1000), SYMBOLS)
store.flush()
store.append(DAY, ticks(1000, 500), SYMBOLS)
store.flush()
store.append(DAY, ticks(1500, 10), SYMBOLS)
print("flushed", flush=True)
sys.stdin.read()
"""


def test_a_killed_writer_loses_only_what_was_not_flushed(tmp_path: Path) -> None:
    here = str(Path(__file__).parent)
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path), here], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "flushed\n"
        os.kill(writer.pid, signal.SIGKILL)
    store = store_at(tmp_path)
    assert store.leftovers() == [DAY]
    store.append(DAY, ticks(1400, 200), SYMBOLS)  # the resumed run sees the last ones again
    store.compact(DAY)
    assert stored(tmp_path) == expected(1600)
    assert store.leftovers() == []
    assert list((day_file(tmp_path).parent / "segments").iterdir()) == []


def test_a_torn_last_batch_is_left_out(tmp_path: Path) -> None:
    store = store_at(tmp_path)
    store.append(DAY, ticks(0, 100), SYMBOLS)
    store.flush()
    [segment] = (day_file(tmp_path).parent / "segments").iterdir()
    whole = segment.stat().st_size
    store.append(DAY, ticks(100, 100), SYMBOLS)
    store.close()
    content = segment.read_bytes()
    for length in (0, 7, whole // 2, whole, whole + 1, whole + 9, (whole + len(content)) // 2, len(content)):
        segment.write_bytes(content[:length])
        rows = sum(batch.num_rows for batch in read_segment(segment))
        assert rows == (200 if length == len(content) else 100 if length >= whole else 0), length
    segment.write_bytes(content[: whole + 9])
    store_at(tmp_path).compact(DAY)
    assert stored(tmp_path) == expected(100)


def test_compaction_can_be_repeated_and_takes_new_rows_in(tmp_path: Path) -> None:
    store = store_at(tmp_path)
    store.append(DAY, ticks(0, 100), SYMBOLS)
    store.compact(DAY)
    before = day_file(tmp_path).read_bytes()
    store.compact(DAY)
    assert day_file(tmp_path).read_bytes() == before
    store.append(DAY, ticks(50, 150), SYMBOLS)
    store.compact(DAY)
    assert stored(tmp_path) == expected(200)


def test_a_compaction_cut_short_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = store_at(tmp_path)
    store.append(DAY, ticks(0, 100), SYMBOLS)

    def power_cut(*_: object) -> None:
        raise OSError("power cut")

    for step in (compaction._replace_durably, Path.unlink):
        with monkeypatch.context() as patched:
            owner = compaction if step is compaction._replace_durably else Path
            patched.setattr(owner, step.__name__, power_cut)
            with pytest.raises(OSError, match="power cut"):
                store.compact(DAY)
        assert store.leftovers() == [DAY]
    store.compact(DAY)
    assert stored(tmp_path) == expected(100)
    assert sorted(path.name for path in day_file(tmp_path).parent.iterdir()) == ["segments", "ticks.parquet"]


def test_a_long_day_is_compacted_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compaction, "ROWS_AT_ONCE", 300)
    store = store_at(tmp_path)
    for first in (0, 1000, 500, 1500, 900):  # overlapping, and not in order
        store.append(DAY, ticks(first, 600), SYMBOLS)
        store.flush()
    store.compact(DAY)
    assert stored(tmp_path) == expected(2100)
    assert pq.ParquetFile(day_file(tmp_path)).num_row_groups > 1, "rows were never all in memory"


def test_a_day_that_starts_over_can_be_forgotten(tmp_path: Path) -> None:
    store = store_at(tmp_path)
    store.append(DAY, ticks(0, 100), SYMBOLS)
    store.compact(DAY)
    store.append(DAY, ticks(100, 100), SYMBOLS)
    store.discard(DAY)
    store.append(DAY, ticks(0, 20), SYMBOLS)
    store.compact(DAY)
    assert stored(tmp_path) == expected(20)


def test_duckdb_asks_finished_days_and_running_ones(tmp_path: Path) -> None:
    with TickQueries(tmp_path) as queries:
        assert queries.sql("SELECT count(*) FROM ticks").rows == [(0,)]
        store = store_at(tmp_path)
        store.append(DAY, ticks(0, 100), SYMBOLS)
        store.compact(DAY)
        store.append(date(2026, 8, 3), ticks(0, 60, levels=0), SYMBOLS)
        store.flush()
        answer = queries.sql(
            "SELECT date, symbol, count(*) AS n, max(ltp) AS high, count(vwap) AS warm, min(timestamp) AS first "
            "FROM ticks GROUP BY ALL ORDER BY ALL"
        )
    assert answer.columns == ["date", "symbol", "n", "high", "warm", "first"]
    assert [row[:5] for row in answer.rows] == [
        (DAY, "NSE_EQ:INFY", 50, 105.0, 49),
        (DAY, "NSE_EQ:TCS", 50, 104.95, 49),
        (date(2026, 8, 3), "NSE_EQ:INFY", 30, 103.0, 29),
        (date(2026, 8, 3), "NSE_EQ:TCS", 30, 102.95, 29),
    ]
    assert answer.rows[0][5].isoformat() == "2026-07-31T09:15:00.123456+05:30"


@pytest.mark.parametrize(
    "query",
    [
        "DROP VIEW ticks",
        "SELECT 1; SELECT 2",
        "COPY (SELECT 1) TO 'x.csv'",
        "SET enable_external_access = true",
        "SELECT * FROM read_text('/etc/hostname')",
        "SELECT nothing FROM ticks",
        "not SQL",
    ],
)
def test_queries_only_read_and_only_the_ticks(tmp_path: Path, query: str) -> None:
    with TickQueries(tmp_path) as queries, pytest.raises(UsageError):
        queries.sql(query)


def test_many_rows_are_written_without_waiting_for_a_flush(tmp_path: Path) -> None:
    store = store_at(tmp_path)
    for first in range(0, MAX_WAITING_ROWS + 1000, 1000):
        store.append(DAY, ticks(first, 1000), SYMBOLS)
    [segment] = (day_file(tmp_path).parent / "segments").iterdir()
    assert sum(batch.num_rows for batch in read_segment(segment)) >= MAX_WAITING_ROWS


def test_a_day_whose_depth_starts_late_keeps_all_its_rows(tmp_path: Path) -> None:
    store = store_at(tmp_path)
    store.append(DAY, ticks(0, 10, levels=0), SYMBOLS)
    store.append(DAY, ticks(10, 10), SYMBOLS)
    store.compact(DAY)
    assert stored(tmp_path) == expected(20)
    assert pq.read_table(day_file(tmp_path), partitioning=None)["bid_price_1"].null_count == 10
