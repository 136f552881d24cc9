"""Made-up files of the contract for the tests of the file source."""

from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from quant_platform.adapters.ticks.files import FileTickSource
from quant_platform.domain.session import IST, ist_date
from quant_platform.domain.tick_order import is_in_order

MONDAY = date(2021, 4, 5)
SESSIONS = [date(2021, 4, 5), date(2021, 4, 6), date(2021, 4, 7), date(2021, 4, 8), date(2021, 4, 9)]
STAMP = pa.timestamp("ms", "Asia/Kolkata")


def moment(day: date, clock: str) -> datetime:
    return datetime.fromisoformat(f"{day} {clock}").replace(tzinfo=IST)


def tick_table(days: list[date] = SESSIONS, a_day: int = 300, seed: int = 1) -> pa.Table:
    """Trades of three symbols, sorted by day, symbol and time, with some equal stamps."""
    rng = np.random.default_rng(seed)
    stamps, names, prices, volumes = [], [], [], []
    for day in days:
        opens = moment(day, "09:10")
        for name in ("NSE_EQ:INFY", "NSE_EQ:SBIN", "NSE_EQ:TCS"):
            seconds = np.sort(rng.integers(0, 3600, a_day))
            stamps += [opens + timedelta(seconds=int(second)) for second in seconds]
            names += [name] * a_day
            prices += (1000 + rng.integers(-100, 100, a_day) * 0.05).tolist()
            volumes += np.cumsum(rng.integers(0, 9, a_day)).tolist()
    return pa.table({"timestamp": pa.array(stamps, STAMP), "symbol": names, "ltp": prices, "volume": volumes})


def candle_table(days: list[date] = SESSIONS, minutes: int = 60) -> pa.Table:
    rows = []
    for day in days:
        for name in ("NSE_EQ:INFY", "NSE_EQ:TCS"):
            for minute in range(minutes):
                price = 1000.0 + minute
                stamp = moment(day, "09:15") + timedelta(minutes=minute)
                rows.append((stamp, name, price, price + 2, price - 2, price + 1, 10 * minute + 7))
    columns = zip(*rows, strict=True)
    names = ("timestamp", "symbol", "open", "high", "low", "close", "volume")
    table = pa.table(dict(zip(names, map(list, columns), strict=True)))
    return table.set_column(0, "timestamp", table["timestamp"].cast(STAMP))


def with_value(table: pa.Table, column: str, row: int, value: Any) -> pa.Table:
    values = table[column].to_pylist()
    values[row] = value
    place = table.schema.get_field_index(column)
    return table.set_column(place, column, pa.array(values, table.schema.field(column).type))


def write(path: Path, table: pa.Table, **settings: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, **settings)
    return path


def shuffled(table: pa.Table, seed: int = 3) -> pa.Table:
    return table.take(pa.array(np.random.default_rng(seed).permutation(len(table))))


def rows_of(source: FileTickSource) -> list[tuple[Any, ...]]:
    """Everything a source hands out, with the symbols spelled out."""
    found = []
    for day in source.days():
        ticks = day.ticks
        assert is_in_order(ticks.ts, ticks.symbol)
        assert {ist_date(int(ts)) for ts in ticks.ts} == {day.day}
        names = [source.symbols[number] for number in ticks.symbol]
        found += zip(ticks.ts.tolist(), names, ticks.ltp.tolist(), ticks.volume.tolist(), strict=True)
    return found


def expected_rows(table: pa.Table) -> list[tuple[Any, ...]]:
    stamps = [int(stamp.timestamp()) * 10**9 for stamp in table["timestamp"].to_pylist()]
    prices = [round(price * 100) for price in table["ltp"].to_pylist()]
    rows = list(zip(stamps, table["symbol"].to_pylist(), prices, table["volume"].to_pylist(), strict=True))
    return sorted(rows, key=lambda row: row[:2])
