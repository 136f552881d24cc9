"""strategy_runtime as a service: partitions merged, decided on and committed with their offsets in one transaction."""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import structlog

from quant_platform.adapters.ledger.sql import SqlLedger
from quant_platform.domain.errors import UsageError
from quant_platform.domain.instruments import SymbolTable
from quant_platform.domain.records import (
    BAR,
    CLOCK,
    TICK,
    BarsRecord,
    ClockRecord,
    EnrichedAsRead,
    OrderEvent,
    Reader,
    encode,
)
from quant_platform.domain.ticks import NS_PER_SECOND
from quant_platform.domain.topics import ENRICHED_TICKS, ORDER_EVENTS
from quant_platform.hosts import process
from quant_platform.hosts.config import Settings
from quant_platform.hosts.distributed import connections, ledger_connections
from quant_platform.hosts.distributed.enriched_intake import EnrichedIntake
from quant_platform.hosts.distributed.intake import count_read, take
from quant_platform.hosts.distributed.lookups import LookupWriter
from quant_platform.hosts.distributed.order_events import order_events
from quant_platform.hosts.faults import fault_point
from quant_platform.hosts.halts import HaltWatch
from quant_platform.hosts.health import Health
from quant_platform.hosts.options import ServiceOptions
from quant_platform.hosts.results import percentiles_us
from quant_platform.hosts.strategies import load_strategy
from quant_platform.hosts.warm import warm_kernels
from quant_platform.hosts.warm_readers import warm_readers
from quant_platform.ports.bus import Bus, RecordReader, Records, RecordWriter
from quant_platform.ports.ledger_store import OutboxRow, RunRequest, RunStart, RunSummary
from quant_platform.protocol.upstox.paths import API_HOST
from quant_platform.services.strategy_runtime.runtime import StrategyRuntime
from quant_platform.services.strategy_runtime.schema import DEFAULT_CAPITAL, TradingSettings
from quant_platform.services.strategy_runtime.strategy import Strategy
from quant_platform.services.strategy_runtime.stream import Ticks, TradingStream

SHARED_PARAMETERS = ("rsi_period", "sma_period")
"""Parameters of the features, which all portfolios on one feed share."""
MOST = 5000
PIECE = 1000
"""Records that become columns at a time, before the next ones push them out of the processor's cache."""
FAR_AHEAD = 20_000
"""Records of one partition that may wait for the others' clocks; beyond, it is not read on."""
PUBLISH_EVERY_S = 0.1
"""How long order events of committed blocks gather: orders wait while they are let out, as long as for a commit."""
LATENCIES_KEPT = 10_000

_READERS = {TICK: Reader(EnrichedAsRead), BAR: Reader(BarsRecord), CLOCK: Reader(ClockRecord)}

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class RuntimePlan:
    """What one runtime is made of.

    Attributes:
        request: which run of which portfolio.
        strategy: what decides.
        trading: sizing, limits and times.
        depth: whether the market's frames carry a book.
        live: whether time is the wall's: a new run begins at the end of the stream, and decides on fresh data only.
        max_data_age_s: how old a tick may be that is decided on, live.
        commit_every_s: how long market data without an order waits for its commit.
        until_over: finish the run when the market says that it is over.
    """

    request: RunRequest
    strategy: Strategy
    trading: TradingSettings
    depth: bool
    live: bool = False
    max_data_age_s: float = 3.0
    commit_every_s: float = 0.25
    until_over: bool = False


def serve(settings: Settings, options: ServiceOptions, health: Health) -> None:
    """Trade one portfolio until SIGTERM or, where asked for, until the market is over.

    Raises:
        UsageError: the strategy or one of its parameters is not known, or is not this service's to set.
        ConfigurationError: a setting is missing or wrong, a password among them.
        FencedError: another runtime has taken the portfolio over.
        QuantError: any but :class:`UnavailableError`, which is waited on.
    """
    plan = _plan(settings, options)
    ledger_connections.postgres_url(settings)  # a password that is not set needs no server to be missed
    with process.stopped_by_signals() as stop, connections.redis(settings, health) as lookups:

        def over(_: RunSummary) -> None:
            stop.set()

        def open_ledger() -> SqlLedger:
            return ledger_connections.postgres(settings, health.waiting)

        warm_kernels()
        warm_readers()
        bus = connections.kafka(settings)
        process.run(StrategyRuntimeService(bus, open_ledger, health, lookups, plan, over, stop), health, stop)


def _plan(settings: Settings, options: ServiceOptions) -> RuntimePlan:
    for name in SHARED_PARAMETERS:
        wanted = options.parameters.get(name)
        if wanted is not None and wanted != settings.trading.parameters.get(name):
            raise UsageError(
                f"--set {name}={wanted} is for the feature_engine, which serves every portfolio",
                f"set it for all services: QUANT_TRADING__{name.upper()}={wanted}",
            )
    strategy, shared = load_strategy(
        options.strategy or settings.trading.strategy, settings.trading.parameters | dict(options.parameters)
    )
    request = RunRequest(
        portfolio=options.portfolio,
        mode=options.mode,
        strategy=strategy.name,
        identity=f"distributed {options.identity} {shared} {strategy.parameters} {options.capital}",
        capital=options.capital,
        default_capital=DEFAULT_CAPITAL,
    )
    return RuntimePlan(
        request,
        strategy,
        shared,
        depth=settings.feed.depth,
        live=settings.upstox.base_url == API_HOST,
        max_data_age_s=settings.runtime.max_data_age_s,
        commit_every_s=settings.runtime.commit_every_s,
        until_over=options.until_over,
    )


class StrategyRuntimeService:
    """One portfolio's runtime (:class:`~quant_platform.hosts.process.StreamService`).

    Args:
        bus: Kafka.
        open_ledger: opens the ledger.
        health: of this process.
        lookups: take how the portfolio stands.
        plan: what the runtime is made of.
        on_over: told the run's numbers when the market is over, and the run finished.
        stop: set when the turn under way is the last one.
    """

    def __init__(
        self,
        bus: Bus,
        open_ledger: Callable[[], SqlLedger],
        health: Health,
        lookups: LookupWriter,
        plan: RuntimePlan,
        on_over: Callable[[RunSummary], None],
        stop: threading.Event,
    ) -> None:
        self._bus = bus
        self._open_ledger = open_ledger
        self._health = health
        self._lookups = lookups
        self._plan = plan
        self._on_over = on_over
        self._stop = stop
        self._closing: list[Callable[[], None]] = []
        self._epoch: int | None = None  # of the portfolio, when this process had it last
        self._records = Records(ENRICHED_TICKS.name)
        self._orders = health.counter("quant_runtime_orders_total", "Approved orders", "side")
        self._refusals = health.counter("quant_runtime_refusals_total", "Logged refusals", "reason")
        self._positions = health.gauge("quant_runtime_open_positions", "Open positions")
        self._latency = health.histogram(
            "quant_runtime_tick_to_commit_seconds", "From a tick's receipt by the ingestor to the commit of its order"
        )
        self._latencies_ns: deque[int] = deque(maxlen=LATENCIES_KEPT)

    # The steps.

    def open(self) -> None:
        """Begin or resume the run, and read from the first record that its last commit does not cover.

        A process that has lost its connection comes back only where nobody has followed it meanwhile.
        """
        self._bus.ensure([ENRICHED_TICKS, ORDER_EVENTS])
        plan = self._plan
        self._ledger = self._open_ledger()
        self._closing.append(self._ledger.close)
        came_with, self._epoch = self._epoch, None  # where the answer is lost, nobody knows whose the portfolio is
        start = self._ledger.begin(replace(plan.request, epoch=came_with))
        self._epoch = start.epoch
        self._run_id = start.run_id
        self._closing_auction: dict[str, bool] | None = None
        table = SymbolTable()
        self._runtime = StrategyRuntime(plan.strategy, plan.trading, table, depth=plan.depth, balance=start.balance)
        counted = None if plan.live else (0, 0)
        self._stream = TradingStream(self._runtime, table, self._takes_part, depth=plan.depth, counted_before=counted)
        if start.state:
            self._stream.restore(start.state)
        places = self._places(start)
        self._stream.begin(places, start.resumed_at or 0)
        self._halts = HaltWatch(self._runtime)
        self._halts.obey(self._ledger.halt, self._stream.watermark)
        self._committed, self._committed_at = self._stream.watermark, time.monotonic()
        self._writer: RecordWriter = self._bus.writer()
        self._closing.append(self._writer.close)
        self._intake = EnrichedIntake(_READERS, self._writer, self._health)
        self._reader: RecordReader = self._bus.reader(ENRICHED_TICKS.name, places)
        self._closing.append(self._reader.close)
        self._has_events = True  # an earlier process may have left some
        self._published_at = 0.0
        _log.info("run open", run_id=start.run_id, resumed_at=start.resumed_at, balance_paise=start.balance)

    def poll(self) -> None:
        """Take what came in, of partitions that are not far ahead of the others."""
        self._reader.hold(self._stream.far_ahead(FAR_AHEAD))
        self._records = take(self._reader, MOST, len(self._records))
        count_read(self._records, self._health)
        self._health.lag.labels(ENRICHED_TICKS.name).set(self._reader.lag())

    def process(self) -> None:
        """Merge, and have the core take what the clocks let go."""
        for start in range(0, len(self._records), PIECE):
            records = self._records[start : start + PIECE]
            columns, which, others = self._intake.read(records)
            places = list(zip(records.partitions, records.offsets, strict=True))
            ticks = Ticks(columns, self._intake.names, which)
            self._stream.add(places, ticks, [content for _, content in others])
        live = self._plan.live
        self._stream.process(time.time_ns() - round(self._plan.max_data_age_s * NS_PER_SECOND) if live else 0)

    def store(self) -> None:
        """Orders, fills, cash, state and offsets in one transaction; time alone waits a little for company."""
        waited = time.monotonic() - self._committed_at >= self._plan.commit_every_s or self._stream.is_over
        if self._runtime.journal.has_orders or (waited and self._stream.watermark > self._committed):
            self._commit()
            fault_point("ledger committed")

    def flush(self) -> None:
        """Let out the order events of committed blocks, some at a time, and dead letters at once."""
        gathered = time.monotonic() - self._published_at >= PUBLISH_EVERY_S
        if self._has_events and (gathered or self._stream.is_over or self._stop.is_set()):
            self._ledger.publish(self._send)
            self._has_events, self._published_at = False, time.monotonic()
        self._writer.flush()

    def commit(self) -> None:
        """Nothing more to promise: the offsets went with the ledger. A market that is over ends the run."""
        if self._plan.until_over and self._stream.is_over and self._committed == self._stream.watermark:
            self._on_over(self._ledger.finish())

    def close(self) -> None:
        """Drop what was not committed and let go."""
        while self._closing:
            self._closing.pop()()

    # What they are made of.

    def _places(self, start: RunStart) -> dict[int, int]:
        topic = ENRICHED_TICKS.name
        new_and_live = self._plan.live and not start.offsets
        first = self._bus.ends(topic) if new_and_live else dict.fromkeys(range(self._bus.partitions(topic)), 0)
        return {number: start.offsets.get((topic, number), offset) for number, offset in first.items()}

    def _takes_part(self, symbol: str) -> bool | None:
        """Whether a symbol takes part in the closing auction, as the ingestor stored it."""
        if self._closing_auction is None or symbol not in self._closing_auction:
            self._closing_auction = self._ledger.closing_auction()
        return self._closing_auction.get(symbol)

    def _commit(self) -> None:
        self._writer.flush()  # dead letters first: the offsets move past their records
        block = self._runtime.block(self._stream.watermark)
        events = order_events(block, self._plan.request.portfolio, self._run_id)
        following = self._stream.following
        self._ledger.commit(
            replace(
                block,
                counters=self._counters(),
                state=self._stream.snapshot(),
                offsets={(ENRICHED_TICKS.name, number): offset for number, offset in following.items()},
                outbox=[OutboxRow(ORDER_EVENTS.name, event.symbol, encode(event)) for event in events],
            )
        )
        durable_ns = time.time_ns()
        self._committed, self._committed_at = self._stream.watermark, time.monotonic()
        self._has_events = bool(events) or self._has_events
        self._runtime.journal.clear()
        self._halts.obey(self._ledger.halt, self._committed)
        self._positions.set(len(block.positions))
        self._lookups.put_session(self._plan.request.portfolio, self._run_id, block, self._ledger.halt)
        for event in events:
            self._tell(event, durable_ns)

    def _counters(self) -> dict[str, int]:
        """Of the run, with the latencies of the orders that this process has committed."""
        found = zip(("latency_p50_us", "latency_p99_us"), percentiles_us(self._latencies_ns), strict=True)
        return self._stream.counters | {name: round(value) for name, value in found if value is not None}

    def _send(self, rows: Sequence[OutboxRow]) -> None:
        for row in rows:
            self._writer.send(row.topic, row.key, row.value)
        self._writer.flush()
        self._health.written.labels(ORDER_EVENTS.name).inc(len(rows))

    def _tell(self, event: OrderEvent, durable_ns: int) -> None:
        if event.what == "accepted":
            self._orders.labels(event.transaction_type).inc()
            self._measure(event.ts, durable_ns)
        elif event.what == "refused":
            self._refusals.labels(event.reason).inc()
        elif event.what == "intended":
            return  # what became of it, at the same moment, has a line
        _log.info(
            f"order {event.what}", tick=event.tick, order_id=event.order_id, symbol=event.symbol, reason=event.reason
        )

    def _measure(self, ts: int, durable_ns: int) -> None:
        """Note how long an order took, by the stamp of its tick, until it was durable (ns UTC)."""
        received_ns = self._stream.received_at(ts)
        if received_ns is not None:
            took_ns = durable_ns - received_ns
            self._latencies_ns.append(took_ns)
            self._latency.observe(took_ns / NS_PER_SECOND)
