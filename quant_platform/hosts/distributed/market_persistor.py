"""market_persistor as a service: enriched ticks, bars and option greeks into QuestDB, each once."""

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
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
from quant_platform.hosts.distributed.time_window import Abreast, TimeWindow
from quant_platform.hosts.distributed.work_line import WorkLine
from quant_platform.hosts.health import Health
from quant_platform.hosts.options import ServiceOptions
from quant_platform.hosts.warm_readers import warm_readers
from quant_platform.ports.bus import Bus, GroupReader, Offsets, Record, Records, Source, TransactionalWriter
from quant_platform.ports.series_store import CANDLES_1M, OPTION_GREEKS, TICKS, SeriesWriter, Table
from quant_platform.services.market_persistor.rows import candle_rows, greeks_rows, tick_rows

NAME = "market_persistor"

PIECE = 2000
"""Records that become rows at a time, before the next ones push them out of the processor's cache."""
ENOUGH = 20_000
"""Records beyond which a turn goes on only while more come at once: larger flushes are cheaper."""
MORE_WITHIN_S = 0.1
"""How long that is: what a patient reader's fetch takes."""
FIRST_ROWS = 10_000
"""As many as the first turn after a start takes: one that is killed again and again gets on all the same."""
WRITTEN_ROWS = 100_000
"""Ticks that are written at a time: the server pays for every commit."""
TURNS_HELD = 6
"""Turns amid a backlog for which ticks wait at most, for partitions that are behind."""
MOST_HELD = 4 * WRITTEN_ROWS
TURNS_ABREAST = 2
"""As far as the partitions come in so many turns, the first one may be ahead of the last."""
TURNS_AHEAD = 3
"""Turns amid a backlog that are taken before what the first of them had written is durable: with fewer, taking, making
rows and writing wait for each other in turns."""
LOOK_EVERY_S = 2.0
"""How often Kafka is asked what nobody has stored yet: it takes as long as a flush."""


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

    A turn takes some records, and its offsets are committed when its rows are durable. Amid a backlog that is some
    turns later: what one turn took is written while the next ones take. While QuestDB is away the records stay in
    Kafka, and those that were not committed are read again.

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
        self._looked_at = time.monotonic()
        self._store.prepare()
        self._most = min(FIRST_ROWS, self._flush_rows)
        self._window = TimeWindow(TURNS_HELD, MOST_HELD)
        self._rows: list[_Rows] = []  # of other tables, made, and not written yet
        self._is_behind = False
        self._turns: deque[Sequence[_Mark]] = deque()  # whose rows may not be durable yet; one mark an inlet
        self._done = 0  # the other turns
        self._durable: list[Sequence[_Mark]] = []  # those of them that were not committed
        self._ends: deque[Future[_End]] = deque()  # of the turns whose last write was not waited for
        self._inlets: list[_Inlet] = []
        for each in INPUTS:
            self._inlets.append(_Inlet(self._bus, each, self._instance, self._health))
            self._closing.append(self._inlets[-1].close)
        self._writes = WorkLine("writes")
        self._closing.append(self._writes.close)
        self._reads = WorkLine("rows")
        self._closing.append(self._reads.close)

    def poll(self) -> None:
        """Take the first records of a turn, or wait a moment for them."""
        self._take_until = time.monotonic() + self._flush_s
        ticks, greeks = self._inlets
        for inlet in self._inlets:
            inlet.begin_turn(is_behind=self._is_behind)
        ticks.take(min(PIECE, self._most), self._flush_s)
        greeks.take(self._most, 0.0)

    def process(self) -> None:
        """Have rows made of the records, and of further ticks while they come, as many as a turn takes or waits for.

        A second thread does it meanwhile, and a third writes what is enough; records that cannot be rows are set aside.
        """
        ticks, greeks = self._inlets
        self._reads.do(partial(self._read, greeks, greeks.records))
        while ticks.records:
            self._reads.do(partial(self._read, ticks, ticks.records))
            left_s = self._take_until - time.monotonic()
            wait_s = left_s if ticks.taken < ENOUGH else min(left_s, MORE_WITHIN_S)
            ticks.take(min(PIECE, self._most - ticks.taken) if left_s > 0 else 0, wait_s)
        self._show_lag()

    def store(self) -> None:
        """Have the rest of the rows written."""
        ticks, _ = self._inlets
        self._is_behind = ticks.taken >= ENOUGH and ticks.reader.lag() > 0
        marks = [inlet.mark() for inlet in self._inlets]
        self._turns.append(marks)
        self._ends.append(self._reads.do(partial(self._finish, marks, at_rest=not self._is_behind)))

    def flush(self) -> None:
        """Return when the rows of this turn are durable; amid a backlog, when what one before had written is."""
        while len(self._ends) > (TURNS_AHEAD if self._is_behind else 0):
            end = self._ends.popleft().result()
            end.last_write.result()
            while self._done < end.turns:
                self._durable.append(self._turns.popleft())
                self._done += 1

    def commit(self) -> None:
        """Go on after what is durable; dead letters and offsets together."""
        for inlet, *marks in zip(self._inlets, *self._durable, strict=True):
            inlet.commit(marks)
        self._durable.clear()
        self._most = self._flush_rows

    def close(self) -> None:
        """Leave the groups and let go of QuestDB."""
        while self._closing:
            self._closing.pop()()

    def _read(self, inlet: "_Inlet", records: Records) -> None:
        for table, rows in inlet.rows_of(records):
            if table is TICKS:
                self._window.add(rows)
            else:
                self._rows.append((table, rows))
        if self._window.fresh > WRITTEN_ROWS:
            self._have_written()

    def _have_written(self, *, everything: bool = False) -> Future[None]:
        rows, self._rows = self._rows, []
        ticks = self._window.take(self._inlets[0].complete, everything=everything)
        if ticks is not None:
            rows.append((TICKS, ticks))
        return self._writes.do(partial(self._write, rows))

    def _write(self, pieces: Sequence[_Rows]) -> None:
        for table, rows in pieces:
            self._store.append(table, rows)
        self._store.flush()
        for table, rows in pieces:
            self._stored.labels(table.name).inc(rows.timestamp.size)

    def _finish(self, marks: "Sequence[_Mark]", *, at_rest: bool) -> "_End":
        """Have what is due at a turn's end written, and give it the dead letters that its records became."""
        for inlet, mark in zip(self._inlets, marks, strict=True):
            mark.dead_letters.extend(inlet.dead_letters)
            inlet.dead_letters.clear()
        return _End(self._have_written(everything=at_rest), self._window.end_turn())

    def _show_lag(self) -> None:
        for each, inlet in zip(INPUTS, self._inlets, strict=True):
            self._health.lag.labels(each.topic.name).set(inlet.reader.lag())
        if time.monotonic() - self._looked_at >= LOOK_EVERY_S:
            self._show_unstored()
            self._looked_at = time.monotonic()

    def _show_unstored(self) -> None:
        for each in INPUTS:
            self._unstored.labels(each.topic.name).set(self._bus.behind(each.group, each.topic.name))


class _Mark(NamedTuple):
    """How far a turn came in one topic."""

    reached: Offsets
    read: int  # records since the start
    dead_letters: list[tuple[Record, str]]  # of the turn, with the reasons; complete when its rows are made


class _End(NamedTuple):
    """What is known when all rows of a turn are made."""

    last_write: Future[None]
    turns: int  # since the start, whose rows are all durable after it


class _Inlet:
    """Where the records of one topic come in.

    Args:
        bus: that they come from.
        source: the topic.
        instance: of the service.
        health: counts them.
    """

    def __init__(self, bus: Bus, source: Input, instance: str, health: Health) -> None:
        self.records = Records(source.topic.name)  # taken last
        self.taken = 0
        """Records of this turn."""
        self.dead_letters: list[tuple[Record, str]] = []  # that wait for the commit of their turn
        self._read = self._committed_read = 0  # records since the start
        self._abreast = Abreast(TURNS_ABREAST)
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
        self._intake: EnrichedIntake | Intake = intake(source.readers, self, health)
        self._committed: Offsets = {}
        self._is_interrupted = False

    def begin_turn(self, *, is_behind: bool) -> None:
        """Count anew what is taken; amid a backlog, have partitions that are far ahead wait."""
        self.taken = 0
        self.reader.hold(self._abreast.far_ahead() if is_behind else frozenset())

    @property
    def complete(self) -> int:
        """The moment, ns UTC, that every partition has come to by its clocks; 0 where one has none."""
        return self._abreast.complete

    def take(self, most: int, wait_s: float) -> None:
        """Take the next records, none where ``most`` is 0.

        Raises:
            UnavailableError: Kafka cannot be reached, or part of what was taken may be another instance's by now.
        """
        self.records = self.reader.poll(most, wait_s) if most else self.records[:0]
        if self._is_interrupted:
            raise UnavailableError("the partitions were shared out anew amid a flush", "nothing: they are read again")
        self.taken += len(self.records)
        self._read += len(self.records)
        count_read(self.records, self._health)

    def rows_of(self, records: Records) -> list[_Rows]:
        """The rows that records make; those that cannot be rows are set aside."""
        if not records:
            return []
        if isinstance(self._intake, Intake):
            return _rows_of([content for _, content in self._intake.read(records)])
        ticks, _, others = self._intake.read(records)
        for record, content in others:
            if type(content) is ClockRecord:
                self._abreast.saw(record.partition, content.ts)
        rows = _rows_of([content for _, content in others])
        if ticks.ts.size:
            rows.append((TICKS, tick_rows(ticks, self._intake.names)))
        return rows

    def set_aside(self, record: Record, reason: str) -> None:
        """Have a record sent to the dead letters by the commit of its turn, and of no turn before."""
        self.dead_letters.append((record, reason))

    def mark(self) -> _Mark:
        """How far it came."""
        return _Mark(self.reader.positions(), self._read, [])

    def commit(self, marks: Sequence[_Mark]) -> None:
        """Commit what turns read, and the marks of transactions behind it: at rest the group is at the very end."""
        if not marks:
            return
        for mark in marks:
            for record, reason in mark.dead_letters:
                self._writer.set_aside(record, reason)
        reached = marks[-1].reached
        if moved := {place: offset for place, offset in reached.items() if self._committed.get(place) != offset}:
            # In a transaction: a plain commit that is under way when Kafka dies waits for ever, unseen.
            self._writer.commit(self.reader, moved)
        self._committed, self._committed_read = reached, marks[-1].read

    def close(self) -> None:
        """Leave the group; dead letters that were not committed are dropped."""
        self.reader.close()
        self._writer.close()

    def _on_share(self, partitions: Sequence[int]) -> None:
        self._is_interrupted = self._read > self._committed_read
        self._abreast.begin(partitions)
