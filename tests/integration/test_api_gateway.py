"""The API gateway as a process over real servers: what it answers, to whom, and what it says when something is away."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any

import httpx
import pytest

from quant_platform.adapters.cache.redis import RedisCache
from quant_platform.adapters.ledger.sql import SqlLedger
from quant_platform.domain.instruments import instrument_for
from quant_platform.domain.lookups import QUOTE
from quant_platform.domain.records import Depth, EnrichedRecord, encode
from quant_platform.ports.state_cache import CacheEntry
from tests.servers import Database, PostgresServer, QuestdbServer, RedisServer, database_on

from .gateway_rig import (
    BLOCKS,
    NOWHERE,
    GatewayProcess,
    add_key,
    candle_rows,
    fill_candles,
    fill_ledger,
    fill_ticks,
    tick_rows,
)
from .ledger_days import OPEN, request, round_trips

TICKS = 7
LISTED = [instrument_for(symbol) for symbol in ("NSE_EQ:TCS", "NSE_EQ:INFY", "NSE_EQ:M&M", "NSE_EQ:UNHEARD")]


@dataclass
class World:
    """A gateway, and what it stands on."""

    gateway: GatewayProcess
    database: Database
    redis: RedisServer
    questdb: QuestdbServer
    token: str

    def rows(self, path: str, **parameters: Any) -> list[dict[str, Any]]:
        return self.gateway.rows(f"/api/v1/{path}", self.token, **parameters)

    def problem(self, path: str, **parameters: Any) -> dict[str, Any]:
        answer = self.gateway.get(f"/api/v1/{path}", self.token, **parameters)
        assert answer.headers["content-type"] == "application/problem+json"
        problem: dict[str, Any] = answer.json()
        assert problem["status"] == answer.status_code
        return problem

    def sql(self, question: str) -> list[tuple[Any, ...]]:
        with self.database.connect() as connection:
            return connection.execute(question).fetchall()  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def world(
    postgres: PostgresServer,
    questdb: QuestdbServer,
    redis_server: RedisServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[World]:
    questdb.start()
    questdb.clear()
    redis_server.start()
    with database_on(postgres) as database:
        fill_ledger(database.url)
        fill_ticks(questdb.environment, tick_rows("NSE_EQ:TCS", TICKS), tick_rows("NSE_EQ:INFY", 1))
        fill_candles(questdb.environment, candle_rows("NSE_EQ:TCS", TICKS))
        with SqlLedger(database.url) as ledger:
            ledger.save_instruments(LISTED)
        token = add_key(database.url).token
        environment = database.environment | questdb.environment | redis_server.environment
        with GatewayProcess(tmp_path_factory.mktemp("gateway"), environment) as gateway:
            yield World(gateway.ready(), database, redis_server, questdb, token)


@pytest.fixture(autouse=True)
def _everything_runs(world: World) -> None:
    world.redis.start()
    world.questdb.start()
    world.database.server.start()
    with world.redis.client() as client:
        client.flushall()


# Read models.


def test_portfolios_and_positions_are_those_of_the_tables(world: World) -> None:
    [stored] = world.sql("SELECT id, user_id, starting_balance, balance, equity FROM portfolios")
    [shown] = world.rows("portfolios")
    names = ("id", "user_id", "starting_balance", "balance", "equity")
    assert tuple(shown[name] for name in names) == (*stored[:2], *map(float, stored[2:]))
    assert (shown["open_positions"], shown["runs"], shown["last_run_state"]) == (1, 1, "running")
    [stored] = world.sql("SELECT symbol, quantity, avg_price, buy_value, buy_charges FROM positions")
    [shown] = world.rows("positions")
    assert tuple(shown[name] for name in ("symbol", "quantity", "avg_price", "buy_value", "buy_charges")) == (
        *stored[:2], *map(float, stored[2:]),
    )  # fmt: skip
    assert world.rows("positions", portfolio="main") == [shown]


def test_money_is_a_number_of_rupees_and_times_carry_the_offset_of_india(world: World) -> None:
    text = world.gateway.get("/api/v1/orders", world.token, limit=1).text
    exact = json.loads(text, parse_float=Decimal)
    [order] = exact["items"]
    assert (order["price"], order["value"], order["charges"]) == (Decimal("140.0"), Decimal("1400.0"), Decimal("1.05"))
    assert order["timestamp"].endswith("+05:30")
    assert order["timestamp"].startswith("2025-08-01T09:3")
    assert order["executed_at"] > order["timestamp"]


def test_orders_are_those_of_the_tables_the_last_decided_first(world: World) -> None:
    stored = world.sql(
        "SELECT o.order_id, o.transaction_type, o.quantity, o.state, e.value, e.charges, e.gross, e.pnl, e.price"
        " FROM orders o JOIN executed_orders e USING (order_id) ORDER BY o.ts_ns DESC"
    )
    names = ("order_id", "transaction_type", "quantity", "state", "value", "charges", "gross", "pnl", "executed_price")
    shown = world.rows("orders")
    assert [tuple(order[name] for name in names) for order in shown] == [
        (*row[:4], *map(float, row[4:])) for row in stored
    ]
    assert len(shown) == BLOCKS
    assert {order["closed_at_last_price"] for order in shown} == {False}


def test_orders_can_be_asked_for_by_each_of_their_filters(world: World) -> None:
    run = world.rows("orders")[0]["run_id"]
    assert len(world.rows("orders", portfolio="main", run=run, symbol="TCS", state="filled")) == BLOCKS
    assert world.rows("orders", symbol="NSE_EQ:TCS") == world.rows("orders")
    for other in ({"run": "another"}, {"symbol": "INFY"}, {"state": "pending"}):
        assert world.rows("orders", **other) == []


def test_equity_is_the_curve_of_the_table_and_scans_hold_their_picks_best_first(world: World) -> None:
    stored = world.sql("SELECT balance, equity FROM equity_curve ORDER BY ts_ns DESC")
    shown = world.rows("equity", portfolio="main", limit=2)
    assert [(point["balance"], point["equity"]) for point in shown] == [tuple(map(float, row)) for row in stored]
    later, earlier = world.rows("scanner", limit=1)
    assert (later["timestamp"], earlier["timestamp"]) == ("2025-08-01T09:30:00+05:30", "2025-08-01T09:25:00+05:30")
    assert later["picks"] == earlier["picks"][:1]
    assert earlier["picks"][1] == {"symbol": "NSE_EQ:INFY", "score": 7.25, "ltp": 99.9, "volume": 3}


def test_ticks_come_in_order_page_by_page_with_what_is_undefined_as_null(world: World) -> None:
    whole = world.rows("ticks", symbol="TCS")
    assert [tick["seq"] for tick in whole] == list(range(1, TICKS + 1))
    assert [(tick["ts"], tick["ltp"], tick["volume"]) for tick in whole[:3]] == [
        (OPEN + 7, 140.0, 0), (OPEN + 7, 140.05, 10), (OPEN + 1_000_000_007, 140.1, 20),
    ]  # fmt: skip
    assert [tick["rsi"] for tick in whole[:3]] == [None, None, 50.5]
    assert [tick["flags"] for tick in whole[:3]] == [[], ["repaired"], []]
    assert whole[2]["timestamp"] == "2025-08-01T09:25:01+05:30"
    for limit in (1, 2, 3, TICKS):
        assert world.rows("ticks", symbol="NSE_EQ:TCS", limit=limit) == whole
    assert world.gateway.get("/api/v1/ticks", world.token, symbol="TCS", limit=TICKS).json()["next_cursor"] is None


def test_candles_come_in_order_page_by_page_and_are_cut_by_time(world: World) -> None:
    whole = world.rows("candles", symbol="TCS")
    assert len(whole) == TICKS
    assert whole[1] == {
        "timestamp": "2025-08-01T09:26:00+05:30", "ts": OPEN + 60_000_000_000, "symbol": "NSE_EQ:TCS",
        "open": 141.0, "high": 142.5, "low": 140.95, "close": 142.0, "volume": 200,
    }  # fmt: skip
    for limit in (1, 2, 3, TICKS):
        assert world.rows("candles", symbol="NSE_EQ:TCS", limit=limit) == whole
    cut = {"from": "2025-08-01T09:26", "to": "2025-08-01T09:28", "limit": 1}
    assert world.rows("candles", symbol="TCS", **cut) == whole[1:3]
    assert world.rows("candles", symbol="INFY") == []


def test_instruments_are_the_brokers_list_by_symbol(world: World) -> None:
    shown = world.rows("instruments")
    assert [row["symbol"] for row in shown] == sorted(instrument.symbol for instrument in LISTED)
    assert world.rows("instruments", limit=1) == shown
    [tcs] = world.rows("instruments", symbol="TCS")
    known = instrument_for("NSE_EQ:TCS")
    assert tcs == {
        "instrument_token": known.instrument_key, "exchange": "NSE", "segment": "NSE_EQ", "symbol": "NSE_EQ:TCS",
        "isin": known.isin, "tick_size": known.tick_size / 100, "lot_size": 1, "cas_eligible": known.cas_eligible,
    }  # fmt: skip
    [unheard] = world.rows("instruments", symbol="UNHEARD")
    assert unheard["isin"] is None


def test_strategies_tell_what_can_be_set(world: World) -> None:
    [momentum] = [kind for kind in world.rows("strategies") if kind["name"] == "momentum"]
    assert momentum["parameters"] == {"rsi_entry": "50.0", "rsi_exit": "45.0"}
    assert momentum["what"].startswith("Buy when price > VWAP")
    shared = momentum["shared_parameters"]
    assert (shared["square_off"], shared["latency_ms"], shared["entry_until"]) == ("15:20", "200", None)


def test_ticks_are_cut_by_time_and_a_time_without_an_offset_is_indian(world: World) -> None:
    whole = world.rows("ticks", symbol="TCS")
    assert world.rows("ticks", **{"symbol": "TCS", "from": "2025-08-01T09:25:01", "limit": 2}) == whole[2:]
    assert world.rows("ticks", **{"symbol": "TCS", "from": "2025-08-01T03:55:01Z"}) == whole[2:]
    assert world.rows("ticks", symbol="TCS", to="2025-08-01T09:25:01+05:30") == whole[:2]
    assert world.rows("ticks", **{"symbol": "TCS", "from": "2025-08-02"}) == []


def test_quotes_come_from_redis_and_without_it_from_the_newest_stored_ticks(world: World) -> None:
    newest = EnrichedRecord(
        "NSE_EQ:TCS", OPEN + 9, 9, 141.5, 77, None, 60.0, 0.1, None, 0.1, "B",
        depth=Depth(bids=[(141.45, 5), (141.4, 9)], asks=[(141.55, 2)]),
    )  # fmt: skip
    cache = RedisCache(world.redis.environment["REDIS_URL"], patience_s=5.0)
    cache.put([CacheEntry(QUOTE.key("NSE_EQ:TCS"), encode(newest), QUOTE.lives_s)])
    cache.close()
    wanted = {"symbol": ["TCS", "NSE_EQ:INFY", "NSE_EQ:WIPRO"]}
    answer = world.gateway.get("/api/v1/quotes", world.token, **wanted).json()
    cached, stored = answer["items"]
    assert answer["missing"] == ["NSE_EQ:WIPRO"]
    assert (cached["ltp"], cached["bid"], cached["ask"], cached["vwap"], cached["source"]) == (
        141.5, 141.45, 141.55, None, "cache",
    )  # fmt: skip
    assert (stored["symbol"], stored["ltp"], stored["bid"], stored["source"]) == ("NSE_EQ:INFY", 140.0, None, "store")
    world.redis.stop()
    answer = world.gateway.get("/api/v1/quotes", world.token, **wanted).json()
    assert [(quote["symbol"], quote["source"]) for quote in answer["items"]] == [
        ("NSE_EQ:TCS", "store"), ("NSE_EQ:INFY", "store"),
    ]  # fmt: skip
    assert answer["items"][0]["ltp"] == pytest.approx(140.0 + 0.05 * (TICKS - 1))


# Pages.


def test_pages_neither_skip_nor_repeat_while_new_orders_arrive(postgres: PostgresServer, tmp_path: Path) -> None:
    with database_on(postgres) as database, SqlLedger(database.url) as ledger:
        ledger.begin(request())
        blocks = round_trips()
        for block in islice(blocks, 9):
            ledger.commit(block)
        token = add_key(database.url).token
        with GatewayProcess(tmp_path, database.environment | NOWHERE) as gateway:
            for path, filters in (("orders", {}), ("equity", {"portfolio": "main"})):
                before = gateway.ready().rows(f"/api/v1/{path}", token, **filters)
                paged, cursor = [], {}
                while cursor is not None:
                    page = gateway.get(f"/api/v1/{path}", token, limit=2, **filters, **cursor).json()
                    paged += page["items"]
                    cursor = {"cursor": page["next_cursor"]} if page["next_cursor"] else None
                    ledger.commit(next(blocks))
                assert paged == before
                assert len(gateway.rows(f"/api/v1/{path}", token, **filters)) == len(before) + -(-len(before) // 2)


def test_a_cursor_serves_its_own_filters_only_but_any_length_of_page(world: World) -> None:
    cursor = world.gateway.get("/api/v1/orders", world.token, limit=2, symbol="TCS").json()["next_cursor"]
    assert len(world.rows("orders", symbol="NSE_EQ:TCS", cursor=cursor, limit=1000)) == BLOCKS - 2
    for path, filters in (("orders", {}), ("orders", {"symbol": "INFY"}), ("scanner", {})):
        problem = world.problem(path, cursor=cursor, **filters)
        assert problem["status"] == 422
        assert problem["errors"] == [{"parameter": "cursor", "message": "the cursor belongs to other filters"}]


# Wrong questions.


@pytest.mark.parametrize(
    ("path", "wrong", "status", "message"),
    [
        ("orders", {"limit": "0"}, 422, "should be greater than or equal to 1"),
        ("orders", {"limit": "1001"}, 422, "should be less than or equal to 1000"),
        ("orders", {"limit": "many"}, 422, "should be a valid integer"),
        ("orders", {"state": "open"}, 422, "should be 'pending', 'filled', 'cancelled' or 'refused_at_fill'"),
        ("orders", {"cursor": "abc"}, 422, "the cursor is not one of ours"),
        ("orders", {"portfolio": "nobody"}, 404, "there is no portfolio 'nobody'"),
        ("orders", {"portfolio": "a\0b"}, 422, "should match pattern"),
        ("orders", {"status": "filled"}, 422, "there is no such parameter here"),
        ("portfolios", {"limit": "10"}, 422, "there is no such parameter here"),
        ("services", {"x": "1"}, 422, "there is no such parameter here"),
        ("positions", {"portfolio": "nobody"}, 404, "there is no portfolio 'nobody'"),
        ("equity", {"portfolio": "nobody"}, 404, "there is no portfolio 'nobody'"),
        ("quotes", {"symbol": "a b"}, 422, "should match pattern"),
        ("quotes", {"symbol": ["TCS"] * 101}, 422, "should have at most 100 items"),
        ("ticks", {"symbol": "TCS", "from": "yesterday"}, 422, "write a time like 2026-08-03T09:15:00+05:30"),
        ("ticks", {"symbol": "TCS", "to": "1754020500"}, 422, "write a time like 2026-08-03T09:15:00+05:30"),
    ],
)
def test_a_wrong_parameter_is_named(world: World, path: str, wrong: dict[str, Any], status: int, message: str) -> None:
    problem = world.problem(path, **wrong)
    [fault] = problem["errors"]
    assert problem["status"] == status
    assert fault["parameter"] == list(wrong)[-1]
    assert message in fault["message"]
    assert problem["cure"]


@pytest.mark.parametrize(
    ("path", "parameter"), [("equity", "portfolio"), ("quotes", "symbol"), ("ticks", "symbol"), ("candles", "symbol")]
)
def test_a_missing_parameter_is_named(world: World, path: str, parameter: str) -> None:
    problem = world.problem(path)
    assert (problem["status"], problem["errors"]) == (422, [{"parameter": parameter, "message": "Field required"}])


def test_what_is_not_there_and_what_may_not_be_done_is_a_problem_too(world: World) -> None:
    assert world.problem("nothing")["detail"] == "GET /api/v1/nothing: not found"
    token = add_key(world.database.url, "admin").token
    answer = world.gateway.client.post(
        f"{world.gateway.url}/api/v1/orders", headers={"Authorization": f"Bearer {token}"}
    )
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET")
    assert answer.headers["content-type"] == "application/problem+json"


# Servers that are away.


def test_while_postgres_is_away_it_says_so_and_goes_on_when_it_is_back(world: World) -> None:
    world.database.server.stop()
    answer = world.gateway.get("/api/v1/orders", world.token)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert answer.json()["detail"].startswith("the ledger cannot be reached")
    assert world.gateway.get("/healthz", None).status_code == 200
    world.gateway.until(lambda: httpx.get(f"{world.gateway.health_url}/readyz").status_code == 503)
    assert "the ledger cannot be reached" in httpx.get(f"{world.gateway.health_url}/readyz").json()["reason"]
    world.database.server.start()
    world.gateway.ready()
    assert len(world.rows("orders")) == BLOCKS


def test_while_questdb_is_away_ticks_are_unavailable_and_all_else_is_answered(world: World) -> None:
    world.questdb.stop()
    for path in ("ticks", "candles", "quotes"):
        problem = world.problem(path, symbol="TCS")
        assert problem["status"] == 503
        assert problem["detail"].startswith("QuestDB at 127.0.0.1:")
        assert problem["cure"]
    assert len(world.rows("orders")) == BLOCKS
    world.questdb.start()
    assert len(world.rows("ticks", symbol="TCS")) == TICKS
