"""feature_engine as a service: consume, enrich and produce in one transaction, the symbols' state with it.

Beside the state stands where it was reached, and from there a new owner of the partition goes on (ADR 34).
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import groupby

import structlog

from quant_platform.domain.depth_json import DepthColumns
from quant_platform.domain.instruments import SymbolTable
from quant_platform.domain.record_columns import bar_batch, enriched_records, tick_batch
from quant_platform.domain.records import BAR, CLOCK, TICK, BarsRecord, ClockRecord, Reader, TickAsRead, encode
from quant_platform.domain.ticks import LATE, LEVELS
from quant_platform.domain.topics import ENRICHED_TICKS, EQUITY_TICKS, FEATURE_STATE
from quant_platform.hosts import process
from quant_platform.hosts.config import Settings
from quant_platform.hosts.distributed import connections
from quant_platform.hosts.distributed.intake import Intake, Read, count_read, following, take
from quant_platform.hosts.distributed.lookups import LookupWriter
from quant_platform.hosts.faults import fault_point
from quant_platform.hosts.health import Health
from quant_platform.hosts.options import ServiceOptions
from quant_platform.hosts.strategies import load_strategy
from quant_platform.hosts.warm import warm_kernels
from quant_platform.hosts.warm_readers import warm_readers
from quant_platform.ports.bus import Bus, GroupReader, Offsets, Record, Records, Source, TransactionalWriter
from quant_platform.services.feature_engine.engine import FeatureEngine

NAME = "feature_engine"
PLACE = "place"
"""Kind of a record in :data:`FEATURE_STATE`: a partition of :data:`EQUITY_TICKS`, and its first record that no state of
the topic has taken in."""
MOST = 5000
"""Records a transaction: larger ones cost latency and save nothing more."""
PIECE = 500
"""Records that are read, enriched and sent at a time, before the next ones push them out of the processor's cache."""

_READERS = {TICK: Reader(TickAsRead), BAR: Reader(BarsRecord), CLOCK: Reader(ClockRecord)}

_log = structlog.get_logger(__name__)


def serve(settings: Settings, options: ServiceOptions, health: Health) -> None:
    """Enrich until SIGTERM.

    Raises:
        QuantError: any but :class:`UnavailableError`, which is waited on.
    """
    _, shared = load_strategy(settings.trading.strategy, settings.trading.parameters)
    with process.stopped_by_signals() as stop, connections.redis(settings, health) as lookups:
        service = FeatureEngineService(
            connections.kafka(settings),
            health,
            lookups,
            instance=options.instance,
            rsi_period=shared.rsi_period,
            sma_period=shared.sma_period,
            depth=settings.feed.depth,
        )
        warm_kernels()
        warm_readers()
        process.run(service, health, stop)


class FeatureEngineService:
    """One of the instances that share the partitions (:class:`~quant_platform.hosts.process.StreamService`).

    Args:
        bus: Kafka.
        health: of this process.
        lookups: take each symbol's newest tick.
        instance: name of this instance, the same after a restart and another's never.
        rsi_period: closes of Wilder's average.
        sma_period: closes of the moving average.
        depth: whether frames carry a book.
    """

    def __init__(
        self,
        bus: Bus,
        health: Health,
        lookups: LookupWriter,
        *,
        instance: str,
        rsi_period: int,
        sma_period: int,
        depth: bool,
    ) -> None:
        self._bus = bus
        self._health = health
        self._lookups = lookups
        self._instance = instance
        self._periods = (rsi_period, sma_period)
        self._depth = depth
        self._written = health.written.labels(ENRICHED_TICKS.name)
        self._closing: list[Callable[[], None]] = []
        self._records = Records(EQUITY_TICKS.name)
        self._following: Offsets = {}  # where reading goes on after them

    def open(self) -> None:
        """Drop what an earlier process of this instance left open, and join the group."""
        self._bus.ensure([EQUITY_TICKS, ENRICHED_TICKS, FEATURE_STATE])
        self._table = SymbolTable()
        self._engine = FeatureEngine(*self._periods, depth=self._depth)
        source = Source(NAME, EQUITY_TICKS.name)
        self._writer: TransactionalWriter = self._bus.transactional_writer(f"{NAME}-{self._instance}", source)
        self._closing.append(self._writer.close)
        self._intake = Intake(_READERS, self._writer, self._health)
        self._reader: GroupReader = self._bus.group_reader(NAME, self._instance, EQUITY_TICKS.name, self._restore)
        self._closing.append(self._reader.close)

    def poll(self) -> None:
        """Take up to :data:`MOST` records; a rebalance hands over state in here."""
        self._records = take(self._reader, MOST, len(self._records))
        self._following = following(self._records)
        count_read(self._records, self._health)

    def process(self) -> None:
        """Enrich ticks, insert bars, pass clocks on: each partition's output in the order of its input."""
        self._touched: set[int] = set()
        self._newest: dict[str, bytes] = {}
        self._passed_on = 0
        for start in range(0, len(self._records), PIECE):
            self._take(self._records[start : start + PIECE])

    def store(self) -> None:
        """Send the state of every symbol that moved, and where it was reached, for whoever owns its partition next."""
        fault_point("enriched sent")
        for number in self._touched:
            self._writer.send(FEATURE_STATE.name, self._table.name(number), self._engine.state_of(number))
        for (_, partition), offset in self._following.items():
            self._writer.send(FEATURE_STATE.name, str(partition), encode(offset), PLACE)

    def flush(self) -> None:
        """Nothing to wait for: the transaction's end does."""

    def commit(self) -> None:
        """Output, state and offsets together, or nothing of it."""
        if self._records:
            self._writer.commit(self._reader, self._following)
            self._written.inc(self._passed_on)
            self._lookups.put_quotes(self._newest)
            self._health.lag.labels(EQUITY_TICKS.name).set(self._reader.lag())

    def close(self) -> None:
        """Drop the open transaction and leave."""
        while self._closing:
            self._closing.pop()()

    def _restore(self, partitions: Sequence[int]) -> Mapping[int, int]:
        """Take over the newest state of every symbol, those of newly assigned partitions among them.

        Returns:
            Where newly assigned partitions go on.
        """
        start = dict.fromkeys(range(self._bus.partitions(FEATURE_STATE.name)), 0)
        newest = {(record.kind, record.key): record.value for record in self._bus.history(FEATURE_STATE.name, start)}
        places: dict[int, int] = {}
        for (kind, key), value in newest.items():
            if kind == PLACE:
                places[int(key)] = int(value)
            else:
                self._engine.take_over(self._table.add(key), value)
        _log.info("partitions taken over", partitions=sorted(partitions), symbols=len(self._table))
        return {number: places[number] for number in partitions if number in places}

    def _take(self, records: Records) -> None:
        entries = [entry for entry in self._intake.read(records) if entry.content is not None]
        depth = self._intake.depth
        for is_bar, run in groupby(entries, key=_is_bar):
            if is_bar:
                for record, content in run:
                    self._insert(record, content)
            else:
                depth = self._enrich(list(run), depth)
        self._passed_on += len(entries)

    def _enrich(self, entries: Sequence[Read], depth: DepthColumns) -> DepthColumns:
        """Enrich ticks, and pass clocks on between them. Gives the depth that is left after that of these ticks."""
        ticks = [entry.content for entry in entries if entry.record.kind == TICK]
        numbers = [self._table.add(tick.symbol) for tick in ticks]
        own, left = depth.split(len(ticks))
        batch = self._engine.on_ticks(tick_batch(ticks, numbers, own, LEVELS if self._depth else 0))
        enriched = zip(numbers, enriched_records(ticks, batch), strict=True)
        for record, _ in entries:
            if record.kind == TICK:
                number, content = next(enriched)
                value = encode(content)
                self._touched.add(number)
                if not content.flags & LATE:
                    self._newest[content.symbol] = value
                self._send(record, value)
            else:
                self._send(record, record.value)
        return left

    def _insert(self, record: Record, content: BarsRecord) -> None:
        number = self._table.add(content.symbol)
        self._engine.on_bars(bar_batch(content, number), anew=content.what == "warm-up")
        self._touched.add(number)
        self._send(record, record.value)

    def _send(self, record: Record, value: bytes) -> None:
        self._writer.send(ENRICHED_TICKS.name, record.key, value, record.kind, record.partition)


def _is_bar(entry: Read) -> bool:
    return entry.record.kind == BAR
