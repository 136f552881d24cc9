"""market_persistor on a real Kafka and QuestDB: every enriched tick is stored once, whatever dies."""

import random
import signal
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import httpx
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from prometheus_client.parser import text_string_to_metric_families

from quant_platform.adapters.bus.kafka import KafkaBus
from quant_platform.domain.records import (
    BAR,
    CLOCK,
    TICK,
    BarRow,
    BarsRecord,
    ClockRecord,
    EnrichedRecord,
    GreeksRecord,
    encode,
)
from quant_platform.domain.ticks import LATE, NS_PER_MINUTE, OUT_OF_SESSION
from quant_platform.domain.topics import ENRICHED_TICKS, OPTION_GREEKS, Topic
from quant_platform.hosts.config import Settings
from quant_platform.hosts.process import STEPS
from quant_platform.ports import series_store
from quant_platform.ports.series_store import CANDLES_1M, TICKS, Place, Table
from tests.e2e.service_rig import Service, eventually, service
from tests.series import MORNING, plain, reader_of
from tests.servers import KafkaServer, QuestdbServer

SYMBOLS = [f"NSE_EQ:S{number}" for number in range(12)]
PARTITIONS = 3
INPUTS = {ENRICHED_TICKS.name: "market_persistor", OPTION_GREEKS.name: "market_persistor.greeks"}
VISIBLE_WITHIN_S = 60.0

Start = Callable[..., AbstractContextManager[Service]]


@pytest.fixture
def settings(empty_questdb: QuestdbServer) -> Settings:
    return empty_questdb.settings


@pytest.fixture
def start(bus: KafkaBus, kafka: KafkaServer, questdb: QuestdbServer, settings: Settings, tmp_path: Any) -> Start:
    """Starts a persistor of small flushes; keywords are further variables."""
    bus.ensure([ENRICHED_TICKS, OPTION_GREEKS])
    environment = kafka.environment | questdb.environment
    environment |= {"QUANT_QUESTDB__FLUSH_ROWS": "500", "QUANT_QUESTDB__FLUSH_S": "0.2"}
    environment |= {"QUANT_KAFKA__SESSION_TIMEOUT_MS": "2000"}

    def started(*arguments: str, **variables: str) -> AbstractContextManager[Service]:
        return service("market_persistor", *arguments, folder=tmp_path, environment=environment | variables)

    return started


def tick(number: int, symbol: str = "", **other: Any) -> EnrichedRecord:
    """The tick of this number in a stream that goes around all symbols."""
    content = {
        "symbol": symbol or SYMBOLS[number % len(SYMBOLS)],
        "ts": MORNING + 7_000_001 * (number // 3),
        "seq": number // len(SYMBOLS) + 1,
        "ltp": 100 + number % 997 / 20,
        "volume": 10 * number,
        "vwap": 100 + number / 7,
        "rsi": None if number < 100 else number % 101,
        "obi": number % 3 - 1.0,
        "sma": None,
        "spread": 0.05,
        "aggressor": "NBS"[number % 3],
    }
    return EnrichedRecord(**content | other)


def publish(bus: KafkaBus, records: Sequence[Any], kind: str = TICK, topic: str = ENRICHED_TICKS.name) -> None:
    """Write records as feature_engine does, in transactions; between them one that is dropped."""
    reader = bus.group_reader("nobody", "1", topic)
    writer = bus.transactional_writer("publisher")
    for first in range(0, len(records), 1000):
        for record in records[first : first + 1000]:
            partition = hash_of(getattr(record, "symbol", ""))
            writer.send(topic, getattr(record, "symbol", ""), encode(record), kind, partition)
        writer.commit(reader, {})
    for partition in range(PARTITIONS):
        writer.send(topic, "", encode(tick(0, ts=1)), kind, partition)
    writer.flush()
    writer.close()  # drops what was not committed
    reader.close()


def hash_of(symbol: str) -> int:
    return sum(symbol.encode()) % PARTITIONS


def metrics(one: Service) -> dict[tuple[str, str], float]:
    """Name and the first label's value (empty where there is none) → number."""
    try:
        text = httpx.get(f"{one.url}/metrics", timeout=10).text
    except httpx.ConnectError:  # the port is told a moment before it is listened on
        return {}
    return {
        (sample.name, next(iter(sample.labels.values()), "")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def stored(one: Service, table: Table[Any] = TICKS) -> float:
    return metrics(one).get(("quant_persistor_rows_stored_total", table.name), 0.0)


def is_all_stored(bus: KafkaBus) -> bool:
    return not any(bus.behind(group, topic) for topic, group in INPUTS.items())


def wait_until_stored(bus: KafkaBus, settings: Settings) -> None:
    eventually(lambda: is_all_stored(bus), lambda: "some records were not stored")
    reader = reader_of(settings)
    reader.wait_until_visible(VISIBLE_WITHIN_S)
    reader.close()


def rows_of_symbol(settings: Settings, table: Table[Any], symbol: str) -> Sequence[tuple[Any, ...]]:
    reader = reader_of(settings)
    rows = reader.between(table, symbol, Place(1), 2**62, 1_000_000)
    reader.close()
    return plain(table, rows)


def assert_each_is_stored_once(questdb: QuestdbServer, records: Iterable[EnrichedRecord]) -> None:
    wanted: dict[str, list[tuple[Any, ...]]] = {}
    for r in records:
        row = (r.ts, r.symbol, r.seq, r.ltp, r.volume, r.vwap, r.rsi, r.obi, r.sma, r.spread, r.aggressor, r.flags)
        wanted.setdefault(r.symbol, []).append(row)
    for symbol, rows in wanted.items():
        assert rows_of_symbol(questdb.settings, TICKS, symbol) == sorted(rows)
    assert questdb.ask("SELECT count() FROM ticks") == [[sum(map(len, wanted.values()))]]


def test_every_kind_of_record_goes_to_its_table(
    bus: KafkaBus, questdb: QuestdbServer, settings: Settings, start: Start
) -> None:
    symbol = SYMBOLS[0]
    ticks = [tick(n) for n in range(100)] + [tick(200, flags=LATE), tick(212, flags=OUT_OF_SESSION)]
    bars = [BarRow(MORNING + n * NS_PER_MINUTE, 100.0, 101.0, 99.95, 100.5, 40 * n) for n in range(3)]
    greeks = [GreeksRecord("NSE_FO:X", MORNING + n, 12.5, 0.2, 0.5, None, -7.25, 1.5, 0.25, 75.0) for n in range(3)]
    publish(bus, ticks)
    publish(bus, [ClockRecord(MORNING), ClockRecord(MORNING + 1, last=True)], CLOCK)
    publish(
        bus, [BarsRecord(symbol, MORNING, "warm-up", 1, bars[:2]), BarsRecord(symbol, MORNING, "repair", 5, bars)], BAR
    )
    publish(bus, greeks, TICK, OPTION_GREEKS.name)
    with start():
        wait_until_stored(bus, settings)
    assert_each_is_stored_once(questdb, ticks)
    assert rows_of_symbol(settings, CANDLES_1M, symbol) == [(bar.ts, symbol, *bar[1:]) for bar in bars]
    found = rows_of_symbol(settings, series_store.OPTION_GREEKS, "NSE_FO:X")
    assert found == [(g.ts, g.symbol, g.ltp, g.iv, g.delta, g.gamma, g.theta, g.vega, g.rho, g.oi) for g in greeks]


def test_the_gauge_tells_when_everything_is_stored(bus: KafkaBus, settings: Settings, start: Start) -> None:
    def unstored(one: Service) -> float | None:
        return metrics(one).get(("quant_persistor_unstored_records", ENRICHED_TICKS.name))

    with start() as one:
        eventually(lambda: unstored(one) == 0)
    publish(bus, [tick(n) for n in range(50)])
    with start(QUANT_QUESTDB__FLUSH_S="1") as one:
        eventually(lambda: unstored(one), within_s=30)
        assert stored(one) == 0
        eventually(lambda: unstored(one) == 0)
        assert stored(one) == 50
        assert metrics(one)["quant_bus_lag_records", ENRICHED_TICKS.name] == 0
    assert is_all_stored(bus)


def test_a_record_that_comes_again_is_stored_once(
    bus: KafkaBus, questdb: QuestdbServer, settings: Settings, start: Start
) -> None:
    ticks = [tick(n) for n in range(1500)]
    for records in (ticks, ticks[700:], ticks[:30]):
        publish(bus, records)
    with start():
        wait_until_stored(bus, settings)
    assert_each_is_stored_once(questdb, ticks)


@pytest.mark.parametrize("step", STEPS)
def test_a_kill_after_any_step_loses_and_doubles_nothing(
    bus: KafkaBus, questdb: QuestdbServer, settings: Settings, start: Start, step: str
) -> None:
    ticks = [tick(n) for n in range(2000)]
    publish(bus, ticks)
    with start(QUANT_FAULT=f"{step}:3") as one:
        one.wait_until_killed()
    assert not is_all_stored(bus)
    with start():
        wait_until_stored(bus, settings)
    assert_each_is_stored_once(questdb, ticks)


@pytest.mark.parametrize("seed", range(3))
def test_kills_at_random_lose_and_double_nothing(
    bus: KafkaBus, questdb: QuestdbServer, settings: Settings, start: Start, seed: int
) -> None:
    chance = random.Random(seed)
    ticks = [tick(n) for n in range(30_000)]
    publish(bus, ticks[:20_000])
    for _ in range(3):
        with start(QUANT_QUESTDB__FLUSH_ROWS="200") as one:
            begin = stored(one)
            eventually(partial(lambda one, begin: stored(one) > begin, one, begin))
            time.sleep(chance.random() * 0.2)
            one.process.kill()
    publish(bus, ticks[20_000:])
    with start():
        wait_until_stored(bus, settings)
    assert_each_is_stored_once(questdb, ticks)


def test_a_dead_questdb_is_waited_for_with_nothing_read_meanwhile(
    bus: KafkaBus, questdb: QuestdbServer, settings: Settings, start: Start
) -> None:
    ticks = [tick(n) for n in range(20_000)]
    publish(bus, ticks[:10_000])
    with start(QUANT_QUESTDB__FLUSH_ROWS="200") as one:
        eventually(lambda: stored(one))
        questdb.kill()
        eventually(lambda: not one.state["ready"])
        assert "QuestDB at 127.0.0.1" in one.state["reason"]
        publish(bus, ticks[10_000:])
        taken, unstored = (
            ("quant_bus_records_read_total", ENRICHED_TICKS.name),
            ("quant_persistor_unstored_records", ENRICHED_TICKS.name),
        )
        read = metrics(one)[taken]
        eventually(lambda: metrics(one)[unstored] >= 10_000)
        assert metrics(one)[taken] == read
        assert one.process.poll() is None
        questdb.start()
        one.wait_until_ready()
        wait_until_stored(bus, settings)
    assert_each_is_stored_once(questdb, ticks)


def test_a_dead_kafka_is_waited_for(
    bus: KafkaBus, kafka: KafkaServer, questdb: QuestdbServer, settings: Settings, start: Start
) -> None:
    ticks = [tick(n) for n in range(4000)]
    publish(bus, ticks[:2000])
    with start() as one:
        eventually(lambda: stored(one))
        kafka.kill()
        eventually(lambda: not one.state["ready"])
        assert "Kafka" in one.state["reason"]
        kafka.start()
        publish(bus, ticks[2000:])
        wait_until_stored(bus, settings)
    assert_each_is_stored_once(questdb, ticks)


def test_instances_share_the_partitions_and_take_over_those_of_a_dead_one(
    bus: KafkaBus, questdb: QuestdbServer, settings: Settings, start: Start
) -> None:
    ticks = [tick(n) for n in range(9000)]
    with start("--instance", "1") as one, start("--instance", "2") as other:
        sent = 0

        def both_stored() -> bool:
            nonlocal sent
            if sent < 6000:
                publish(bus, ticks[sent : sent + 500])
                sent += 500
            return bool(stored(one) and stored(other))

        eventually(both_stored)
        one.process.kill()
        publish(bus, ticks[sent:])
        wait_until_stored(bus, settings)
    assert_each_is_stored_once(questdb, ticks)


def test_sigterm_ends_a_persistor_that_waits_as_well(questdb: QuestdbServer, settings: Settings, start: Start) -> None:
    with start() as one:
        one.wait_until_ready()
        questdb.kill()
        eventually(lambda: not one.state["ready"])
        one.process.send_signal(signal.SIGTERM)
        assert one.process.wait(30) == 0
    questdb.start()


def spoilt(**change: Any) -> bytes:
    return encode({name: getattr(tick(1), name) for name in EnrichedRecord.__struct_fields__} | change)


UNREADABLE: list[tuple[str, str, bytes, str]] = [
    # kind, schema, value, what the reason says
    (TICK, "1", b"{", "truncated"),
    (TICK, "1", b"\xff\xfe", "malformed"),
    (TICK, "1", b"", "truncated"),
    (TICK, "1", b'{"symbol":"NSE_EQ:A"}', "missing required field `ts`"),
    (TICK, "1", spoilt(ltp="12"), "Expected `float`, got `str` - at `$.ltp`"),
    (TICK, "1", spoilt(ltp=-1.0), "$.ltp"),
    (TICK, "1", spoilt(ts=2**63 - 1), "$.ts"),
    (TICK, "1", spoilt(ts=0), "$.ts"),
    (TICK, "1", spoilt(seq=2**64), "$.seq"),
    (TICK, "1", spoilt(aggressor="X"), "$.aggressor"),
    (TICK, "1", spoilt(symbol="RELIANCE"), "'RELIANCE' is not a symbol"),
    (TICK, "1", spoilt(symbol="NSE_EQ:A\0B"), "is not a symbol"),
    (TICK, "1", spoilt(symbol="NSE_EQ:A B,x=1\nticks y=2"), "is not a symbol"),
    (TICK, "2", spoilt(), "schema 2 is not known"),
    (TICK, "", spoilt(), "schema 0 is not known"),
    ("tock", "1", spoilt(), "kind 'tock' is not known"),
    ("", "1", spoilt(), "kind '' is not known"),
    (BAR, "1", spoilt(), "missing required field"),
    (TICK, "1", b"0" * 1_000_001, "1000001 bytes are too many"),
]


def dead_letters(kafka: KafkaServer, topic: Topic, count: int) -> list[tuple[bytes, str]]:
    """Value and reason of every dead letter of a topic."""
    consumer = Consumer({"bootstrap.servers": kafka.bootstrap_servers, "group.id": "undertaker"})
    consumer.assign([TopicPartition(topic.dead.name, 0, 0)])
    messages = consumer.consume(count + 1, 3.0)
    consumer.close()
    headers: list[Any] = [message.headers() for message in messages]
    return [(m.value() or b"", dict(h)["reason"].decode()) for m, h in zip(messages, headers, strict=True)]


@pytest.mark.parametrize("topic", [ENRICHED_TICKS, OPTION_GREEKS], ids=lambda topic: topic.name)
def test_what_cannot_be_read_is_set_aside_with_its_reason_and_stops_nothing(
    bus: KafkaBus, kafka: KafkaServer, questdb: QuestdbServer, settings: Settings, start: Start, topic: Topic
) -> None:
    cases = UNREADABLE if topic is ENRICHED_TICKS else [*UNREADABLE[:4], *UNREADABLE[-6:]]
    publish(bus, [tick(n) for n in range(10)])
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers, "message.max.bytes": 1_100_000})
    for kind, schema, value, _ in cases:
        producer.produce(topic.name, value, "key", 1, headers={"kind": kind.encode(), "schema": schema.encode()})
    producer.flush()
    publish(bus, [tick(n) for n in range(10, 20)])
    with start() as one:
        wait_until_stored(bus, settings)
        assert metrics(one)["quant_bus_dead_letters_total", topic.name] == len(cases)
    letters = dead_letters(kafka, topic, len(cases))
    assert [value for value, _ in letters] == [value for _, _, value, _ in cases]
    for (_, reason), (*_, wanted) in zip(letters, cases, strict=True):
        assert wanted in reason
    assert_each_is_stored_once(questdb, [tick(n) for n in range(20)])
