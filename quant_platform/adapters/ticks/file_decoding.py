"""Reading row groups: the wanted rows as columns day by day, and an error that names a row which cannot be."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from quant_platform.adapters.ticks.file_columns import (
    Columns,
    candle_columns,
    stamps,
    symbols,
    tick_columns,
    whole_numbers,
)
from quant_platform.adapters.ticks.file_schema import CANDLE_PRICES, DataFile, Kind, RowGroup, unreadable
from quant_platform.adapters.ticks.read_ahead import read_ahead
from quant_platform.domain.errors import DataError
from quant_platform.domain.money import MAX_PAISE
from quant_platform.domain.session import ist_time
from quant_platform.domain.ticks import BarBatch, trading_day, trading_days
from quant_platform.ports.tick_store import StoredBar

BATCH_ROWS = 1 << 16
"""Rows decoded at a time: their columns stay in the second-level cache from one step to the next."""

MANY_COLUMNS = 10
"""So many take longer to decode than all that is done with them afterwards."""

ALWAYS = (-(2**31), 2**31)
"""First and last day, in days since the epoch, of a selection without limits."""

_NOT_WANTED, _NO_SYMBOL = -1, -2

Places = range | NDArray[np.int64]
"""Where rows stand in their file, counted from 0."""


class Piece(NamedTuple):
    """Rows of one IST date that stand in one part of a file, in file order."""

    day: int  # days since the epoch
    row: int  # place in the file of the part, for putting pieces into file order
    columns: Columns


class _Wanted(NamedTuple):
    """Rows of a record batch that are in the selection."""

    places: Places
    ts: NDArray[np.int64]
    symbol: NDArray[np.int32]
    batch: Any


@dataclass(frozen=True)
class RowReader:
    """Reads row groups of one file.

    Attributes:
        file: what to read.
        numbers: the symbols wanted and their numbers.
        first_day: first IST date wanted, in days since the epoch.
        last_day: last one.
        skip_bad_rows: leave impossible rows out and count them instead of raising.
        skipped: rows left out, by the column that was impossible.
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
            _, columns = self._rows_of(batch, row)
            yield from _by_day(row, columns)

    def warm_up_bars(self) -> list[StoredBar]:
        """What warmed and repaired a recorded day, in the order in which it was recorded.

        Raises:
            DataError: as :meth:`pieces`.
        """
        names = {number: name for name, number in self.numbers.items()}
        parts: dict[tuple[str, int, str], list[BarBatch]] = {}
        for group in self.file.row_groups:
            for row, batch in _record_batches(self.file, group, self.file.columns):
                wanted, columns = self._rows_of(batch, row)
                bars = BarBatch(**columns)
                seqs = whole_numbers(wanted.column("before_seq"), 0).tolist()
                kinds = wanted.column("kind").to_pylist()
                places: dict[tuple[str, int, str], list[int]] = {}
                for place, key in enumerate(zip(bars.symbol.tolist(), seqs, kinds, strict=True)):
                    places.setdefault((names[key[0]], *key[1:]), []).append(place)
                for label, chosen in places.items():
                    parts.setdefault(label, []).append(BarBatch._make(column[chosen] for column in bars))
        return [
            StoredBar(*label, BarBatch._make(map(np.concatenate, zip(*found, strict=True))))
            for label, found in parts.items()
        ]

    def check_keys(self, batch: Any, row: int, lost: Mapping[str, NDArray[np.bool_] | None]) -> None:
        """Count or refuse rows without a time or symbol; ``row`` is the place of the batch's first row."""
        for column, mask in lost.items():
            if mask is not None and mask.any():
                self._found(batch, range(row, row + mask.size), column, mask)

    def _rows_of(self, batch: Any, row: int) -> tuple[Any, Columns]:
        """The wanted, possible rows: the batch cut down to them, and their columns."""
        wanted = self._wanted(batch, row)
        columns: Columns = {"ts": wanted.ts, "symbol": wanted.symbol}
        columns |= (tick_columns if self.file.kind is Kind.TICKS else candle_columns)(wanted.batch)
        good = self._possible(wanted, columns)
        if good is None:
            return wanted.batch, columns
        return wanted.batch.filter(pa.array(good)), {name: column[good] for name, column in columns.items()}

    def _wanted(self, batch: Any, row: int) -> _Wanted:
        ts, timeless = stamps(batch.column("timestamp"), self.file.ns_per_unit)
        codes, names = symbols(batch.column("symbol"))
        numbers = [_NO_SYMBOL if name is None else self.numbers.get(name, _NOT_WANTED) for name in names]
        symbol = np.array([*numbers, _NO_SYMBOL], np.int32)[codes]  # code -1, no symbol, takes the last
        if not ts.size or (
            timeless is None
            and symbol.min() >= 0
            and trading_day(ts.min()) >= self.first_day
            and trading_day(ts.max()) <= self.last_day
        ):
            return _Wanted(range(row, row + ts.size), ts, symbol, batch)
        self.check_keys(batch, row, {"timestamp": timeless, "symbol": symbol == _NO_SYMBOL})
        days = trading_days(ts)
        wanted = (symbol >= 0) & (days >= self.first_day) & (days <= self.last_day)
        if timeless is not None:
            wanted &= ~timeless
        places = np.flatnonzero(wanted)
        return _Wanted(row + places, ts[places], symbol[places], batch.filter(pa.array(wanted)))

    def _possible(self, wanted: _Wanted, columns: Columns) -> NDArray[np.bool_] | None:
        """A mask of the rows that can be, None where all can."""
        good: NDArray[np.bool_] | None = None
        for name, impossible in _impossible_rows(self.file.kind, columns):
            if good is None:
                good = np.ones(impossible.size, np.bool_)
            self._found(wanted.batch, wanted.places, name, impossible & good)
            good &= ~impossible
        return good

    def _found(self, batch: Any, places: Places, column: str, impossible: NDArray[np.bool_]) -> None:
        if self.skip_bad_rows:
            self.skipped[column] += int(impossible.sum())
            return
        at = int(np.flatnonzero(impossible)[0])
        row = {name: batch.column(name)[at] for name in batch.schema.names}
        raise DataError(
            f"{self.file.path}, row {places[at]} (counted from 0{self._which(row, column)}): {_wrong(row, column)}",
            "correct the file, or leave such rows out with --skip-bad-rows",
        )

    def _which(self, row: Mapping[str, Any], column: str) -> str:
        if column in ("timestamp", "symbol"):
            return ""
        stamp = row["timestamp"].cast(pa.int64()).as_py()
        at = ist_time(stamp * self.file.ns_per_unit)
        return f"; {row['symbol'].as_py()} at {at:%Y-%m-%d %H:%M:%S} IST"


def _impossible_rows(kind: Kind, columns: Columns) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """Columns with impossible values, and in which rows.

    A candle's open or close a little outside its low and high is let through: vendors round and adjust the four
    prices one by one, and as ticks they are only prices. A high below the low is no candle.
    """
    for name in ("ltp",) if kind is Kind.TICKS else CANDLE_PRICES:
        prices = columns[name]
        if prices.size and (prices.min() < 1 or prices.max() == MAX_PAISE):
            yield name, (prices < 1) | (prices == MAX_PAISE)
    volume = columns["volume"]
    if volume.size and volume.min() < 0:
        yield "volume", volume < 0
    if kind is not Kind.TICKS:
        inverted = columns["high"] < columns["low"]
        if inverted.any():
            yield "high", inverted


def _wrong(row: Mapping[str, Any], column: str) -> str:
    if column == "timestamp":
        return f"timestamp {row[column].cast(pa.int64()).as_py()} is no time"
    value = row[column].as_py()
    if column == "symbol":
        return f"{value!r} is no symbol"
    if column == "volume":
        return f"volume {value} is no number of shares"
    if column == "high" and value is not None and 0 < value < row["low"].as_py():
        return f"high {value} is below low {row['low'].as_py()}"
    return f"{column} {value} is no price"


def count_rows(file: DataFile, group: RowGroup, skip_bad_rows: bool) -> Mapping[tuple[int, str], int]:
    """Rows of a row group by IST date (in days since the epoch) and symbol; reads no more columns than that takes.

    Raises:
        DataError: the file is damaged, or a row has no time or symbol (unless bad rows are skipped).
    """
    reader = RowReader(file, {}, *ALWAYS, skip_bad_rows)
    counts: Counter[tuple[int, str]] = Counter()
    of_one_day = group.first_day == group.last_day and not group.suspect
    for row, batch in _record_batches(file, group, ("symbol",) if of_one_day else ("timestamp", "symbol")):
        codes, names = symbols(batch.column("symbol"))
        malformed = [code for code, name in enumerate(names) if name is None]
        nameless = np.isin(codes, [-1, *malformed]) if malformed or codes.min(initial=0) < 0 else None
        ts, timeless = (None, None) if of_one_day else stamps(batch.column("timestamp"), file.ns_per_unit)
        reader.check_keys(batch, row, {"timestamp": timeless, "symbol": nameless})
        lost = [mask for mask in (timeless, nameless) if mask is not None]
        if lost:
            known = ~np.logical_or.reduce(lost)
            ts, codes = None if ts is None else ts[known], codes[known]
        order, slices = (None, [(group.first_day, 0, codes.size)]) if ts is None else _day_slices(ts)
        codes = codes if order is None else codes[order]
        for day, start, stop in slices:
            rows_of_code = np.bincount(codes[start:stop])
            for code in np.flatnonzero(rows_of_code).tolist():
                counts[day, str(names[code])] += int(rows_of_code[code])
    return counts


def _record_batches(file: DataFile, group: RowGroup, columns: Sequence[str]) -> Iterator[tuple[int, Any]]:
    """Batches of a row group, each with the place of its first row.

    Many columns are decoded in two halves, each in a thread of its own: Arrow's own threads, one a column, would spend
    a quarter more.
    """
    row = group.first_row
    halves = [columns[::2], columns[1::2]] if len(columns) >= MANY_COLUMNS else [columns]
    try:
        with ExitStack() as opened:
            parts = [
                opened.enter_context(file.open()).iter_batches(
                    BATCH_ROWS, row_groups=[group.number], columns=list(half), use_threads=False
                )
                for half in halves
            ]
            for batches in zip(*(read_ahead(part, "decode") for part in parts), strict=True):
                yield row, _side_by_side(batches)
                row += batches[0].num_rows
    except (pa.ArrowException, OSError) as error:
        raise unreadable(file.path, error) from error


def _side_by_side(batches: Sequence[Any]) -> Any:
    if len(batches) == 1:
        return batches[0]
    names = [name for batch in batches for name in batch.schema.names]
    return pa.RecordBatch.from_arrays([column for batch in batches for column in batch.columns], names)


def _by_day(row: int, columns: Columns) -> Iterator[Piece]:
    order, slices = _day_slices(columns["ts"])
    if order is not None:
        columns = {name: column[order] for name, column in columns.items()}
    rows = columns["ts"].size
    for day, start, stop in slices:
        part = {name: column[start:stop] for name, column in columns.items()}
        if 2 * (stop - start) < rows:
            # A view would keep all the other days' rows in memory for as long as this day waits.
            part = {name: column.copy() for name, column in part.items()}
        yield Piece(day, row, part)


def _day_slices(ts: NDArray[np.int64]) -> tuple[NDArray[np.intp] | None, list[tuple[int, int, int]]]:
    """The order that brings rows of one IST date together (None: they are), and day, start and stop of each."""
    if not ts.size:
        return None, []
    first, last = trading_day(ts.min()), trading_day(ts.max())
    if first == last:
        return None, [(first, 0, ts.size)]
    days = trading_days(ts)
    order = np.argsort(days, kind="stable") if (days[1:] < days[:-1]).any() else None
    if order is not None:
        days = days[order]
    present = np.arange(first, last + 1) if last - first < days.size else np.unique(days)
    starts = np.searchsorted(days, present)
    stops = np.searchsorted(days, present, side="right")
    slices = zip(present.tolist(), starts.tolist(), stops.tolist(), strict=True)
    return order, [part for part in slices if part[1] < part[2]]
