"""The tables in QuestDB: made before the first row, checked against this program, and kept going."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from quant_platform.adapters.ticks.questdb_http import QuestdbHttp
from quant_platform.adapters.ticks.series_rows import column_types
from quant_platform.domain.errors import ConfigurationError
from quant_platform.ports.series_store import TABLES, Labels, Table

_SQL_TYPES: Mapping[type[Any], str] = {
    Labels: "SYMBOL",
    np.int64: "LONG",
    np.float64: "DOUBLE",
    np.uint8: "SHORT",  # BYTE ends at 127
}


def sql_columns(table: Table[Any]) -> dict[str, str]:
    """Every column with its type. Stamps are nanoseconds, as ours are: microseconds would fold rows together."""
    types = {name: _SQL_TYPES[kind] for name, kind in column_types(table).items()}
    return types | {"timestamp": "TIMESTAMP_NS"}


def ddl(table: Table[Any]) -> str:
    """The statement that makes a table where there is none."""
    columns = ", ".join(f"{name} {kind}" for name, kind in sql_columns(table).items())
    return (
        f"CREATE TABLE IF NOT EXISTS {table.name} ({columns}) TIMESTAMP(timestamp) "
        f"PARTITION BY DAY WAL DEDUP UPSERT KEYS({', '.join(table.key)})"
    )


def bring_in_order(server: QuestdbHttp, keep_days: int | None) -> None:
    """Make the tables that are missing, check the others, set how long rows are kept, and wake tables that stopped.

    Args:
        server: where.
        keep_days: days after which rows go, counted back from the table's newest row (or today, if that is earlier);
            0 keeps all, None leaves each table as it is.

    Raises:
        ConfigurationError: a table is of another make, or as :meth:`.QuestdbHttp.ask`.
        UnavailableError: as :meth:`.QuestdbHttp.ask`.
    """
    for table in TABLES:
        server.ask(ddl(table))
        check_columns(server, table)
        if keep_days is not None:
            server.ask(f"ALTER TABLE {table.name} SET TTL {keep_days} DAYS")
    # A full disk stops a table for good, though what was flushed meanwhile is kept; once there is room it can go on.
    for (name,) in server.ask("SELECT name FROM wal_tables() WHERE suspended"):
        if name in {table.name for table in TABLES}:
            server.ask(f"ALTER TABLE {name} RESUME WAL")


def check_columns(server: QuestdbHttp, table: Table[Any]) -> None:
    """Compare a table that is there with this program's.

    Raises:
        ConfigurationError: it is of another make, or as :meth:`.QuestdbHttp.ask`.
        UnavailableError: as :meth:`.QuestdbHttp.ask`.
    """
    rows = server.ask(f"SELECT \"column\", type, upsertKey FROM table_columns('{table.name}')")  # noqa: S608
    found = {name: kind for name, kind, _ in rows}
    for name, kind in sql_columns(table).items():
        if name not in found:
            raise ConfigurationError(
                f"QuestDB's table {table.name} has no column {name}",
                f"`ALTER TABLE {table.name} ADD COLUMN {name} {kind}`, or rename the table away to have it made anew",
            )
        if found[name] != kind:
            raise ConfigurationError(
                f"column {name} of QuestDB's table {table.name} is {found[name]}, not {kind}",
                "rename the table away to have it made anew",
            )
    if {name for name, _, is_key in rows if is_key} != set(table.key):
        raise ConfigurationError(
            f"QuestDB's table {table.name} does not keep each {', '.join(table.key)} once",
            f"`ALTER TABLE {table.name} DEDUP ENABLE UPSERT KEYS({', '.join(table.key)})`",
        )
