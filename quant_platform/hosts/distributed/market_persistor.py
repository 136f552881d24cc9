"""market_persistor as a service: enriched ticks, bars and option greeks into QuestDB, each once."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from quant_platform.domain import topics
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
from quant_platform.hosts.distributed import connections
from quant_platform.hosts.distributed.intake import Intake, count_read
from quant_platform.hosts.health import Health
from quant_platform.hosts.options import ServiceOptions
from quant_platform.ports.bus import Bus, GroupReader, Offsets, Record, TransactionalWriter
from quant_platform.ports.series_store import CANDLES_1M, OPTION_GREEKS, TICKS, SeriesWriter, Table
from quant_platform.services.market_persistor.rows import candle_rows, greeks_rows, tick_rows

NAME = "market_persistor"


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
    (FeaturesRecord, TICKS, tick_rows),
    (BarsRecord, CANDLES_1M, candle_rows),
    (GreeksRecord, OPTION_GREEKS, greeks_rows),
)


def serve(settings: Settings, options: ServiceOptions, health: Health) -> None:
    """Store until SIGTERM.

    Raises:
        QuantError: any but :class:`UnavailableError`, which is waited on.
    """
    service = MarketPersistorService(
        connections.kafka(settings),
        lambda: connections.series_writer(settings),
        health,
        instance=options.instance,
        flush_rows=settings.questdb.flush_rows,
        flush_s=settings.questdb.flush_s,
    )
    with process.stopped_by_signals() as stop:
        process.run(service, health, stop)


class MarketPersistorService:
    """One of the instances that share the partitions (:class:`~quant_platform.hosts.process.StreamService`).

    A turn takes what one flush writes and ends with the offsets of just that, so nothing is carried from turn to turn:
    while QuestDB is away the records stay in Kafka, and those of the turn that failed are read again.

    Args:
        bus: Kafka.
        connect: makes the writer of the time series.
        health: of this process.
        instance: name of this instance, the same after a restart and another's never.
        flush_rows: records of a topic that a turn takes at most.
        flush_s: how long it waits for so many.
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
        self._inlets: list[_Inlet] = []
        for each in INPUTS:
            writer = self._bus.transactional_writer(f"{each.group}-{self._instance}")
            self._closing.append(writer.close)
            reader = self._bus.group_reader(each.group, self._instance, each.topic.name)
            self._closing.append(reader.close)
            self._inlets.append(_Inlet(reader, writer, Intake(each.readers, writer, self._health)))

    def poll(self) -> None:
        """Take as many records as a flush writes, or those of the time that one waits for."""
        ticks, greeks = self._inlets
        ticks.poll(self._flush_rows, self._flush_s)
        greeks.poll(self._flush_rows, 0.0)
        for each, inlet in zip(INPUTS, self._inlets, strict=True):
            count_read(inlet.records, self._health)
            self._health.lag.labels(each.topic.name).set(inlet.reader.lag())
        self._show_unstored()

    def process(self) -> None:
        """Make rows of the records; those that cannot be rows are set aside."""
        contents = [content for inlet in self._inlets for content in inlet.contents()]
        self._rows = []
        for schema, table, rows_of in _STORED:
            if found := [content for content in contents if type(content) is schema]:
                self._rows.append((table, rows_of(found)))

    def store(self) -> None:
        """Hand the rows over."""
        for table, rows in self._rows:
            self._store.append(table, rows)

    def flush(self) -> None:
        """Return when the rows are durable."""
        self._store.flush()
        for table, rows in self._rows:
            self._stored.labels(table.name).inc(rows.timestamp.size)

    def commit(self) -> None:
        """Go on after what is stored; dead letters and offsets together."""
        for inlet in self._inlets:
            inlet.commit()

    def close(self) -> None:
        """Leave the groups and let go of QuestDB."""
        while self._closing:
            self._closing.pop()()

    def _show_unstored(self) -> None:
        for each in INPUTS:
            self._unstored.labels(each.topic.name).set(self._bus.behind(each.group, each.topic.name))


class _Inlet:
    """Where the records of one topic come in."""

    def __init__(self, reader: GroupReader, writer: TransactionalWriter, intake: Intake) -> None:
        self.reader = reader
        self.records: Sequence[Record] = ()
        self._writer = writer
        self._intake = intake
        self._committed: Offsets = {}

    def poll(self, most: int, wait_s: float) -> None:
        self.records = self.reader.poll(most, wait_s)

    def contents(self) -> list[Any]:
        """What the records say, without those that were set aside."""
        return [content for _, content in self._intake.read(self.records) if content is not None]

    def commit(self) -> None:
        """Commit what was read and the marks of transactions behind it: at rest the group is at the very end."""
        reached = self.reader.positions()
        if moved := {place: offset for place, offset in reached.items() if self._committed.get(place) != offset}:
            # In a transaction: a plain commit that is under way when Kafka dies waits for ever, unseen.
            self._writer.commit(self.reader, moved)
        self._committed = reached
