"""feature_engine over Kafka with transactions, beside the parts that no implementation can do without.

    python -m benchmarks.feature_engine [--quick] [--json]

Ours is the service as compose runs it: ticks with five levels off Kafka, enriched ticks, the symbols' state and the
offsets in one transaction, quotes into Redis. The limit is the sum of four parts, each measured alone with no garbage
collector in its way: consuming the same records, reading their JSON, writing the JSON of the enriched ticks, producing
those with the headers of the contract. CPU is that of all threads of a process.
"""

import statistics
from collections.abc import Iterator, Mapping, Sequence

from confluent_kafka import Producer

from benchmarks import figure, stream
from benchmarks.figure import Figure, Goal, Limit, Run
from benchmarks.stream import Cost
from quant_platform.adapters.bus.kafka import KafkaBus, KafkaOptions
from quant_platform.domain.records import EnrichedRecord, TickRecord, encode
from quant_platform.domain.topics import ENRICHED_TICKS, EQUITY_TICKS, FEATURE_STATE, Topic

NAME = "feature_engine over Kafka with transactions"
GROUP = "feature_engine"
PARTITIONS = KafkaOptions("").partitions
PLAIN = Topic("benchmark.produced")
GOAL = Goal(80_000, 95_000)
RATIO_GOAL = Goal(0.6, 0.7, "ratio")
COUNTS_FROM = 113_000
"""Three quarters of what the rates published for the four parts give together, for somewhat smaller records."""
HEADERS: list[tuple[str, str | bytes | None]] = [("schema", b"1"), ("kind", b"tick")]
PRODUCER = {
    "enable.idempotence": True,
    "compression.type": "lz4",
    "linger.ms": 5,
    "batch.num.messages": 10_000,
    "queue.buffering.max.messages": 1_000_000,
    "delivery.report.only.error": True,
}


class Parts:
    """The four parts of the limit.

    Args:
        servers: of Kafka, bootstrap.
        values: ticks as JSON, for the parts that need no Kafka.
        enriched: the same ticks with features.
    """

    def __init__(self, servers: str, values: Sequence[bytes], enriched: Sequence[EnrichedRecord]) -> None:
        self._servers = servers
        self._values = values
        self._enriched = enriched
        self._encoded = [encode(record) for record in enriched]

    def seconds_a_tick(self) -> float:
        """CPU seconds that the four take together for one tick."""
        return sum(map(stream.alone, (self._consume, self._decode, self._encode, self._produce)))

    def _consume(self) -> int:
        return stream.consume(self._servers, EQUITY_TICKS, PARTITIONS, len(self._values))

    def _decode(self) -> int:
        return stream.decode(TickRecord, self._values)

    def _encode(self) -> int:
        for record in self._enriched:
            encode(record)
        return len(self._enriched)

    def _produce(self) -> int:
        producer = Producer({"bootstrap.servers": self._servers, **PRODUCER})
        for record, value in zip(self._enriched, self._encoded, strict=True):
            producer.produce(PLAIN.name, value, record.symbol, headers=HEADERS)
        producer.flush()
        return len(self._enriched)


def ours(bus: KafkaBus, environment: Mapping[str, str], count: int) -> Cost:
    """The service over all ticks, from a state as on the first day."""
    stream.forget(bus, GROUP)
    bus.remove([ENRICHED_TICKS, FEATURE_STATE])
    bus.ensure([ENRICHED_TICKS, FEATURE_STATE])
    end = stream.length(bus, EQUITY_TICKS)
    with stream.service([GROUP], environment) as process:
        return stream.watched(process, lambda: end + PARTITIONS - bus.behind(GROUP, EQUITY_TICKS.name), end, count)


def measure(run: Run) -> Iterator[Figure]:
    """Ticks per CPU-second of the service, and their ratio to the parts'."""
    count = run.size(600_000, 50_000)
    alone = min(count, 100_000)
    with stream.servers("kafka", "redis") as environment:
        bus = stream.bus_of(environment)
        stream.publish(bus, EQUITY_TICKS, stream.ticks(count))
        bus.ensure([PLAIN])
        values = [encode(record) for records in stream.ticks(alone) for record in records]
        enriched = [record for records in stream.enriched(alone) for record in records]
        parts = Parts(environment["KAFKA_BOOTSTRAP_SERVERS"], values, enriched)
        costs, limits = [], []
        for _ in range(run.rounds):
            limits.append(parts.seconds_a_tick())
            costs.append(ours(bus, environment, count))
    rate = statistics.median(cost.ticks / cost.cpu_s for cost in costs)
    limit = Limit("consume + decode + encode + produce, each alone", 1 / statistics.median(limits), COUNTS_FROM)
    peak, cpu_s = max(cost.peak_mb for cost in costs), statistics.median(cost.cpu_s for cost in costs)
    yield Figure(NAME, rate, "ticks per CPU-s", GOAL, None, peak, cpu_s)
    yield Figure(f"{NAME}, against its parts", rate, "ticks per CPU-s", RATIO_GOAL, limit, peak, cpu_s)


if __name__ == "__main__":
    figure.main(NAME, measure)
