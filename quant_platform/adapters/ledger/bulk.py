"""Insert many rows at once: SQLAlchemy's statement and types, without its cost per row."""

from collections.abc import Callable, Sequence
from functools import cache
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection, Dialect, Insert, Table, insert

Row = dict[str, Any]
_Process = Callable[[Any], Any]


def bulk_insert(
    connection: Connection,
    table: Table,
    rows: Sequence[Row],
    statement: Callable[[Table], Insert] = insert,
) -> None:
    """Insert rows that all have the table's columns; nothing for no rows.

    Args:
        connection: within a transaction.
        table: where to.
        rows: column name → Python value.
        statement: makes the INSERT of the table; it must bind the columns by their names, in their order.
    """
    if not rows:
        return
    text, names, processors, by_name = _compiled(table, statement, connection.dialect)
    columns = list(zip(*map(itemgetter(*names), rows), strict=True))
    values = zip(
        *(
            column if process is None else map(process, column)
            for column, process in zip(columns, processors, strict=True)
        ),
        strict=True,
    )
    parameters: Any = [dict(zip(names, row, strict=True)) for row in values] if by_name else list(values)
    connection.exec_driver_sql(text, parameters)


@cache
def _compiled(
    table: Table, statement: Callable[[Table], Insert], dialect: Dialect
) -> tuple[str, list[str], list[_Process | None], bool]:
    names = [column.name for column in table.columns]
    compiled = statement(table).compile(dialect=dialect, column_keys=names)
    processors: list[_Process | None] = [
        column.type.dialect_impl(dialect).bind_processor(dialect) for column in table.columns
    ]
    return str(compiled), names, processors, not compiled.positional
