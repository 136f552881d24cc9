"""strategy_runtime over Kafka and Postgres, beside the parts that no implementation can do without.

    python -m benchmarks.strategy_runtime_kafka [--quick] [--json]

Ours is the service as compose runs it: enriched ticks with five levels off Kafka, twelve partitions merged by time, the
momentum rule, orders and the ledger with the offsets in Postgres, order events through the outbox. The limit is the sum
of three parts, each measured alone with no garbage collector in its way: consuming the same records, reading their
JSON, and the core over columns in memory. CPU is that of all threads of a process.
"""

import os
import statistics
from collections.abc import Iterator, Mapping, Sequence

import psycopg

from benchmarks import figure, stream
from benchmarks.figure import Figure, Goal, Limit, Run
from benchmarks.made_up import Session
from benchmarks.stream import Cost
from quant_platform.adapters.bus.kafka import KafkaBus
from quant_platform.domain.records import EnrichedRecord, encode
from quant_platform.domain.ticks import EnrichedBatch
from quant_platform.domain.topics import ENRICHED_TICKS
from quant_platform.hosts.config import load_settings
from quant_platform.hosts.distributed import ledger_connections
from quant_platform.hosts.strategies import load_strategy
from quant_platform.services.strategy_runtime.runtime import StrategyRuntime
from quant_platform.services.strategy_runtime.schema import DEFAULT_CAPITAL

NAME = "strategy_runtime over Kafka and Postgres"
GOAL = Goal(120_000, 180_000)
SIMULATED = {"UPSTOX_BASE_URL": "http://127.0.0.1:1"}
"""Not the broker's: time is the data's, and a new run begins at the beginning of the stream."""


def core(batches: Sequence[EnrichedBatch]) -> int:
    """The core over columns in memory."""
    strategy, settings = load_strategy("momentum", {})
    table = Session(1, stream.SYMBOLS).table()
    runtime = StrategyRuntime(strategy, settings, table, depth=True, balance=DEFAULT_CAPITAL)
    for batch in batches:
        runtime.on_ticks(batch)
    return sum(batch.ticks.ts.size for batch in batches)


def ours(ledger: psycopg.Connection[tuple[int]], bus: KafkaBus, environment: Mapping[str, str], count: int) -> Cost:
    """The service over all ticks, with a portfolio of its own."""

    def offsets() -> int:
        found = ledger.execute('SELECT coalesce(sum("offset"), 0)::bigint FROM consumer_offsets').fetchone()
        assert found is not None
        return found[0]

    before, end = offsets(), stream.length(bus, ENRICHED_TICKS)
    with stream.service(["strategy_runtime", "--portfolio", f"bench{before}"], environment) as process:
        return stream.watched(process, lambda: offsets() - before, end, count)


def measure(run: Run) -> Iterator[Figure]:
    """Ticks per CPU-second of the service, and of its parts."""
    count = run.size(800_000, 150_000)
    alone = min(count, 100_000)
    with stream.servers("kafka", "postgres", "redis") as servers:
        environment = {**servers, **SIMULATED}
        bus = stream.bus_of(environment)
        stream.publish(bus, ENRICHED_TICKS, stream.enriched(count))
        values = [encode(record) for records in stream.enriched(alone) for record in records]
        batches = list(stream.enriched_batches(alone))
        partitions = bus.partitions(ENRICHED_TICKS.name)
        kafka = environment["KAFKA_BOOTSTRAP_SERVERS"]
        os.environ.update(environment)
        settings = load_settings()
        ledger_connections.postgres(settings).close()  # makes the tables
        url = ledger_connections.postgres_url(settings).set(drivername="postgresql")
        costs, limits = [], []
        with psycopg.connect(url.render_as_string(hide_password=False), autocommit=True) as ledger:
            for _ in range(run.rounds):
                limits.append(
                    stream.alone(lambda: stream.consume(kafka, ENRICHED_TICKS, partitions, alone))
                    + stream.alone(lambda: stream.decode(EnrichedRecord, values))
                    + stream.alone(lambda: core(batches))
                )
                costs.append(ours(ledger, bus, environment, count))
    rate = statistics.median(cost.ticks / cost.cpu_s for cost in costs)
    limit = Limit("consume + decode + core, each alone", 1 / statistics.median(limits))
    peak, cpu_s = max(cost.peak_mb for cost in costs), statistics.median(cost.cpu_s for cost in costs)
    yield Figure(NAME, rate, "ticks per CPU-s", GOAL, limit, peak, cpu_s)


if __name__ == "__main__":
    figure.main(NAME, measure)
