"""The REST client against a real server: what it asks for and what it makes of the answers."""

import gzip
import json
from datetime import UTC, date, datetime
from itertools import pairwise
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import Response

from quant_platform.adapters.broker.upstox_rest import UpstoxRest
from quant_platform.domain.errors import UnavailableError
from quant_platform.domain.instruments import Instrument, instrument_for
from quant_platform.ports.broker import Candle, Quote
from quant_platform.protocol.upstox import codes, limits, paths

from .scripted_broker import ScriptedBroker, SteppingClock, data, error, with_client


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


def test_keys_are_asked_for_again_after_every_one_was_refused() -> None:
    instruments = many(4)

    async def body(broker: ScriptedBroker, rest: UpstoxRest, _: SteppingClock) -> None:
        broker.answer(paths.LTP_V3, *[error(codes.INVALID_KEY, 400)] * 7, ltp_rows)
        assert await rest.quotes(instruments) == []
        assert len(await rest.quotes(instruments)) == 4

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
        row("ABB", "INE117A01022", tick_size=5.0, name=None),
        row("NOT A SYMBOL;", "INE002A01018"),
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
