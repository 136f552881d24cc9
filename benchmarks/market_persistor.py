"""market_persistor into QuestDB: rows visible per second, beside the client's own best way there.

    python -m benchmarks.market_persistor [--quick] [--json]

The service with its default settings takes enriched ticks with five levels that wait in Kafka, committed in
transactions. The limit is pandas frames of the same rows, made beforehand, through the client's ``Sender.dataframe`` in
three sizes of flush, the best of which counts. Both are measured by counting rows in the table, from the first that can
be read, because the service reads hundreds of thousands ahead, which it would be given for nothing later, to the last
tenth, because the very last ones wait a second for company that never comes. The servers run as `quant servers up` has
them, so a flush is on the disk.
"""

import statistics
import threading
import time
from collections.abc import Callable, Iterator, Mapping

import psutil

from benchmarks import figure, stream
from benchmarks.figure import Figure, Goal, Limit, Run
from benchmarks.made_up import names
from benchmarks.stream import Cost
from quant_platform.adapters.bus.kafka import KafkaBus
from quant_platform.adapters.ticks.questdb import QuestdbWriter
from quant_platform.adapters.ticks.questdb_http import QuestdbHttp, address_of
from quant_platform.adapters.ticks.series_rows import joined, picked
from quant_platform.domain.enriched_json import KnownSymbols, read_enriched
from quant_platform.domain.records import encode
from quant_platform.domain.topics import ENRICHED_TICKS
from quant_platform.ports.series_store import TICKS, TickRows
from quant_platform.services.market_persistor.rows import tick_rows

NAME = "market_persistor into QuestDB, rows visible"
GOAL = Goal(0.5, 0.8, "ratio")
FLUSHES = (20_000, 50_000, 100_000)
COUNTS_FROM = figure.WITHIN * 450_000
"""Rows a second of the client's frames below which the ratio does not count, by what was published for them."""
GROUP = "market_persistor"
ROWS_AT_LEAST = 0.999
"""Of the made-up ticks, whose features have an exponent now and then."""


class Table:
    """The table of ticks, made anew for every measurement.

    Args:
        url: of QuestDB.
        count: rows that it will have.
    """

    def __init__(self, url: str, count: int) -> None:
        self._url = url
        self._count = count
        self._questdb = QuestdbHttp(address_of(url), 30.0)

    def emptied(self) -> QuestdbWriter:
        """A writer to it."""
        self._questdb.ask("DROP TABLE IF EXISTS ticks")
        writer = QuestdbWriter(self._url, timeout_s=60.0)
        writer.prepare()
        return writer

    def watched(self, process: psutil.Process) -> Cost:
        """What a process spends until nearly all rows can be read."""
        nearly_all = self._count * 9 // 10
        return stream.watched(process, self._visible, nearly_all, nearly_all, since=1)

    def _visible(self) -> int:
        return int(self._questdb.ask("SELECT count() FROM ticks")[0][0])


def frames(table: Table, rows: TickRows, size: int) -> Cost:
    """The client's own way, from rows in memory."""
    writer = table.emptied()
    parts = [picked(TICKS, rows, slice(start, start + size)) for start in range(0, rows.timestamp.size, size)]

    def write() -> None:
        for part in parts:
            writer.append(TICKS, part)
            writer.flush()
        writer.close()

    return _meanwhile(write, lambda: table.watched(psutil.Process()))


def _meanwhile(work: Callable[[], None], watch: Callable[[], Cost]) -> Cost:
    thread = threading.Thread(target=work)
    thread.start()
    try:
        return watch()
    finally:
        thread.join()


def ours(table: Table, bus: KafkaBus, environment: Mapping[str, str]) -> Cost:
    """The service's way, from Kafka."""
    table.emptied().close()
    stream.forget(bus, GROUP)
    with stream.service([GROUP], environment) as process:
        return table.watched(process)


def _rows(count: int) -> TickRows:
    known = KnownSymbols()
    known.add(names(stream.SYMBOLS))
    parts = []
    for records in stream.enriched(count):
        columns, is_read = read_enriched([encode(record) for record in records], known)
        assert is_read.mean() > ROWS_AT_LEAST
        parts.append(tick_rows(columns, known.names))
    return joined(TICKS, parts)


def measure(run: Run) -> Iterator[Figure]:
    """Rows visible per second, in turns with all sizes of flush."""
    count = run.size(4_000_000, 300_000)  # the longer the backlog, the further its partitions drift apart
    with stream.servers("kafka", "questdb") as environment:
        bus = stream.bus_of(environment)
        stream.publish(bus, ENRICHED_TICKS, stream.enriched(count))
        rows = _rows(count)
        table = Table(environment["QUESTDB_HTTP_URL"], count)
        service: list[Cost] = []
        limits: dict[int, list[Cost]] = {size: [] for size in FLUSHES}
        for _ in range(run.rounds):
            for size, found in limits.items():
                found.append(frames(table, rows, size))
                time.sleep(1.0)  # for the server to come to rest
            service.append(ours(table, bus, environment))
    best = max(statistics.median(cost.ticks / cost.wall_s for cost in found) for found in limits.values())
    cpu_s = statistics.median(cost.cpu_s for cost in service)
    yield Figure(
        NAME,
        statistics.median(cost.ticks / cost.wall_s for cost in service),
        "rows/s",
        GOAL,
        Limit("the client's best frame path", best, COUNTS_FROM),
        max(cost.peak_mb for cost in service),
        cpu_s,
        f"{statistics.median(cost.ticks / cost.cpu_s for cost in service):,.0f} rows per CPU-s of the service",
    )


if __name__ == "__main__":
    figure.main(NAME, measure)
