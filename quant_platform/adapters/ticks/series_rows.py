"""Rows of time series as a whole: how many, checked, joined, cut, read off a table's row type."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, get_args, get_type_hints

import numpy as np
from numpy.typing import NDArray

from quant_platform.domain.errors import DataError
from quant_platform.ports.series_store import Labels, R, Table


@cache
def column_types(table: Table[Any]) -> Mapping[str, type[Any]]:
    """The columns of a table in order, each with its NumPy type, or :class:`Labels`."""
    return {name: hint if hint is Labels else _scalar(hint) for name, hint in get_type_hints(table.rows).items()}


def check_rows(table: Table[R], rows: R) -> int:
    """The number of rows.

    Raises:
        DataError: a stamp is not above 0, or the columns differ in length.
    """
    columns = [column.codes if isinstance(column, Labels) else column for column in rows]
    n = int(rows.timestamp.size)
    if any(column.shape != (n,) for column in columns):
        raise DataError(f"the columns of rows for {table.name} differ in length", "one value a row is needed in each")
    if n and int(rows.timestamp.min()) <= 0:
        raise DataError(f"a row for {table.name} has no stamp", "stamps are nanoseconds since 1970, above 0")
    return n


def rows_of(table: Table[R], records: Sequence[Sequence[Any]]) -> R:
    """Rows from one sequence of values each, None being no number."""
    types = column_types(table)
    columns = zip(*records, strict=True) if records else [()] * len(types)
    return table.rows._make(
        Labels.of(column) if kind is Labels else np.array(column, kind)
        for column, kind in zip(columns, types.values(), strict=True)
    )


def joined(table: Table[R], parts: Sequence[R]) -> R:
    """Rows one after another, at least one part; a single part is not copied."""
    if len(parts) == 1:
        return parts[0]
    return table.rows._make(
        _joined_labels(columns) if isinstance(columns[0], Labels) else np.concatenate(columns)
        for columns in zip(*parts, strict=True)
    )


def picked(table: Table[R], rows: R, places: slice | NDArray[np.intp]) -> R:
    """The rows at some places; a slice copies nothing."""
    return table.rows._make(
        Labels(column.codes[places], column.names) if isinstance(column, Labels) else column[places] for column in rows
    )


def _scalar(hint: Any) -> type[Any]:
    """``np.int64`` of ``NDArray[np.int64]``."""
    scalar: type[Any] = get_args(get_args(hint)[1])[0]
    return scalar


def _joined_labels(columns: Sequence[Labels]) -> Labels:
    if all(column.names is columns[0].names for column in columns):
        return Labels(np.concatenate([column.codes for column in columns]), columns[0].names)
    numbers: dict[str, int] = {}
    codes = []
    for column in columns:
        renumbered = [numbers.setdefault(name, len(numbers)) for name in column.names]
        codes.append(np.array(renumbered, np.int32)[column.codes])
    return Labels(np.concatenate(codes), tuple(numbers))
