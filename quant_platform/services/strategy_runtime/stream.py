"""The runtime behind a bus: partitions of enriched ticks in, one ordered stream through the core, and its state."""

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from quant_platform.domain.errors import LedgerError
from quant_platform.domain.instruments import SymbolTable
from quant_platform.domain.record_columns import enriched_batch
from quant_platform.domain.records import ClockRecord, EnrichedAsRead
from quant_platform.domain.session import ist_date, session_on
from quant_platform.domain.ticks import LATE, LEVELS, NOT_FED, EnrichedBatch, TickBatch
from quant_platform.services.strategy_runtime.merge import Merge
from quant_platform.services.strategy_runtime.runtime import StrategyRuntime

COUNTS_FROM = 0
"""The partition whose clocks carry the market's counters: every partition has the same clocks."""

Counts = tuple[int, int]


class TradingStream:
    """Merges, feeds the core, and passes time to it.

    Args:
        runtime: the core, with an empty symbol table or one restored by :meth:`restore`.
        table: the runtime's symbols; grows as they appear.
        closing_auction: symbol → whether it takes part in the closing auction; None where nobody says.
        depth: whether the data has depth.
        counted_before: duplicates and implausible ticks of the market before this run began; None takes them from the
            first clock.
    """

    def __init__(
        self,
        runtime: StrategyRuntime,
        table: SymbolTable,
        closing_auction: Callable[[str], bool | None],
        *,
        depth: bool,
        counted_before: Counts | None = (0, 0),
    ) -> None:
        self._runtime = runtime
        self._table = table
        self._closing_auction = closing_auction
        self._levels = LEVELS if depth else 0
        self._counted_before = counted_before
        self._seen = {"ticks": 0, "late": 0, "duplicates": 0, "implausible": 0}
        self._merge = Merge({})
        self._close_ns = 0  # end of the session under way; 0: none is
        self._passed_ns = 0  # market time that the core knows of
        self._received: list[tuple[int, int]] = []  # clock, and when the first tick before it came in, both ns UTC
        self.is_over = False

    def begin(self, start: Mapping[int, int], watermark: int) -> None:
        """Name the partitions, where each is read from, and the market time (ns UTC) that everything before bears."""
        self._merge = Merge(start, watermark)
        self._passed_ns = watermark

    @property
    def counters(self) -> dict[str, int]:
        """Of the run so far, as reports count: ``ticks`` with the duplicates, which ingestion drops."""
        return self._seen | {"ticks": self._seen["ticks"] + self._seen["duplicates"]}

    @property
    def watermark(self) -> int:
        """Market time, ns UTC, up to which everything was processed."""
        return self._merge.watermark

    @property
    def following(self) -> dict[int, int]:
        """Partition → first record that was not processed."""
        return self._merge.following

    def far_ahead(self, most: int) -> set[int]:
        """Partitions of which more records than this wait for the clocks of others."""
        return self._merge.far_ahead(most)

    def add_tick(self, partition: int, offset: int, tick: EnrichedAsRead) -> None:
        """A partition's next record: a tick."""
        self._merge.add(partition, offset, tick.ts, tick.symbol, tick)

    def add_clock(self, partition: int, offset: int, clock: ClockRecord) -> None:
        """A partition's next record: a clock."""
        self._merge.add_clock(partition, offset, clock.ts, clock if partition == COUNTS_FROM else None)

    def pass_over(self, partition: int, offset: int, ts: int) -> None:
        """A partition's next record: one that does not concern trading."""
        self._merge.add(partition, offset, ts, "", None)

    def process(self, stale_before: int = 0) -> None:
        """Take all that the clocks have let go, and let time pass to them.

        Args:
            stale_before: see :meth:`StrategyRuntime.on_ticks`.
        """
        self._received.clear()
        before = self._merge.watermark
        released = self._merge.release()
        for clock in released:
            if type(clock) is ClockRecord:
                self._count(clock)
        ticks = [tick for tick in released if type(tick) is EnrichedAsRead]
        if ticks:
            self._take(ticks, stale_before)
        if self._merge.watermark > before:
            self._pass_time(self._merge.watermark)

    def _count(self, clock: ClockRecord) -> None:
        if self._counted_before is None:
            self._counted_before = (clock.duplicates, clock.implausible)
        self._seen["duplicates"] = clock.duplicates - self._counted_before[0]
        self._seen["implausible"] = clock.implausible - self._counted_before[1]
        self.is_over = clock.last
        if clock.received:
            self._received.append((clock.ts, clock.received))

    def received_at(self, ts: int) -> int | None:
        """When, at the earliest, a tick came in that :meth:`process` took last.

        Args:
            ts: its stamp, ns UTC.

        Returns:
            Ns UTC of the ingestor's clock; None where it tells nothing.
        """
        place = bisect_left(self._received, (ts, 0))
        return self._received[place][1] if place < len(self._received) else None

    def _take(self, ticks: Sequence[EnrichedAsRead], stale_before: int) -> None:
        batch = enriched_batch(ticks, [self._number(tick.symbol) for tick in ticks], self._levels)
        self._seen["ticks"] += len(ticks)
        self._seen["late"] += int(np.count_nonzero(batch.ticks.flags & LATE))
        while batch.ticks.ts.size:
            stop = self._end_of_session(batch)
            self._runtime.on_ticks(_rows(batch, slice(0, stop)), stale_before)
            batch = _rows(batch, slice(stop, None))
            if batch.ticks.ts.size:
                self._pass_time(self._close_ns)

    def _number(self, symbol: str) -> int:
        number = self._table.get(symbol)
        return self._table.add(symbol, self._closing_auction(symbol)) if number is None else number

    def _end_of_session(self, batch: EnrichedBatch) -> int:
        """The first row past the close of the session under way; as many as there are where none is."""
        ts: NDArray[np.int64] = batch.ticks.ts
        if self._close_ns == 0:
            self._close_ns = self._next_close(ts[(batch.ticks.flags & NOT_FED) == 0])
        past = ts >= self._close_ns if self._close_ns else np.zeros(ts.size, np.bool_)
        return int(np.argmax(past)) if past.any() else ts.size

    def _next_close(self, fed: NDArray[np.int64]) -> int:
        """End of the session that these stamps begin. One that came after its session's close begins none."""
        sessions = (session_on(ist_date(int(stamp))) for stamp in fed)
        closes = (session.last_close_ns for session in sessions if session is not None)
        return next((close_ns for close_ns in closes if close_ns > self._passed_ns), 0)

    def _pass_time(self, ts: int) -> None:
        if 0 < self._close_ns <= ts:
            self._runtime.on_clock(self._close_ns)
            self._runtime.mark_close(self._close_ns)
            self._passed_ns, self._close_ns = self._close_ns, 0
        self._runtime.on_clock(ts)
        self._passed_ns = max(self._passed_ns, ts)

    def snapshot(self) -> bytes:
        """The core's state with what stands around it. What waits for a clock is not in it: it is read again."""
        symbols = zip(self._table.names, self._table.cas_eligible.tolist(), strict=True)
        return msgspec.msgpack.encode(
            {
                "symbols": [(name, bool(cas)) for name, cas in symbols],
                "seen": self._seen,
                "counted_before": self._counted_before,
                "close_ns": self._close_ns,
                "is_over": self.is_over,
                "runtime": self._runtime.snapshot(),
            }
        )

    def restore(self, state: bytes) -> None:
        """Go on from a snapshot; :meth:`begin` says where to read.

        Raises:
            LedgerError: it was made by another version, or with other settings.
        """
        try:
            stored: dict[str, Any] = msgspec.msgpack.decode(state)
            symbols, before = stored["symbols"], stored["counted_before"]
        except (msgspec.DecodeError, KeyError, TypeError):
            raise LedgerError("the run's stored state cannot be read", "start it anew with --fresh") from None
        for name, cas in symbols:
            self._table.add(name, cas)
        self._seen.update(stored["seen"])
        self._counted_before = None if before is None else (before[0], before[1])
        self._close_ns = stored["close_ns"]
        self.is_over = stored["is_over"]
        self._runtime.restore(stored["runtime"])


def _rows(batch: EnrichedBatch, rows: slice) -> EnrichedBatch:
    ticks = TickBatch._make(column[rows] for column in batch.ticks)
    return EnrichedBatch._make((ticks, *(column[rows] for column in batch[1:])))
