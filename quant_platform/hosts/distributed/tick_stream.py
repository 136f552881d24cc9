"""The raw end of the bus: frames through ingestion onto ``market.equity.ticks``, with bars and clocks among them."""

import asyncio
import time
from collections.abc import Callable, Sequence

from prometheus_client import Counter

from quant_platform.domain.depth_json import read_depth
from quant_platform.domain.instruments import SymbolTable
from quant_platform.domain.record_columns import bar_rows, tick_batch, tick_records
from quant_platform.domain.records import BAR, CLOCK, TICK, BarsRecord, ClockRecord, encode
from quant_platform.domain.topics import EQUITY_TICKS
from quant_platform.hosts.distributed.ingestor_state import Snapshot, WrittenSince
from quant_platform.hosts.health import Health
from quant_platform.ports.broker import Candle
from quant_platform.ports.bus import RecordWriter
from quant_platform.services.ingestion.admit import Admission
from quant_platform.services.ingestion.history import bars_batch
from quant_platform.services.ingestion.normalise import Normaliser, SetAside

SENT_AT_ONCE = 1000
"""So many ticks do not wait for their clock: nothing is gained any more."""
CLOCK_AFTER_TICKS = 1000
"""In lockstep, where no timer runs: a clock goes out before the next stamp once so many ticks went without."""


class TickStream:
    """Takes frames and bars of the feed, and sends what ingestion makes of them.

    Args:
        table: symbols.
        normaliser: reads the frames.
        writer: to the bus.
        partitions: of the topic; every one gets every clock.
        health: counts what is written.
        frames: counts frames.
        now_ns: our clock, to judge stamps by when live; None where time is the data's own.
        lockstep: whether clocks follow from the stamps, because no timer runs.
    """

    def __init__(
        self,
        table: SymbolTable,
        normaliser: Normaliser,
        writer: RecordWriter,
        partitions: int,
        health: Health,
        frames: Counter,
        *,
        now_ns: Callable[[], int] | None,
        lockstep: bool,
    ) -> None:
        self._table = table
        self._normaliser = normaliser
        self._admission = Admission(table)
        self._writer = writer
        self._partitions = range(partitions)
        self._written = health.written.labels(EQUITY_TICKS.name)
        self._frames = frames
        self._now_ns = now_ns
        self._lockstep = lockstep
        self._since_clock = 0
        self._unsent: list[tuple[str, bytes]] = []  # symbol and record of ticks that wait for their clock
        self._duplicates = 0
        self._receipts: dict[int, int] = {}  # stamp of ticks since the newest clock → receipt of its first, ns UTC
        self.has_ticks = asyncio.Event()
        """Some came in since they were last let go."""
        self.newest = 0
        """Ns UTC, the highest stamp sent."""
        self.clock_ns = 0
        """Ns UTC, the newest clock sent."""

    def on_frame(self, payload: bytes, received_ns: int) -> None:
        """One frame; its ticks are on their way with the next clock, and durable once the writer is flushed then."""
        self._frames.inc()
        batch = self._normaliser.ticks(payload, None if self._now_ns is None else self._now_ns())
        if batch is None:
            return
        stamp = int(batch.ts[0])
        if self._lockstep and stamp > self.newest > self.clock_ns and self._since_clock >= CLOCK_AFTER_TICKS:
            self.tell_time(self.newest)
        admitted = self._admission.on_ticks(batch)
        self._duplicates += admitted.duplicates
        for record in tick_records(admitted.ticks, self._table.names):
            self._unsent.append((record.symbol, encode(record)))
        if len(self._unsent) >= SENT_AT_ONCE:
            self._send()
        self._since_clock += admitted.ticks.ts.size
        self.newest = max(self.newest, stamp)
        if admitted.ticks.ts.size:
            self.has_ticks.set()
        if not self._lockstep:  # there ticks wait for the market to come to a moment
            self._receipts.setdefault(stamp, time.time_ns() - (time.perf_counter_ns() - received_ns))

    def on_bars(self, symbol: str, kind: str, bars: Sequence[Candle], now_ns: int) -> None:
        """Warm a symbol up (``warm-up``), or repair a gap of it (``repair``), before its next tick."""
        if not bars:
            return
        number = self._table.number(symbol)
        rows = bar_rows(bars_batch(bars, number))
        before_seq = self._admission.next_seq(number, now_ns)
        record = BarsRecord(symbol, now_ns, kind, before_seq, rows)  # type: ignore[arg-type]
        self._send()  # what came before it stands before it
        self._writer.send(EQUITY_TICKS.name, symbol, encode(record), BAR)
        self._written.inc()

    def let_go(self) -> None:
        """Send a clock behind the ticks that have none yet, or just past the last one where all of them are late."""
        if self.has_ticks.is_set():
            self.has_ticks.clear()
            self.tell_time(max(self.newest, self.clock_ns + 1))

    def tell_time(self, ts: int, *, last: bool = False) -> None:
        """Send a clock to every partition: what follows belongs after ``ts`` (ns UTC). Time never goes back."""
        if ts <= self.clock_ns:
            self._send()
            return
        self.clock_ns = ts
        self._since_clock = 0
        implausible = self._normaliser.counters.implausible
        value = encode(ClockRecord(ts, self._duplicates, implausible, last, tuple(self._receipts.items())))
        self._receipts.clear()
        self._send()
        for partition in self._partitions:
            self._writer.send(EQUITY_TICKS.name, "", value, CLOCK, partition)

    def _send(self) -> None:
        """Send the ticks that wait; with their clock they make one batch of each partition."""
        for symbol, value in self._unsent:
            self._writer.send(EQUITY_TICKS.name, symbol, value, TICK)
        self._written.inc(len(self._unsent))
        self._unsent.clear()

    def snapshot(self) -> tuple[bytes, bytes]:
        """State of admission and of the normaliser, once all that made it so is on its way."""
        self._send()
        return self._admission.snapshot(), self._normaliser.snapshot()

    def restore(self, snapshot: Snapshot) -> None:
        """Go on from what an earlier process knew. The table holds the snapshot's symbols in its order."""
        self._admission.restore(snapshot.admission)
        self._normaliser.restore(snapshot.normaliser)
        self._duplicates = snapshot.duplicates
        self.clock_ns = self.newest = snapshot.clock_ns

    def catch_up(self, written: WrittenSince) -> None:
        """Take in what an earlier process sent after its snapshot."""
        for record in written.ticks:
            self._table.add(record.symbol)
        if written.ticks:
            numbers = [self._table.number(record.symbol) for record in written.ticks]
            depth, _ = read_depth([record.depth for record in written.ticks])
            batch = tick_batch(written.ticks, numbers, depth, self._normaliser.levels)
            self._admission.on_ticks(batch)
            self._normaliser.carry(batch)
            self.newest = max(self.newest, int(batch.ts.max()))
        for clock in written.clocks.values():
            self.clock_ns = max(self.clock_ns, clock.ts)
            self._duplicates = max(self._duplicates, clock.duplicates)
            counters = self._normaliser.counters
            counters.implausible = max(counters.implausible, clock.implausible)
        self.newest = max(self.newest, self.clock_ns)

    @property
    def symbols(self) -> Sequence[str]:
        """Every symbol, by number."""
        return self._table.names

    @property
    def duplicates(self) -> int:
        """Ticks dropped as duplicates in this market so far."""
        return self._duplicates

    def take_set_aside(self) -> list[SetAside]:
        """Entries of frames that cannot be true, since the last call."""
        return self._normaliser.take_set_aside()
