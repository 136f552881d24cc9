"""What services leave in Redis, and that they go on when it is killed: over a real Kafka, Postgres and Redis."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest

from quant_platform.adapters.bus.kafka import KafkaBus
from quant_platform.adapters.cache.redis import RedisCache
from quant_platform.adapters.ledger.sql import SqlLedger
from quant_platform.domain.commands import Halt
from quant_platform.domain.lookups import HaltCopy, SessionState
from quant_platform.domain.records import CLOCK, TICK, ClockRecord, TickRecord, encode
from quant_platform.domain.ticks import LATE, NS_PER_SECOND
from quant_platform.domain.topics import ENRICHED_TICKS, EQUITY_TICKS
from quant_platform.hosts import process
from quant_platform.hosts.distributed.connections import redis
from quant_platform.hosts.distributed.feature_engine import FeatureEngineService
from quant_platform.hosts.distributed.lookups import LookupReader
from quant_platform.hosts.distributed.strategy_runtime import RuntimePlan, StrategyRuntimeService
from quant_platform.hosts.health import Health
from quant_platform.hosts.strategies import load_strategy
from tests.servers import Database, RedisServer

from .ledger_days import CAPITAL, OPEN, request

SYMBOLS = ("NSE_EQ:TCS", "NSE_EQ:INFY", "NSE_EQ:RELIANCE")


@contextmanager
def running(service: process.StreamService, health: Health) -> Iterator[None]:
    stop = threading.Event()
    failures: list[BaseException] = []

    def turn() -> None:
        try:
            process.run(service, health, stop)
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=turn)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
    assert failures == []


def eventually(ask: Callable[[], Any], wanted: object) -> None:
    deadline = time.monotonic() + 60
    while (found := ask()) != wanted:
        assert time.monotonic() < deadline, f"still {found}, not {wanted}"
        time.sleep(0.05)


@pytest.fixture
def left(empty_redis: RedisServer) -> LookupReader:
    return LookupReader(RedisCache(empty_redis.settings.redis.url.get_secret_value(), patience_s=5.0))


def send_ticks(bus: KafkaBus, seq: int, flags: int = 0) -> None:
    writer = bus.writer()
    for symbol in SYMBOLS:
        tick = TickRecord(symbol, OPEN + seq * NS_PER_SECOND, seq, 100.0 + seq, 10 * seq, None, flags)
        writer.send(EQUITY_TICKS.name, symbol, encode(tick), TICK)
    writer.flush()
    writer.close()


def test_the_feature_engine_leaves_quotes_and_goes_on_while_redis_is_dead(
    bus: KafkaBus, empty_redis: RedisServer, left: LookupReader
) -> None:
    health = Health("feature_engine")

    def enriched() -> int:
        places = dict.fromkeys(range(bus.partitions(ENRICHED_TICKS.name)), 0)
        return sum(record.kind == TICK for record in bus.history(ENRICHED_TICKS.name, places))

    def prices() -> dict[str, float]:
        return {symbol: quote.ltp for symbol, quote in left.quotes(SYMBOLS).items()}

    with redis(empty_redis.settings, health) as lookups:
        service = FeatureEngineService(bus, health, lookups, instance="1", rsi_period=14, sma_period=20, depth=True)
        with running(service, health):
            bus.ensure([EQUITY_TICKS, ENRICHED_TICKS])
            send_ticks(bus, 1)
            eventually(prices, dict.fromkeys(SYMBOLS, 101.0))
            send_ticks(bus, 2)
            send_ticks(bus, 1, flags=LATE)
            eventually(enriched, 9)
            eventually(prices, dict.fromkeys(SYMBOLS, 102.0))
            empty_redis.kill()
            send_ticks(bus, 3)
            eventually(enriched, 12)
            assert health.ready
            empty_redis.start()
            eventually(prices, dict.fromkeys(SYMBOLS, 103.0))


def test_the_runtime_leaves_how_it_stands_and_a_copy_of_the_halt_flag(
    bus: KafkaBus, database: Database, empty_redis: RedisServer, left: LookupReader
) -> None:
    health = Health("strategy_runtime")
    strategy, trading = load_strategy("momentum", {})
    plan = RuntimePlan(request(), strategy, trading, depth=True, commit_every_s=0.01)
    bus.ensure([ENRICHED_TICKS])

    def tell_time(seconds: int) -> int:
        writer = bus.writer()
        ts = OPEN + seconds * NS_PER_SECOND
        for partition in range(bus.partitions(ENRICHED_TICKS.name)):
            writer.send(ENRICHED_TICKS.name, "", encode(ClockRecord(ts)), CLOCK, partition)
        writer.flush()
        writer.close()
        return ts

    with redis(empty_redis.settings, health) as lookups:
        service = StrategyRuntimeService(
            bus, lambda: SqlLedger(database.url), health, lookups, plan, lambda _: None, threading.Event()
        )
        with running(service, health):
            ts = tell_time(1)
            rupees = CAPITAL / 100
            eventually(lambda: left.session("main"), SessionState("main-0001", ts, rupees, rupees, 0))
            assert left.halt("main") == HaltCopy(False, "", ts)
            with SqlLedger(database.url) as owner:
                owner.command(Halt.NO_ENTRIES, "by hand", "me", datetime.now(UTC))
            ts = tell_time(2)
            eventually(lambda: left.halt("main"), HaltCopy(True, "by hand", ts))
            empty_redis.kill()
            ts = tell_time(3)
            with database.connect() as connection:
                eventually(lambda: connection.execute("SELECT moment_ns FROM runtime_state").fetchone(), (ts,))
            assert health.ready
            empty_redis.start()
            eventually(lambda: left.session("main"), SessionState("main-0001", ts, rupees, rupees, 0))
