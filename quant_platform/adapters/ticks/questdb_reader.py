"""Read time series from QuestDB over the PostgreSQL wire: parameters bound, stamps exact, a read-only user will do."""

import time
from collections.abc import Sequence
from threading import Lock
from typing import Any, NamedTuple, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.pq import TransactionStatus

from quant_platform.adapters.ticks.series_rows import column_types, rows_of
from quant_platform.domain.errors import ConfigurationError, UnavailableError
from quant_platform.ports.series_store import TABLES, Backlog, Place, R, S, Table

A = TypeVar("A")

_POLL_S = 0.01
_STAMP = "cast(%s AS TIMESTAMP_NS)"
_REFUSED_LOGIN = ("invalid username/password", "no password supplied")


class _Commits(NamedTuple):
    table: str
    durable: int
    visible: int
    fault: str


class _Connection(psycopg.Connection[Any]):
    """Gives up a server that hangs, which keeps no time-out of its own."""

    patience_s = 0.0

    def wait(self, gen: PQGen[A], interval: float = 0.1, timeout: float | None = None) -> A:
        try:
            return super().wait(gen, interval, self.patience_s if timeout is None else timeout)
        except psycopg.OperationalError:
            if self.pgconn.transaction_status == TransactionStatus.ACTIVE:
                self.pgconn.finish()
            raise


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
        self._where = f"{host}:{port}"
        self._timeout_s = timeout_s
        self._parameters: dict[str, Any] = {
            "host": host,
            "port": port,
            "user": user,
            "password": password,
            "dbname": "qdb",
            "connect_timeout": max(int(timeout_s), 1),
            "options": f"-c statement_timeout={int(timeout_s * 1000)}",
        }
        self._connection: _Connection | None = None
        self._lock = Lock()

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
        return rows_of(table, self._ask(_select(table, conditions, order, limit), [name, name])[::-1])

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
        return rows_of(table, self._ask(_select(table, conditions, order, limit), values))

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
        """Let go of the connection."""
        with self._lock:
            self._disconnect()

    def _commits(self) -> list[_Commits]:
        rows = self._ask("SELECT name, sequencerTxn, writerTxn, suspended, errorMessage FROM wal_tables()", [])
        ours = {table.name for table in TABLES}
        return [
            _Commits(name, durable, visible, (message or "no reason is known") if has_stopped else "")
            for name, durable, visible, has_stopped, message in rows
            if name in ours
        ]

    def _ask(self, query: str, values: Sequence[str | int]) -> list[tuple[Any, ...]]:
        with self._lock:
            if self._connection is not None:
                try:
                    return self._answer(self._connection, query, values)
                except psycopg.OperationalError:
                    self._disconnect()  # the server may have been started anew since the last question
            self._connection = self._connect()
            try:
                return self._answer(self._connection, query, values)
            except psycopg.OperationalError as error:
                self._disconnect()
                raise self._cannot_be_reached(error) from None

    def _answer(
        self, connection: psycopg.Connection[Any], query: str, values: Sequence[str | int]
    ) -> list[tuple[Any, ...]]:
        try:
            return connection.cursor(binary=True).execute(query.encode(), values).fetchall()
        except psycopg.OperationalError:
            raise
        except psycopg.Error as error:
            reason = str(error).partition("\n")[0]
            if reason.startswith("table does not exist"):
                raise UnavailableError(
                    f"QuestDB at {self._where}: {reason}", "it is made when market_persistor starts"
                ) from None
            if reason.startswith("Invalid column"):
                raise ConfigurationError(
                    f"QuestDB at {self._where} has a table of another make: {reason}",
                    "start market_persistor, which tells what to do",
                ) from None
            raise UnavailableError(
                f"QuestDB at {self._where} cannot answer now: {reason}", "look into its log and at its load"
            ) from None

    def _connect(self) -> _Connection:
        try:
            connection = _Connection.connect(**self._parameters, autocommit=True, prepare_threshold=None)
        except psycopg.OperationalError as error:
            if any(sign in str(error) for sign in _REFUSED_LOGIN):
                raise ConfigurationError(
                    f"QuestDB at {self._where} refuses user {self._parameters['user']} or the password",
                    "correct questdb.pg_user and questdb.pg_password",
                ) from None
            raise self._cannot_be_reached(error) from None
        connection.patience_s = self._timeout_s + 1  # the server's own time-out says more, where it keeps it
        return connection

    def _cannot_be_reached(self, error: psycopg.Error) -> UnavailableError:
        reason = str(error).partition("\n")[0].rpartition("failed: ")[2]
        return UnavailableError(
            f"QuestDB at {self._where} cannot be reached: {reason}", "start it, or correct questdb.pg_host and pg_port"
        )

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _select(table: Table[Any], conditions: str, order: str, limit: int) -> str:
    """Stamps as plain numbers: the driver's own type ends at microseconds."""
    columns = ", ".join("cast(timestamp AS LONG)" if name == "timestamp" else name for name in column_types(table))
    return f"SELECT {columns} FROM {table.name} WHERE {conditions} ORDER BY {order} LIMIT {limit}"  # noqa: S608
