"""A strategy_runtime over a bus in memory and a ledger in SQLite, turned by hand."""

import threading
import time
from pathlib import Path

import msgspec

from quant_platform.adapters.bus.memory import MemoryBus
from quant_platform.adapters.cache.memory import MemoryCache
from quant_platform.adapters.ledger.sql import SqlLedger
from quant_platform.domain.records import CLOCK, TICK, ClockRecord, EnrichedRecord, OrderEvent, encode
from quant_platform.domain.ticks import NS_PER_SECOND
from quant_platform.domain.topics import ENRICHED_TICKS, ORDER_EVENTS
from quant_platform.hosts.distributed.lookups import LookupWriter
from quant_platform.hosts.distributed.strategy_runtime import RuntimePlan, StrategyRuntimeService
from quant_platform.hosts.health import Health
from quant_platform.hosts.process import STEPS
from quant_platform.hosts.strategies import load_strategy
from quant_platform.ports.ledger_store import RunRequest

SYMBOL = "NSE_EQ:SBIN"
HALF_PAST_NINE = 1_753_848_000_000_000_000  # of 2025-07-30, IST
WITHIN_S = 60.0


class Rig:
    """The runtime, and what it has told.

    Args:
        folder: where the ledger stands.
        commit_every_s: how long time alone waits for its commit.
    """

    def __init__(self, folder: Path, commit_every_s: float = 0.25) -> None:
        self.bus = MemoryBus(partitions=1)
        self.stop = threading.Event()
        self._ticks = 0
        self.ledger_url = f"sqlite:///{folder / 'ledger.sqlite'}"
        strategy, trading = load_strategy("momentum", {})
        request = RunRequest("default", "replay", strategy.name, "order events", None, 20_000_00)
        health = Health("strategy_runtime")
        self.service = StrategyRuntimeService(
            self.bus,
            lambda: SqlLedger(self.ledger_url),
            health,
            LookupWriter(MemoryCache(), health),
            RuntimePlan(request, strategy, trading, depth=False, commit_every_s=commit_every_s),
            lambda _: None,
            self.stop,
        )

    def turn(self) -> None:
        for step in STEPS:
            getattr(self.service, step)()

    def turn_until_told(self, *last: str) -> None:
        """Turn until these are the last events told."""
        give_up = time.monotonic() + WITHIN_S
        while self.told()[-len(last) :] != list(last):
            assert time.monotonic() < give_up, f"told {self.told()}, not {last} at last"
            self.turn()

    def rise(self, seconds: float = 0, *, last: bool = False) -> None:
        """A tick that the momentum rule buys on, and the clock behind it.

        Args:
            seconds: after half past nine.
            last: whether the market is over then.
        """
        ts = HALF_PAST_NINE + round(seconds * NS_PER_SECOND)
        self._ticks += 1
        tick = EnrichedRecord(SYMBOL, ts, self._ticks, 100.0, 10, 99.0, 80.0, 0.5, 99.0, 0.05, "B")
        writer = self.bus.writer()
        writer.send(ENRICHED_TICKS.name, SYMBOL, encode(tick), TICK, 0)
        writer.send(ENRICHED_TICKS.name, "", encode(ClockRecord(ts + 1, last=last)), CLOCK, 0)
        writer.flush()

    def events(self) -> list[OrderEvent]:
        records = self.bus.history(ORDER_EVENTS.name, {0: 0})
        return [msgspec.json.decode(record.value, type=OrderEvent) for record in records]

    def told(self) -> list[str]:
        return [event.what for event in self.events()]
