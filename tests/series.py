"""Time series for tests: an empty QuestDB, and rows that are quickly made."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from quant_platform.adapters.ticks.questdb import QuestdbWriter
from quant_platform.adapters.ticks.questdb_http import QuestdbHttp, address_of
from quant_platform.adapters.ticks.questdb_reader import QuestdbReader
from quant_platform.adapters.ticks.series_rows import rows_of
from quant_platform.hosts.config import Settings
from quant_platform.ports.series_store import TABLES, TICKS, Table, TickRows
from tests.servers import RealServer

MORNING = 1_790_000_100_123_456_789
"""A stamp with all its nanoseconds."""


def writer_of(settings: Settings, **options: Any) -> QuestdbWriter:
    return QuestdbWriter(settings.questdb.http_url.get_secret_value(), **options)


def reader_of(settings: Settings, **options: Any) -> QuestdbReader:
    wanted = settings.questdb
    password = wanted.pg_password
    return QuestdbReader(
        wanted.pg_host,
        wanted.pg_port,
        wanted.pg_user,
        None if password is None else password.get_secret_value(),
        **options,
    )


def statement(settings: Settings, text: str) -> list[list[Any]]:
    """Have QuestDB execute a statement, as the user that may write."""
    connection = QuestdbHttp(address_of(settings.questdb.http_url.get_secret_value()), 15.0)
    try:
        return connection.ask(text)
    finally:
        connection.close()


def emptied(questdb: RealServer) -> Settings:
    """QuestDB running, without any of our tables."""
    questdb.start()
    for table in TABLES:
        statement(questdb.settings, f"DROP TABLE IF EXISTS {table.name}")
    return questdb.settings


def ticks(symbol: str, *places: tuple[int, int], ltp: float = 100.05) -> TickRows:
    """Ticks of a symbol, by stamp (counted from :data:`MORNING`) and seq."""
    return rows_of(
        TICKS,
        [(MORNING + ts, symbol, seq, ltp, 10 * seq, 100.1, 55.5, -0.25, None, 0.05, "B", 0) for ts, seq in places],
    )


def plain(table: Table[Any], rows: Any) -> Sequence[tuple[Any, ...]]:
    """Rows as tuples of plain values that compare: no number is None."""
    columns = [column.texts() if hasattr(column, "texts") else column.tolist() for column in rows]
    return [
        tuple(None if isinstance(v, float) and np.isnan(v) else v for v in row) for row in zip(*columns, strict=True)
    ]


def places(rows: TickRows) -> list[tuple[int, int]]:
    """Stamp (from :data:`MORNING`) and seq of every row."""
    return [(ts - MORNING, seq) for ts, seq in zip(rows.timestamp.tolist(), rows.seq.tolist(), strict=True)]
