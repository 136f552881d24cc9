"""Look at QuestDB without changing it: what it is, and whether our tables are as we make them and make progress."""

import re
from typing import Any

from quant_platform.adapters.ticks.questdb_http import QuestdbHttp, address_of
from quant_platform.adapters.ticks.questdb_tables import check_columns
from quant_platform.domain.errors import ConfigurationError
from quant_platform.ports.series_store import TABLES, Table
from quant_platform.ports.server_probes import SeriesFound, TimeSeriesFound

_VERSION = re.compile(r"QuestDB ([\d.]+)")


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
        version = _VERSION.search(build)
        progress = server.ask("SELECT name, sequencerTxn - writerTxn, suspended, errorMessage FROM wal_tables()")
        found = {name: (behind, has_stopped, reason) for name, behind, has_stopped, reason in progress}
        tables = [_table(server, table, *found[table.name]) for table in TABLES if table.name in found]
        return TimeSeriesFound(version[1] if version else build, now_us * 1000, tables)
    finally:
        server.close()


def _table(server: QuestdbHttp, table: Table[Any], behind: int, has_stopped: bool, reason: str) -> SeriesFound:
    fault = (reason or "no reason is known") if has_stopped else ""
    try:
        check_columns(server, table)
    except ConfigurationError as error:
        return SeriesFound(table.name, error.what, error.cure, behind, fault)
    return SeriesFound(table.name, "", "", behind, fault)
