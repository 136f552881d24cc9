"""Statements that go to Postgres one behind the other, and are answered together."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError


@contextmanager
def answered_together(connection: Connection) -> Iterator[None]:
    """Have no statement of the block wait for the answer to the one before it: on a busy machine each costs two turns.

    Nothing can be learnt from such a statement, neither rows nor how many there were. Who stands still in the block
    keeps the transaction, which Postgres drops elsewhere (``engine.IDLE_SECONDS``), until somebody else needs it
    (:mod:`~quant_platform.adapters.ledger.standstill`); so nothing else is done in it. SQLite answers at once anyway.

    Args:
        connection: within a transaction, which has begun.

    Raises:
        DBAPIError: a statement failed; at the end of the block, at the latest. Those behind it were not done.
    """
    if connection.dialect.name != "postgresql":
        yield
        return
    import psycopg  # noqa: PLC0415 - a driver of its own

    driver: Any = connection.connection.driver_connection
    try:
        with driver.pipeline():
            yield
    except psycopg.Error as error:  # learnt between two statements, where SQLAlchemy does not see it
        raise DBAPIError.instance(None, None, error, psycopg.Error, dialect=connection.dialect) from error
