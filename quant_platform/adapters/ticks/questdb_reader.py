"""Read time series from QuestDB over the PostgreSQL wire: parameters bound, stamps exact, a read-only user will do."""

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from quant_platform.adapters.ticks.questdb_connections import QuestdbConnections
from quant_platform.adapters.ticks.series_rows import column_types, rows_of
from quant_platform.domain.errors import UnavailableError
from quant_platform.ports.series_store import TABLES, Backlog, Place, R, S, Table

_POLL_S = 0.01
_STAMP = "cast(%s AS TIMESTAMP_NS)"


class _Commits(NamedTuple):
    table: str
    durable: int
    visible: int
    fault: str


class QuestdbReader:
    """Questions to QuestDB (:class:`~quant_platform.ports.series_store.SeriesReader`); threads may share it.

    It connects at the first question, and anew after a fault.

    Args:
        host: where the PostgreSQL wire is served.
        port: usually 8812.
        user: one that may only read is enough.
        password: None where the server asks for none.
        timeout_s: for connecting, and for the server to answer a question.
    """

    def __init__(self, host: str, port: int, user: str, password: str | None, *, timeout_s: float = 10.0) -> None:
        self._connections = QuestdbConnections(host, port, user, password, timeout_s)

    def newest(self, table: Table[R], name: str, limit: int) -> R:
        """The newest rows of a symbol (or service), oldest first.

        Raises:
            UnavailableError: QuestDB cannot be reached now, or the table is not made yet.
            ConfigurationError: user or password are wrong, or the table is of another make.
        """
        owner, *rest = table.key[1:]
        order = ", ".join(f"{column} DESC" for column in ("timestamp", *rest))
        # The inner question walks back from the newest row; sorting alone would read the whole table.
        oldest = f"SELECT min(timestamp) FROM (SELECT timestamp FROM {table.name} WHERE {owner} = %s LIMIT -{limit})"  # noqa: S608
        conditions = f"{owner} = %s AND timestamp >= ({oldest})"
        return rows_of(table, self._connections.ask(_select(table, conditions, order, limit), [name, name])[::-1])

    def between(self, table: Table[S], symbol: str, start: Place, end_ns: int, limit: int) -> S:
        """Rows of a symbol from a place on, in order of stamp and seq.

        Raises:
            UnavailableError: as :meth:`newest`.
            ConfigurationError: as :meth:`newest`.
        """
        conditions = f"symbol = %s AND timestamp >= {_STAMP} AND timestamp < {_STAMP}"
        values: list[str | int] = [symbol, start.timestamp, end_ns]
        order = "timestamp"
        if "seq" in table.key:
            conditions += f" AND (timestamp > {_STAMP} OR seq >= %s)"
            values += [start.timestamp, start.seq]
            order += ", seq"
        return rows_of(table, self._connections.ask(_select(table, conditions, order, limit), values))

    def backlog(self) -> Sequence[Backlog]:
        """Our tables that are there, and how many commits of each cannot be read yet.

        Raises:
            UnavailableError: as :meth:`newest`.
            ConfigurationError: as :meth:`newest`.
        """
        return [Backlog(table, durable - visible, fault) for table, durable, visible, fault in self._commits()]

    def wait_until_visible(self, timeout_s: float) -> None:
        """Return when all that was flushed before this call can be read.

        Raises:
            UnavailableError: that took too long, or a table makes no progress; and as :meth:`newest`.
            ConfigurationError: as :meth:`newest`.
        """
        deadline = time.monotonic() + timeout_s
        goal = {commits.table: commits.durable for commits in self._commits()}
        while behind := [now for now in self._commits() if now.visible < goal.get(now.table, 0)]:
            table, durable, visible, fault = behind[0]
            if fault:
                raise UnavailableError(
                    f"QuestDB's table {table} has stopped: {fault}",
                    f"see to its disk, then `ALTER TABLE {table} RESUME WAL`; the persistor does so when it connects",
                )
            if time.monotonic() > deadline:
                raise UnavailableError(
                    f"QuestDB's table {table} is {durable - visible} commits behind after {timeout_s:g} s",
                    "look into its log and at its load",
                )
            time.sleep(_POLL_S)

    def close(self) -> None:
        """Let go of the connections."""
        self._connections.close()

    def _commits(self) -> list[_Commits]:
        query = "SELECT name, sequencerTxn, writerTxn, suspended, errorMessage FROM wal_tables()"
        rows = self._connections.ask(query, [])
        ours = {table.name for table in TABLES}
        return [
            _Commits(name, durable, visible, (message or "no reason is known") if has_stopped else "")
            for name, durable, visible, has_stopped, message in rows
            if name in ours
        ]


def _select(table: Table[Any], conditions: str, order: str, limit: int) -> str:
    """Stamps as plain numbers: the driver's own type ends at microseconds."""
    columns = ", ".join("cast(timestamp AS LONG)" if name == "timestamp" else name for name in column_types(table))
    return f"SELECT {columns} FROM {table.name} WHERE {conditions} ORDER BY {order} LIMIT {limit}"  # noqa: S608
