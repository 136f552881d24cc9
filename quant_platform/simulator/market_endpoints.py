"""The exchange's calendar and lists over REST: status, timings, holidays, instruments files, the user's profile."""

import gzip
import json
from datetime import date
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from quant_platform.domain import nse_calendar
from quant_platform.domain.errors import CalendarError
from quant_platform.domain.instruments import Instrument
from quant_platform.domain.session import ist_date, session_on
from quant_platform.domain.ticks import NS_PER_MS
from quant_platform.protocol.upstox import codes, paths
from quant_platform.protocol.upstox import market_data_feed_pb2 as wire
from quant_platform.simulator.market_status import EXCHANGES, closing_auction_at, status_at
from quant_platform.simulator.replies import Refusal, authorised, exchange_of, limited, success

CASH_EXCHANGES = ("NSE", "BSE")
PROFILE = {
    "email": "simulated@example.com",
    "exchanges": ["NSE"],
    "products": ["I", "D"],
    "broker": "UPSTOX",
    "user_id": "SIM001",
    "user_name": "Simulated User",
    "order_types": ["MARKET", "LIMIT", "SL", "SL-M"],
    "user_type": "individual",
    "poa": False,
    "ddpi": False,
    "is_active": True,
}


async def _profile(_: Request) -> Response:
    return success(PROFILE)


async def _status(request: Request) -> Response:
    name = request.path_params["exchange"]
    if name not in EXCHANGES:
        raise Refusal(400, codes.INVALID_EXCHANGE, path="exchange", value=name)
    now = exchange_of(request).now_ns
    status, since = status_at(now)
    data: dict[str, Any] = {
        "exchange": name,
        "status": wire.MarketStatus.Name(status),
        "last_updated": since // NS_PER_MS,
    }
    auction = closing_auction_at(now) if name in CASH_EXCHANGES else None
    if auction is not None:
        data["cas_eligible_status"] = {"status": auction[0], "last_updated": auction[1] // NS_PER_MS}
    return success(data)


def _timings_on(day: date) -> list[dict[str, Any]]:
    session = session_on(day)
    if session is None:
        return []
    opens, closes = session.open_ns(False) // NS_PER_MS, session.last_close_ns // NS_PER_MS
    return [{"exchange": name, "start_time": opens, "end_time": closes} for name in CASH_EXCHANGES]


def _day(request: Request) -> date:
    text = request.path_params["date"]
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise Refusal(400, codes.INVALID_DATE, path="date", value=text) from None


async def _timings(request: Request) -> Response:
    day = _day(request)
    try:
        return success(_timings_on(day))
    except CalendarError:
        raise Refusal(400, codes.INVALID_DATE, path="date", value=day.isoformat()) from None


def _holiday(day: date) -> dict[str, Any] | None:
    special = nse_calendar.SPECIAL_SESSIONS.get(day)
    if special is None and day not in nse_calendar.HOLIDAYS:
        return None
    return {
        "date": day.isoformat(),
        "description": f"{special.name} session" if special else "Exchange holiday",
        "holiday_type": "SPECIAL_TIMING" if special else "TRADING_HOLIDAY",
        "closed_exchanges": [] if special else list(CASH_EXCHANGES),
        "open_exchanges": _timings_on(day) if special and special.windows else [],
    }


async def _holidays(request: Request) -> Response:
    if "date" in request.path_params:
        days = [_day(request)]
    else:
        year = ist_date(exchange_of(request).now_ns).year
        every = nse_calendar.HOLIDAYS | nse_calendar.SPECIAL_SESSIONS.keys()
        days = sorted(day for day in every if day.year == year)
    return success([entry for entry in map(_holiday, days) if entry])


def _listing(instrument: Instrument, *, intraday: bool) -> dict[str, Any]:
    segment, ticker = instrument.symbol.split(":", 1)
    listing: dict[str, Any] = {
        "segment": segment,
        "name": instrument.name.upper(),
        "exchange": segment.split("_")[0],
        "isin": instrument.isin,
        "instrument_type": "EQ",
        "instrument_key": instrument.instrument_key,
        "lot_size": instrument.lot_size,
        "freeze_quantity": 100000.0,
        "exchange_token": instrument.instrument_key.split("|")[1],
        "tick_size": float(instrument.tick_size),
        "trading_symbol": ticker,
        "short_name": instrument.name,
        "qty_multiplier": 1.0,
        "security_type": "NORMAL",
    }
    if instrument.cas_eligible:
        listing["cas_eligible"] = True
    if intraday:
        listing |= {"intraday_margin": 20.0, "intraday_leverage": 5.0}
    return listing


INSTRUMENT_FILES = ("NSE", "complete", "NSE_MIS")


async def _instruments(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in INSTRUMENT_FILES:
        raise Refusal(404, codes.RESOURCE_NOT_FOUND)
    listed = exchange_of(request).instruments
    rows = [_listing(instrument, intraday=name == "NSE_MIS") for instrument in listed]
    return Response(gzip.compress(json.dumps(rows).encode(), mtime=0), media_type="application/gzip")


ROUTES = [
    Route(paths.PROFILE, authorised(_profile), methods=["GET"]),
    Route(f"{paths.MARKET_STATUS}/{{exchange}}", authorised(_status), methods=["GET"]),
    Route(f"{paths.MARKET_TIMINGS}/{{date}}", limited(_timings), methods=["GET"]),
    Route(paths.MARKET_HOLIDAYS, limited(_holidays), methods=["GET"]),
    Route(f"{paths.MARKET_HOLIDAYS}/{{date}}", limited(_holidays), methods=["GET"]),
    Route(paths.INSTRUMENT_FILES + "/{name}.json.gz", _instruments, methods=["GET"]),
]
