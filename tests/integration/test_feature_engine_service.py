"""feature_engine beside a Kafka that goes, or forgets where its group stands: it waits, and enriches nothing twice."""

import contextlib
import json
import threading

from quant_platform.adapters.bus.kafka import KafkaBus
from quant_platform.adapters.cache.memory import MemoryCache
from quant_platform.domain.errors import UnavailableError
from quant_platform.domain.records import CLOCK, TICK, ClockRecord, TickRecord, encode
from quant_platform.domain.topics import ENRICHED_TICKS, EQUITY_TICKS
from quant_platform.hosts import process
from quant_platform.hosts.distributed.feature_engine import NAME, FeatureEngineService
from quant_platform.hosts.distributed.lookups import LookupWriter
from quant_platform.hosts.health import Health
from tests.contracts.bus_rig import ALL, flushed
from tests.e2e.service_rig import eventually
from tests.servers import KafkaServer

SYMBOL = "NSE_EQ:SBIN"
NS = 1_753_848_000_000_000_000  # 2025-07-30 09:30 IST


def service_on(bus: KafkaBus, health: Health) -> FeatureEngineService:
    lookups = LookupWriter(MemoryCache(), health)
    return FeatureEngineService(bus, health, lookups, instance="1", rsi_period=14, sma_period=20, depth=True)


def test_a_service_shows_that_it_waits_for_kafka_and_loses_nothing(bus: KafkaBus, kafka: KafkaServer) -> None:
    health, stop = Health(NAME), threading.Event()
    service = service_on(bus, health)
    thread = threading.Thread(target=process.run, args=(service, health, stop))
    thread.start()
    try:
        eventually(lambda: health.ready)
        writer = bus.writer()
        for stamp in range(NS, NS + 10):
            writer.send(EQUITY_TICKS.name, "", encode(ClockRecord(stamp)), CLOCK, 0)
        writer.flush()
        kafka.kill()
        eventually(lambda: not health.ready)
        assert kafka.bootstrap_servers in health.reason
        kafka.start()
        for stamp in range(NS + 10, NS + 20):
            writer.send(EQUITY_TICKS.name, "", encode(ClockRecord(stamp)), CLOCK, 0)
        flushed(writer)
        writer.close()
        eventually(lambda: len(list(bus.history(ENRICHED_TICKS.name, {0: 0}))) >= 20)
    finally:
        stop.set()
        thread.join()
    passed_on = [record.value for record in bus.history(ENRICHED_TICKS.name, {0: 0})]
    assert passed_on == [encode(ClockRecord(stamp)) for stamp in range(NS, NS + 20)]


def test_a_group_whose_place_kafka_has_forgotten_enriches_nothing_twice(bus: KafkaBus) -> None:
    service = service_on(bus, Health(NAME))
    bus.ensure([EQUITY_TICKS])
    writer = bus.writer()

    def enrich(seqs: range) -> None:
        for seq in seqs:
            tick = TickRecord(SYMBOL, NS + seq, seq, 100.0, seq, None, 0)
            writer.send(EQUITY_TICKS.name, SYMBOL, encode(tick), TICK)
        writer.flush()
        service.open()
        eventually(lambda: turned(service) and seqs[-1] in enriched())
        service.close()

    def enriched() -> list[int]:
        return [json.loads(record.value)["seq"] for record in bus.history(ENRICHED_TICKS.name, ALL)]

    def forgotten() -> bool:
        with contextlib.suppress(UnavailableError):  # its member counts as one until its session is over
            bus.forget_groups([NAME])
            return True
        return False

    enrich(range(1, 11))
    eventually(forgotten)
    enrich(range(11, 21))
    writer.close()
    assert enriched() == list(range(1, 21))


def turned(service: process.StreamService) -> bool:
    for step in process.STEPS:
        getattr(service, step)()
    return True
