"""The runtime behind a bus: partitions of enriched ticks in, one ordered stream through the core, and its state."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import count
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from quant_platform.domain.enriched_json import EnrichedColumns
from quant_platform.domain.errors import LedgerError
from quant_platform.domain.instruments import SymbolTable
from quant_platform.domain.record_columns import enriched_batch
from quant_platform.domain.records import ClockRecord
from quant_platform.domain.session import ist_date, session_on
from quant_platform.domain.ticks import LATE, LEVELS, NOT_FED, EnrichedBatch
from quant_platform.services.strategy_runtime.merge import Merge
from quant_platform.services.strategy_runtime.runtime import StrategyRuntime
from quant_platform.services.strategy_runtime.waiting import WaitingRows, rows_of

COUNTS_FROM = 0
"""The partition whose clocks carry the market's counters: every partition has the same clocks."""

Counts = tuple[int, int]


class Ticks(NamedTuple):
    """Enriched ticks among records of the bus."""

    columns: EnrichedColumns  # of the ticks, in order
    names: Sequence[str]  # symbols, by the numbers in the columns; from call to call only more of them
    which: NDArray[np.bool_]  # of all records, those that are ticks


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
        self._waiting = WaitingRows()
        self._numbers = np.zeros(0, np.int32)  # in the table, of the names that ticks come with
        self._close_ns = 0  # end of the session under way; 0: none is
        self._passed_ns = 0  # market time that the core knows of
        self._receipts: dict[int, int] = {}  # stamp of ticks → when the first of them came in, both ns UTC
        self.is_over = False

    def begin(self, start: Mapping[int, int], watermark: int) -> None:
        """Name the partitions, where each is read from, and the market time (ns UTC) that everything before bears."""
        self._merge = Merge(start, watermark)
        self._waiting = WaitingRows()
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

    def add(self, places: Sequence[tuple[int, int]], ticks: Ticks, others: Iterable[Any]) -> None:
        """Take the next records of partitions.

        Args:
            places: partition and offset of each.
            ticks: those that are enriched ticks.
            others: those that are not, in order: a clock, a record that does not concern trading, or None for one that
                nobody could read.
        """
        columns, names = ticks.columns, ticks.names
        first = self._keep(ticks) if columns.ts.size else 0
        stamped = zip(columns.ts.tolist(), map(names.__getitem__, columns.symbol.tolist()), count(first), strict=False)
        rest, merge = iter(others), self._merge
        for (partition, offset), is_tick in zip(places, ticks.which.tolist(), strict=True):
            if is_tick:
                ts, symbol, row = next(stamped)
                merge.add(partition, offset, ts, symbol, row)
            else:
                self._add_other(partition, offset, next(rest))

    def _keep(self, ticks: Ticks) -> int:
        """Keep ticks until the clocks let them go; gives the number of the first one's row."""
        unknown = ticks.names[self._numbers.size :]
        if unknown:
            self._numbers = np.append(self._numbers, np.array([self._number(name) for name in unknown], np.int32))
        return self._waiting.add(enriched_batch(ticks.columns, self._numbers[ticks.columns.symbol], self._levels))

    def _add_other(self, partition: int, offset: int, content: Any) -> None:
        if type(content) is ClockRecord:
            self._merge.add_clock(partition, offset, content.ts, content if partition == COUNTS_FROM else None)
        else:
            self._merge.add(partition, offset, 0 if content is None else content.ts, "", None)

    def process(self, stale_before: int = 0) -> None:
        """Take all that the clocks have let go, and let time pass to them.

        Args:
            stale_before: see :meth:`StrategyRuntime.on_ticks`.
        """
        before = self._merge.watermark
        self._receipts = {stamp: receipt for stamp, receipt in self._receipts.items() if stamp > before}
        released = self._merge.release()
        for clock in released:
            if type(clock) is ClockRecord:
                self._count(clock)
        if rows := [row for row in released if type(row) is int]:
            self._take(self._waiting.take(rows), stale_before)
        if self._merge.watermark > before:
            self._pass_time(self._merge.watermark)

    def _count(self, clock: ClockRecord) -> None:
        if self._counted_before is None:
            self._counted_before = (clock.duplicates, clock.implausible)
        self._seen["duplicates"] = clock.duplicates - self._counted_before[0]
        self._seen["implausible"] = clock.implausible - self._counted_before[1]
        self.is_over = clock.last
        self._receipts.update(clock.receipts)

    def received_at(self, ts: int) -> int | None:
        """When the first tick of a stamp came in, of those that :meth:`process` took last.

        Args:
            ts: the stamp, ns UTC.

        Returns:
            Ns UTC of the ingestor's clock; None where it tells nothing.
        """
        return self._receipts.get(ts)

    def _take(self, batch: EnrichedBatch, stale_before: int) -> None:
        self._seen["ticks"] += batch.ticks.ts.size
        self._seen["late"] += int(np.count_nonzero(batch.ticks.flags & LATE))
        while batch.ticks.ts.size:
            stop = self._end_of_session(batch)
            self._runtime.on_ticks(rows_of(batch, slice(0, stop)), stale_before)
            batch = rows_of(batch, slice(stop, None))
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
