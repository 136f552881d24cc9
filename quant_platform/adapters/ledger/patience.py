"""Connections to Postgres that a server which hangs cannot hold for ever."""

from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.pq import TransactionStatus
from sqlalchemy import Engine, event

T = TypeVar("T")


class PatientConnection(psycopg.Connection[Any]):
    """Gives up a server that does not answer in time.

    A time-out that the server keeps would not do: one that hangs, because its process is stopped or its disk is gone,
    keeps none, and its machine goes on acknowledging what is sent to it.
    """

    patience_s = 60.0

    def wait(self, gen: PQGen[T], interval: float = 0.1, timeout: float | None = None) -> T:
        """Run one exchange with the server.

        Raises:
            psycopg.OperationalError: it did not answer in time; the connection is closed then.
        """
        try:
            return super().wait(gen, interval, self.patience_s if timeout is None else timeout)
        except psycopg.OperationalError:
            if self.pgconn.transaction_status != TransactionStatus.ACTIVE:
                raise
            self.pgconn.finish()  # what it was asked may still be done, and its answer belongs to nobody
            raise psycopg.OperationalError(f"the server did not answer within {self.patience_s:g} s") from None


def be_patient(engine: Engine, patience_s: float) -> None:
    """Have every connection of an engine wait for so long at most, for each answer."""

    @event.listens_for(engine, "do_connect")
    def on_connect(_dialect: Any, _record: Any, arguments: Any, parameters: Any) -> PatientConnection:
        connection = PatientConnection.connect(*arguments, **parameters)
        connection.patience_s = patience_s
        return connection
