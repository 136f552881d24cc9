"""A day of the ticks in the series store as one Parquet file, and back."""

from collections.abc import Collection, Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from quant_platform.domain.session import covered, ist_date, midnight_ns, session_on
from quant_platform.domain.ticks import NS_PER_DAY
from quant_platform.ports.series_store import TICKS, Labels, Place, SeriesReader, TickRows, place_after

ROWS_AT_ONCE = 50_000

_SCHEMA = pa.schema(
    [
        ("timestamp", pa.timestamp("ns", tz="UTC")),
        ("symbol", pa.string()),
        ("seq", pa.int64()),
        ("ltp", pa.float64()),
        ("volume", pa.int64()),
        *((name, pa.float64()) for name in ("vwap", "rsi", "obi", "sma", "spread")),
        ("aggressor", pa.string()),
        ("flags", pa.uint8()),
    ]
)


def write_day(reader: SeriesReader, symbols: Collection[str], day: date, path: Path) -> int:
    """Write all ticks of an IST date, symbol by symbol; returns how many.

    Raises:
        UnavailableError: the series store cannot be reached now.
        ConfigurationError: its address or password is wrong.
    """
    count = 0
    with pq.ParquetWriter(path, _SCHEMA, compression="zstd") as writer:
        for symbol in sorted(symbols):
            for rows in _ticks_of(reader, symbol, midnight_ns(day)):
                writer.write_table(_table(rows))
                count += rows.timestamp.size
    return count


def read_day(path: Path) -> Iterator[TickRows]:
    """The ticks of such a file, part by part."""
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(ROWS_AT_ONCE):
            yield TickRows._make(_column(batch.column(field.name)) for field in _SCHEMA)


def newest_days(reader: SeriesReader, symbols: Collection[str], count: int) -> Iterator[date]:
    """The IST date of the newest tick of all symbols, and the trading days before it, the newest first.

    Raises:
        UnavailableError: the series store cannot be reached now, or has no such table yet.
        ConfigurationError: its address or password is wrong.
    """
    newest = (reader.newest(TICKS, symbol, 1).timestamp for symbol in symbols)
    stamps = [int(found[-1]) for found in newest if found.size]
    if not stamps:
        return
    day = ist_date(max(stamps))
    while count and day >= covered()[0]:
        if session_on(day) is not None:
            count -= 1
            yield day
        day -= timedelta(days=1)


def _ticks_of(reader: SeriesReader, symbol: str, start_ns: int) -> Iterator[TickRows]:
    place = Place(start_ns)
    while True:
        rows = reader.between(TICKS, symbol, place, start_ns + NS_PER_DAY, ROWS_AT_ONCE)
        if not rows.timestamp.size:
            return
        yield rows
        place = place_after(rows)


def _table(rows: TickRows) -> Any:
    arrays = []
    columns: tuple[Any, ...] = rows
    for field, column in zip(_SCHEMA, columns, strict=True):
        if isinstance(column, Labels):
            arrays.append(pa.array(column.names, pa.string()).take(pa.array(column.codes)))
        elif field.name == "timestamp":
            arrays.append(pa.array(column).cast(field.type))
        else:
            arrays.append(pa.array(column, field.type, from_pandas=column.dtype.kind == "f"))
    return pa.Table.from_arrays(arrays, schema=_SCHEMA)


def _column(column: Any) -> Any:
    if pa.types.is_string(column.type):
        return Labels.of(column.to_pylist())
    if pa.types.is_timestamp(column.type):
        return column.cast(pa.int64()).to_numpy()
    return np.ascontiguousarray(column.to_numpy(zero_copy_only=False))
