"""A transaction that waits for others, but not for a program that stands still amid a transaction of its own."""

from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import OperationalError

from quant_platform.adapters.ledger import engine

T = TypeVar("T")

_LOCK_TIMEOUT = "55P03"
"""Postgres' code for a lock that did not come free in time."""

_END_SESSIONS = text("""
    SELECT pg_terminate_backend(pid)
    FROM pg_stat_activity JOIN pg_locks USING (pid)
    WHERE datname = current_database() AND relation = 'runtime_state'::regclass AND mode = 'RowExclusiveLock'
      AND wait_event = 'ClientRead' AND state_change < clock_timestamp() - make_interval(secs => :idle)
""")


def past_standstill(database: Engine, change: Callable[[Connection], T]) -> T:
    """Run a transaction; a program that has claimed a portfolio and then stood still does not keep it waiting for ever.

    Postgres drops who is idle in a transaction by itself (``engine.IDLE_SECONDS``), but counts one as busy that stopped
    between statements which are answered together (:mod:`~quant_platform.adapters.ledger.together`). It is ended here,
    after the same time; its transaction is undone as if its machine had died.

    Args:
        database: of the ledger.
        change: what is done in the transaction; in a second one where the first waited in vain.

    Raises:
        OperationalError: the database cannot be reached, or the lock is kept by someone who is at work.
    """
    if database.dialect.name != "postgresql":
        with database.begin() as connection:
            return change(connection)
    try:
        return _patiently(database, change)
    except OperationalError as error:
        if getattr(error.orig, "sqlstate", None) != _LOCK_TIMEOUT:
            raise
    with database.begin() as connection:
        connection.execute(_END_SESSIONS, {"idle": engine.IDLE_SECONDS})
    return _patiently(database, change)


def _patiently(database: Engine, change: Callable[[Connection], T]) -> T:
    with database.begin() as connection:
        connection.execute(text(f"SET LOCAL lock_timeout = '{round(engine.IDLE_SECONDS * 1000)}ms'"))
        return change(connection)
