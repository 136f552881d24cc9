"""The contract of a state cache, on memory and on a real Redis; and that its loss holds nobody up."""

import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from quant_platform.adapters.cache.memory import MemoryCache
from quant_platform.adapters.cache.redis import RedisCache
from quant_platform.domain.errors import ConfigurationError, UnavailableError
from quant_platform.domain.lookups import HALT, QUOTE, HaltCopy, LatestPicks, LatestQuote, Pick
from quant_platform.hosts.forgiving_cache import LONGEST_PAUSE_S, SAY_AGAIN_S, ForgivingCache
from quant_platform.hosts.lookups import Lookups
from quant_platform.ports.state_cache import CacheEntry, StateCache

PATIENCE_S = 5.0  # a busy machine answers late; that a call is not held up is tested with the server gone


class RedisServer:
    """A Redis that keeps nothing on the disk, so that a restart empties it."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.password = secrets.token_hex(8)
        self.url = f"redis://:{self.password}@127.0.0.1:{self.port}/0"
        self._config = folder / "redis.conf"
        self._config.write_text(
            f'bind 127.0.0.1\nport {self.port}\nrequirepass {self.password}\nsave ""\nappendonly no\ndir {folder}\n'
        )
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(["redis-server", str(self._config)], stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 30
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                return
            except OSError:
                assert time.monotonic() < deadline, "Redis did not start"
                time.sleep(0.02)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed: apt-get install redis-server")
    started = RedisServer(tmp_path)
    yield started
    started.kill()


@pytest.fixture(params=["memory", "redis", "forgiving"])
def cache(request: pytest.FixtureRequest) -> Iterator[StateCache]:
    made: StateCache = MemoryCache()
    if request.param != "memory":
        made = RedisCache(request.getfixturevalue("server").url, PATIENCE_S)
    if request.param == "forgiving":
        made = ForgivingCache(made)
    yield made
    made.close()


def test_values_come_back_as_they_were_put(cache: StateCache) -> None:
    cache.put([CacheEntry("a", b"1", 60), CacheEntry("b", b"\x00\xff", 60)])
    assert cache.get(["b", "never", "a"]) == [b"\x00\xff", None, b"1"]
    cache.put([CacheEntry("a", b"2", 60)])
    assert cache.get(["a"]) == [b"2"]


def test_nothing_put_and_nothing_asked_is_nothing(cache: StateCache) -> None:
    cache.put([])
    cache.delete([])
    assert cache.get([]) == []


def test_a_value_outlives_its_time_by_nothing(cache: StateCache) -> None:
    cache.put([CacheEntry("short", b"x", 1), CacheEntry("long", b"y", 600)])
    deadline = time.monotonic() + 30
    while cache.get(["short"]) != [None]:
        assert time.monotonic() < deadline, "a value of one second is still there"
        time.sleep(0.05)
    assert cache.get(["long"]) == [b"y"]


def test_what_is_deleted_is_forgotten(cache: StateCache) -> None:
    cache.put([CacheEntry("a", b"1", 60), CacheEntry("b", b"2", 60)])
    cache.delete(["a", "never"])
    assert cache.get(["a", "b"]) == [None, b"2"]


QUOTES = [LatestQuote("NSE_EQ:RELIANCE", 1, 1402.35, 12, rsi=55.5), LatestQuote("NSE_EQ:M&M", 2, 3000.0, 0)]


def test_look_ups_come_back_by_name_and_type(cache: StateCache) -> None:
    lookups = Lookups(cache)
    assert lookups.subscriptions() is lookups.picks() is lookups.halt("main") is lookups.session("day") is None
    lookups.put_quotes(QUOTES)
    assert lookups.quotes(["NSE_EQ:M&M", "NSE_EQ:TCS", "NSE_EQ:RELIANCE"]) == {q.symbol: q for q in QUOTES}
    assert b'"ltp":1402.35' in (cache.get(["quant:quote:NSE_EQ:RELIANCE"])[0] or b"")
    lookups.put_subscriptions({"NSE_EQ:TCS", "NSE_EQ:INFY"})
    assert lookups.subscriptions() == ["NSE_EQ:INFY", "NSE_EQ:TCS"]
    picks = LatestPicks(5, [Pick("NSE_EQ:TCS", 1234.5, 3100.0, 900)])
    lookups.put_picks(picks)
    assert lookups.picks() == picks
    lookups.put_halt("main", HaltCopy(True, "by hand", 7))
    assert lookups.halt("main") == HaltCopy(True, "by hand", 7)
    assert lookups.halt("other") is None
    lookups.put_session("day", {"phase": "open", "seen": [1, 2]})
    assert lookups.session("day") == {"phase": "open", "seen": [1, 2]}


def test_a_value_that_cannot_be_read_counts_as_unknown(cache: StateCache) -> None:
    cache.put([CacheEntry(QUOTE.key("NSE_EQ:TCS"), b'{"ltp": "dear"}', 60), CacheEntry(HALT.key("main"), b"\xff", 60)])
    assert Lookups(cache).quotes(["NSE_EQ:TCS"]) == {}
    assert Lookups(cache).halt("main") is None


# When Redis is away, wrong, or comes back empty.


def test_a_dead_redis_is_unavailable_and_works_again_when_restarted(server: RedisServer) -> None:
    cache = RedisCache(server.url, PATIENCE_S)
    cache.put([CacheEntry("a", b"1", 60)])
    server.kill()
    for call in (lambda: cache.put([CacheEntry("a", b"1", 60)]), lambda: cache.get(["a"]), lambda: cache.delete(["a"])):
        with pytest.raises(UnavailableError, match=r"Redis cannot be reached: .* — start it"):
            call()
    server.start()
    assert cache.get(["a"]) == [None]
    cache.put([CacheEntry("a", b"2", 60)])
    assert cache.get(["a"]) == [b"2"]


def test_a_wrong_password_is_named_by_its_setting_and_not_shown(server: RedisServer) -> None:
    for url in (server.url.replace(server.password, "hidden"), f"redis://127.0.0.1:{server.port}/0"):
        cache = RedisCache(url, PATIENCE_S)
        with pytest.raises(ConfigurationError, match=r"redis\.url") as raised:
            cache.get(["a"])
        assert "hidden" not in str(raised.value)
        with pytest.raises(ConfigurationError):
            ForgivingCache(cache).check()


def test_a_database_that_is_not_there_and_no_address_at_all_name_the_setting(server: RedisServer) -> None:
    with pytest.raises(ConfigurationError, match=r"no such database.*correct redis\.url"):
        RedisCache(server.url.removesuffix("0") + "99", PATIENCE_S).get(["a"])
    for url in ("127.0.0.1:6379", "http://:hidden@host", "redis://:hidden@host:port/0"):
        with pytest.raises(ConfigurationError, match=r"setting redis\.url") as raised:
            RedisCache(url)
        assert "hidden" not in str(raised.value)


class Clock:
    """Seconds that go forward when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_cache_that_is_away_troubles_nobody_and_is_told_what_it_missed(server: RedisServer) -> None:
    clock = Clock()
    cache = ForgivingCache(RedisCache(server.url, PATIENCE_S), clock)
    lookups = Lookups(cache)
    lookups.put_subscriptions(["NSE_EQ:TCS"])
    server.kill()
    lookups.put_quotes(QUOTES)
    lookups.put_halt("main", HaltCopy(True, "by hand", 7))
    assert lookups.subscriptions() is None
    assert "Redis cannot be reached" in cache.trouble
    server.start()
    assert lookups.subscriptions() is None, "it is tried again only after a pause"
    clock.now += LONGEST_PAUSE_S
    assert lookups.subscriptions() == ["NSE_EQ:TCS"]
    assert lookups.halt("main") == HaltCopy(True, "by hand", 7)
    assert lookups.quotes([QUOTES[0].symbol]) == {}, "the next quote comes by itself; an old one might hide a newer"
    assert (cache.trouble, cache.failures) == ("", 1)


def test_a_cache_that_was_emptied_unseen_is_told_again_by_and_by(server: RedisServer) -> None:
    clock = Clock()
    lookups = Lookups(ForgivingCache(RedisCache(server.url, PATIENCE_S), clock))
    lookups.put_subscriptions(["NSE_EQ:TCS"])
    lookups.put_halt("main", HaltCopy(False, "", 7))
    RedisCache(server.url, PATIENCE_S).delete(["quant:subscriptions", "quant:halt:main"])
    clock.now += 2 * SAY_AGAIN_S
    lookups.put_quotes(QUOTES)
    assert lookups.subscriptions() == ["NSE_EQ:TCS"]
    assert lookups.halt("main") is None, "a value is not put again past its time"


def test_a_service_starts_without_its_cache(server: RedisServer) -> None:
    server.kill()
    cache = ForgivingCache(RedisCache(server.url, PATIENCE_S))
    cache.check()
    assert cache.failures == 1
    assert cache.get(["a", "b"]) == [None, None]
