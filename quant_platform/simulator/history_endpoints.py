"""Candles over REST: history and the current day, in versions 2 and 3. They want no token."""

from datetime import date, timedelta

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from quant_platform.domain.session import ist_date, ist_time
from quant_platform.ports.broker import Candle
from quant_platform.protocol.upstox import codes, limits, paths
from quant_platform.simulator.background import beside_the_loop
from quant_platform.simulator.candles import longer_candles
from quant_platform.simulator.exchange import Exchange
from quant_platform.simulator.quote_endpoints import rupees
from quant_platform.simulator.replies import Refusal, exchange_of, limited, success

V2_INTERVALS = {
    "1minute": ("minutes", 1),
    "30minute": ("minutes", 30),
    "day": ("days", 1),
    "week": ("weeks", 1),
    "month": ("months", 1),
}
V2_INTRADAY = ("1minute", "30minute")
INTRADAY_UNITS = ("minutes", "hours", "days")


def _rows(candles: list[Candle]) -> dict[str, object]:
    """The broker's lists, newest first."""
    return {
        "candles": [
            [
                ist_time(candle.ts).isoformat(),
                *(rupees(price) for price in candle[1:5]),
                candle.volume,
                0,
            ]
            for candle in reversed(candles)
        ]
    }


def _number(request: Request) -> int:
    key = request.path_params["key"]
    if "|" not in key:
        raise Refusal(400, codes.CANDLE_KEY_FORMAT, path="instrumentKey", value=key)
    numbers: dict[str, int] = request.app.state.numbers
    if key not in numbers:
        raise Refusal(400, codes.INVALID_KEY, path="instrumentKey", value=key)
    return numbers[key]


def _unit_and_interval(request: Request) -> tuple[str, int]:
    unit, text = request.path_params["unit"], request.path_params["interval"]
    if unit not in limits.CANDLE_UNITS:
        raise Refusal(400, codes.CANDLE_UNIT, path="unit", value=unit)
    if not text.isdecimal() or not 1 <= int(text) <= limits.CANDLE_UNITS[unit].longest:
        raise Refusal(400, codes.CANDLE_INTERVAL, path="interval", value=text)
    return unit, int(text)


def _date(request: Request, name: str) -> date:
    text = request.path_params[name]
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise Refusal(400, codes.BAD_DATES, path=name, value=text) from None


async def _past(request: Request, unit: str, interval: int) -> Response:
    number = _number(request)
    exchange = exchange_of(request)
    last = _date(request, "to_date")
    earliest = limits.earliest_from(unit, interval, last)
    first = earliest or limits.CANDLE_UNITS[unit].first or last
    if "from_date" in request.path_params:
        first = _date(request, "from_date")
        if first > last:
            raise Refusal(400, codes.BAD_DATES, path="from_date", value=first.isoformat())
        if earliest is not None and first < earliest:
            raise Refusal(400, codes.CANDLE_RANGE, path="from_date", value=first.isoformat())
    # The current day is not history yet, and what comes after it must not be known.
    last = min(last, ist_date(exchange.now_ns) - timedelta(days=1))
    if first > last:
        return success(_rows([]))
    minutes = await beside_the_loop(lambda: exchange.source.history(number, first, last))
    return success(_rows(longer_candles(minutes, unit, interval)))


async def _current(request: Request, unit: str, interval: int) -> Response:
    number = _number(request)
    exchange = exchange_of(request)
    await exchange.ready()
    return success(_rows(longer_candles(_today(exchange, number), unit, interval)))


def _today(exchange: Exchange, number: int) -> list[Candle]:
    if exchange.day.day != ist_date(exchange.now_ns):
        return []
    return exchange.source.intraday(exchange.day, number, exchange.row)


async def _history_v3(request: Request) -> Response:
    return await _past(request, *_unit_and_interval(request))


async def _intraday_v3(request: Request) -> Response:
    unit, interval = _unit_and_interval(request)
    if unit not in INTRADAY_UNITS:
        raise Refusal(400, codes.CANDLE_UNIT, path="unit", value=unit)
    return await _current(request, unit, interval)


async def _history_v2(request: Request) -> Response:
    text = request.path_params["interval"]
    if text not in V2_INTERVALS:
        raise Refusal(400, codes.CANDLE_INTERVAL, path="interval", value=text)
    return await _past(request, *V2_INTERVALS[text])


async def _intraday_v2(request: Request) -> Response:
    text = request.path_params["interval"]
    if text not in V2_INTRADAY:
        raise Refusal(400, codes.CANDLE_INTERVAL, path="interval", value=text)
    return await _current(request, *V2_INTERVALS[text])


_V3, _V2 = paths.HISTORY_V3, paths.HISTORY_V2
ROUTES = [
    Route(path, limited(endpoint), methods=["GET"])
    for path, endpoint in (
        (f"{_V3}/intraday/{{key}}/{{unit}}/{{interval}}", _intraday_v3),
        (f"{_V3}/{{key}}/{{unit}}/{{interval}}/{{to_date}}", _history_v3),
        (f"{_V3}/{{key}}/{{unit}}/{{interval}}/{{to_date}}/{{from_date}}", _history_v3),
        (f"{_V2}/intraday/{{key}}/{{interval}}", _intraday_v2),
        (f"{_V2}/{{key}}/{{interval}}/{{to_date}}", _history_v2),
        (f"{_V2}/{{key}}/{{interval}}/{{to_date}}/{{from_date}}", _history_v2),
    )
]
