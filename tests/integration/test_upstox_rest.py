"""The REST client against a real server that misbehaves on demand."""

import asyncio
import gzip
import json
from collections.abc import Awaitable, Callable, Coroutine
from datetime import UTC, date, datetime
from itertools import pairwise
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from quant_platform.adapters.broker.upstox_rest import UpstoxRest
from quant_platform.adapters.broker.upstox_transport import RateLimiter
from quant_platform.domain.errors import AuthenticationError, BrokerError, RateLimitError, UnavailableError
from quant_platform.domain.instruments import Instrument, instrument_for
from quant_platform.ports.broker import Candle, Quote
from quant_platform.protocol.upstox import codes, limits, paths

from .scripted_broker import ScriptedBroker, SteppingClock, data, scripted_broker

TOKEN = "a-secret-token"
PROFILE = data({"user_id": "AB1234", "user_name": "A Trader", "is_active": True, "poa": False})
Body = Callable[[ScriptedBroker, UpstoxRest, SteppingClock], Coroutine[Any, Any, None]]


def with_client(body: Body, token: Callable[[], str] = lambda: TOKEN, **options: Any) -> None:
    async def run() -> None:
        async with scripted_broker() as broker:
            clock = SteppingClock()
            rest = UpstoxRest(broker.url, token, clock, **options)
            try:
                await body(broker, rest, clock)
            finally:
                await rest.close()

    asyncio.run(run())


def error(code: str, status: int, **headers: str) -> JSONResponse:
    return JSONResponse(codes.error_envelope(code), status, headers)


def test_a_call_shows_the_token_of_its_moment() -> None:
    tokens = iter(["of-today\n", "of-tomorrow"])

    async def body(broker: ScriptedBroker, rest: UpstoxRest, _: SteppingClock) -> None:
        broker.answer(paths.PROFILE, PROFILE)
        assert (await rest.profile()).user_id == "AB1234"
        await rest.profile()
        shown = [request.headers["Authorization"] for request in broker.requests]
        assert shown == ["Bearer of-today", "Bearer of-tomorrow"]

    with_client(body, lambda: next(tokens))


@pytest.mark.parametrize("token", ["", "  \n", "two words", "tök", "line\nbreak"])
def test_a_missing_or_malformed_token_is_never_sent_nor_shown(token: str) -> None:
    async def body(broker: ScriptedBroker, rest: UpstoxRest, _: SteppingClock) -> None:
        with pytest.raises(AuthenticationError) as caught:
            await rest.profile()
        assert "quant login" in str(caught.value)
        assert not token.strip() or token not in str(caught.value)
        assert broker.requests == []

    with_client(body, lambda: token)


def test_too_many_requests_is_waited_for_as_long_as_the_broker_asks() -> None:
    async def body(broker: ScriptedBroker, rest: UpstoxRest, clock: SteppingClock) -> None:
        broker.answer(paths.PROFILE, error(codes.RATE_LIMIT, 429, **{"Retry-After": "7"}), PROFILE)
        await rest.profile()
        assert sum(clock.slept) == pytest.approx(7)

    with_client(body)


def test_a_rate_limit_under_http_200_is_recognised() -> None:
    async def body(broker: ScriptedBroker, rest: UpstoxRest, clock: SteppingClock) -> None:
        broker.answer(paths.PROFILE, error(codes.RATE_LIMIT, 200), PROFILE)
        await rest.profile()
        assert len(broker.requests) == 2
        assert clock.slept

    with_client(body)


def test_a_retry_after_given_as_a_date_counts_from_the_replys_own_date() -> None:
    async def body(broker: ScriptedBroker, rest: UpstoxRest, clock: SteppingClock) -> None:
        stamps = {"Date": "Fri, 24 Apr 2026 03:45:00 GMT", "Retry-After": "Fri, 24 Apr 2026 03:45:09 GMT"}
        broker.answer(paths.PROFILE, error(codes.RATE_LIMIT, 429, **stamps), PROFILE)
        await rest.profile()
        assert sum(clock.slept) == pytest.approx(9)

    with_client(body)


def test_a_pause_of_many_minutes_is_reported_instead_of_waited_for() -> None:
    async def body(broker: ScriptedBroker, rest: UpstoxRest, clock: SteppingClock) -> None:
        broker.answer(paths.PROFILE, error(codes.RATE_LIMIT, 429, **{"Retry-After": "1800"}), PROFILE)
        with pytest.raises(RateLimitError, match="1800 s"):
            await rest.profile()
        assert clock.slept == []

    with_client(body)


@pytest.mark.parametrize("status", [500, 502, 503])
def test_a_failing_server_is_tried_again_with_growing_pauses(status: int) -> None:
    async def body(broker: ScriptedBroker, rest: UpstoxRest, clock: SteppingClock) -> None:
        down = Response("<html>down</html>", status)
        broker.answer(paths.PROFILE, down, down, down, PROFILE)
        await rest.profile()
        assert clock.slept == pytest.approx([0.5, 1.0, 2.0])

    with_client(body)


def test_a_server_that_stays_down_is_reported_after_the_last_try() -> None:
    async def body(broker: ScriptedBroker, rest: UpstoxRest, _: SteppingClock) -> None:
        broker.answer(paths.PROFILE, error(codes.SYSTEM_FAILURE, 500))
        with pytest.raises(UnavailableError, match=r"/v2/user/profile.*UDAPI100500, HTTP 500"):
            await rest.profile()
        assert len(broker.requests) == 3

    with_client(body, attempts=3)


def test_a_host_that_does_not_answer_is_named() -> None:
    async def run() -> None:
        rest = UpstoxRest("http://127.0.0.1:9", lambda: TOKEN, SteppingClock(), attempts=2)
        with pytest.raises(UnavailableError, match=r"127\.0\.0\.1:9 did not answer /v2/user/profile"):
            await rest.profile()
        await rest.close()

    asyncio.run(run())


def test_an_answer_cut_short_is_tried_again() -> None:
    async def body(broker: ScriptedBroker, rest: UpstoxRest, _: SteppingClock) -> None:
        broker.answer(paths.PROFILE, Response(b'{"status":"success","data":{"user_', 200), PROFILE)
        assert (await rest.profile()).user_id == "AB1234"

    with_client(body)


@pytest.mark.parametrize("body_text", [b'{"status":"success"}', b'{"data":{"user_id":7}}', b"[]", b""])
def test_an_answer_of_another_shape_is_reported(body_text: bytes) -> None:
    async def body(broker: ScriptedBroker, rest: UpstoxRest, _: SteppingClock) -> None:
        broker.answer(paths.PROFILE, Response(body_text))
        with pytest.raises(UnavailableError, match="not as documented"):
            await rest.profile()

    with_client(body)


def test_an_expired_token_is_not_tried_again_and_tells_the_cure() -> None:
    async def body(broker: ScriptedBroker, rest: UpstoxRest, _: SteppingClock) -> None:
        broker.answer(paths.PROFILE, error(codes.INVALID_TOKEN, 401))
        with pytest.raises(AuthenticationError) as caught:
            await rest.profile()
        assert (caught.value.code, caught.value.status) == ("UDAPI100050", 401)
        assert "quant login" in str(caught.value)
        assert TOKEN not in str(caught.value)
        assert len(broker.requests) == 1

    with_client(body)


@pytest.mark.parametrize("spelling", ["errorCode", "error_code"])
def test_both_spellings_of_an_error_are_read(spelling: str) -> None:
    async def body(broker: ScriptedBroker, rest: UpstoxRest, _: SteppingClock) -> None:
        broker.answer("/v2/market/status/NOPE", JSONResponse({"errors": [{spelling: "UDAPI1089"}]}, 400))
        with pytest.raises(BrokerError) as caught:
            await rest.market_status("NOPE")
        assert caught.value.code == "UDAPI1089"
        assert "the exchange is invalid" in str(caught.value)

    with_client(body)


def ltp_rows(request: Request, unknown: frozenset[str] = frozenset()) -> Response:
    keys = request.query_params["instrument_key"].split(",")
    if unknown & set(keys):
        return error(codes.INVALID_KEY, 400)
    rows = {
        f"NSE_EQ:{key}": {"last_price": 100.05, "instrument_token": key, "ltq": 1, "volume": 7, "cp": 99.95}
        for key in keys
    }
    return data(rows)


def ns(moment: datetime) -> int:
    return int(moment.timestamp()) * 10**9


def many(count: int) -> list[Instrument]:
    return [instrument_for(f"S{i:04d}") for i in range(count)]


def test_quotes_come_in_batches_that_the_broker_takes() -> None:
    async def body(broker: ScriptedBroker, rest: UpstoxRest, _: SteppingClock) -> None:
        broker.answer(paths.LTP_V3, ltp_rows)
        quotes = await rest.quotes(many(1001))
        assert quotes[0] == Quote("NSE_EQ:S0000", 10005, 9995, 7)
        assert [quote.symbol for quote in quotes] == [i.symbol for i in many(1001)]
        sizes = [len(r.query_params["instrument_key"].split(",")) for r in broker.requests]
        assert sizes == [500, 500, 1]

    with_client(body)


def test_keys_that_fail_a_batch_are_found_left_out_and_not_asked_for_again() -> None:
    instruments = many(40)
    unknown = frozenset({instruments[3].instrument_key, instruments[29].instrument_key})

    async def body(broker: ScriptedBroker, rest: UpstoxRest, _: SteppingClock) -> None:
        broker.answer(paths.LTP_V3, lambda request: ltp_rows(request, unknown))
        quotes = await rest.quotes(instruments)
        assert {i.symbol for i in instruments} - {q.symbol for q in quotes} == {"NSE_EQ:S0003", "NSE_EQ:S0029"}
        asked = len(broker.requests)
        assert len(await rest.quotes(instruments)) == 38
        assert len(broker.requests) == asked + 1

    with_client(body)


def test_a_quote_without_volume_or_previous_close_shows_zero() -> None:
    async def body(broker: ScriptedBroker, rest: UpstoxRest, _: SteppingClock) -> None:
        (instrument,) = many(1)
        row = {"last_price": 5.5, "instrument_token": instrument.instrument_key, "cp": None}
        broker.answer(paths.LTP_V3, data({"NSE_EQ:S0000": row}))
        assert await rest.quotes([instrument]) == [Quote("NSE_EQ:S0000", 550, 0, 0)]

    with_client(body)


def test_history_is_asked_for_month_by_month_and_returned_oldest_first() -> None:
    instrument = instrument_for("RELIANCE")
    spans: list[tuple[date, date]] = []

    def candles(request: Request) -> Response:
        *_, last, first = request.url.path.split("/")
        spans.append((date.fromisoformat(first), date.fromisoformat(last)))
        rows = [[f"{day}T09:15:00+05:30", 1.05, 2, 1, 1.5, 10, 0] for day in (last, first)]
        return data({"candles": rows})

    async def body(broker: ScriptedBroker, rest: UpstoxRest, _: SteppingClock) -> None:
        first, last = date(2025, 11, 15), date(2026, 3, 31)
        broker.answer(paths.HISTORY_V3, candles)
        found = await rest.history(instrument, first, last)
        assert [c.ts for c in found] == sorted({c.ts for c in found})
        assert found[0] == Candle(ns(datetime(2025, 11, 15, 3, 45, tzinfo=UTC)), 105, 200, 100, 150, 10)
        spans.sort()
        assert (spans[0][0], spans[-1][1]) == (first, last)
        assert all((later[0] - earlier[1]).days == 1 for earlier, later in pairwise(spans))
        for start, end in spans:
            earliest = limits.earliest_from("minutes", 1, end)
            assert earliest is not None
            assert earliest <= start
        assert all("Authorization" not in request.headers for request in broker.requests)

    with_client(body)


def test_history_leaves_today_out() -> None:
    async def body(broker: ScriptedBroker, rest: UpstoxRest, clock: SteppingClock) -> None:
        broker.answer(paths.HISTORY_V3, data({"candles": []}))
        today = datetime.fromtimestamp(clock.now_ns() / 10**9, UTC).date()
        assert await rest.history(instrument_for("TCS"), today, today) == []
        assert broker.requests == []
        await rest.history(instrument_for("TCS"), date(2026, 4, 22), today)
        assert [request.url.path.split("/")[-2] for request in broker.requests] == ["2026-04-23"]

    with_client(body)


def test_intraday_candles_are_turned_oldest_first() -> None:
    async def body(broker: ScriptedBroker, rest: UpstoxRest, _: SteppingClock) -> None:
        rows = [[f"2026-04-24T09:{minute}:00+05:30", 1, 1, 1, 1, 5, 0] for minute in (17, 16, 15)]
        broker.answer(paths.HISTORY_V3 + "/intraday/NSE_EQ|INE467B01029/minutes/1", data({"candles": rows}))
        found = await rest.intraday(instrument_for("TCS"))
        assert found[0].ts == ns(datetime(2026, 4, 24, 3, 45, tzinfo=UTC))
        assert found == sorted(found)
        assert len(found) == 3

    with_client(body)


def test_a_candle_without_an_offset_is_refused_instead_of_guessed() -> None:
    async def body(broker: ScriptedBroker, rest: UpstoxRest, _: SteppingClock) -> None:
        broker.answer(paths.HISTORY_V3, data({"candles": [["2026-04-24T09:15:00", 1, 1, 1, 1, 5, 0]]}))
        with pytest.raises(UnavailableError, match="not as documented"):
            await rest.intraday(instrument_for("TCS"))

    with_client(body)


def row(symbol: str, isin: str, **fields: Any) -> dict[str, Any]:
    return {
        "segment": "NSE_EQ",
        "instrument_key": f"NSE_EQ|{isin}",
        "trading_symbol": symbol,
        "instrument_type": "EQ",
        "isin": isin,
        "name": symbol.title(),
        "exchange": "NSE",
        "tick_size": 10.0,
        "lot_size": 1,
        **fields,
    }


@pytest.mark.parametrize("packed", [True, False])
def test_only_equities_of_the_instruments_file_are_taken(packed: bool) -> None:
    rows = [
        row("TCS", "INE467B01029", cas_eligible=True, short_name="TCS"),
        row("ABB", "INE117A01022", tick_size=5.0),
        row("GOLDBEES", "INF204KB17I5"),
        row("780GS2031", "IN0020230101", instrument_type="GS"),
        row("OLDNCD", "INE467B07029"),
        row("SMALLCO", "INE467B01037", instrument_type="SM"),
        {"segment": "NSE_INDEX", "instrument_key": "NSE_INDEX|Nifty 50", "instrument_type": "INDEX"},
        {"segment": "NSE_FO", "instrument_key": "NSE_FO|1", "instrument_type": "FUT", "strike_price": 0.0},
    ]
    content = json.dumps(rows).encode()

    async def body(broker: ScriptedBroker, rest: UpstoxRest, _: SteppingClock) -> None:
        broker.answer(paths.instrument_file("NSE"), Response(gzip.compress(content) if packed else content))
        abb, tcs = await rest.instruments()
        assert (abb.symbol, abb.tick_size, abb.cas_eligible) == ("NSE_EQ:ABB", 5, False)
        assert (tcs.instrument_key, tcs.tick_size, tcs.cas_eligible) == ("NSE_EQ|INE467B01029", 10, True)

    with_client(body)


def test_a_truncated_instruments_file_is_reported() -> None:
    async def body(broker: ScriptedBroker, rest: UpstoxRest, _: SteppingClock) -> None:
        whole = gzip.compress(json.dumps([row("TCS", "INE467B01029")]).encode())
        broker.answer(paths.instrument_file("NSE"), Response(whole[:-20]))
        with pytest.raises(UnavailableError, match="instruments file"):
            await rest.instruments()

    with_client(body)


def test_market_status_carries_its_time() -> None:
    async def body(broker: ScriptedBroker, rest: UpstoxRest, _: SteppingClock) -> None:
        answer = {"exchange": "NSE", "status": "NORMAL_OPEN", "last_updated": 1777000000123}
        broker.answer(paths.MARKET_STATUS, data(answer))
        status = await rest.market_status()
        assert (status.status, status.updated_ns) == ("NORMAL_OPEN", 1777000000123 * 10**6)

    with_client(body)


@pytest.mark.parametrize("spelling", ["authorizedRedirectUri", "authorized_redirect_uri"])
def test_both_spellings_of_the_feeds_url_are_read(spelling: str) -> None:
    async def body(broker: ScriptedBroker, rest: UpstoxRest, _: SteppingClock) -> None:
        broker.answer(paths.FEED_V3, data({spelling: "wss://somewhere/feed?code=1"}))
        assert await rest.authorize_feed() == "wss://somewhere/feed?code=1"

    with_client(body)


def in_any_window(sent: list[int], seconds: int) -> int:
    return max(sum(1 for other in sent if ts <= other < ts + seconds * 10**9) for ts in sent)


def test_no_window_of_time_ever_holds_more_calls_than_the_broker_allows() -> None:
    async def run() -> None:
        clock = SteppingClock()
        limiter = RateLimiter(clock, ((1, 5), (60, 20), (1800, 30)))
        sent: list[int] = []

        async def call() -> None:
            await limiter.acquire()
            sent.append(clock.now_ns())

        calls: list[Awaitable[None]] = [call() for _ in range(70)]
        await asyncio.gather(*calls)
        assert [in_any_window(sent, seconds) for seconds in (1, 60, 1800)] == [5, 20, 30]
        assert sum(clock.slept) == pytest.approx(3600, rel=0.01)

    asyncio.run(run())
