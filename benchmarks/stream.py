"""Made-up ticks on a Kafka of its own, as the services find them there, and what a service spends on them."""

import gc
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import psutil
from confluent_kafka import Consumer, TopicPartition

from benchmarks.figure import Missing, quant
from benchmarks.made_up import Session
from quant_platform.adapters.bus.kafka import KafkaBus, KafkaOptions
from quant_platform.domain.errors import UnavailableError
from quant_platform.domain.record_columns import enriched_records, tick_records
from quant_platform.domain.records import (
    CLOCK,
    TICK,
    ClockRecord,
    EnrichedRecord,
    Reader,
    TickAsRead,
    TickRecord,
    encode,
)
from quant_platform.domain.ticks import EnrichedBatch, cut
from quant_platform.domain.topics import Topic
from quant_platform.hosts.servers.fleet import Fleet
from quant_platform.services.feature_engine.engine import FeatureEngine

SYMBOLS = 100
CHUNK = 10_000
"""Ticks that are records at a time, and in one transaction."""
TICKS_A_CLOCK = 1000
"""As the ingestor writes them where a market is replayed as fast as it goes."""
LOOKS_EVERY_S = 0.02
WITHIN_S = 300.0


class Cost(NamedTuple):
    """What a service took for the ticks between the first fifth and the last one."""

    ticks: int
    wall_s: float
    cpu_s: float  # user and system, the client library's threads included
    peak_mb: float


@contextmanager
def servers(*names: str) -> Iterator[dict[str, str]]:
    """Servers of the benchmark's own while the block lasts; gives the variables under which services find them."""
    with tempfile.TemporaryDirectory(prefix="quant-bench-") as home:
        Path(home).chmod(0o755)  # Postgres refuses to run as root, and its user has to enter
        fleet = Fleet(Path(home) / "servers", exit_with_parent=True)
        try:
            fleet.up(names, ports="free")
            yield fleet.environment(names)
        finally:
            fleet.down()


def bus_of(environment: Mapping[str, str]) -> KafkaBus:
    """The bus of these servers."""
    return KafkaBus(KafkaOptions(environment["KAFKA_BOOTSTRAP_SERVERS"]))


def ticks(count: int) -> Iterator[list[TickRecord]]:
    """The first ticks of a made-up session as ingestion sends them, in chunks."""
    batch = cut(Session(max(count, 1_000_000), SYMBOLS).columns(), 0, count)
    names = Session(count, SYMBOLS).table().names
    for start in range(0, count, CHUNK):
        yield tick_records(cut(batch, start, start + CHUNK), names)


def enriched_batches(count: int) -> Iterator[EnrichedBatch]:
    """The same ticks with their features, as columns."""
    batch = cut(Session(max(count, 1_000_000), SYMBOLS).columns(), 0, count)
    engine = FeatureEngine(14, 20, depth=True)
    for start in range(0, count, CHUNK):
        yield engine.on_ticks(cut(batch, start, min(start + CHUNK, count)))


def enriched(count: int) -> Iterator[list[EnrichedRecord]]:
    """The same ticks as feature_engine sends them."""
    names = Session(count, SYMBOLS).table().names
    as_read, read = Reader(TickAsRead).read, Reader(EnrichedRecord).read
    for batch in enriched_batches(count):
        ticks = [as_read(encode(tick)) for tick in tick_records(batch.ticks, names)]
        yield [read(encode(record)) for record in enriched_records(ticks, batch)]


def publish(bus: KafkaBus, topic: Topic, chunks: Iterator[Sequence[TickRecord | EnrichedRecord]]) -> None:
    """Records onto the bus in transactions, with clocks among them, the last of which says that the market is over."""
    bus.ensure([topic])
    partitions = range(bus.partitions(topic.name))
    reader = bus.group_reader("benchmark", "1", topic.name)
    writer = bus.transactional_writer("benchmark")

    def tell(ts: int, *, last: bool = False) -> None:
        for partition in partitions:
            writer.send(topic.name, "", encode(ClockRecord(ts, last=last)), CLOCK, partition)

    newest = 0
    for records in chunks:
        for number, record in enumerate(records):
            if number % TICKS_A_CLOCK == 0 and record.ts > newest > 0:
                tell(newest)
            writer.send(topic.name, record.symbol, encode(record), TICK)
            newest = record.ts
        writer.commit(reader, {})
    tell(newest + 1, last=True)
    writer.commit(reader, {})
    writer.close()
    reader.close()


def length(bus: KafkaBus, topic: Topic) -> int:
    """Where a topic ends, summed over its partitions, without the last transaction's marks, which nobody commits."""
    return sum(bus.ends(topic.name).values()) - bus.partitions(topic.name)


def forget(bus: KafkaBus, *groups: str) -> None:
    """Drop where groups stand, as soon as the sessions of their last members are over."""
    give_up = time.monotonic() + WITHIN_S
    while True:
        try:
            return bus.forget_groups(groups)
        except UnavailableError:
            if time.monotonic() > give_up:
                raise
            time.sleep(0.5)


@contextmanager
def service(arguments: Sequence[str], environment: Mapping[str, str]) -> Iterator[psutil.Process]:
    """One ``quant service`` while the block lasts."""
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(
            quant("service", *arguments), env={**os.environ, **environment}, stdout=subprocess.DEVNULL, stderr=log
        )
        try:
            yield psutil.Process(process.pid)
            if process.poll() not in {None, 0}:
                log.seek(0)
                raise RuntimeError(f"service {arguments[0]} ended with {process.returncode}: {log.read()[-2000:]}")
        finally:
            process.terminate()
            process.wait()


def watched(process: psutil.Process, done: Callable[[], int], end: int, count: int, since: int | None = None) -> Cost:
    """What a process spends from the first fifth of its work on to the end, or from where it is told.

    Args:
        process: the service.
        done: how far it has come; offsets do, which count clocks and the marks of transactions, too.
        end: how far it is watched; it may come further between two looks.
        count: how many ticks that is.
        since: how far it is when the watch begins; None for a fifth of the end.

    Raises:
        TimeoutError: it does not come to an end.
        Missing: it came to it at once.
    """
    give_up = time.monotonic() + WITHIN_S
    first: tuple[int, float, float] | None = None
    peak = 0
    while True:
        now = done()
        wall, used = time.perf_counter(), process.cpu_times()
        peak = max(peak, process.memory_info().rss)
        if first is None and now >= (end // 5 if since is None else since):
            first = now, wall, used.user + used.system
        if now >= end:
            break
        if time.monotonic() > give_up:
            raise TimeoutError(f"{now:,} of {end:,} records were done within {WITHIN_S:g} s")
        time.sleep(LOOKS_EVERY_S)
    if first is None or first[0] >= end:
        raise Missing("the ticks were done before they could be measured: give more of them")
    spent = used.user + used.system - first[2]
    return Cost(round(count * (now - first[0]) / end), wall - first[1], spent, peak / (1 << 20))


CONSUMER = {"fetch.queue.backoff.ms": 5, "isolation.level": "read_committed", "enable.auto.commit": False}


def alone(part: Callable[[], int]) -> float:
    """CPU seconds of this process for each record of a part that returns how many it did, uncollected."""
    gc.collect()
    gc.disable()
    try:
        began = time.process_time()
        count = part()
        return (time.process_time() - began) / count
    finally:
        gc.enable()


def consume(servers: str, topic: Topic, partitions: int, count: int) -> int:
    """Take so many records off a topic."""
    consumer = Consumer({"bootstrap.servers": servers, "group.id": "benchmark", **CONSUMER})
    consumer.assign([TopicPartition(topic.name, number, 0) for number in range(partitions)])
    done = 0
    while done < count:
        done += len([message.value() for message in consumer.consume(5000, 1.0)])
    consumer.close()
    return done


def decode(schema: Any, values: Sequence[bytes]) -> int:
    """Read JSON into structs of a schema."""
    read = Reader(schema).read
    for value in values:
        read(value)
    return len(values)
