"""Merge segments into one Parquet file, each row once, in memory that does not grow with the day."""

import os
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from quant_platform.adapters.ticks.segments import read_segment, segments_in

ROWS_AT_ONCE = 131_072
"""So many rows, at least, are sorted and written together."""

_READ_ROWS = 65_536
_END_OF_TIME = 2**63 - 1


def compact_folder(segments: Path, target: Path, key: tuple[str, ...], *, in_key_order: bool) -> None:
    """Write the rows of ``target`` (if it is there) and of all segments to ``target``, and delete the segments.

    Args:
        segments: folder of the segments; nothing happens where it has none.
        target: the Parquet file; it is replaced in one step, once the new one is on the disk.
        key: columns that tell rows apart, ``timestamp`` first; the first row of each key stays.
        in_key_order: sort by the key; False keeps the order in which rows came (all of them in memory: bars are few).

    Raises:
        OSError: the disk is full or cannot be written.
    """
    sources = segments_in(segments)
    if not sources:
        return
    schema = _united_schema(target, sources)
    if schema is not None:
        temporary = target.with_name(f".{target.name}.part")
        with pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
            for rows in _rows_of_one_time(target, sources, schema) if in_key_order else [_all(target, sources, schema)]:
                writer.write_table(_once(rows, key, in_key_order))
        _replace_durably(temporary, target)
    for path in sources:
        path.unlink()


def _rows_of_one_time(target: Path, sources: list[Path], schema: Any) -> Iterator[Any]:
    """All rows, in parts that follow each other in time: equal rows have equal stamps, so they share a part."""
    lows = [_lowest_stamp(batch) for batch in _batches(target, sources, ("timestamp",))]
    lowest_later = list(accumulate(reversed(lows), min, initial=_END_OF_TIME))[-2::-1]
    waiting = schema.empty_table()
    for batch, bound in zip(_batches(target, sources), lowest_later, strict=True):
        waiting = pa.concat_tables([waiting, _with_all_columns(batch, schema)])
        if waiting.num_rows >= ROWS_AT_ONCE:
            stamps = waiting.column("timestamp").cast(pa.int64()).to_numpy()
            complete = stamps < bound
            if complete.any():
                yield waiting.filter(pa.array(complete))
                waiting = waiting.filter(pa.array(~complete))
    if waiting.num_rows:
        yield waiting


def _all(target: Path, sources: list[Path], schema: Any) -> Any:
    return pa.concat_tables([_with_all_columns(batch, schema) for batch in _batches(target, sources)])


def _batches(target: Path, sources: list[Path], columns: tuple[str, ...] = ()) -> Iterator[Any]:
    """Record batches of the file there is and of the segments, in the order in which they were written."""
    if target.exists():
        with pq.ParquetFile(target) as file:
            yield from file.iter_batches(_READ_ROWS, columns=list(columns) or None)
    for path in sources:
        yield from read_segment(path, columns)


def _united_schema(target: Path, sources: list[Path]) -> Any:
    """All columns that any part has; None where no part has a whole batch."""
    schemas = {}
    for batch in _batches(target, sources):
        schemas[tuple(batch.schema.names)] = batch.schema
    if not schemas:
        return None
    return pa.unify_schemas(sorted(schemas.values(), key=len, reverse=True))


def _lowest_stamp(batch: Any) -> int:
    lowest = pc.min(batch.column("timestamp").cast(pa.int64())).as_py()
    return _END_OF_TIME if lowest is None else int(lowest)


def _with_all_columns(batch: Any, schema: Any) -> Any:
    present = set(batch.schema.names)
    columns = [
        batch.column(field.name).cast(field.type) if field.name in present else pa.nulls(batch.num_rows, field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def _once(rows: Any, key: tuple[str, ...], in_key_order: bool) -> Any:
    """The first row of every key."""
    codes = [_sortable(rows.column(name)) for name in reversed(key)]
    order = np.lexsort(codes)  # stable: of equal keys the first that came stays first
    same = np.ones(order.size - 1, np.bool_)
    for column in codes:
        same &= column[order][1:] == column[order][:-1]
    kept = order[np.concatenate(([True], ~same))]
    return rows.take(pa.array(kept if in_key_order else np.sort(kept)))


def _sortable(column: Any) -> Any:
    """A column as integers in its own order."""
    if pa.types.is_string(column.type):
        return pc.rank(column, tiebreaker="dense").to_numpy()
    return column.cast(pa.int64()).to_numpy()


def _replace_durably(temporary: Path, target: Path) -> None:
    """Rename only when the bytes are on the disk, and have the disk know of the new name."""
    for path in (temporary, target.parent):
        if path == target.parent:
            temporary.replace(target)
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
