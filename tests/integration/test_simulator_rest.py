"""The simulated exchange's REST side, asked by plain HTTP and by the broker's own SDK."""

import asyncio
import gzip
import json
from collections.abc import Iterator
from datetime import time
from urllib.parse import quote

import httpx
import numpy as np
import pytest
import upstox_client
from upstox_client.rest import ApiException

from quant_platform.domain.session import ns_at
from quant_platform.simulator.replies import RateGuard
from quant_platform.simulator.server import ExchangeServer

from .exchange_rig import DAYS, KEYS, SECOND, SYMBOLS, Client, client, lockstep, market, running

NOW = ns_at(DAYS[1], time(9, 20, 30))
ROWS = 4000


@pytest.fixture(scope="module")
def exchange() -> Iterator[ExchangeServer]:
    """An exchange that stands at 09:20:30 of its second day."""

    async def move(server: ExchangeServer) -> None:
        async with client(server) as user:
            await user.advance(NOW)

    with running(lockstep(), market(ROWS)) as server:
        asyncio.run(move(server))
        yield server


@pytest.fixture
def http(exchange: ExchangeServer) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {exchange.ready['token']}"}
    with httpx.Client(base_url=str(exchange.ready["url"]), headers=headers) as session:
        yield session


@pytest.fixture
def sdk(exchange: ExchangeServer) -> Iterator[upstox_client.ApiClient]:
    configuration = upstox_client.Configuration()
    host, order_host = configuration.host, configuration.order_host
    configuration.host = configuration.order_host = str(exchange.ready["url"])
    configuration.access_token = str(exchange.ready["token"])
    yield upstox_client.ApiClient(configuration)
    configuration.host, configuration.order_host = host, order_host


def _last(number: int) -> tuple[object, int]:
    """The replayed row that is a stock's last one now."""
    day = list(market(ROWS).days())[1].ticks
    stop = int(np.searchsorted(day.ts, NOW, side="right"))
    return day, int(np.flatnonzero(day.symbol[:stop] == number)[-1])


def _previous_close(number: int) -> float:
    day = next(market(ROWS).days()).ticks
    return int(day.ltp[day.symbol == number][-1]) / 100


def test_sdk_reads_last_prices(sdk: upstox_client.ApiClient) -> None:
    reply = upstox_client.MarketQuoteV3Api(sdk).get_ltp(instrument_key=",".join(KEYS))
    assert set(reply.data) == set(SYMBOLS)
    for number, (symbol, key) in enumerate(zip(SYMBOLS, KEYS, strict=True)):
        day, row = _last(number)
        price = reply.data[symbol]
        assert (price.last_price, price.volume) == (day.ltp[row] / 100, day.volume[row])
        assert (price.instrument_token, price.cp) == (key, _previous_close(number))


def test_sdk_reads_last_prices_of_version_2(sdk: upstox_client.ApiClient) -> None:
    reply = upstox_client.MarketQuoteApi(sdk).ltp(",".join(KEYS), "2.0")
    day, row = _last(1)
    assert reply.data["NSE_EQ:RELIANCE"].last_price == day.ltp[row] / 100


def test_sdk_reads_full_quotes_with_five_padded_levels(sdk: upstox_client.ApiClient) -> None:
    reply = upstox_client.MarketQuoteApi(sdk).get_full_market_quote(",".join(KEYS), "2.0")
    for number, symbol in enumerate(SYMBOLS):
        day, row = _last(number)
        quote_of = reply.data[symbol]
        assert len(quote_of.depth.buy) == len(quote_of.depth.sell) == 5
        assert quote_of.last_price == day.ltp[row] / 100
        assert quote_of.last_price - quote_of.net_change == pytest.approx(_previous_close(number))
        assert quote_of.timestamp == "2026-08-18T09:20:30.000+05:30"
        assert quote_of.ohlc.low <= quote_of.last_price <= quote_of.ohlc.high


def test_sdk_reads_ohlc_of_both_versions(sdk: upstox_client.ApiClient) -> None:
    day_so_far = upstox_client.MarketQuoteV3Api(sdk).get_market_quote_ohlc("1d", instrument_key=KEYS[1])
    quote_of = day_so_far.data["NSE_EQ:RELIANCE"]
    assert quote_of.prev_ohlc is None
    minute = upstox_client.MarketQuoteV3Api(sdk).get_market_quote_ohlc("I1", instrument_key=KEYS[1])
    minute_of = minute.data["NSE_EQ:RELIANCE"]
    assert minute_of.live_ohlc.ts - minute_of.prev_ohlc.ts == 60_000
    assert quote_of.live_ohlc.high >= minute_of.live_ohlc.high
    old = upstox_client.MarketQuoteApi(sdk).get_market_quote_ohlc(KEYS[1], "1d", "2.0")
    assert old.data["NSE_EQ:RELIANCE"].ohlc.high == quote_of.live_ohlc.high


def test_sdk_reads_history_newest_first(sdk: upstox_client.ApiClient) -> None:
    api = upstox_client.HistoryV3Api(sdk)
    candles = api.get_historical_candle_data1(KEYS[1], "minutes", "1", "2026-08-18", "2026-08-17").data.candles
    times = [row[0] for row in candles]
    assert times == sorted(times, reverse=True)
    assert times[-1].startswith("2026-08-17T09:1")
    assert times[-1].endswith("+05:30")
    assert {row[0][:10] for row in candles} == {"2026-08-17"}  # today is no history
    today = api.get_intra_day_candle_data(KEYS[1], "minutes", "1").data.candles
    assert [row[0][11:16] for row in today] == ["09:20", "09:19", "09:18", "09:17", "09:16", "09:15"]
    half_hours = api.get_historical_candle_data(KEYS[1], "minutes", "30", "2026-08-17").data.candles
    assert half_hours[-1][0][11:16] == "09:15"
    assert max(row[2] for row in candles) == max(row[2] for row in half_hours)
    days = api.get_historical_candle_data1(KEYS[1], "days", "1", "2026-08-18", "2026-08-01").data.candles
    assert [row[0] for row in days] == ["2026-08-17T00:00:00+05:30"]
    old = upstox_client.HistoryApi(sdk).get_historical_candle_data(KEYS[1], "1minute", "2026-08-18", "2.0")
    assert old.data.candles == candles


def test_sdk_reads_profile_status_and_calendar(sdk: upstox_client.ApiClient) -> None:
    assert upstox_client.UserApi(sdk).get_profile("2.0").data.broker == "UPSTOX"
    calendar = upstox_client.MarketHolidaysAndTimingsApi(sdk)
    status = calendar.get_market_status("NSE").data
    assert (status.exchange, status.status) == ("NSE", "NORMAL_OPEN")
    assert calendar.get_holiday("2026-12-25").data[0].holiday_type == "TRADING_HOLIDAY"
    assert calendar.get_holiday("2026-08-18").data == []
    assert len(calendar.get_holidays().data) >= 16
    timings = {row.exchange: row for row in calendar.get_exchange_timings("2026-08-18").data}
    assert timings["NSE"].start_time * 1_000_000 == ns_at(DAYS[1], time(9, 15))
    assert timings["NSE"].end_time * 1_000_000 == ns_at(DAYS[1], time(15, 30))
    assert calendar.get_exchange_timings("2026-12-25").data == []


def test_sdk_is_given_a_feed_url_and_the_brokers_errors(sdk: upstox_client.ApiClient) -> None:
    given = upstox_client.WebsocketApi(sdk).get_market_data_feed_authorize("2.0").data.authorized_redirect_uri
    assert given.startswith("ws://127.0.0.1:")
    with pytest.raises(ApiException) as refused:
        upstox_client.MarketQuoteV3Api(sdk).get_ltp(instrument_key="NSE_EQ|NOBODY")
    assert refused.value.status == 400
    assert json.loads(refused.value.body)["errors"][0]["errorCode"] == "UDAPI1087"


def test_a_wrong_token_is_refused_everywhere_but_where_none_is_wanted(http: httpx.Client) -> None:
    wrong = {"Authorization": "Bearer stale"}
    for path in ("/v2/user/profile", "/v3/market-quote/ltp", "/v3/feed/market-data-feed/authorize", "/simulator/clock"):
        reply = http.get(path, headers=wrong)
        assert reply.status_code == 401
        assert reply.json()["errors"][0]["error_code"] == "UDAPI100050"
    history = f"/v3/historical-candle/{quote(KEYS[0])}/minutes/1/2026-08-18"
    files = "/market-quote/instruments/exchange/NSE.json.gz"
    for path in (history, "/v2/market/holidays", "/v2/market/timings/2026-08-18", files):
        assert http.get(path, headers=wrong).status_code == 200


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/v3/portfolio/nothing", 404, "UDAPI100060"),
        ("/market-quote/instruments/exchange/MCX.json.gz", 404, "UDAPI100060"),
        ("/v3/market-quote/ltp", 400, "UDAPI1009"),
        (f"/v3/market-quote/ltp?instrument_key={'A,' * 501}", 400, "UDAPI100043"),
        (f"/v2/market-quote/quotes?instrument_key={'A,' * 501}", 400, "UDAPI100042"),
        (f"/v2/market-quote/quotes?instrument_key={KEYS[0]},NSE_EQ|NO", 400, "UDAPI1087"),
        (f"/v3/market-quote/ohlc?instrument_key={KEYS[0]}", 400, "UDAPI1027"),
        (f"/v3/market-quote/ohlc?instrument_key={KEYS[0]}&interval=2h", 400, "UDAPI1028"),
        ("/v3/historical-candle/NSE_EQ|NO/minutes/1/2026-08-18", 400, "UDAPI100011"),
        ("/v3/historical-candle/INFY/minutes/1/2026-08-18", 400, "UDAPI1021"),
        (f"/v3/historical-candle/{KEYS[0]}/years/1/2026-08-18", 400, "UDAPI1146"),
        (f"/v3/historical-candle/{KEYS[0]}/minutes/301/2026-08-18", 400, "UDAPI1147"),
        (f"/v3/historical-candle/{KEYS[0]}/minutes/1/2026-08-18/2026-07-17", 400, "UDAPI1148"),
        (f"/v3/historical-candle/{KEYS[0]}/minutes/1/2026-08-18/2026-08-19", 400, "UDAPI1015"),
        (f"/v3/historical-candle/{KEYS[0]}/minutes/1/yesterday", 400, "UDAPI1015"),
        ("/v2/market/status/NYSE", 400, "UDAPI1089"),
        ("/v2/market/timings/soon", 400, "UDAPI1088"),
        ("/simulator/advance", 400, "UDAPI100012"),
    ],
)
def test_bad_requests_are_refused_in_the_brokers_codes(http: httpx.Client, path: str, status: int, code: str) -> None:
    reply = http.get(path)
    assert (reply.status_code, reply.json()["errors"][0]["errorCode"]) == (status, code)


def test_an_advance_without_a_moment_is_refused(http: httpx.Client) -> None:
    reply = http.post("/simulator/advance", json={"to_ns": "soon", "requests": 0})
    assert (reply.status_code, reply.json()["errors"][0]["propertyPath"]) == (400, "to_ns")


@pytest.mark.parametrize("name", ["NSE", "complete", "NSE_MIS"])
def test_instruments_files_list_the_market(http: httpx.Client, name: str) -> None:
    reply = http.get(f"/market-quote/instruments/exchange/{name}.json.gz")
    rows = {row["instrument_key"]: row for row in json.loads(gzip.decompress(reply.content))}
    assert set(rows) == set(KEYS)
    reliance = rows[KEYS[1]]
    assert (reliance["segment"], reliance["trading_symbol"], reliance["tick_size"]) == ("NSE_EQ", "RELIANCE", 10.0)
    assert reliance["cas_eligible"] is True
    assert "cas_eligible" not in rows[KEYS[2]]
    assert ("intraday_margin" in reliance) == (name == "NSE_MIS")


def test_published_limits_hold_in_market_time_when_asked_for() -> None:
    async def scenario(server: ExchangeServer) -> list[str | None]:
        async with client(server) as user:
            return [await _answer(user) for _ in range(51)]

    with running(lockstep(rate_limit=True), market(50)) as server:
        assert asyncio.run(scenario(server)) == [None] * 50 + ["UDAPI10005"]


def test_the_rate_guard_opens_again_as_market_time_passes() -> None:
    guard = RateGuard()
    moments = [second * SECOND for second in range(40) for _ in range(50)]
    admitted = [guard.admits(moment) for moment in moments]
    assert admitted[:500] == [True] * 500  # fifty a second for ten seconds
    assert not any(admitted[500:])  # then the minute is full
    assert guard.admits(60 * SECOND)


async def _answer(user: Client) -> str | None:
    """The error of a reply, if it is one."""
    body = (await user.http.get("/v2/user/profile")).json()
    return body["errors"][0]["errorCode"] if body["status"] == "error" else None
