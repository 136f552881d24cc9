"""When ``orders.events`` leave the outbox: gathered, and at once where nothing comes after."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from quant_platform.adapters.bus.memory import MemoryBus
from quant_platform.adapters.cache.memory import MemoryCache
from quant_platform.adapters.ledger.sql import SqlLedger
from quant_platform.domain.records import CLOCK, TICK, ClockRecord, EnrichedRecord, OrderEvent, encode
from quant_platform.domain.topics import ENRICHED_TICKS, ORDER_EVENTS
from quant_platform.hosts.distributed import strategy_runtime
from quant_platform.hosts.distributed.lookups import LookupWriter
from quant_platform.hosts.distributed.strategy_runtime import RuntimePlan, StrategyRuntimeService
from quant_platform.hosts.health import Health
from quant_platform.hosts.process import STEPS
from quant_platform.hosts.strategies import load_strategy
from quant_platform.ports.ledger_store import RunRequest

SYMBOL = "NSE_EQ:SBIN"
HALF_PAST_NINE = 1_753_848_000_000_000_000  # of 2025-07-30, IST
TURNS = 400
WITHIN_S = 60.0


class Rig:
    """A runtime that is turned by hand, and what it has told."""

    def __init__(self, folder: Path) -> None:
        self.bus = MemoryBus(partitions=1)
        self.stop = threading.Event()
        strategy, trading = load_strategy("momentum", {})
        request = RunRequest("default", "replay", strategy.name, "order events", None, 20_000_00)
        health = Health("strategy_runtime")
        self.service = StrategyRuntimeService(
            self.bus,
            lambda: SqlLedger(f"sqlite:///{folder / 'ledger.sqlite'}"),
            health,
            LookupWriter(MemoryCache(), health),
            RuntimePlan(request, strategy, trading, depth=False),
            lambda _: None,
            self.stop,
        )

    def turn(self) -> None:
        for step in STEPS:
            getattr(self.service, step)()

    def rise(self, *, last: bool = False) -> None:
        """A tick that the momentum rule buys on, and the clock behind it."""
        tick = EnrichedRecord(SYMBOL, HALF_PAST_NINE, 1, 100.0, 10, 99.0, 80.0, 0.5, 99.0, 0.05, "B")
        writer = self.bus.writer()
        writer.send(ENRICHED_TICKS.name, SYMBOL, encode(tick), TICK, 0)
        writer.send(ENRICHED_TICKS.name, "", encode(ClockRecord(HALF_PAST_NINE + 1, last=last)), CLOCK, 0)
        writer.flush()

    def told(self) -> list[str]:
        records = self.bus.history(ORDER_EVENTS.name, {0: 0})
        return [msgspec.json.decode(record.value, type=OrderEvent).what for record in records]


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    made = Rig(tmp_path)
    made.service.open()
    yield made
    made.service.close()


@pytest.fixture
def for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strategy_runtime, "PUBLISH_EVERY_S", float("inf"))


def test_they_leave_though_nothing_more_comes(rig: Rig) -> None:
    rig.turn()  # lets out what an earlier process may have left; from here on they gather
    rig.rise()
    give_up = time.monotonic() + WITHIN_S
    while not rig.told() and time.monotonic() < give_up:
        rig.turn()
    assert rig.told() == ["intended", "accepted"]


@pytest.mark.usefixtures("for_ever")
def test_the_last_turn_of_a_stopped_runtime_keeps_none_back(rig: Rig) -> None:
    rig.rise()
    for _ in range(TURNS):
        rig.turn()
    assert rig.told() == []
    rig.stop.set()
    rig.turn()
    assert rig.told() == ["intended", "accepted"]


@pytest.mark.usefixtures("for_ever")
def test_a_market_that_is_over_keeps_none_back(rig: Rig) -> None:
    rig.rise(last=True)
    for _ in range(3):
        rig.turn()
    assert rig.told()[:2] == ["intended", "accepted"]
