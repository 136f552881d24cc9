"""The contract of a state cache, on memory and on a real Redis; and that its loss holds nobody up."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from quant_platform.adapters.cache.memory import MemoryCache
from quant_platform.adapters.cache.redis import RedisCache
from quant_platform.domain.errors import ConfigurationError, UnavailableError
from quant_platform.domain.lookups import HALT, QUOTE, HaltCopy, SessionState
from quant_platform.domain.records import EnrichedRecord, encode
from quant_platform.hosts.distributed.lookups import LookupReader, LookupWriter
from quant_platform.hosts.health import Health
from quant_platform.ports.ledger_store import HaltFlag, LedgerBlock, OpenPosition
from quant_platform.ports.state_cache import CacheEntry, StateCache
from tests.servers import RedisServer

PATIENCE_S = 5.0  # a busy machine answers late; that nobody waits is tested with the server gone
HELD = OpenPosition("NSE_EQ:TCS", 10, 1_400_00, 1_05, 1)
BLOCK = LedgerBlock(balance=-1_05, last_equity=1_398_95, positions=[HELD], moment=7)


@pytest.fixture
def url(empty_redis: RedisServer) -> str:
    return empty_redis.settings.redis.url.get_secret_value()


@pytest.fixture(params=["memory", "redis"])
def cache(request: pytest.FixtureRequest) -> Iterator[StateCache]:
    made: StateCache
    made = MemoryCache() if request.param == "memory" else RedisCache(request.getfixturevalue("url"), PATIENCE_S)
    yield made
    made.close()


def eventually(ask: Callable[[], Any], wanted: object) -> None:
    deadline = time.monotonic() + 60
    while (found := ask()) != wanted:
        assert time.monotonic() < deadline, f"still {found}, not {wanted}"
        time.sleep(0.05)


def quote(symbol: str, ltp: float, rsi: float | None = None) -> EnrichedRecord:
    return EnrichedRecord(symbol, 1, 2, ltp, 12, None, rsi, None, None, None, "B")


def value_of(health: Health, name: str) -> float | None:
    return health.registry.get_sample_value(name)


# The contract.


def test_values_come_back_as_they_were_put(cache: StateCache) -> None:
    cache.put([CacheEntry("a", b"1", 60), CacheEntry("b", b"\x00\xff", 60)])
    assert cache.get(["b", "never", "a"]) == [b"\x00\xff", None, b"1"]
    cache.put([CacheEntry("a", b"2", 60)])
    assert cache.get(["a"]) == [b"2"]


def test_nothing_put_and_nothing_asked_is_nothing(cache: StateCache) -> None:
    cache.put([])
    assert cache.get([]) == []


def test_a_value_is_forgotten_when_its_time_is_over(cache: StateCache) -> None:
    cache.put([CacheEntry("short", b"x", 1), CacheEntry("long", b"y", 600)])
    eventually(lambda: cache.get(["short"]), [None])
    assert cache.get(["long"]) == [b"y"]


def test_a_dead_redis_is_unavailable_and_works_again_when_restarted(url: str, redis_server: RedisServer) -> None:
    cache = RedisCache(url, PATIENCE_S)
    cache.put([CacheEntry("a", b"1", 60)])
    redis_server.kill()
    for call in (lambda: cache.put([CacheEntry("a", b"1", 60)]), lambda: cache.get(["a"])):
        with pytest.raises(UnavailableError, match=r"Redis cannot be reached: .* — start it"):
            call()
    redis_server.start()
    cache.put([CacheEntry("a", b"2", 60)])
    redis_server.restart()
    assert cache.get(["b"]) == [None], "the connection before was to the server before"


def test_a_wrong_password_is_named_by_its_setting_and_not_shown(url: str) -> None:
    password, address = url.removeprefix("redis://:").split("@")
    for wrong in (f"redis://:hidden@{address}", f"redis://{address}"):
        with pytest.raises(ConfigurationError, match=r"redis\.url") as raised:
            RedisCache(wrong, PATIENCE_S).get(["a"])
        assert "hidden" not in str(raised.value)
        assert password not in str(raised.value)
        with pytest.raises(ConfigurationError), LookupWriter(RedisCache(wrong, PATIENCE_S), Health("x")):
            pass


def test_a_database_that_is_not_there_and_no_address_at_all_name_the_setting(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"no such database.*correct redis\.url"):
        RedisCache(url.removesuffix("0") + "99", PATIENCE_S).get(["a"])
    for wrong in ("127.0.0.1:6379", "http://:hidden@host", "redis://:hidden@host:port/0"):
        with pytest.raises(ConfigurationError, match=r"setting redis\.url") as raised:
            RedisCache(wrong)
        assert "hidden" not in str(raised.value)


# What services leave in it.


def test_look_ups_come_back_by_name_and_type(cache: StateCache) -> None:
    reader = LookupReader(cache)
    assert reader.subscriptions() is reader.halt("main") is reader.session("main") is None
    tcs, dear = quote("NSE_EQ:TCS", 3000.05, rsi=55.5), quote("NSE_EQ:M&M", 2950.0)
    with LookupWriter(cache, Health("x")) as writer:
        writer.put_quotes({"NSE_EQ:TCS": encode(quote("NSE_EQ:TCS", 1.0)), "NSE_EQ:M&M": encode(dear)})
        writer.put_quotes({"NSE_EQ:TCS": encode(tcs)})
        writer.put_subscriptions({"NSE_EQ:TCS", "NSE_EQ:INFY"})
        writer.put_session("main", "main-0001", BLOCK, HaltFlag(True, "by hand"))
        eventually(reader.subscriptions, ["NSE_EQ:INFY", "NSE_EQ:TCS"])
        assert reader.quotes(["NSE_EQ:M&M", "NSE_EQ:X", "NSE_EQ:TCS"]) == {"NSE_EQ:M&M": dear, "NSE_EQ:TCS": tcs}
        assert b'"ltp":3000.05' in (cache.get(["quant:quote:NSE_EQ:TCS"])[0] or b"")
        assert reader.session("main") == SessionState("main-0001", 7, -1.05, 1398.95, 1)
        assert reader.halt("main") == HaltCopy(True, "by hand", 7)
        assert reader.halt("other") is None


def test_a_value_that_cannot_be_read_counts_as_unknown(cache: StateCache) -> None:
    cache.put([CacheEntry(QUOTE.key("NSE_EQ:TCS"), b'{"ltp": "dear"}', 60), CacheEntry(HALT.key("main"), b"\xff", 60)])
    assert LookupReader(cache).quotes(["NSE_EQ:TCS"]) == {}
    assert LookupReader(cache).halt("main") is None


def test_a_writer_that_ends_has_sent_everything(url: str) -> None:
    with LookupWriter(RedisCache(url, PATIENCE_S), Health("x")) as writer:
        writer.put_subscriptions(["NSE_EQ:TCS"])
    assert LookupReader(RedisCache(url, PATIENCE_S)).subscriptions() == ["NSE_EQ:TCS"]


def test_a_cache_that_dies_troubles_nobody_and_gets_the_newest_when_it_is_back(
    url: str, redis_server: RedisServer
) -> None:
    health = Health("x")
    reader = LookupReader(RedisCache(url, PATIENCE_S))
    with LookupWriter(RedisCache(url, PATIENCE_S), health) as writer:
        assert value_of(health, "quant_cache_available") == 1
        redis_server.kill()
        for ltp in (1.0, 2.0, 3.0):
            writer.put_quotes({"NSE_EQ:TCS": encode(quote("NSE_EQ:TCS", ltp))})
        eventually(lambda: value_of(health, "quant_cache_available"), 0)
        writer.put_session("main", "main-0001", BLOCK, HaltFlag(False, ""))
        redis_server.start()
        eventually(lambda: value_of(health, "quant_cache_available"), 1)
        eventually(lambda: reader.halt("main"), HaltCopy(False, "", 7))
        assert reader.quotes(["NSE_EQ:TCS"])["NSE_EQ:TCS"].ltp == 3.0
    assert (value_of(health, "quant_cache_failures_total") or 0) > 0


def test_a_service_starts_and_ends_without_its_cache(url: str, redis_server: RedisServer) -> None:
    redis_server.kill()
    health = Health("x")
    with LookupWriter(RedisCache(url, PATIENCE_S), health) as writer:
        assert value_of(health, "quant_cache_available") == 0
        writer.put_subscriptions(["NSE_EQ:TCS"])
