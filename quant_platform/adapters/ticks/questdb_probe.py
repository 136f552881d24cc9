"""Look at QuestDB without changing it: what it is, and whether our tables are as we make them and make progress."""

from collections.abc import Iterator
from datetime import datetime

from quant_platform.adapters.ticks.questdb_http import QuestdbHttp, address_of
from quant_platform.adapters.ticks.questdb_tables import check_columns
from quant_platform.domain.errors import ConfigurationError
from quant_platform.ports.series_store import TABLES, Table
from quant_platform.ports.server_probes import SeriesFound, TimeSeriesFound


def probe_questdb(http_url: str, within_s: float) -> TimeSeriesFound:
    """Ask QuestDB about itself.

    Args:
        http_url: like ``http://user:password@host:9000``.
        within_s: how long each question may take.

    Raises:
        UnavailableError: it cannot be reached now.
        ConfigurationError: the URL cannot be read, it refuses us, or it is no QuestDB.
    """
    server = QuestdbHttp(address_of(http_url), within_s)
    try:
        [[build, now_us]] = server.ask("SELECT build(), cast(now() AS LONG)")
        there = {name: rest for name, *rest in server.ask(_PROGRESS)}
        tables = [_found(server, table, *there[table.name]) for table in TABLES if table.name in there]
        return TimeSeriesFound(_version(build), now_us * 1000, tables)
    finally:
        server.close()


_PROGRESS = "SELECT name, sequencerTxn - writerTxn, suspended, errorMessage FROM wal_tables()"
