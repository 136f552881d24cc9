"""Time series in memory: what the cores' tests and a platform without QuestDB read and write."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quant_platform.adapters.ticks.series_rows import check_rows, joined, picked, rows_of
from quant_platform.ports.series_store import TABLES, Backlog, Labels, Place, R, S, Table


class MemorySeries:
    """Both :class:`~quant_platform.ports.series_store.SeriesWriter` and ``SeriesReader``; gone with the process."""

    def __init__(self) -> None:
        self._waiting: list[tuple[Table[Any], Any]] = []
        self._flushed: dict[str, Any] = {table.name: rows_of(table, []) for table in TABLES}

    def prepare(self) -> None:
        """Nothing has to be made."""

    def append(self, table: Table[R], rows: R) -> None:
        """Take rows; they are seen after :meth:`flush`.

        Raises:
            DataError: a stamp is not above 0, or the columns differ in length.
        """
        check_rows(table, rows)
        self._waiting.append((table, rows))

    def flush(self) -> None:
        """Let the waiting rows be seen, the last one of each key."""
        for table, rows in self._waiting:
            together = joined(table, [self._flushed[table.name], rows])
            self._flushed[table.name] = _each_once(table, together)
        self._waiting = []

    def newest(self, table: Table[R], name: str, limit: int) -> R:
        """The newest rows of a symbol or service, oldest first."""
        rows: R = self._of(table, name)
        n = rows.timestamp.size
        return picked(table, rows, slice(max(n - limit, 0), n))

    def between(self, table: Table[S], symbol: str, start: Place, end_ns: int, limit: int) -> S:
        """Rows of a symbol from a place on, in order."""
        rows: S = self._of(table, symbol)
        reached = rows.timestamp >= start.timestamp
        if "seq" in table.key:
            seq = getattr(rows, "seq")  # noqa: B009  # only some row types have it
            reached &= (rows.timestamp > start.timestamp) | (seq >= start.seq)
        return picked(table, rows, np.flatnonzero(reached & (rows.timestamp < end_ns))[:limit])

    def backlog(self) -> Sequence[Backlog]:
        """Whatever was flushed can be read."""
        return [Backlog(table.name, 0, "") for table in TABLES]

    def wait_until_visible(self, timeout_s: float) -> None:
        """Return at once."""

    def close(self) -> None:
        """Forget the rows that wait."""
        self._waiting = []

    def _of(self, table: Table[Any], name: str) -> Any:
        rows = self._flushed[table.name]
        owner: Labels = getattr(rows, table.key[1])
        number = owner.names.index(name) if name in owner.names else -1
        return picked(table, rows, np.flatnonzero(owner.codes == number))


def _each_once(table: Table[R], rows: R) -> R:
    """In order of the key, the last row of each."""
    keys = [_rank(getattr(rows, name)) for name in table.key]
    order = np.lexsort(keys[::-1])
    differs = np.zeros(order.size, np.bool_)
    differs[-1:] = True
    for key in keys:
        differs[:-1] |= key[order[1:]] != key[order[:-1]]
    return picked(table, rows, order[differs])


def _rank(column: Labels | NDArray[Any]) -> NDArray[Any]:
    if not isinstance(column, Labels):
        return column
    return np.argsort(np.argsort(np.array(column.names, np.str_)))[column.codes]
