"""Which Parquet files a run reads, what each of them holds, and where in it which dates stand."""

import glob
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from quant_platform.domain.errors import DataError
from quant_platform.domain.ticks import IST_OFFSET_NS, LEVELS, NS_PER_DAY

DEPTH_COLUMNS = tuple(
    tuple(f"{side}_{what}_{level}" for level in range(1, LEVELS + 1))
    for side in ("bid", "ask")
    for what in ("price", "qty")
)
"""Names of the five columns behind each of TickBatch's four depth columns, in their order."""

_NS_PER_UNIT = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
_FAR_PAST, _FAR_FUTURE = -(2**31), 2**31
CANDLE_PRICES = ("open", "high", "low", "close")


class Kind(Enum):
    """What a row of a file is."""

    TICKS = "ticks"
    CANDLES = "candles"
    BARS = "warm-up bars"

    @property
    def required(self) -> tuple[str, ...]:
        """Columns without which a file is not one of this kind."""
        if self is Kind.TICKS:
            return ("timestamp", "symbol", "ltp", "volume")
        candle = ("timestamp", "symbol", *CANDLE_PRICES, "volume")
        return candle if self is Kind.CANDLES else (*candle, "before_seq", "kind")

    @property
    def optional(self) -> tuple[str, ...]:
        """Columns that are read when they are there."""
        if self is not Kind.TICKS:
            return ()
        return ("seq", "atp", "flags", *(name for names in DEPTH_COLUMNS for name in names))


@dataclass(frozen=True, slots=True)
class RowGroup:
    """A part of a file that is read as one.

    Attributes:
        number: within the file.
        first_row: its first row's place in the file.
        rows: how many it has.
        first_ts: ns UTC of its earliest row; far in the past where the file does not say.
        first_day: that row's IST date, in days since the epoch.
        last_day: IST date of its latest row; far in the future where the file does not say.
        suspect: the file's statistics show a value that cannot be, or there are none.
    """

    number: int
    first_row: int
    rows: int
    first_ts: int
    first_day: int
    last_day: int
    suspect: bool


@dataclass(frozen=True)
class DataFile:
    """A readable file of the contract.

    Attributes:
        path: as the user gave it, for messages.
        kind: what its rows are.
        columns: those to read, in the file's order.
        ns_per_unit: of its time stamps.
        row_groups: its parts, in order.
    """

    path: Path
    kind: Kind
    columns: tuple[str, ...]
    ns_per_unit: int
    row_groups: tuple[RowGroup, ...]
    metadata: Any  # pyarrow.parquet.FileMetaData: the footer, read once

    @cached_property
    def has_depth(self) -> bool:
        """Whether any depth column is there."""
        return any(name in self.columns for names in DEPTH_COLUMNS for name in names)

    def open(self) -> Any:
        """The file for reading, symbols as dictionary codes.

        Returns:
            A ``pyarrow.parquet.ParquetFile``.
        """
        return pq.ParquetFile(self.path, metadata=self.metadata, read_dictionary=["symbol"])


def find_files(paths: Iterable[str | Path]) -> list[Path]:
    """The Parquet files that paths name: files, folders (with all below them) and patterns.

    Returns:
        Each file once, in the order given; a folder's and a pattern's files by name.

    Raises:
        DataError: a path names nothing.
    """
    found: dict[Path, Path] = {}
    for given in paths:
        path = Path(given)
        if path.is_dir():
            matches = sorted(path.rglob("*.parquet"))
            if not matches:
                raise DataError(f"the folder {path} holds no Parquet file", "name a folder with *.parquet files")
        elif path.exists():
            matches = [path]
        elif glob.has_magic(str(given)):
            named = sorted(glob.glob(str(given), recursive=True))  # noqa: PTH207  # Path.glob takes no absolute pattern
            matches = [match for name in named for match in _below(Path(name))]
            if not matches:
                raise DataError(f"no file matches {given}", "check the pattern")
        else:
            raise DataError(f"{path} does not exist", "check the path")
        for match in matches:
            found.setdefault(match.resolve(), match)
    if not found:
        raise DataError("no data file was given", "name files, folders or patterns of Parquet files")
    return list(found.values())


def _below(path: Path) -> Sequence[Path]:
    return sorted(path.rglob("*.parquet")) if path.is_dir() else [path]


def _kind_of(names: Sequence[str]) -> Kind:
    if {"before_seq", "kind"} <= set(names):
        return Kind.BARS
    if "ltp" in names or not set(CANDLE_PRICES) & set(names):
        return Kind.TICKS
    return Kind.CANDLES


def _check_columns(path: Path, kind: Kind, schema: Any) -> None:
    missing = [name for name in kind.required if name not in schema.names]
    if missing:
        plural = "s" if len(missing) > 1 else ""
        raise DataError(
            f"{path} has no column{plural} {', '.join(missing)}",
            f"a file of {kind.value} needs {', '.join(kind.required)}",
        )
    stamp = schema.field("timestamp").type
    if not pa.types.is_timestamp(stamp):
        raise DataError(f"{path}: column timestamp is {stamp}, not a time", "store it as a time with a time zone")
    if stamp.tz is None:
        raise DataError(f"{path}: column timestamp has no time zone", "store it tz-aware, for example in Asia/Kolkata")
    for name in (*kind.required[1:], *kind.optional):
        if name not in schema.names:
            continue
        found = schema.field(name).type
        if name in ("symbol", "kind"):
            text = found.value_type if pa.types.is_dictionary(found) else found
            fits = pa.types.is_string(text) or pa.types.is_large_string(text)
        else:
            fits = pa.types.is_integer(found) or pa.types.is_floating(found) or pa.types.is_decimal(found)
        if not fits:
            wanted = "text" if name in ("symbol", "kind") else "a number"
            raise DataError(f"{path}: column {name} is {found}, not {wanted}", "correct the file")


def open_data_file(path: Path) -> DataFile:
    """Read a file's footer and see what it holds.

    Raises:
        DataError: it is not Parquet, is truncated, lacks a column or has one of another type.
    """
    try:
        with pq.ParquetFile(path) as file:
            schema, metadata = file.schema_arrow, file.metadata
    except (pa.ArrowException, OSError) as error:
        raise unreadable(path, error) from error
    kind = _kind_of(schema.names)
    _check_columns(path, kind, schema)
    wanted = {*kind.required, *kind.optional}
    columns = tuple(name for name in schema.names if name in wanted)
    ns_per_unit = _NS_PER_UNIT[schema.field("timestamp").type.unit]
    return DataFile(path, kind, columns, ns_per_unit, _row_groups(metadata, kind, ns_per_unit), metadata)


def unreadable(path: Path, error: BaseException) -> DataError:
    """The error of a file that is truncated, damaged or not Parquet at all."""
    reason = " ".join(str(error).split())
    return DataError(
        f"{path} cannot be read as Parquet ({reason[:160]})", "it may be truncated or damaged: fetch or write it anew"
    )


def _row_groups(metadata: Any, kind: Kind, ns_per_unit: int) -> tuple[RowGroup, ...]:
    if not metadata.num_row_groups:
        return ()
    first = metadata.row_group(0)
    places = {first.column(place).path_in_schema: place for place in range(first.num_columns)}
    groups = []
    row = 0
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        statistics = {name: group.column(places[name]).statistics for name in kind.required}
        first_ts, last_ts = _times_between(statistics["timestamp"], ns_per_unit)
        first_day, last_day = ((ts + IST_OFFSET_NS) // NS_PER_DAY for ts in (first_ts, last_ts))
        suspect = any(_looks_impossible(name, found) for name, found in statistics.items())
        groups.append(RowGroup(number, row, group.num_rows, first_ts, first_day, last_day, suspect))
        row += group.num_rows
    return tuple(groups)


def _times_between(statistics: Any, ns_per_unit: int) -> tuple[int, int]:
    if statistics is None or not statistics.has_min_max or statistics.physical_type != "INT64":
        return _FAR_PAST * NS_PER_DAY, _FAR_FUTURE * NS_PER_DAY
    return int(statistics.min_raw) * ns_per_unit, int(statistics.max_raw) * ns_per_unit


def _looks_impossible(name: str, statistics: Any) -> bool:
    """Statistics leave NaN out: that is found only when the rows are read."""
    if statistics is None or not statistics.has_null_count or statistics.null_count:
        return True
    if name not in ("ltp", *CANDLE_PRICES, "volume"):
        return False
    if not statistics.has_min_max:
        return True
    if name == "volume":
        return bool(statistics.min < 0)
    return not (statistics.min >= 0.005 and statistics.max < 2**31 / 100)
