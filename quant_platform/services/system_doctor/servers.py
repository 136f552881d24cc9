"""What the servers and services of a distributed platform said, judged: a line for every server, topic, lag, table."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from quant_platform.domain.topics import (
    ENRICHED_TICKS,
    EQUITY_TICKS,
    FEATURE_STATE,
    ORDER_EVENTS,
    SCANNER_SUGGESTIONS,
    TOPICS,
    Topic,
)
from quant_platform.ports.series_store import TABLES
from quant_platform.ports.server_probes import (
    BucketFound,
    BusFound,
    CacheFound,
    GroupFound,
    LedgerFound,
    SeriesFound,
    TimeSeriesFound,
    TopicFound,
    lags_of,
)
from quant_platform.services.system_doctor.verdict import Level, Verdict, judge_drift, judge_halts

NEEDED = (EQUITY_TICKS, ENRICHED_TICKS, SCANNER_SUGGESTIONS, ORDER_EVENTS, FEATURE_STATE)
"""Topics without which a part of the platform stands still."""
SAME_PARTITIONS = (EQUITY_TICKS, ENRICHED_TICKS)
"""What is in a partition of one belongs to the same-numbered one of the other."""
MUCH_LAG = 50_000
"""Records of one partition: more than a reader that lives takes seconds for."""
MUCH_BEHIND = 20
"""Commits of a table of time series."""
MANY_WAIT = 10_000
"""Records in the outbox."""


class Refusal(NamedTuple):
    """Why a server or service could not be asked."""

    what: str
    cure: str


class ServiceFound(NamedTuple):
    """What a service says of itself."""

    is_ready: bool
    reason: str  # why it is not; empty where it is


@dataclass(frozen=True, slots=True)
class ServerProbes:
    """What was found; None where a server is not configured, a :class:`Refusal` where it could not be asked.

    Attributes:
        kafka: the bus.
        partitions: of a topic that does not say, as set.
        postgres: the ledger.
        questdb: time series.
        redis: the cache.
        s3: objects.
        services: name → what each says of itself.
        drifts: server → our clock less its own, in seconds.
    """

    kafka: BusFound | Refusal | None
    partitions: int
    postgres: LedgerFound | Refusal | None
    questdb: TimeSeriesFound | Refusal | None
    redis: CacheFound | Refusal | None
    s3: BucketFound | Refusal | None
    services: Mapping[str, ServiceFound | Refusal]
    drifts: Mapping[str, float]


def judge_servers(probes: ServerProbes) -> list[Verdict]:
    """A verdict for every part, in the order of printing."""
    verdicts = [*_kafka(probes), *_postgres(probes), *_questdb(probes.questdb)]
    if probes.redis is not None:
        verdicts.append(_redis(probes.redis))
    if probes.s3 is not None:
        verdicts.append(_s3(probes.s3))
    if probes.drifts:
        server, drift = max(probes.drifts.items(), key=lambda item: abs(item[1]))
        verdicts.append(judge_drift("server clocks", drift, server))
    verdicts += [_service(name, found) for name, found in probes.services.items()]
    return verdicts


# Kafka.


def _kafka(probes: ServerProbes) -> Iterator[Verdict]:
    bus = probes.kafka
    if bus is None:
        return
    if isinstance(bus, Refusal):
        yield Verdict("kafka", Level.BROKEN, *bus)
        return
    brokers = "1 broker" if bus.brokers == 1 else f"{bus.brokers} brokers"
    yield Verdict("kafka", Level.OK, f"{brokers}, cluster {bus.cluster}", "")
    for topic in TOPICS:
        yield _topic(topic, bus.topics.get(topic.name), topic.partitions or probes.partitions)
    yield from _partitions_alike(bus.topics)
    yield _dead_letters(bus)
    runtimes = probes.postgres.offsets if isinstance(probes.postgres, LedgerFound) else {}
    of_runtimes = [
        found
        for portfolio, offsets in runtimes.items()
        for found in lags_of(f"strategy_runtime of {portfolio}", offsets, bus.ends)
    ]
    groups = [*bus.groups, *of_runtimes]
    yield from map(_lag, groups)
    if not groups:
        yield Verdict("lag", Level.NOTE, "nothing was read from a topic yet", "")


def _topic(topic: Topic, found: TopicFound | None, partitions: int) -> Verdict:
    part = f"topic {topic.name}"
    if found is None:
        if topic not in NEEDED:
            return Verdict(part, Level.NOTE, "not there yet", "the service that uses it makes it")
        return Verdict(part, Level.WARNING, "missing", "start the services that write and read it: they make it")
    kept = "compacted" if found.compacted else _kept_for(found.retention_ms)
    what = f"{found.partitions} partition{'' if found.partitions == 1 else 's'}, {kept}"
    alter = f"`kafka-configs.sh --alter --entity-type topics --entity-name {topic.name} --add-config"
    if found.compacted != topic.compacted:
        policy = "compact" if topic.compacted else "delete"
        return Verdict(
            part, Level.BROKEN, f"{what}; it must be cleaned up by {policy}", f"{alter} cleanup.policy={policy}`"
        )
    if found.partitions != partitions:
        cure = f"set kafka.partitions to {found.partitions}, or make the topics anew outside of a session"
        return Verdict(part, Level.WARNING, f"{what}; the settings say {partitions}", cure)
    if not topic.compacted and found.retention_ms != topic.retention_ms:
        return Verdict(
            part,
            Level.WARNING,
            f"{what}, not {_kept_for(topic.retention_ms)}",
            f"{alter} retention.ms={topic.retention_ms}`",
        )
    return Verdict(part, Level.OK, what, "")


def _kept_for(retention_ms: int) -> str:
    return "kept for ever" if retention_ms < 0 else f"kept {retention_ms / 86_400_000:g} days"


def _partitions_alike(topics: Mapping[str, TopicFound]) -> Iterator[Verdict]:
    counts = {topic.name: topics[topic.name].partitions for topic in SAME_PARTITIONS if topic.name in topics}
    if len(set(counts.values())) > 1:
        what = "they must have equally many: " + ", ".join(f"{name} {count}" for name, count in counts.items())
        yield Verdict("partitions", Level.BROKEN, what, "make these topics anew outside of a session")


def _dead_letters(bus: BusFound) -> Verdict:
    """A note and no warning: what was set aside once stays counted when it was looked into long ago."""
    ends = {topic.dead.name: bus.ends.get((topic.dead.name, 0), 0) for topic in TOPICS}
    found = ", ".join(f"{count:,} in {name}" for name, count in ends.items() if count)
    if not found:
        return Verdict("dead letters", Level.OK, "no record was ever set aside", "")
    return Verdict("dead letters", Level.NOTE, f"set aside so far: {found}", "each says why in its header `reason`")


def _lag(found: GroupFound) -> Verdict:
    part = f"lag {found.group}"
    partition, most = max(found.lags.items(), key=lambda item: item[1])
    total = sum(found.lags.values())
    what = f"{total:,} records of {found.topic}"
    if not total:
        return Verdict(part, Level.OK, f"nothing of {found.topic} is unread", "")
    what += f", at most {most:,} in partition {partition}"
    if most < MUCH_LAG:
        return Verdict(part, Level.OK, what, "")
    return Verdict(part, Level.WARNING, what, "see whether it runs and what its /readyz says; if so, start another one")


# Postgres.


def _postgres(probes: ServerProbes) -> Iterator[Verdict]:
    ledger = probes.postgres
    if ledger is None:
        return
    if isinstance(ledger, Refusal):
        yield Verdict("postgres", Level.BROKEN, *ledger)
        return
    yield Verdict("postgres", Level.OK, f"version {ledger.version}", "")
    yield _schema(ledger)
    if ledger.revision is not None:
        yield _tables(ledger)
    if ledger.audit_error:
        yield Verdict("audit", Level.BROKEN, ledger.audit_error, "keep the database as it is and restore a backup")
    elif ledger.audit_rows is not None:
        yield Verdict("audit", Level.OK, f"the chains of {ledger.audit_rows:,} rows hold", "")
    yield judge_halts("services' halts", ledger.halts, "--mode distributed")
    if ledger.waiting >= MANY_WAIT:
        what = f"{ledger.waiting:,} records wait for Kafka"
        yield Verdict("outbox", Level.WARNING, what, "see whether strategy_runtime runs and reaches Kafka")
    else:
        yield Verdict("outbox", Level.OK, f"{ledger.waiting:,} records wait for Kafka", "")


def _schema(ledger: LedgerFound) -> Verdict:
    found, head = ledger.revision, ledger.head
    if found is None:
        return Verdict("schema", Level.NOTE, "no tables yet", "the first service that starts makes them")
    if found == head:
        return Verdict("schema", Level.OK, f"revision {found}, this program's", "")
    if ledger.is_known:
        cure = "back it up; the next service of this version that starts brings it up to date"
        return Verdict("schema", Level.WARNING, f"revision {found}, older than this program's {head}", cure)
    cure = "upgrade quant-platform, or name another database in postgres.database"
    return Verdict("schema", Level.BROKEN, f"revision {found}, newer than this program's {head}", cure)


def _tables(ledger: LedgerFound) -> Verdict:
    if not ledger.missing:
        return Verdict("tables", Level.OK, "all there", "")
    what = f"missing: {', '.join(ledger.missing)}"
    if ledger.revision != ledger.head and ledger.is_known:
        return Verdict("tables", Level.WARNING, what, "they are made when the schema is brought up to date")
    return Verdict("tables", Level.BROKEN, what, "restore a backup: somebody dropped them")


# QuestDB.


def _questdb(store: TimeSeriesFound | Refusal | None) -> Iterator[Verdict]:
    if store is None:
        return
    if isinstance(store, Refusal):
        yield Verdict("questdb", Level.BROKEN, *store)
        return
    yield Verdict("questdb", Level.OK, f"version {store.version}", "")
    found = {table.name: table for table in store.tables}
    for table in TABLES:
        yield _series(table.name, found.get(table.name))


def _series(name: str, found: SeriesFound | None) -> Verdict:
    part = f"table {name}"
    if found is None:
        return Verdict(part, Level.NOTE, "not there yet", "market_persistor makes it when it starts")
    if found.fault:
        cure = f"make room on QuestDB's disk, then `ALTER TABLE {name} RESUME WAL`, or start market_persistor anew"
        return Verdict(part, Level.BROKEN, f"stands still: {found.fault}", cure)
    if found.wrong:
        return Verdict(part, Level.BROKEN, found.wrong, found.cure)
    if found.behind >= MUCH_BEHIND:
        return Verdict(part, Level.WARNING, f"{found.behind} commits behind", "look at QuestDB's load and disk")
    return Verdict(part, Level.OK, "as this program makes it", "")


# The others.


def _redis(cache: CacheFound | Refusal) -> Verdict:
    if isinstance(cache, Refusal):
        return Verdict("redis", Level.WARNING, cache.what, f"{cache.cure}; trading goes on without it")
    return Verdict("redis", Level.OK, f"version {cache.version}", "")


def _s3(bucket: BucketFound | Refusal) -> Verdict:
    if isinstance(bucket, Refusal):
        return Verdict("s3", Level.WARNING, bucket.what, f"{bucket.cure}; trading goes on without it")
    server = bucket.server or "it does not say what it is"
    if not bucket.is_there:
        return Verdict("s3", Level.NOTE, f"{server}; the bucket is not there yet", "the first use makes it")
    return Verdict("s3", Level.OK, server, "")


def _service(name: str, found: ServiceFound | Refusal) -> Verdict:
    part = f"service {name}"
    if isinstance(found, Refusal):
        return Verdict(part, Level.BROKEN, *found)
    if found.is_ready:
        return Verdict(part, Level.OK, "ready", "")
    return Verdict(part, Level.WARNING, f"not ready: {found.reason}", "see to what it waits for; its log tells more")
