"""Connections to Postgres that a server which hangs cannot hold for ever."""

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.pq import TransactionStatus
from sqlalchemy import Connection, Engine, event, select
from sqlalchemy.exc import OperationalError

T = TypeVar("T")

LOOK_EVERY_S = 2.0
"""How often it is seen, during a statement without a limit, whether the server answers others."""


class PatientConnection(psycopg.Connection[Any]):
    """Gives up a server that does not answer in time.

    A time-out that the server keeps would not do: one that hangs, because its process is stopped or its disk is gone,
    keeps none, and its machine goes on acknowledging what is sent to it.
    """

    patience_s: float | None = 60.0

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
            within = "" if self.patience_s is None else f" within {self.patience_s:g} s"
            raise psycopg.OperationalError(f"the server did not answer{within}") from None


@contextmanager
def without_limit(connection: Connection, waiting: Callable[[], None]) -> Iterator[None]:
    """Let a connection's statements take as long as they do, while the server answers others meanwhile.

    Args:
        connection: of an engine with patience; one that hangs for longer than that is given up all the same.
        waiting: called every :data:`LOOK_EVERY_S`, from another thread.
    """
    driver: Any = connection.connection.driver_connection
    usual, driver.patience_s = driver.patience_s, None
    done = threading.Event()
    try:
        with connection.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as beside:
            thread = threading.Thread(target=_look, args=(beside, driver, waiting, done), daemon=True)
            thread.start()
            try:
                yield
            finally:
                done.set()
                thread.join()
    finally:
        driver.patience_s = usual


def _look(beside: Connection, driver: PatientConnection, waiting: Callable[[], None], done: threading.Event) -> None:
    while not done.wait(LOOK_EVERY_S):
        waiting()
        try:
            beside.execute(select(1))
        except OperationalError:
            # Whoever waits for the other answer learns it as if the server had hung up.
            with socket.socket(fileno=os.dup(driver.pgconn.socket)) as line:
                line.shutdown(socket.SHUT_RDWR)
            return


def be_patient(engine: Engine, patience_s: float) -> None:
    """Have every connection of an engine wait for so long at most, for each answer."""

    @event.listens_for(engine, "do_connect")
    def on_connect(_dialect: Any, _record: Any, arguments: Any, parameters: Any) -> PatientConnection:
        connection = PatientConnection.connect(*arguments, **parameters)
        connection.patience_s = patience_s
        return connection
