"""Rows of the contract's Parquet files as NumPy columns, and the rows that cannot be told apart by name and number."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from quant_platform.adapters.ticks.file_schema import DEPTH_COLUMNS, DataFile, Kind, RowGroup, unreadable
from quant_platform.domain.errors import DataError
from quant_platform.domain.instruments import full_symbol
from quant_platform.domain.money import prices_to_paise
from quant_platform.domain.session import IST
from quant_platform.domain.ticks import (
    IST_OFFSET_NS,
    MAX_LEVEL_QUANTITY,
    NS_PER_DAY,
    NS_PER_SECOND,
    BarBatch,
)
from quant_platform.ports.tick_store import StoredBar

BATCH_ROWS = 1 << 19
"""Rows decoded at a time: bounds the memory that one huge row group takes."""

_MAX_PAISE = 2**31 - 1
_NOT_WANTED, _NO_SYMBOL = -1, -2

Columns = dict[str, NDArray[Any]]
"""Columns of equal length by the names of TickBatch or BarBatch; those that no file of the run has are left out."""

DEPTH_FIELDS = ("bid_price", "bid_qty", "ask_price", "ask_qty")


class Piece(NamedTuple):
    """Rows of one IST date that stand in one part of a file, in file order."""

    day: int  # days since the epoch
    row: int  # place in the file of the part, for putting pieces into file order
    columns: Columns


class RowCount(NamedTuple):
    """How many rows a symbol has on a day in one row group."""

    day: int  # days since the epoch
    symbol: str
    rows: int


@dataclass(frozen=True)
class RowReader:
    """Reads row groups of one file.

    Attributes:
        file: what to read.
        numbers: the symbols wanted and their numbers.
        first_day: first IST date wanted, in days since the epoch.
        last_day: last one.
        skip_bad_rows: leave impossible rows out and count them instead of raising.
        skipped: rows left out, by what was wrong with them.
    """

    file: DataFile
    numbers: Mapping[str, int]
    first_day: int
    last_day: int
    skip_bad_rows: bool
    skipped: Counter[str] = field(default_factory=Counter)

    def pieces(self, group: RowGroup) -> Iterator[Piece]:
        """The wanted rows of a row group, in parts of one day each.

        Raises:
            DataError: the file is damaged, or a wanted row is impossible.
        """
        for row, batch in _record_batches(self.file, group, self.file.columns):
            yield from self._pieces_of(batch, row)

    def _pieces_of(self, batch: Any, row: int) -> Iterator[Piece]:
        rows, ts, numbers, batch = self._wanted(batch, row)
        if not ts.size:
            return
        columns: Columns = {"ts": ts, "symbol": numbers}
        columns |= _tick_columns(batch) if self.file.kind is Kind.TICKS else _candle_columns(batch)
        good = self._good_rows(batch, rows, columns)
        if good is not None:
            columns = {name: column[good] for name, column in columns.items()}
            ts = columns["ts"]
        if not ts.size:
            return
        days = _ist_days(ts)
        if days[0] != days[-1] or days.min() != days.max():
            yield from _by_day(days, row, columns)
        else:
            yield Piece(int(days[0]), row, columns)

    def _wanted(self, batch: Any, row: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int32], Any]:
        """Rows within the selection: their places in the file, stamps, symbol numbers and all their columns."""
        ts, timeless = _stamps(batch.column("timestamp"), self.file.ns_per_unit)
        codes, names = _symbols(batch.column("symbol"))
        table = np.array(
            [_NO_SYMBOL if name is None else self.numbers.get(name, _NOT_WANTED) for name in names]
            + [_NO_SYMBOL],  # the last place is that of code -1
            np.int32,
        )
        numbers = table[codes]
        days = _ist_days(ts)
        wanted = (numbers >= 0) & (days >= self.first_day) & (days <= self.last_day)
        nameless = numbers == _NO_SYMBOL
        for column, lost in (("timestamp", timeless), ("symbol", nameless)):
            if lost.any():
                self._found_bad(batch, row, column, lost)
                wanted &= ~lost
        if wanted.all():
            return np.arange(row, row + ts.size), ts, numbers, batch
        places = np.flatnonzero(wanted)
        return row + places, ts[places], numbers[places], batch.filter(pa.array(wanted))

    def _good_rows(self, batch: Any, rows: NDArray[np.int64], columns: Columns) -> NDArray[np.bool_] | None:
        """A mask of the rows that can be, None where all can."""
        bad = np.zeros(rows.size, np.bool_)
        prices = ("ltp",) if self.file.kind is Kind.TICKS else ("open", "high", "low", "close")
        checks = [(name, (columns[name] < 1) | (columns[name] == _MAX_PAISE)) for name in prices]
        checks.append(("volume", columns["volume"] < 0))
        if self.file.kind is not Kind.TICKS:
            checks.append(("high", columns["high"] < columns["low"]))
        for name, impossible in checks:
            worse = impossible & ~bad
            if worse.any():
                self._found_bad(batch, int(rows[0]), name, worse, rows)
                bad |= worse
        return ~bad if bad.any() else None

    def _found_bad(
        self,
        batch: Any,
        row: int,
        column: str,
        impossible: NDArray[np.bool_],
        rows: NDArray[np.int64] | None = None,
    ) -> None:
        if self.skip_bad_rows:
            self.skipped[column] += int(impossible.sum())
            return
        place = int(np.flatnonzero(impossible)[0])
        number = row + place if rows is None else int(rows[place])
        raise impossible_row(self.file, batch, place, number, column)


def impossible_row(file: DataFile, batch: Any, place: int, row: int, column: str) -> DataError:
    """The error that names a row, what it is of and what is wrong with it."""
    values = {name: batch.column(name)[place] for name in batch.schema.names}
    described = f"{file.path}, row {row} (counted from 0"
    stamp = values["timestamp"].cast(pa.int64()).as_py()
    if values["symbol"].as_py() and stamp is not None and column != "timestamp":
        seconds = stamp * file.ns_per_unit // NS_PER_SECOND
        described += f"; {values['symbol'].as_py()} at {_ist_time(seconds)}"
    value = values[column].as_py() if column != "timestamp" else stamp
    wrong = {
        "timestamp": f"timestamp {value} is no time",
        "symbol": f"symbol {value!r} is no symbol",
        "volume": f"volume {value} is not a count of shares",
    }.get(column, f"{column} {value} is not a price")
    if column == "high" and values["low"].as_py() is not None and value is not None and value < values["low"].as_py():
        wrong = f"high {value} is below low {values['low'].as_py()}"
    return DataError(f"{described}): {wrong}", "correct the file, or leave such rows out with --skip-bad-rows")


def count_rows(file: DataFile, group: RowGroup, skip_bad_rows: bool) -> list[RowCount]:
    """Rows of a row group by IST date and symbol; reads those two columns only.

    Raises:
        DataError: the file is damaged, or a row has no time or symbol (unless bad rows are skipped).
    """
    reader = RowReader(file, {}, group.first_day, group.last_day, skip_bad_rows)
    counts: Counter[tuple[int, str]] = Counter()
    for row, batch in _record_batches(file, group, ("timestamp", "symbol")):
        ts, timeless = _stamps(batch.column("timestamp"), file.ns_per_unit)
        codes, names = _symbols(batch.column("symbol"))
        nameless = codes < 0
        for code, name in enumerate(names):
            if name is None:
                nameless |= codes == code
        for column, lost in (("timestamp", timeless), ("symbol", nameless)):
            if lost.any():
                reader._found_bad(batch, row, column, lost)
        if timeless.any() or nameless.any():
            known = ~(timeless | nameless)
            ts, codes = ts[known], codes[known]
        for day, code, rows in _count_pairs(_ist_days(ts), codes, len(names)):
            counts[day, str(names[code])] += rows
    return [RowCount(day, name, rows) for (day, name), rows in counts.items()]


def _count_pairs(days: NDArray[np.int64], codes: NDArray[np.int32], width: int) -> Iterator[tuple[int, int, int]]:
    if not days.size:
        return
    first = int(days.min())
    pairs = (days - first) * width + codes
    span = int(days.max()) - first + 1
    if span * width <= max(1 << 16, 4 * days.size):
        table = np.bincount(pairs)
        found = np.flatnonzero(table)
        rows = table[found]
    else:
        found, rows = np.unique(pairs, return_counts=True)
    for pair, number in zip(found.tolist(), rows.tolist(), strict=True):
        yield first + pair // width, pair % width, number


def _record_batches(file: DataFile, group: RowGroup, columns: tuple[str, ...]) -> Iterator[tuple[int, Any]]:
    row = group.first_row
    try:
        with file.open() as parquet:
            for batch in parquet.iter_batches(BATCH_ROWS, row_groups=[group.number], columns=list(columns)):
                yield row, batch
                row += batch.num_rows
    except (pa.ArrowException, OSError) as error:
        raise unreadable(file.path, error) from error


def _by_day(days: NDArray[np.int64], row: int, columns: Columns) -> Iterator[Piece]:
    if (days[1:] < days[:-1]).any():
        order = np.argsort(days, kind="stable")
        days = days[order]
        columns = {name: column[order] for name, column in columns.items()}
    starts = np.flatnonzero(np.diff(days, prepend=days[0] - 1))
    for start, stop in zip(starts, np.append(starts[1:], days.size), strict=True):
        # Copied: a view would keep the other days' rows in memory for as long as this day waits.
        yield Piece(int(days[start]), row, {name: column[start:stop].copy() for name, column in columns.items()})


def _ist_days(ts: NDArray[np.int64]) -> NDArray[np.int64]:
    return (ts + IST_OFFSET_NS) // NS_PER_DAY


def _ist_time(seconds: int) -> str:
    from datetime import datetime  # noqa: PLC0415

    return f"{datetime.fromtimestamp(seconds, IST):%Y-%m-%d %H:%M:%S} IST"


def _stamps(column: Any, ns_per_unit: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Stamps in ns UTC, and which of them are missing or beyond what 64 bits hold."""
    raw = column.cast(pa.int64())
    stamps = raw.fill_null(0).to_numpy() if raw.null_count else raw.to_numpy()
    limit = (2**63 - 1 - NS_PER_DAY) // ns_per_unit
    lost = (stamps > limit) | (stamps < -limit)
    if raw.null_count:
        lost |= raw.is_null().to_numpy(zero_copy_only=False)
    return stamps * ns_per_unit, lost


@lru_cache(maxsize=1 << 16)
def _full_symbol_or_none(name: str | None) -> str | None:
    if not name:
        return None
    try:
        return full_symbol(name)
    except DataError:
        return None


def _symbols(column: Any) -> tuple[NDArray[np.int32], list[str | None]]:
    """Dictionary codes, -1 where there is none, and the full symbol of every code, None where it is none."""
    coded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    indices = coded.indices
    codes = (indices.fill_null(-1) if indices.null_count else indices).to_numpy()
    return codes.astype(np.int32, copy=False), [_full_symbol_or_none(name) for name in coded.dictionary.to_pylist()]


def _floats(column: Any) -> NDArray[np.float64]:
    """A numeric column as float64, NaN where there is no value."""
    if pa.types.is_decimal(column.type):
        column = column.cast(pa.float64())
    return np.asarray(column.to_numpy(zero_copy_only=False), np.float64)


def _counts(column: Any, missing: int) -> NDArray[np.int64]:
    """A numeric column as int64, ``missing`` where there is no number."""
    if pa.types.is_integer(column.type) and not pa.types.is_uint64(column.type):
        filled = column.fill_null(missing) if column.null_count else column
        return np.asarray(filled.to_numpy(), np.int64)
    values = np.rint(_floats(column))
    usable = np.abs(values) < 2**62
    return np.where(usable, values, missing).astype(np.int64)


def _tick_columns(batch: Any) -> Columns:
    present = set(batch.schema.names)
    columns: Columns = {
        "ltp": prices_to_paise(_floats(batch.column("ltp"))),
        "volume": _counts(batch.column("volume"), -1),
    }
    if "seq" in present:
        columns["seq"] = _counts(batch.column("seq"), 0)
    if "flags" in present:
        columns["flags"] = _counts(batch.column("flags"), 0).astype(np.uint8)
    if "atp" in present:
        atp = _floats(batch.column("atp"))
        columns["atp"] = np.where(np.isfinite(atp) & (atp > 0), atp, 0.0)
    for depth_field, names in zip(DEPTH_FIELDS, DEPTH_COLUMNS, strict=True):
        if not present.intersection(names):
            continue
        levels = np.zeros((batch.num_rows, len(names)), np.int32)
        for level, name in enumerate(names):
            if name in present:
                levels[:, level] = _level(batch.column(name), depth_field)
        columns[depth_field] = levels
    return columns


def _level(column: Any, depth_field: str) -> NDArray[np.int32]:
    if depth_field.endswith("price"):
        return np.maximum(prices_to_paise(_floats(column)), 0)
    return np.clip(_counts(column, 0), 0, MAX_LEVEL_QUANTITY).astype(np.int32)


def _candle_columns(batch: Any) -> Columns:
    prices = {name: prices_to_paise(_floats(batch.column(name))) for name in ("open", "high", "low", "close")}
    return prices | {"volume": _counts(batch.column("volume"), -1)}


def warm_up_bars(file: DataFile, numbers: Mapping[str, int]) -> list[StoredBar]:
    """What warmed and repaired a recorded day, in the order in which it was recorded.

    Bars of symbols that have no tick in the run are left out: nothing depends on them.

    Raises:
        DataError: the file is damaged or holds an impossible row.
    """
    parts: dict[tuple[str, int, str], list[Columns]] = {}
    reader = RowReader(file, numbers, -(2**31), 2**31, skip_bad_rows=False)
    for group in file.row_groups:
        for row, batch in _record_batches(file, group, file.columns):
            rows, ts, symbols, wanted = reader._wanted(batch, row)
            columns: Columns = {"ts": ts, "symbol": symbols}
            columns |= _candle_columns(wanted)
            reader._good_rows(wanted, rows, columns)
            before, kinds = _counts(wanted.column("before_seq"), 0), wanted.column("kind").to_pylist()
            names = {number: name for name, number in numbers.items()}
            keys = [(names[s], b, k) for s, b, k in zip(symbols.tolist(), before.tolist(), kinds, strict=True)]
            for key in dict.fromkeys(keys):
                places = np.array([place for place, other in enumerate(keys) if other == key])
                parts.setdefault(key, []).append({name: column[places] for name, column in columns.items()})
    joined = {
        key: BarBatch(**{name: np.concatenate([part[name] for part in found]) for name in found[0]})
        for key, found in parts.items()
    }
    return [StoredBar(*key, bars) for key, bars in joined.items()]
