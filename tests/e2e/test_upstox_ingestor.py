"""upstox_ingestor beside a Kafka that is away, or refuses its records for good: it loses nothing, and goes on."""

import asyncio
import contextlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import structlog
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource

from quant_platform.adapters.bus.kafka import KafkaBus
from quant_platform.domain.errors import UnavailableError
from quant_platform.domain.records import TICK, encode
from quant_platform.domain.topics import EQUITY_TICKS, INGESTOR_STATE, SCANNER_SUGGESTIONS
from quant_platform.hosts.config import load_settings
from quant_platform.hosts.distributed import upstox_ingestor
from quant_platform.hosts.distributed.connections import redis
from quant_platform.hosts.distributed.ingestor_state import newest
from quant_platform.hosts.distributed.upstox_ingestor import Ingestor
from quant_platform.hosts.health import Health
from quant_platform.hosts.options import ServiceOptions
from tests.e2e.service_rig import eventually, exchange, service
from tests.servers import Database, KafkaServer

MANY = 10


def allow_bytes(kafka: KafkaServer, largest: int) -> None:
    """Let the topic of ticks take batches of at most so many bytes."""
    entry = ConfigEntry("max.message.bytes", str(largest), incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ConfigResource.Type.TOPIC, EQUITY_TICKS.name, incremental_configs=[entry])
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
    for changed in admin.incremental_alter_configs([resource]).values():
        changed.result(30)


def seqs(bus: KafkaBus, symbol: str) -> list[int]:
    """Numbers of a symbol's ticks on the bus."""
    start = dict.fromkeys(range(bus.partitions(EQUITY_TICKS.name)), 0)
    ticks = (record for record in bus.history(EQUITY_TICKS.name, start) if record.kind == TICK)
    return [json.loads(record.value)["seq"] for record in ticks if record.key == symbol]


def require_unbroken(log: Sequence[Mapping[str, Any]], numbers: list[int]) -> None:
    """The feed was up until its ingestor was stopped, and no tick of it was lost."""
    assert [line["reason"] for line in log if line["event"] == "the feed is down"] == ["stopped"]
    assert "gap in the feed" not in {line["event"] for line in log}
    assert numbers == list(range(1, len(numbers) + 1))


def away_for_a_while(monkeypatch: pytest.MonkeyPatch, times: range) -> list[int]:
    """Have Kafka not answer some of the questions for the ends of the ticks; returns which were asked."""
    ends, asked = KafkaBus.ends, []

    def asked_for(self: KafkaBus, topic: str) -> Mapping[int, int]:
        if topic == EQUITY_TICKS.name:
            asked.append(len(asked))
            if asked[-1] in times:
                raise UnavailableError("Kafka does not answer as asked", "see whether it runs")
        return ends(self, topic)

    monkeypatch.setattr(KafkaBus, "ends", asked_for)
    return asked


def test_records_that_are_refused_for_good_are_sent_anew_with_growing_pauses(
    tmp_path: Path, kafka: KafkaServer, bus: KafkaBus, database: Database
) -> None:
    bus.ensure([EQUITY_TICKS])
    allow_bytes(kafka, 1)
    servers = {**kafka.environment, **database.environment, "QUANT_FEED__SUBSCRIBE": "all"}
    with (
        exchange("--speed", "60", "--start", "09:20", "--run-at-once", folder=tmp_path) as market,
        service("upstox_ingestor", environment=servers | market.environment, folder=tmp_path) as ingestor,
    ):

        def pauses() -> list[float]:
            lines = [json.loads(line) for line in ingestor.log.read_text().splitlines()]
            return [line["seconds"] for line in lines if line["event"] == "waiting"]

        eventually(lambda: len(pauses()) >= 3, ingestor.log.read_text)
        assert pauses()[:3] == [0.1, 0.2, 0.4]
        assert "could not be written" in ingestor.log.read_text()
        assert sum(bus.ends(EQUITY_TICKS.name).values()) == 0
        allow_bytes(kafka, 1_048_576)
        eventually(lambda: sum(bus.ends(EQUITY_TICKS.name).values()) > 1000)
        ingestor.wait_until_ready()


def test_the_feed_goes_on_while_kafka_is_away_and_nothing_of_it_is_lost(
    tmp_path: Path, kafka: KafkaServer, bus: KafkaBus, database: Database
) -> None:
    bus.ensure([EQUITY_TICKS, SCANNER_SUGGESTIONS])

    def suggest(symbol: str) -> None:
        with contextlib.closing(bus.writer()) as writer:
            writer.send(SCANNER_SUGGESTIONS.name, "", encode([symbol]))
            writer.flush()

    with exchange("--speed", "20", "--start", "09:20", "--run-at-once", folder=tmp_path) as market:
        environment = {**kafka.environment, **database.environment, **market.environment}
        with service("upstox_ingestor", environment=environment, folder=tmp_path) as ingestor:
            ingestor.wait_until_ready()
            suggest("NSE_EQ:INFY")
            eventually(lambda: len(seqs(bus, "NSE_EQ:INFY")) > MANY)
            kafka.stop()
            eventually(lambda: "suggestions cannot be followed" in ingestor.log.read_text())
            kafka.start()
            before = len(seqs(bus, "NSE_EQ:INFY"))
            suggest("NSE_EQ:SBIN")
            eventually(lambda: seqs(bus, "NSE_EQ:SBIN"), ingestor.log.read_text)
            eventually(lambda: len(seqs(bus, "NSE_EQ:INFY")) > before)
    log = [json.loads(line) for line in ingestor.log.read_text().splitlines()]
    require_unbroken(log, seqs(bus, "NSE_EQ:INFY"))


def test_the_feed_goes_on_where_kafka_goes_away_while_it_is_asked_for_its_ends(
    tmp_path: Path, kafka: KafkaServer, bus: KafkaBus, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    bus.ensure([EQUITY_TICKS, INGESTOR_STATE])
    for name, value in {**kafka.environment, **database.environment, "QUANT_FEED__SUBSCRIBE": "all"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(upstox_ingestor, "KEEP_EVERY_S", 0.2)
    monkeypatch.chdir(tmp_path)
    away = range(1, 4)  # the first question is for what an earlier process wrote
    asked = away_for_a_while(monkeypatch, away)
    settings, options, health = load_settings(None), ServiceOptions("upstox_ingestor"), Health("upstox_ingestor")

    async def serve() -> None:
        with redis(settings, health) as lookups:
            task = asyncio.create_task(Ingestor(settings, options, health, lookups).run(asyncio.Event()))
            await asyncio.to_thread(eventually, lambda: newest(bus) and len(seqs(bus, "NSE_EQ:INFY")) > MANY)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    with exchange("--speed", "20", "--start", "09:20", "--run-at-once", folder=tmp_path) as market:
        for name, value in market.environment.items():
            monkeypatch.setenv(name, value)
        with structlog.testing.capture_logs() as log:
            asyncio.run(serve())
    assert [line["event"] for line in log].count("no snapshot is kept") == len(away) < len(asked) - 1
    require_unbroken(log, seqs(bus, "NSE_EQ:INFY"))
