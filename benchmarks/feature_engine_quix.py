"""What the feature engine's hosting costs, per CPU-second: Quix Streams beside a bare loop of confluent-kafka.

    uv run --with quixstreams python benchmarks/feature_engine_quix.py [--ticks 500000] [--rounds 3]

Both read the same JSON ticks (100 symbols, five levels, 12 partitions) from the real Kafka at KAFKA_BOOTSTRAP_SERVERS,
decode, encode and produce every one in transactions of 10,000 (exactly once), and keep 600 bytes of state a symbol in a
changelog. Neither computes a feature: the difference is the library's. CPU is user and system time of the whole
process, librdkafka's threads included, after the first fifth. What came out is counted. The topics are made for the run
and deleted.
"""

import argparse
import multiprocessing
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from quant_platform.domain.records import Depth, EnrichedRecord, Reader, TickRecord, encode

PARTITIONS = 12
SYMBOLS = 100
COMMIT_EVERY = 10_000
STATE = bytes(600)
CONSUMER = {"fetch.queue.backoff.ms": 5, "queued.min.messages": 100_000}
PRODUCER = {"compression.type": "lz4", "linger.ms": 5, "queue.buffering.max.messages": 1_000_000}


class Run(NamedTuple):
    """What one measurement needs to know."""

    kafka: str
    ticks: int
    source: str
    target: str
    changelog: str
    group: str


class Meter:
    """CPU and wall time between the first fifth of the ticks and the last one."""

    def __init__(self, ticks: int) -> None:
        self.first = ticks // 5 // COMMIT_EVERY * COMMIT_EVERY
        self.last = ticks
        self.seen = 0

    def mark(self, count: int) -> None:
        """Note the time where the count passes a boundary."""
        if self.seen < self.first <= count:
            self.start = (count, time.process_time(), time.perf_counter())
        if self.seen < self.last <= count:
            self.end = (count, time.process_time(), time.perf_counter())
        self.seen = count

    @property
    def rates(self) -> tuple[float, float]:
        """Ticks per CPU-second, ticks per second of the wall."""
        ticks, cpu, wall = (after - before for before, after in zip(self.start, self.end, strict=True))
        return ticks / cpu, ticks / wall


def enriched(tick: TickRecord) -> EnrichedRecord:
    """A tick with no feature: what both sides encode."""
    return EnrichedRecord(
        tick.symbol, tick.ts, tick.seq, tick.ltp, tick.volume, None, None, None, None, None, "N", tick.flags, tick.depth
    )


def bare_loop(run: Run) -> tuple[float, float]:
    """Consume, decode, encode, produce; offsets and changelog in the same transaction."""
    consumer = Consumer(
        {
            "bootstrap.servers": run.kafka,
            "group.id": run.group,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            **CONSUMER,
        }
    )
    producer = Producer(
        {
            "bootstrap.servers": run.kafka,
            "transactional.id": run.group,
            "delivery.report.only.error": True,
            **PRODUCER,
        }
    )
    producer.init_transactions()
    consumer.subscribe([run.source])
    read, produce, meter = Reader(TickRecord).read, producer.produce, Meter(run.ticks)
    while meter.seen < run.ticks:
        messages = consumer.consume(COMMIT_EVERY, 1.0)
        if not messages:
            continue
        producer.begin_transaction()
        offsets: dict[int, int] = {}
        touched = set()
        for message in messages:
            key = message.key()
            produce(run.target, encode(enriched(read(message.value() or b""))), key)
            touched.add(key)
            offsets[message.partition() or 0] = (message.offset() or 0) + 1
        for key in touched:
            produce(run.changelog, STATE, key)
        producer.send_offsets_to_transaction(
            [TopicPartition(run.source, number, offset) for number, offset in offsets.items()],
            consumer.consumer_group_metadata(),
        )
        producer.commit_transaction()
        meter.mark(meter.seen + len(messages))
    consumer.close()
    return meter.rates


def quix(run: Run) -> tuple[float, float]:
    """The same as an application of Quix Streams with its store (RocksDB) and changelog."""
    from quixstreams import Application, State  # noqa: PLC0415 - not one of the platform's dependencies
    from quixstreams.models import Deserializer, Serializer  # noqa: PLC0415

    class Ticks(Deserializer):
        read = staticmethod(Reader(TickRecord).read)

        def __call__(self, value: bytes, ctx: Any) -> TickRecord:
            return self.read(value)

    class Enriched(Serializer):
        def __call__(self, value: EnrichedRecord, ctx: Any) -> bytes:
            return encode(value)

    meter = Meter(run.ticks)

    def process(tick: TickRecord, state: State) -> EnrichedRecord:
        state.get_bytes("features")
        state.set_bytes("features", STATE)
        count = meter.seen + 1
        if count in (meter.first, meter.last):
            meter.mark(count)
        meter.seen = count
        return enriched(tick)

    with tempfile.TemporaryDirectory() as folder:
        app = Application(
            run.kafka,
            consumer_group=run.group,
            auto_offset_reset="earliest",
            processing_guarantee="exactly-once",
            commit_interval=30.0,
            commit_every=COMMIT_EVERY,
            consumer_extra_config=CONSUMER,
            producer_extra_config=PRODUCER,
            state_dir=folder,
            loglevel="ERROR",
        )
        ticks = app.dataframe(app.topic(run.source, key_deserializer="bytes", value_deserializer=Ticks()))
        ticks = ticks.apply(process, stateful=True)
        ticks.to_topic(app.topic(run.target, key_serializer="bytes", value_serializer=Enriched()))
        app.run(count=run.ticks, collect=False)
    return meter.rates


def fill(run: Run) -> int:
    """Write the ticks; mean bytes of one."""
    chance = random.Random(1)
    producer = Producer({"bootstrap.servers": run.kafka, "enable.idempotence": True, **PRODUCER})
    size = 0
    for number in range(run.ticks):
        symbol = f"NSE_EQ:SYMBOL{chance.randrange(SYMBOLS):02d}"
        paise = chance.randrange(100_000, 300_000, 5)
        sides = [
            [((paise + sign * 5 * level) / 100, chance.randrange(1, 5000)) for level in range(1, 6)] for sign in (-1, 1)
        ]
        seq = number // SYMBOLS
        tick = TickRecord(
            symbol, 1_767_584_700_000_000_000 + number * 10**6, seq, paise / 100, number, paise / 100, 0, Depth(*sides)
        )
        value = encode(tick)
        size += len(value)
        producer.produce(run.source, value, symbol)
        if number % COMMIT_EVERY == 0:
            producer.poll(0)
    producer.flush()
    return size // run.ticks


def come_out(run: Run) -> int:
    """How many committed records the target holds."""
    consumer = Consumer(
        {
            "bootstrap.servers": run.kafka,
            "group.id": f"{run.group}.count",
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
            **CONSUMER,
        }
    )
    consumer.subscribe([run.target])
    count = 0
    while messages := consumer.consume(COMMIT_EVERY, 5.0):
        count += len(messages)
    consumer.close()
    return count


def in_a_process(measure: Callable[[Run], tuple[float, float]], run: Run) -> tuple[float, float]:
    """Measured in a process of its own, so that no thread of the other is counted."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(measure, (run,))


def main() -> None:
    """Measure both, in turns, and print the medians and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--ticks", type=int, default=500_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    kafka = os.environ.get("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:9092")
    admin = AdminClient({"bootstrap.servers": kafka})
    prefix = f"benchmark-{os.getpid()}"
    found: dict[str, list[tuple[float, float]]] = {"bare loop": [], "Quix Streams": []}
    try:
        for turn in range(options.rounds):
            for name, measure in (("bare loop", bare_loop), ("Quix Streams", quix)):
                group = f"{prefix}.{turn}.{measure.__name__}"
                run = Run(kafka, options.ticks, f"{prefix}.market.equity.ticks", f"{group}.out", f"{group}.log", group)
                names = (run.target, run.changelog, *((run.source,) if not any(found.values()) else ()))
                for made in admin.create_topics([NewTopic(topic, PARTITIONS, 1) for topic in names]).values():
                    made.result()
                if run.source in names:
                    print(f"{options.ticks:,} ticks of {fill(run)} bytes")
                found[name].append(in_a_process(measure, run))
                count = come_out(run)
                print(f"{name}: {found[name][-1][0]:,.0f} ticks per CPU-second, {count:,} came out", flush=True)
                assert count == options.ticks, f"{name} put out {count} of {options.ticks} ticks"
    finally:
        ours = [topic for topic in admin.list_topics(timeout=10).topics if prefix in topic]
        for deleted in admin.delete_topics(ours).values() if ours else ():
            deleted.result()
    medians = {
        name: [statistics.median(column) for column in zip(*rates, strict=True)] for name, rates in found.items()
    }
    for name, (cpu, wall) in medians.items():
        print(f"{name:>12}: {cpu:>9,.0f} ticks per CPU-second, {wall:>9,.0f} a second")
    print(f"{'ratio':>12}: {medians['Quix Streams'][0] / medians['bare loop'][0]:.3f}")


if __name__ == "__main__":
    main()
