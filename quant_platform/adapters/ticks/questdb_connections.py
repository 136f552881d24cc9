"""A few connections to QuestDB over the PostgreSQL wire, and what becomes of questions while it is away or hangs."""

import time
from collections.abc import Sequence
from queue import Empty, LifoQueue
from threading import Lock
from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.pq import TransactionStatus

from quant_platform.domain.errors import ConfigurationError, UnavailableError

A = TypeVar("A")

MOST = 4
"""Questions under way at once; QuestDB itself works on each with all its cores."""
TRIED_EVERY_S = 5.0
TRIED_FOR_S = 2.0
"""One that did not answer is tried with a new connection so often and so long; who asks in between is told at once."""
_REFUSED_LOGIN = ("invalid username/password", "no password supplied")


class _SilenceError(psycopg.OperationalError):
    """The server hangs."""


class _Connection(psycopg.Connection[Any]):
    """Gives up a server that hangs, which keeps no time-out of its own."""

    patience_s = 0.0

    def wait(self, gen: PQGen[A], interval: float = 0.1, timeout: float | None = None) -> A:
        try:
            return super().wait(gen, interval, self.patience_s if timeout is None else timeout)
        except psycopg.OperationalError:
            if self.pgconn.transaction_status != TransactionStatus.ACTIVE:
                raise
            self.pgconn.finish()
            raise _SilenceError(f"it did not answer within {self.patience_s:g} s") from None


class QuestdbConnections:
    """Asks one question a connection; threads may share it. It connects when it is asked, and anew after a fault.

    Args:
        host: where the PostgreSQL wire is served.
        port: usually 8812.
        user: one that may only read is enough.
        password: None where the server asks for none.
        timeout_s: for connecting, for the server to answer, and for a connection to become free.
    """

    def __init__(self, host: str, port: int, user: str, password: str | None, timeout_s: float) -> None:
        self._where = f"{host}:{port}"
        self._timeout_s = timeout_s
        self._parameters: dict[str, Any] = {
            "host": host,
            "port": port,
            "user": user,
            "password": password,
            "dbname": "qdb",
            "options": f"-c statement_timeout={int(timeout_s * 1000)}",
        }
        self._places: LifoQueue[_Connection | None] = LifoQueue()
        for _ in range(MOST):
            self._places.put(None)
        self._lock = Lock()
        self._is_silent = False  # since a question was not answered, until one is
        self._next_try_at = 0.0

    def ask(self, query: str, values: Sequence[str | int]) -> list[tuple[Any, ...]]:
        """The rows that answer a question, its values bound to its ``%s``.

        Raises:
            UnavailableError: QuestDB cannot be reached or cannot answer now, or the table is not made yet.
            ConfigurationError: user or password are wrong, or the table is of another make.
        """
        try:
            connection = self._places.get(timeout=self._timeout_s)
        except Empty:
            raise UnavailableError(
                f"QuestDB at {self._where} works on {MOST} questions already", "ask again, or look at its load"
            ) from None
        try:
            is_trial = self._let_in()
            if connection is not None and not is_trial:
                try:
                    return self._answer(connection, query, values)
                except _SilenceError:
                    raise
                except psycopg.OperationalError:
                    pass  # the server may have been started anew since the last question
            if connection is not None:
                connection.close()
            connection = self._connect(TRIED_FOR_S if is_trial else self._timeout_s)
            return self._answer(connection, query, values)
        except psycopg.OperationalError as error:
            raise self._cannot_be_reached(error) from None
        finally:
            self._places.put(None if connection is None or connection.closed else connection)

    def close(self) -> None:
        """Let go of the connections, each when its question is answered."""
        for connection in [self._places.get() for _ in range(MOST)]:
            if connection is not None:
                connection.close()
            self._places.put(None)

    def _let_in(self) -> bool:
        """Whether this question is the one that finds out if a server that did not answer does so again.

        Raises:
            UnavailableError: it is not, and there is nothing to wait for.
        """
        with self._lock:
            if not self._is_silent:
                return False
            if time.monotonic() < self._next_try_at:
                raise UnavailableError(
                    f"QuestDB at {self._where} hangs, and is tried again every {TRIED_EVERY_S:g} s",
                    "look into its log and at its disk",
                )
            self._next_try_at = time.monotonic() + TRIED_EVERY_S
            return True

    def _answer(self, connection: _Connection, query: str, values: Sequence[str | int]) -> list[tuple[Any, ...]]:
        try:
            rows = connection.cursor(binary=True).execute(query.encode(), values).fetchall()
        except psycopg.OperationalError:
            raise
        except psycopg.Error as error:
            reason = str(error).partition("\n")[0]
            if "table does not exist" in reason:  # after a code, where it knew the question before the table went
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
        self._is_silent = False
        return rows

    def _connect(self, within_s: float) -> _Connection:
        try:
            connection = _Connection.connect(
                **self._parameters, connect_timeout=max(int(within_s), 1), autocommit=True, prepare_threshold=None
            )
        except psycopg.OperationalError as error:
            if any(sign in str(error) for sign in _REFUSED_LOGIN):
                raise ConfigurationError(
                    f"QuestDB at {self._where} refuses user {self._parameters['user']} or the password",
                    "correct questdb.pg_user and questdb.pg_password",
                ) from None
            raise
        connection.patience_s = self._timeout_s + 1  # the server's own time-out says more, where it keeps it
        return connection

    def _cannot_be_reached(self, error: psycopg.OperationalError) -> UnavailableError:
        reason = str(error).partition("\n")[0].rpartition("failed: ")[2]
        found = UnavailableError(
            f"QuestDB at {self._where} cannot be reached: {reason}", "start it, or correct questdb.pg_host and pg_port"
        )
        if isinstance(error, _SilenceError | psycopg.errors.ConnectionTimeout):
            self._is_silent = True
        return found
