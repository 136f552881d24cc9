"""All cores in one process: what Kafka carries between services, function calls carry here."""

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import msgspec

from quant_platform.domain.errors import LedgerError
from quant_platform.domain.instruments import SymbolTable
from quant_platform.domain.session import ist_date
from quant_platform.domain.ticks import NS_PER_SECOND, TickBatch
from quant_platform.hosts.halts import HaltWatch
from quant_platform.ports.broker import Candle
from quant_platform.ports.ledger_store import HaltFlag, LedgerBlock, LedgerStore
from quant_platform.ports.tick_store import StoredBar, TickStore
from quant_platform.services.feature_engine.engine import FeatureEngine
from quant_platform.services.ingestion.admit import Admission
from quant_platform.services.ingestion.history import bars_batch
from quant_platform.services.market_persistor.flush import FlushRule
from quant_platform.services.strategy_runtime.runtime import StrategyRuntime
from quant_platform.services.strategy_runtime.schema import TradingSettings
from quant_platform.services.strategy_runtime.strategy import Strategy

if TYPE_CHECKING:  # files need no frames, nor the libraries to read them
    from quant_platform.services.ingestion.normalise import Normaliser, SetAside

LATENCIES_KEPT = 100_000
TICKS_AT_RISK_NS = NS_PER_SECOND // 2
"""How long ticks wait at most before they are written."""


@dataclass(frozen=True, slots=True)
class Blueprint:
    """What the cores of a run are made of.

    Attributes:
        strategy: what decides.
        settings: periods, sizing, limits and times.
        depth: whether the run's data has depth.
    """

    strategy: Strategy
    settings: TradingSettings
    depth: bool


class EmbeddedPlatform:
    """ingestion → feature_engine → market_persistor and strategy_runtime → ledger.

    Args:
        blueprint: what the cores are made of.
        table: the run's symbols; may grow while the platform runs.
        ledger: with its run begun.
        balance: cash at the start, paise.
        ticks: where ticks are stored; None where they are at rest already.

    Attributes:
        counters: ticks, late and duplicates so far, as reports count them.
        watchers: called with every committed block.
    """

    def __init__(
        self,
        blueprint: Blueprint,
        table: SymbolTable,
        ledger: LedgerStore,
        balance: int,
        ticks: TickStore | None = None,
    ) -> None:
        settings = blueprint.settings
        self.table = table
        self.ledger = ledger
        self.admission = Admission(table)
        self.features = FeatureEngine(settings.rsi_period, settings.sma_period, depth=blueprint.depth)
        self.runtime = StrategyRuntime(blueprint.strategy, settings, table, depth=blueprint.depth, balance=balance)
        self.counters: dict[str, int] = {"ticks": 0, "late": 0, "duplicates": 0, "implausible": 0}
        self.watchers: list[Callable[[LedgerBlock], None]] = []
        self._halts = HaltWatch(self.runtime)
        self._ticks = ticks
        self._flush_rule = FlushRule(max_age_ns=TICKS_AT_RISK_NS)
        self._moment = 0

    @property
    def moment(self) -> int:
        """The latest market time that moved the platform, ns UTC; 0 before the first."""
        return self._moment

    def on_ticks(self, ticks: TickBatch) -> None:
        """Take raw ticks in order of arrival through all cores; nothing is committed yet."""
        if ticks.ts.size == 0:
            return
        admitted = self.admission.on_ticks(ticks)
        self.counters["ticks"] += ticks.ts.size
        self.counters["late"] += admitted.late
        self.counters["duplicates"] += admitted.duplicates
        if admitted.ticks.ts.size == 0:
            return
        enriched = self.features.on_ticks(admitted.ticks)
        self.runtime.on_ticks(enriched)
        last = int(admitted.ticks.ts[-1])
        if self._ticks is not None:
            self._ticks.append(ist_date(last), enriched, self.table.names)
            self._flush_rule.took(enriched.ticks.ts.size, time.monotonic_ns())
        self._moment = max(self._moment, last)

    def on_bars(self, symbol: str, kind: str, bars: Sequence[Candle], now_ns: int) -> None:
        """Warm a symbol up, or repair a gap of it, before its next tick.

        Args:
            symbol: which one.
            kind: ``warm-up`` starts its bars anew, ``repair`` adds to them.
            bars: closed one-minute bars, oldest first; none is no event.
            now_ns: market time, whose date the bars are stored with.
        """
        if not bars:
            return
        number = self.table.number(symbol)
        batch = bars_batch(bars, number)
        self.features.on_bars(batch, anew=kind == "warm-up")
        if self._ticks is not None:
            before = self.admission.next_seq(number, now_ns)
            self._ticks.append_bars(ist_date(now_ns), StoredBar(symbol, before, kind, batch))

    def on_stored_bars(self, stored: StoredBar) -> None:
        """Bars that entered a recorded run at this place of its stream."""
        number = self.table.number(stored.symbol)
        stored.bars.symbol[:] = number
        self.features.on_bars(stored.bars, anew=stored.kind == "warm-up")

    def on_clock(self, ts: int) -> None:
        """Market time without a tick: timers due up to ``ts`` (ns UTC) fire."""
        self.runtime.on_clock(ts)
        self._moment = max(self._moment, ts)

    def flush_ticks(self, *, if_due: bool = False) -> None:
        """Put stored ticks where a kill of the process cannot lose them: all, or those that have waited too long."""
        if self._ticks is not None and (not if_due or self._flush_rule.is_due(time.monotonic_ns())):
            self._ticks.flush()
            self._flush_rule.flushed()

    def commit(self, state: bytes = b"") -> None:
        """Hand everything since the last commit to the ledger, in one transaction; ticks that it rests on go first."""
        self.flush_ticks()
        block = replace(self.runtime.block(self._moment), counters=dict(self.counters), state=state)
        self.ledger.commit(block)
        self.runtime.journal.clear()
        for watch in self.watchers:
            watch(block)
        self.obey(self.ledger.halt)

    def obey(self, halt: HaltFlag) -> None:
        """Take what the portfolio's owner has ordered; what that brings about waits for the next commit."""
        self._halts.obey(halt, self._moment)

    def snapshot(self, beside: Mapping[str, Any]) -> bytes:
        """The state of all cores, with what the host wants to find again ``beside`` it."""
        return msgspec.msgpack.encode(
            {
                "symbols": [
                    (name, bool(cas)) for name, cas in zip(self.table.names, self.table.cas_eligible, strict=False)
                ],
                "counters": self.counters,
                "moment": self._moment,
                "admission": self.admission.snapshot(),
                "features": self.features.snapshot(),
                "runtime": self.runtime.snapshot(),
                "beside": dict(beside),
            }
        )

    def restore(self, state: bytes) -> dict[str, Any]:
        """Go on from a snapshot; the table must be empty or hold the same symbols first.

        Returns:
            What stood beside the cores' state.

        Raises:
            LedgerError: the snapshot does not fit this version, its settings or the table.
        """
        try:
            stored = msgspec.msgpack.decode(state)
            symbols = stored["symbols"]
        except (msgspec.DecodeError, KeyError, TypeError):
            raise LedgerError("the stored state cannot be read", "start anew with --fresh") from None
        for place, (name, cas) in enumerate(symbols):
            if self.table.add(name, cas) != place:
                raise LedgerError(f"the stored state numbers {name} otherwise", "start anew with --fresh")
        self.counters.update(stored["counters"])
        self._moment = stored["moment"]
        self.admission.restore(stored["admission"])
        self.features.restore(stored["features"])
        self.runtime.restore(stored["runtime"])
        beside: dict[str, Any] = stored["beside"]
        return beside


class FrameIntake:
    """Frames of a feed through all cores, each committed before the next.

    Args:
        platform: the cores.
        normaliser: reads the frames.
        now_ns: our clock, to judge stamps by when live; None where time is the data's own.
        commit: called after a frame that brought about a fill or an order's end.

    Attributes:
        frames: received so far in the run.
        latencies_ns: from a frame's receipt to its orders being decided, the newest hundred thousand.
        place: stamp of the newest frame with ticks, and its number among those of that stamp.
    """

    def __init__(
        self,
        platform: EmbeddedPlatform,
        normaliser: "Normaliser",
        now_ns: Callable[[], int] | None,
        commit: Callable[[], None],
    ) -> None:
        self._platform = platform
        self._normaliser = normaliser
        self._now_ns = now_ns
        self._commit = commit
        self._committed = (0, 0)
        self.frames = 0
        self.latencies_ns: deque[int] = deque(maxlen=LATENCIES_KEPT)
        self.place = (0, 0)

    def on_frame(self, payload: bytes, received_ns: int) -> None:
        """One frame, received at ``received_ns`` of ``time.perf_counter_ns``."""
        self.frames += 1
        batch = self._normaliser.ticks(payload, None if self._now_ns is None else self._now_ns())
        if batch is None:
            return
        stamp = int(batch.ts[0])
        self.place = (stamp, self.place[1] + 1 if stamp == self.place[0] else 1)
        if self.place <= self._committed:
            return  # a resumed simulation repeats the frames of its last moment
        runtime = self._platform.runtime
        decided = runtime.orders
        self._platform.on_ticks(batch)
        if runtime.orders > decided:
            self.latencies_ns.append(time.perf_counter_ns() - received_ns)
        if runtime.journal.has_fills:
            self._commit()

    def take_set_aside(self) -> "list[SetAside]":
        """Entries of frames that cannot be true, since the last call."""
        return self._normaliser.take_set_aside()

    def snapshot(self) -> dict[str, Any]:
        """What was received, for :meth:`restore`."""
        self._platform.counters["implausible"] = self._normaliser.counters.implausible
        return {"normaliser": self._normaliser.snapshot(), "frames": self.frames, "place": self.place}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what was received when the run was interrupted."""
        self._normaliser.restore(state["normaliser"])
        self.frames = state["frames"]
        self._committed = (state["place"][0], state["place"][1])
