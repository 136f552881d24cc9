"""What services count in ``/metrics``: what became durable, once, over restarts as well."""

import pytest
from prometheus_client import generate_latest

from quant_platform.adapters.bus.memory import MemoryBus
from quant_platform.adapters.cache.memory import MemoryCache
from quant_platform.domain.errors import UnavailableError
from quant_platform.domain.records import TICK, TickRecord, encode
from quant_platform.domain.topics import ENRICHED_TICKS, EQUITY_TICKS
from quant_platform.hosts.distributed.feature_engine import FeatureEngineService
from quant_platform.hosts.distributed.lookups import LookupWriter
from quant_platform.hosts.health import Health
from quant_platform.hosts.process import STEPS

SYMBOL = "NSE_EQ:SBIN"
NS = 1_753_848_000_000_000_000  # 2025-07-30 09:30 IST


def test_a_transaction_that_did_not_take_place_is_not_among_the_records_written() -> None:
    bus, health = MemoryBus(), Health("feature_engine")
    lookups = LookupWriter(MemoryCache(), health)
    service = FeatureEngineService(bus, health, lookups, instance="1", rsi_period=14, sma_period=20, depth=True)
    bus.ensure([EQUITY_TICKS])
    writer = bus.writer()
    for seq in range(1, 4):
        writer.send(EQUITY_TICKS.name, SYMBOL, encode(TickRecord(SYMBOL, NS + seq, seq, 100.0, seq, None, 0)), TICK)
    writer.flush()

    def turn() -> None:
        for step in STEPS:
            getattr(service, step)()

    def written() -> float | None:
        return health.registry.get_sample_value("quant_bus_records_written_total", {"topic": ENRICHED_TICKS.name})

    service.open()
    bus.transactional_writer("feature_engine-1")  # another of its name came up
    with pytest.raises(UnavailableError, match="another writer"):
        turn()
    assert written() == 0
    service.close()
    service.open()
    turn()
    assert written() == 3


def test_a_count_over_several_processes_is_shown_as_a_counter_once_it_is_known() -> None:
    health = Health("upstox_ingestor")
    known: list[int] = []
    health.counter_of("quant_feed_gaps_total", "Gaps", lambda: known[0] if known else None)
    assert "quant_feed_gaps_total" not in generate_latest(health.registry).decode()
    known.append(3)
    shown = generate_latest(health.registry).decode()
    assert "# TYPE quant_feed_gaps_total counter" in shown
    assert "quant_feed_gaps_total 3.0" in shown
