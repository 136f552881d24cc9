"""Records that nobody can read: set aside with the reason and counted, on every topic that is read; nothing stops."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from quant_platform.adapters.bus.kafka import KafkaBus
from quant_platform.adapters.bus.memory import MemoryBus
from quant_platform.adapters.cache.memory import MemoryCache
from quant_platform.adapters.ledger.sql import SqlLedger
from quant_platform.adapters.ticks.memory import MemorySeries
from quant_platform.domain.records import (
    BAR,
    CLOCK,
    MAX_RECORD_BYTES,
    TICK,
    ClockRecord,
    EnrichedRecord,
    GreeksRecord,
    TickRecord,
    encode,
)
from quant_platform.domain.topics import ENRICHED_TICKS, EQUITY_TICKS, OPTION_GREEKS, SCANNER_SUGGESTIONS, Topic
from quant_platform.hosts.distributed import market_persistor
from quant_platform.hosts.distributed.feature_engine import FeatureEngineService
from quant_platform.hosts.distributed.lookups import LookupWriter
from quant_platform.hosts.distributed.market_persistor import MarketPersistorService
from quant_platform.hosts.distributed.strategy_runtime import RuntimePlan, StrategyRuntimeService
from quant_platform.hosts.distributed.suggestions import follow_suggestions
from quant_platform.hosts.health import Health
from quant_platform.hosts.process import STEPS, StreamService
from quant_platform.hosts.strategies import load_strategy
from quant_platform.ports.bus import Bus, Record
from quant_platform.ports.ledger_store import RunRequest, RunSummary
from quant_platform.ports.series_store import OPTION_GREEKS as GREEKS_TABLE
from quant_platform.ports.series_store import TICKS, Table
from tests.servers import KafkaServer

SYMBOL = "NSE_EQ:SBIN"
TURNS = 400
NS = 1_753_848_000_000_000_000  # 2025-07-30 09:30 IST


class Bad(NamedTuple):
    """A record that cannot be read, and a part of the reason."""

    value: bytes
    reason: str
    kind: str = TICK
    schema: str = "1"


class DeadLetter(NamedTuple):
    """What lies with the dead letters: the record as it was, and why."""

    key: str
    value: bytes
    reason: str


class MemoryPost:
    """Puts anything onto a bus in memory, and finds its dead letters."""

    def __init__(self) -> None:
        self.bus = MemoryBus()

    def put(self, topic: Topic, key: str, bad: Bad) -> None:
        records = self.bus.records_of(topic.name)[0]
        schema = int(bad.schema) if bad.schema.isdigit() else 0
        records.append(Record(topic.name, 0, len(records), bad.kind, schema, key, bad.value))

    def dead_letters(self, topic: Topic) -> list[DeadLetter]:
        return [
            DeadLetter(record.key, record.value, reason)
            for record, reason in self.bus.dead_letters
            if record.topic == topic.dead.name
        ]


class KafkaPost:
    """The same on Kafka, past our own writer, which would not write such things."""

    def __init__(self, kafka: KafkaServer, bus: KafkaBus) -> None:
        self.bus = bus
        self._servers = {"bootstrap.servers": kafka.bootstrap_servers}
        self._producer = Producer({**self._servers, "message.max.bytes": 4_000_000})

    def put(self, topic: Topic, key: str, bad: Bad) -> None:
        headers = [("kind", bad.kind.encode()), ("schema", bad.schema.encode())]
        self._producer.produce(topic.name, bad.value, key.encode(), 0, headers=[each for each in headers if each[1]])
        assert self._producer.flush(30) == 0

    def dead_letters(self, topic: Topic) -> list[DeadLetter]:
        consumer = Consumer({**self._servers, "group.id": "test", "enable.partition.eof": True})
        consumer.assign([TopicPartition(topic.dead.name, 0, 0)])
        found = []
        while (message := consumer.poll(30)) is not None and message.error() is None:
            reason = dict(message.headers() or [])["reason"]
            found.append(DeadLetter((message.key() or b"").decode(), message.value() or b"", reason.decode()))
        consumer.close()
        return found


Post = MemoryPost | KafkaPost


@pytest.fixture(params=["memory", "kafka"])
def post(request: pytest.FixtureRequest) -> Post:
    if request.param == "memory":
        return MemoryPost()
    return KafkaPost(request.getfixturevalue("kafka"), request.getfixturevalue("bus"))


def market_faults(good: bytes) -> list[Bad]:
    """What can be wrong with a record of a market topic.

    Args:
        good: a tick as it should be.
    """
    clock = encode(ClockRecord(NS))
    return [
        Bad(b"", "truncated"),
        Bad(b"{", "truncated"),
        Bad(b"\xff\xfe", "malformed"),
        Bad(b"[]", "Expected `object`"),
        Bad(good.replace(b'"seq":1,', b""), "missing required field `seq`"),
        Bad(good.replace(b'"ltp":100.0', b'"ltp":"dear"'), "ltp"),
        Bad(good.replace(b'"ltp":100.0', b'"ltp":-1.0'), "ltp"),
        Bad(good.replace(b'"ltp":100.0', b'"ltp":NaN'), "malformed"),
        Bad(good.replace(b"NSE_EQ:SBIN", b"SBIN"), "'SBIN' names no segment"),
        Bad(good.replace(b"NSE_EQ:SBIN", b"no:symbol"), "'no:symbol' is not a symbol"),
        Bad(good.replace(str(NS).encode(), b"1"), "time 1 is before 2015-01-01"),
        Bad(good, "schema 2 is not known: this program reads 1", schema="2"),
        Bad(good, "schema 0 is not known", schema=""),
        Bad(good, "schema 0 is not known", schema="one"),
        Bad(good, "kind 'tock' is not known: this topic carries tick, bar, clock", kind="tock"),
        Bad(good, "kind '' is not known", kind=""),
        Bad(good, "missing required field `what`", kind=BAR),
        Bad(clock.replace(str(NS).encode(), b'"soon"'), "ts", kind=CLOCK),
        Bad(good[:-1] + b" " * MAX_RECORD_BYTES + b"}", "bytes are too many: a record has at most 1000000"),
    ]


def depth_faults(good: bytes) -> list[Bad]:
    """The same of the depth, for who looks at it."""
    return [
        Bad(with_depth(good, b'{"bids":[[100.0,-1]],"asks":[]}'), "$.depth.bids"),
        Bad(with_depth(good, b'{"bids":[[1e9,1]],"asks":[]}'), "$.depth.bids"),
        Bad(with_depth(good, b'{"bids":[[100.0,1,1]],"asks":[]}'), "$.depth.bids"),
        Bad(with_depth(good, b'{"bids":[]}'), "missing required field `asks`"),
    ]


def with_depth(good: bytes, depth: bytes) -> bytes:
    assert good.endswith(b'"depth":null}')
    return good.removesuffix(b"null}") + depth + b"}"


def tick(ts: int) -> bytes:
    return encode(TickRecord(SYMBOL, ts, 1, 100.0, 10, None))


def enriched(ts: int) -> bytes:
    return encode(EnrichedRecord(SYMBOL, ts, 1, 100.0, 10, None, None, None, None, None, "N"))


@contextlib.contextmanager
def opened(service: StreamService) -> Iterator[Callable[[Callable[[], object]], None]]:
    """A service, turned by whoever calls what this gives, until something has happened."""

    def turn_until(happened: Callable[[], object]) -> None:
        for _ in range(TURNS):
            for step in STEPS:
                getattr(service, step)()
            if happened():
                return
        pytest.fail("what the test waits for did not happen")

    service.open()
    try:
        yield turn_until
    finally:
        service.close()


def interleaved(post: Post, topic: Topic, faults: Sequence[Bad], good: Callable[[int], bytes]) -> None:
    """A good record before, between and after the bad ones."""
    for number, bad in enumerate(faults):
        post.put(topic, SYMBOL, Bad(good(NS + number), "", TICK))
        post.put(topic, f"{SYMBOL} {number}", bad)
    post.put(topic, SYMBOL, Bad(good(NS + len(faults)), "", TICK))


def require_set_aside(post: Post, topic: Topic, faults: Sequence[Bad], health: Health) -> None:
    """Each bad record lies there once, as it was, with its reason; and was counted."""
    letters = post.dead_letters(topic)
    assert [(letter.key, letter.value) for letter in letters] == [
        (f"{SYMBOL} {number}", bad.value) for number, bad in enumerate(faults)
    ]
    for letter, bad in zip(letters, faults, strict=True):
        assert bad.reason in letter.reason
    assert health.registry.get_sample_value("quant_bus_dead_letters_total", {"topic": topic.name}) == len(faults)


def test_the_feature_engine_enriches_what_it_can_read_and_sets_the_rest_aside(post: Post) -> None:
    health = Health("feature_engine")
    faults = market_faults(tick(NS)) + depth_faults(tick(NS))
    lookups = LookupWriter(MemoryCache(), health)
    service = FeatureEngineService(post.bus, health, lookups, instance="1", rsi_period=14, sma_period=20, depth=True)
    with opened(service) as turn_until:
        interleaved(post, EQUITY_TICKS, faults, tick)
        turn_until(lambda: len(values(post.bus, ENRICHED_TICKS)) == len(faults) + 1)
    stamps = [NS + number for number in range(len(faults) + 1)]
    assert [value.split(b'"ts":')[1].split(b",")[0] for value in values(post.bus, ENRICHED_TICKS)] == [
        str(stamp).encode() for stamp in stamps
    ]
    require_set_aside(post, EQUITY_TICKS, faults, health)
    with opened(service) as turn_until:  # nothing is read twice
        post.put(EQUITY_TICKS, SYMBOL, Bad(tick(NS + 1000), ""))
        turn_until(lambda: len(values(post.bus, ENRICHED_TICKS)) == len(faults) + 2)
    require_set_aside(post, EQUITY_TICKS, faults, health)


def values(bus: Bus, topic: Topic) -> list[bytes]:
    return [record.value for record in bus.history(topic.name, {0: 0})]


@pytest.mark.parametrize("topic", [ENRICHED_TICKS, OPTION_GREEKS], ids=["ticks", "greeks"])
def test_the_market_persistor_stores_what_it_can_read_and_sets_the_rest_aside(post: Post, topic: Topic) -> None:
    health = Health("market_persistor")
    good = enriched if topic is ENRICHED_TICKS else greeks
    faults = market_faults(enriched(NS)) if topic is ENRICHED_TICKS else greeks_faults(greeks(NS))
    store = MemorySeries()
    service = MarketPersistorService(post.bus, lambda: store, health, instance="1", flush_rows=1000, flush_s=0.1)
    table: Table[Any] = TICKS if topic is ENRICHED_TICKS else GREEKS_TABLE
    with opened(service) as turn_until:
        interleaved(post, topic, faults, good)
        turn_until(lambda: store.newest(table, SYMBOL, 1000).timestamp.size == len(faults) + 1)
    require_set_aside(post, topic, faults, health)
    assert post.bus.behind(f"market_persistor{'' if topic is ENRICHED_TICKS else '.greeks'}", topic.name) == 0


def test_dead_letters_of_turns_that_wait_for_each_other_all_arrive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(market_persistor, "FIRST_ROWS", 10)
    monkeypatch.setattr(market_persistor, "ENOUGH", 20)
    post, store = MemoryPost(), MemorySeries()
    post.bus.ensure([ENRICHED_TICKS])
    values = [enriched(NS + number) for number in range(75)]
    for number in (12, 35, 74):  # in turns of 20 behind the first, and in one at rest behind them
        values[number] = b"{"
    for value in values:
        post.put(ENRICHED_TICKS, SYMBOL, Bad(value, ""))
    service = MarketPersistorService(post.bus, lambda: store, Health("test"), instance="1", flush_rows=20, flush_s=0.1)
    with opened(service) as turn_until:
        turn_until(lambda: store.newest(TICKS, SYMBOL, 100).timestamp.size == len(values) - 3)
    assert len(post.dead_letters(ENRICHED_TICKS)) == 3


def greeks(ts: int) -> bytes:
    return encode(GreeksRecord(SYMBOL, ts, 100.0, None, None, None, None, None, None, None))


def greeks_faults(good: bytes) -> list[Bad]:
    return [
        Bad(b"{", "truncated"),
        Bad(good.replace(b'"iv":null,', b""), "missing required field `iv`"),
        Bad(good.replace(b'"iv":null', b'"iv":"high"'), "iv"),
        Bad(good.replace(b"NSE_EQ:SBIN", b"SBIN"), "'SBIN' names no segment"),
        Bad(good, "schema 2 is not known", schema="2"),
        Bad(good, "kind 'bar' is not known", kind=BAR),
        Bad(good[:-1] + b" " * MAX_RECORD_BYTES + b"}", "bytes are too many"),
    ]


def runtime(bus: Bus, health: Health, folder: Path, over: list[RunSummary]) -> StrategyRuntimeService:
    strategy, shared = load_strategy("momentum", {})
    request = RunRequest("default", "replay", strategy.name, "dead letters", None, 20_000_00)
    return StrategyRuntimeService(
        bus,
        lambda: SqlLedger(f"sqlite:///{folder / 'ledger.sqlite'}"),
        health,
        LookupWriter(MemoryCache(), health),
        RuntimePlan(request, strategy, shared, depth=True, until_over=True, commit_every_s=0.0),
        over.append,
        threading.Event(),
    )


def tell_time(bus: Bus, clock: ClockRecord) -> None:
    writer = bus.writer()
    for partition in range(3):
        writer.send(ENRICHED_TICKS.name, "", encode(clock), CLOCK, partition)
    writer.flush()
    writer.close()


def test_the_strategy_runtime_trades_on_what_it_can_read_and_sets_the_rest_aside(post: Post, tmp_path: Path) -> None:
    health = Health("strategy_runtime")
    faults = market_faults(enriched(NS)) + depth_faults(enriched(NS))
    over: list[RunSummary] = []
    service = runtime(post.bus, health, tmp_path, over)
    with opened(service) as turn_until:
        interleaved(post, ENRICHED_TICKS, faults, enriched)
        tell_time(post.bus, ClockRecord(NS + 1000, last=True))
        turn_until(lambda: over)
    assert over[0].ticks == len(faults) + 1
    require_set_aside(post, ENRICHED_TICKS, faults, health)


def test_a_dead_letter_is_durable_before_the_runtime_goes_past_its_record(tmp_path: Path) -> None:
    post = MemoryPost()
    health = Health("strategy_runtime")
    killed = runtime(post.bus, health, tmp_path, [])
    killed.open()
    post.put(ENRICHED_TICKS, SYMBOL, Bad(b"{", ""))
    post.put(ENRICHED_TICKS, SYMBOL, Bad(enriched(NS), ""))
    tell_time(post.bus, ClockRecord(NS + 1000))
    killed.poll()
    killed.process()
    killed.store()  # commits the ledger with its offsets, and no more
    killed.close()
    over: list[RunSummary] = []
    with opened(runtime(post.bus, Health("strategy_runtime"), tmp_path, over)) as turn_until:
        tell_time(post.bus, ClockRecord(NS + 2000, last=True))
        turn_until(lambda: over)
    assert over[0].ticks == 1
    assert [letter.value for letter in post.dead_letters(ENRICHED_TICKS)] == [b"{"]


def test_the_ingestor_follows_suggestions_that_it_can_read_and_sets_the_rest_aside(post: Post) -> None:
    health = Health("upstox_ingestor")
    faults = [
        Bad(b"SBIN", "malformed", kind=""),
        Bad(b'{"picks": []}', "Expected `array`", kind=""),
        Bad(b"[1, 2]", "Expected `str`", kind=""),
        Bad(b"[]", "schema 2 is not known", kind="", schema="2"),
        Bad(b"[]", "kind 'tick' is not known", kind=TICK),
        Bad(b'["' + b"X" * MAX_RECORD_BYTES + b'"]', "bytes are too many", kind=""),
    ]
    post.bus.ensure([SCANNER_SUGGESTIONS])
    for number, bad in enumerate(faults):
        post.put(SCANNER_SUGGESTIONS, f"{SYMBOL} {number}", bad)
        post.put(SCANNER_SUGGESTIONS, SYMBOL, Bad(b'["%d"]' % number, "", kind=""))
    subscribed: list[str] = []
    asyncio.run(followed(post.bus, health, 0, subscribed))
    assert subscribed == [*map(str, range(len(faults)))]
    require_set_aside(post, SCANNER_SUGGESTIONS, faults, health)


async def followed(bus: Bus, health: Health, start: int, subscribed: list[str]) -> None:
    """Follow the suggestions that are there to the last of them."""
    end = bus.ends(SCANNER_SUGGESTIONS.name)[0]
    done = asyncio.Event()

    async def subscribe(picks: Sequence[str]) -> None:
        subscribed.extend(picks)

    def went_on(following: int) -> None:
        if following == end:
            done.set()

    following = asyncio.create_task(follow_suggestions(bus, health, start, subscribe, went_on))
    await asyncio.wait_for(done.wait(), 60)
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)


def test_the_ingestor_takes_the_oldest_suggestion_where_its_place_is_gone(post: Post) -> None:
    post.bus.ensure([SCANNER_SUGGESTIONS])
    post.put(SCANNER_SUGGESTIONS, "", Bad(b'["A"]', "", kind=""))
    subscribed: list[str] = []
    asyncio.run(followed(post.bus, Health("upstox_ingestor"), 7, subscribed))
    assert subscribed == ["A"]
