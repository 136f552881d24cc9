"""Redis killed while every service runs: the numbers are those of a backtest, and it is told what it missed."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from quant_platform.adapters.cache.redis import RedisCache
from quant_platform.adapters.ledger.sql import SqlLedger
from quant_platform.hosts.distributed.lookups import LookupReader
from tests.e2e.distributed_rig import up_distributed
from tests.e2e.platform_rig import SYMBOLS, backtest, by_the_rules, depth_file
from tests.servers import Database, KafkaServer, RedisServer


@pytest.mark.usefixtures("bus")  # an empty Kafka
def test_the_platform_trades_alike_and_tells_redis_again(
    tmp_path: Path, kafka: KafkaServer, database: Database, empty_redis: RedisServer
) -> None:
    data = depth_file(tmp_path / "depth.parquet", rows_a_session=10_000)
    known = LookupReader(RedisCache(empty_redis.environment["REDIS_URL"], patience_s=5.0))
    environment = kafka.environment | database.environment | empty_redis.environment
    with ThreadPoolExecutor(1) as pool, SqlLedger(database.url) as ledger:
        running = pool.submit(up_distributed, data, tmp_path / "home", environment)

        def wait_for(happened: Callable[[], object]) -> None:
            while not happened():
                assert not running.done(), running.result()
                time.sleep(0.02)

        wait_for(known.subscriptions)
        empty_redis.kill()
        wait_for(ledger.portfolios)  # later, the run might be over before Redis is back
        empty_redis.start()  # by this thread: the kernel ends a server with the thread that started it
        numbers = running.result().numbers
    assert by_the_rules(numbers) == by_the_rules(backtest(data))
    assert numbers["restarts"] == 0
    assert known.subscriptions() == sorted(SYMBOLS)
    assert set(known.quotes(SYMBOLS)) == set(SYMBOLS)
    session = known.session("default")
    assert session is not None
    assert (session.balance, session.open_positions) == (numbers["ending_balance"], 0)
