"""market_persistor as a service: enriched ticks, bars and option greeks into QuestDB, each once."""

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple

from quant_platform.domain import topics
from quant_platform.domain.errors import UnavailableError
from quant_platform.domain.records import (
    BAR,
    CLOCK,
    TICK,
    BarsRecord,
    ClockRecord,
    FeaturesRecord,
    GreeksRecord,
    Reader,
)
from quant_platform.hosts import process
from quant_platform.hosts.config import Settings
from quant_platform.hosts.distributed import connections, series_connections
from quant_platform.hosts.distributed.enriched_intake import EnrichedIntake
from quant_platform.hosts.distributed.intake import Intake, count_read
from quant_platform.hosts.health import Health
from quant_platform.hosts.options import ServiceOptions
from quant_platform.hosts.warm_readers import warm_readers
from quant_platform.ports.bus import Bus, GroupReader, Offsets, Record, Source, TransactionalWriter
from quant_platform.ports.series_store import CANDLES_1M, OPTION_GREEKS, TICKS, SeriesWriter, Table
from quant_platform.services.market_persistor.rows import candle_rows, greeks_rows, tick_rows

NAME = "market_persistor"

PIECE = 2000
"""Records that become rows at a time, before the next ones push them out of the processor's cache."""
ENOUGH = 20_000
"""Records with which a flush waits for more only where there are more: larger ones are cheaper."""
FIRST_ROWS = 10_000
"""As many as the first turn after a start takes: one that is killed again and again gets on all the same."""
WRITTEN_PIECES = 25
"""Pieces that are written at a time: the server pays for every commit."""


class Input(NamedTuple):
    """A topic that is stored."""

    topic: topics.Topic
    group: str  # of its own: in one group each change of members would have to wait for both readers
    readers: Mapping[str, Reader]


INPUTS = (
    Input(
        topics.ENRICHED_TICKS,
        NAME,
        {TICK: Reader(FeaturesRecord), BAR: Reader(BarsRecord), CLOCK: Reader(ClockRecord)},
    ),
    Input(topics.OPTION_GREEKS, f"{NAME}.greeks", {TICK: Reader(GreeksRecord)}),
)

_STORED: tuple[tuple[type[Any], Table[Any], Callable[[list[Any]], Any]], ...] = (
    (BarsRecord, CANDLES_1M, candle_rows),
    (GreeksRecord, OPTION_GREEKS, greeks_rows),
)


_Rows = tuple[Table[Any], Any]


def _rows_of(contents: Sequence[Any]) -> list[_Rows]:
    """The rows of every table that these records belong to."""
    kinds = set(map(type, contents))
    return [
        (table, rows_of([content for content in contents if type(content) is schema]))
        for schema, table, rows_of in _STORED
        if schema in kinds
    ]


def serve(settings: Settings, options: ServiceOptions, health: Health) -> None:
    """Store until SIGTERM.

    Raises:
        QuantError: any but :class:`UnavailableError`, which is waited on.
    """
    service = MarketPersistorService(
        connections.kafka(settings),
        lambda: series_connections.series_writer(settings),
        health,
        instance=options.instance,
        flush_rows=settings.questdb.flush_rows,
        flush_s=settings.questdb.flush_s,
    )
    with process.stopped_by_signals() as stop:
        warm_readers()
        process.run(service, health, stop)


class MarketPersistorService:
    """One of the instances that share the partitions (:class:`~quant_platform.hosts.process.StreamService`).

    A turn takes what one flush writes, and ends with the offsets of just that, so nothing is carried from turn to turn:
    while QuestDB is away the records stay in Kafka, and those of the turn that failed are read again.

    Args:
        bus: Kafka.
        connect: makes the writer of the time series.
        health: of this process.
        instance: name of this instance, the same after a restart and another's never.
        flush_rows: records of a topic that a turn takes at most, the first one fewer.
        flush_s: how long it waits for :data:`ENOUGH`, or goes on taking what is there.
    """

    def __init__(
        self,
        bus: Bus,
        connect: Callable[[], SeriesWriter],
        health: Health,
        *,
        instance: str,
        flush_rows: int,
        flush_s: float,
    ) -> None:
        self._bus = bus
        self._connect = connect
        self._health = health
        self._instance = instance
        self._flush_rows = flush_rows
        self._flush_s = flush_s
        self._stored = health.counter("quant_persistor_rows_stored_total", "Rows made durable", "table")
        self._unstored = health.gauge(
            "quant_persistor_unstored_records", "Records that no instance has stored yet; each shows the same", "topic"
        )
        self._closing: list[Callable[[], None]] = []

    def open(self) -> None:
        """See that QuestDB is there, then join the groups."""
        self._store = self._connect()  # first, because an address that cannot be read needs no Kafka to be found
        self._closing.append(self._store.close)
        self._bus.ensure([each.topic for each in INPUTS])
        self._show_unstored()
        self._store.prepare()
        self._most = min(FIRST_ROWS, self._flush_rows)
        self._inlets: list[_Inlet] = []
        for each in INPUTS:
            self._inlets.append(_Inlet(self._bus, each, self._instance, self._health))
            self._closing.append(self._inlets[-1].close)
        self._pool = ThreadPoolExecutor(1, "rows")
        self._closing.append(partial(self._pool.shutdown, cancel_futures=True))

    def poll(self) -> None:
        """Take the first records of a turn, or wait a moment for them."""
        self._take_until = time.monotonic() + self._flush_s
        self._rows: list[_Rows] = []
        self._under_way: list[Future[None]] = []
        ticks, greeks = self._inlets
        ticks.take(min(PIECE, self._most), self._flush_s)
        greeks.take(self._most, 0.0)

    def process(self) -> None:
        """Have rows made of the records, and of further ticks while they come, as many as a flush takes or waits for.

        Another thread does it meanwhile, and writes what is enough; records that cannot be rows are set aside.
        """
        ticks, greeks = self._inlets
        self._have_done(partial(self._read, greeks, greeks.records))
        while ticks.records:
            self._have_done(partial(self._read, ticks, ticks.records))
            left_s = self._take_until - time.monotonic()
            wait_s = left_s if ticks.taken < ENOUGH or ticks.reader.lag() else 0.0
            ticks.take(min(PIECE, self._most - ticks.taken) if left_s > 0 else 0, wait_s)
        self._show_lag()

    def store(self) -> None:
        """Have the rest of the rows written."""
        self._have_done(self._write)

    def flush(self) -> None:
        """Return when the rows are durable."""
        for each in self._under_way:
            each.result()

    def commit(self) -> None:
        """Go on after what is stored; dead letters and offsets together."""
        for inlet in self._inlets:
            inlet.commit()
        self._most = self._flush_rows

    def close(self) -> None:
        """Leave the groups and let go of QuestDB."""
        while self._closing:
            self._closing.pop()()

    def _have_done(self, work: Callable[[], None]) -> None:
        """Have the other thread do it after all before, unless something of that failed: then the turn is lost."""
        before = self._under_way[-1] if self._under_way else None

        def do() -> None:
            if before is not None:
                before.result()
            work()

        self._under_way.append(self._pool.submit(do))

    def _read(self, inlet: "_Inlet", records: Sequence[Record]) -> None:
        self._rows += inlet.rows_of(records)
        if len(self._rows) >= WRITTEN_PIECES:
            self._write()

    def _write(self) -> None:
        for table, rows in self._rows:
            self._store.append(table, rows)
        self._store.flush()
        for table, rows in self._rows:
            self._stored.labels(table.name).inc(rows.timestamp.size)
        self._rows = []

    def _show_lag(self) -> None:
        for each, inlet in zip(INPUTS, self._inlets, strict=True):
            self._health.lag.labels(each.topic.name).set(inlet.reader.lag())
        self._show_unstored()

    def _show_unstored(self) -> None:
        for each in INPUTS:
            self._unstored.labels(each.topic.name).set(self._bus.behind(each.group, each.topic.name))


class _Inlet:
    """Where the records of one topic come in.

    Args:
        bus: that they come from.
        source: the topic.
        instance: of the service.
        health: counts them.
    """

    def __init__(self, bus: Bus, source: Input, instance: str, health: Health) -> None:
        self.records: Sequence[Record] = ()  # taken last
        self.taken = 0
        """Records since the last commit."""
        self._health = health
        moved = Source(source.group, source.topic.name)
        self._writer: TransactionalWriter = bus.transactional_writer(f"{source.group}-{instance}", moved)
        try:
            self.reader: GroupReader = bus.group_reader(
                moved.group, instance, moved.topic, self._on_share, is_patient=True
            )
        except BaseException:
            self._writer.close()
            raise
        intake = EnrichedIntake if source.topic is topics.ENRICHED_TICKS else Intake
        self._intake: EnrichedIntake | Intake = intake(source.readers, self._writer, health)
        self._committed: Offsets = {}
        self._is_interrupted = False

    def take(self, most: int, wait_s: float) -> None:
        """Take the next records, none where ``most`` is 0.

        Raises:
            UnavailableError: Kafka cannot be reached, or part of what was taken may be another instance's by now.
        """
        self.records = self.reader.poll(most, wait_s) if most else ()
        if self._is_interrupted:
            raise UnavailableError("the partitions were shared out anew amid a flush", "nothing: they are read again")
        self.taken += len(self.records)
        count_read(self.records, self._health)

    def rows_of(self, records: Sequence[Record]) -> list[_Rows]:
        """The rows that records make; those that cannot be rows are set aside."""
        if not records:
            return []
        if isinstance(self._intake, Intake):
            return _rows_of([content for _, content in self._intake.read(records)])
        ticks, _, others = self._intake.read(records)
        rows = _rows_of([content for _, content in others])
        if ticks.ts.size:
            rows.append((TICKS, tick_rows(ticks, self._intake.names)))
        return rows

    def commit(self) -> None:
        """Commit what was read and the marks of transactions behind it: at rest the group is at the very end."""
        reached = self.reader.positions()
        if moved := {place: offset for place, offset in reached.items() if self._committed.get(place) != offset}:
            # In a transaction: a plain commit that is under way when Kafka dies waits for ever, unseen.
            self._writer.commit(self.reader, moved)
        self._committed = reached
        self.taken = 0

    def close(self) -> None:
        """Leave the group; dead letters that were not committed are dropped."""
        self.reader.close()
        self._writer.close()

    def _on_share(self, _partitions: Sequence[int]) -> None:
        self._is_interrupted = self.taken > 0
