"""upstox_ingestor and a Kafka that refuses its records for good: it begins anew, ever more slowly, until they go."""

import json
from pathlib import Path

from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource

from quant_platform.adapters.bus.kafka import KafkaBus
from quant_platform.domain.topics import EQUITY_TICKS
from tests.e2e.service_rig import eventually, exchange, service
from tests.servers import Database, KafkaServer


def allow_bytes(kafka: KafkaServer, largest: int) -> None:
    """Let the topic of ticks take batches of at most so many bytes."""
    entry = ConfigEntry("max.message.bytes", str(largest), incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ConfigResource.Type.TOPIC, EQUITY_TICKS.name, incremental_configs=[entry])
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
    for changed in admin.incremental_alter_configs([resource]).values():
        changed.result(30)


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
