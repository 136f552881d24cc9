"""Open a ledger database: which file or server, how durable, and one kind of transaction."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, func, make_url, select, text
from sqlalchemy.exc import ArgumentError, DatabaseError, OperationalError

from quant_platform.adapters.ledger.schema import create_directly, migrate, stored_revision
from quant_platform.adapters.ledger.tables import HEAD_REVISION
from quant_platform.domain.errors import ConfigurationError, UnavailableError

READ_ONLY = "ledger_read_only"
"""Execution option of a connection that only reads: in SQLite it takes no write lock."""

BUSY_SECONDS = 30
"""How long SQLite waits for another process's transaction."""

CONNECT_SECONDS = 5
"""How long a server may take to answer before it counts as away."""

IDLE_SECONDS = 15.0
"""After which Postgres drops the transaction of a client that stands still in it: its locks keep everybody out."""

MIGRATION_LOCK = 0x71756E74
"""Advisory lock of Postgres: services that start together bring the schema up to date one after another."""

LOCK_SECONDS = 60
"""How long a migration waits for another one, or for who reads a table that it changes."""

_REFUSALS = (
    "password authentication failed",
    "no password supplied",
    "does not exist",
    "permission denied for database",
)
"""What a server says that will say the same next time."""

_STOOD_STILL = "25P03"
"""Postgres' code for a transaction that was idle for too long."""


def database_url(where: str | Path) -> URL:
    """A path of a SQLite file, or the URL of any database that SQLAlchemy knows.

    Raises:
        ConfigurationError: the URL cannot be read.
    """
    if isinstance(where, str) and "://" in where:
        try:
            return make_url(where)
        except ArgumentError:
            raise ConfigurationError(
                "the ledger's URL cannot be read", "write it like postgresql+psycopg://user@host/database"
            ) from None
    return URL.create("sqlite", database=str(where))


def open_engine(where: str | Path, durable: bool, patience_s: float, migrating: Callable[[], None]) -> Engine:
    """Connect, and bring the schema to this program's.

    Args:
        where: path of a SQLite file (its folder is made), or a database URL.
        durable: a commit is on the disk when it returns; False for a throw-away SQLite file.
        patience_s: how long a server may take for each answer, but for those that bring the schema up to date.
        migrating: called every few seconds while a server does that, from another thread.

    Raises:
        ConfigurationError: the URL cannot be read, or the schema is newer than the program.
        UnavailableError: the database cannot be opened now.
    """
    url = database_url(where)
    is_sqlite = url.get_backend_name() == "sqlite"
    if is_sqlite and url.database and url.database != ":memory:":
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    if is_sqlite:
        engine = create_engine(url)
        _prepare_sqlite(engine, durable)
    else:
        from quant_platform.adapters.ledger.patience import be_patient  # noqa: PLC0415 - loads a driver of its own

        # A pooled connection may have died with the server: it is tried before each use.
        idle = f"-c idle_in_transaction_session_timeout={round(IDLE_SECONDS * 1000)}"
        arguments = {"connect_timeout": CONNECT_SECONDS, "options": idle}
        engine = create_engine(url, pool_pre_ping=True, connect_args=arguments)
        be_patient(engine, patience_s)
    try:
        with faults_named():
            _bring_up_to_date(engine, durable, migrating)
    except BaseException:
        engine.dispose()
        raise
    return engine


def _bring_up_to_date(engine: Engine, durable: bool, migrating: Callable[[], None]) -> None:
    """Take the write lock only when there is something to do: a screen may be opened while a run is written."""
    with engine.connect().execution_options(**reading_options(engine)) as connection:
        revision = stored_revision(connection)
    if revision == HEAD_REVISION:
        return
    with engine.begin() as connection, _alone(connection, migrating):
        if not durable and stored_revision(connection) is None:
            create_directly(connection)
        else:
            migrate(connection)


@contextmanager
def _alone(connection: Connection, migrating: Callable[[], None]) -> Iterator[None]:
    """A transaction that may change the schema, however long that takes: SQLite's has the write lock already."""
    if connection.dialect.name != "postgresql":
        yield
        return
    from quant_platform.adapters.ledger.patience import without_limit  # noqa: PLC0415 - loads a driver of its own

    with without_limit(connection, migrating):
        connection.execute(text("SET LOCAL statement_timeout = 0"))  # a step may have to rewrite the largest table
        connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'"))
        connection.execute(select(func.pg_advisory_xact_lock(MIGRATION_LOCK)))
        yield


def reading_options(engine: Engine) -> dict[str, Any]:
    """Execution options of a connection whose answers belong together: one snapshot, and no lock."""
    if engine.dialect.name == "postgresql":
        return {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
    return {READ_ONLY: True}


@contextmanager
def faults_named() -> Iterator[None]:
    """Turn a driver's errors into those that a person should see.

    Raises:
        UnavailableError: the database cannot be reached or written now.
        ConfigurationError: it is no database, or not one of ours.
    """
    try:
        yield
    except OperationalError as error:
        if any(phrase in str(error.orig) for phrase in _REFUSALS):
            raise ConfigurationError(
                f"Postgres refuses this program: {error.orig}",
                "check postgres.user, postgres.password and postgres.database (POSTGRES_USER, _PASSWORD, _DB)",
            ) from None
        raise UnavailableError(
            f"the ledger cannot be reached or written: {error.orig}",
            "see whether the server runs; of a file, check its path, the disk's free space and who else holds it",
        ) from error
    except DatabaseError as error:
        if getattr(error.orig, "sqlstate", None) == _STOOD_STILL:
            raise UnavailableError(
                f"Postgres dropped a transaction in which this program stood still for {IDLE_SECONDS:g} s",
                "nothing: it begins anew; if it comes again, the machine has too little time for it",
            ) from error
        if type(error) is not DatabaseError:
            raise
        raise ConfigurationError(
            f"this is not a ledger of ours: {error.orig}", "name another file, or move this one away"
        ) from error


def _prepare_sqlite(engine: Engine, durable: bool) -> None:
    """Take transactions into our own hands: the driver alone would commit DDL at once and lock late."""

    @event.listens_for(engine, "connect")
    def on_connect(dbapi_connection: Any, _record: Any) -> None:
        dbapi_connection.isolation_level = None
        for pragma in (
            f"busy_timeout={BUSY_SECONDS * 1000}",
            "foreign_keys=ON",
            "journal_mode=WAL" if durable else "journal_mode=MEMORY",
            "synchronous=FULL" if durable else "synchronous=OFF",
        ):
            dbapi_connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def on_begin(connection: Connection) -> None:
        reads = connection.get_execution_options().get(READ_ONLY, False)
        connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")
