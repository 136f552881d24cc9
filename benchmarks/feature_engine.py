"""feature_engine over Kafka with transactions, beside the parts that no implementation can do without.

    python -m benchmarks.feature_engine [--quick] [--json]

Ours is the service as compose runs it: ticks with five levels off Kafka, enriched ticks, the symbols' state and the
offsets in one transaction, quotes into Redis. The limit is the sum of four parts, each measured alone with no garbage
collector in its way: consuming the same records, reading their JSON, writing the JSON of the enriched ticks, producing
those with the headers of the contract. CPU is that of all threads of a process.
"""

import gc
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from confluent_kafka import Consumer, Producer, TopicPartition

from benchmarks import figure, stream
from benchmarks.figure import Figure, Goal, Limit, Run
from benchmarks.stream import Cost
from quant_platform.adapters.bus.kafka import KafkaBus
from quant_platform.domain.records import EnrichedRecord, Reader, TickRecord, encode
from quant_platform.domain.topics import ENRICHED_TICKS, EQUITY_TICKS, FEATURE_STATE, Topic

NAME = "feature_engine over Kafka with transactions"
PLAIN = Topic("benchmark.produced")
GOAL = Goal(80_000, 95_000)
RATIO_GOAL = Goal(0.6, 0.7, "ratio")
COUNTS_FROM = 113_000
"""Three quarters of what the rates published for the four parts give together, for somewhat smaller records."""
HEADERS: list[tuple[str, str | bytes | None]] = [("schema", b"1"), ("kind", b"tick")]
CONSUMER = {"fetch.queue.backoff.ms": 5, "isolation.level": "read_committed", "enable.auto.commit": False}
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

    def seconds_a_tick(self) -> float:
        """CPU seconds that the four take together for one tick."""
        return sum(map(self._alone, (self._consume, self._decode, self._encode, self._produce)))

    def _alone(self, part: Callable[[], int]) -> float:
        with _uncollected():
            began = time.process_time()
            count = part()
            return (time.process_time() - began) / count

    def _consume(self) -> int:
        consumer = Consumer({"bootstrap.servers": self._servers, "group.id": "benchmark", **CONSUMER})
        count, wanted = 0, len(self._values)
        consumer.assign([TopicPartition(EQUITY_TICKS.name, number, 0) for number in range(12)])
        while count < wanted:
            count += len([message.value() for message in consumer.consume(5000, 1.0)])
        consumer.close()
        return count

    def _decode(self) -> int:
        read = Reader(TickRecord).read
        for value in self._values:
            read(value)
        return len(self._values)

    def _encode(self) -> int:
        for record in self._enriched:
            encode(record)
        return len(self._enriched)

    def _produce(self) -> int:
        producer = Producer({"bootstrap.servers": self._servers, **PRODUCER})
        for record, value in zip(self._enriched, map(encode, self._enriched), strict=True):
            producer.produce(PLAIN.name, value, record.symbol, headers=HEADERS)
        producer.flush()
        return len(self._enriched)


@contextmanager
def _uncollected() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def ours(bus: KafkaBus, environment: Mapping[str, str], count: int) -> Cost:
    """The service over all ticks, from a state as on the first day."""
    stream.forget(bus, "feature_engine")
    bus.remove([ENRICHED_TICKS, FEATURE_STATE])
    bus.ensure([ENRICHED_TICKS, FEATURE_STATE])
    marks = bus.partitions(EQUITY_TICKS.name)  # of the last transaction, which nobody commits
    with stream.service(["feature_engine"], environment) as process:
        return stream.watched(process, lambda: count - bus.behind("feature_engine", EQUITY_TICKS.name) + marks, count)


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
