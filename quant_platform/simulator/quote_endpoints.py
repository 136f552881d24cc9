"""Quotes over REST: full, last price and OHLC, in versions 2 and 3."""

from datetime import datetime
from functools import partial
from typing import Any, NamedTuple

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from quant_platform.domain.instruments import Instrument
from quant_platform.domain.money import PAISE_PER_RUPEE
from quant_platform.domain.session import IST, midnight_ns
from quant_platform.domain.ticks import LEVELS, NS_PER_MS
from quant_platform.ports.broker import Candle
from quant_platform.protocol.upstox import codes, limits, paths
from quant_platform.simulator.candles import longer_candles
from quant_platform.simulator.exchange import Exchange
from quant_platform.simulator.replies import Refusal, authorised, exchange_of, success

MINUTES_OF_INTERVAL = {"I1": 1, "I30": 30}
CIRCUIT_PERCENT = 10
"""Half-width of the first price band of a stock with derivatives."""


class SymbolState(NamedTuple):
    """What the exchange knows of one security now."""

    instrument: Instrument
    number: int
    row: int  # of the day, -1: nothing yet
    last_price: int  # paise
    previous_close: int  # paise


def rupees(paise: int) -> float:
    """A price as it stands in JSON."""
    return int(paise) / PAISE_PER_RUPEE


def state_of(exchange: Exchange, number: int) -> SymbolState:
    """The security's state after the rows that have happened."""
    day = exchange.day
    row = day.last_row(number, exchange.row)
    close = int(day.previous_close[number])
    last = int(day.ticks.ltp[row]) if row >= 0 else close
    return SymbolState(exchange.instruments[number], number, row, last, close)


async def _requested(request: Request, too_many: str) -> tuple[Exchange, list[SymbolState]]:
    """The securities that a quote request names by ``instrument_key`` or, as the SDK does, by ``symbol``."""
    exchange = exchange_of(request)
    await exchange.ready()
    text = request.query_params.get("instrument_key") or request.query_params.get("symbol") or ""
    keys = [key for key in text.split(",") if key]
    if not keys:
        raise Refusal(400, codes.MISSING_KEY, path="instrumentKey")
    if len(keys) > limits.KEYS_PER_QUOTE:
        raise Refusal(400, too_many, path="instrumentKey", value=len(keys))
    numbers: dict[str, int] = request.app.state.numbers
    for key in keys:
        if key not in numbers:
            raise Refusal(400, codes.INVALID_QUOTE_KEY, path="instrumentKey", value=key)
    return exchange, [state_of(exchange, numbers[key]) for key in dict.fromkeys(keys)]


async def _last_price(request: Request, *, version: int) -> Response:
    exchange, states = await _requested(request, codes.TOO_MANY_LTP_KEYS)
    day = exchange.day
    data = {}
    for state in states:
        quote: dict[str, Any] = {
            "last_price": rupees(state.last_price),
            "instrument_token": state.instrument.instrument_key,
        }
        if version == 3:
            traded = state.row >= 0
            quote["ltq"] = int(day.shares[day.place[state.row]]) if traded else 0
            quote["volume"] = int(day.ticks.volume[state.row]) if traded else 0
            quote["cp"] = rupees(state.previous_close)
        data[state.instrument.symbol] = quote
    return success(data)


def _ohlc(candle: Candle) -> dict[str, Any]:
    names = ("open", "high", "low", "close")
    prices = {name: rupees(getattr(candle, name)) for name in names}
    return prices | {"volume": candle.volume, "ts": candle.ts // NS_PER_MS}


def _day_candle(exchange: Exchange, state: SymbolState) -> Candle | None:
    day = exchange.day
    place = int(day.place[state.row]) if state.row >= 0 else -1
    if place < 0 or not day.high[place]:
        return None
    return Candle(
        midnight_ns(day.day),
        int(day.open[place]),
        int(day.high[place]),
        int(day.low[place]),
        state.last_price,
        int(day.ticks.volume[state.row]),
    )


def _last_candles(exchange: Exchange, state: SymbolState, interval: str) -> list[Candle]:
    if interval == "1d":
        candle = _day_candle(exchange, state)
        return [candle] if candle else []
    minutes = exchange.source.intraday(exchange.day, state.number, exchange.row)
    return longer_candles(minutes, "minutes", MINUTES_OF_INTERVAL[interval])[-2:]


async def _open_high_low_close(request: Request, *, version: int) -> Response:
    interval = request.query_params.get("interval")
    if not interval:
        raise Refusal(400, codes.OHLC_INTERVAL_MISSING, path="interval")
    if interval != "1d" and interval not in MINUTES_OF_INTERVAL:
        raise Refusal(400, codes.OHLC_INTERVAL_INVALID, path="interval", value=interval)
    exchange, states = await _requested(request, codes.TOO_MANY_LTP_KEYS)
    data = {}
    for state in states:
        candles = [_ohlc(candle) for candle in _last_candles(exchange, state, interval)]
        live = candles[-1] if candles else None
        before = candles[-2] if len(candles) > 1 else None
        quote: dict[str, Any] = {
            "last_price": rupees(state.last_price),
            "instrument_token": state.instrument.instrument_key,
        }
        if version == 3:
            quote |= {"prev_ohlc": before, "live_ohlc": live}
        else:
            shown = live or {}
            quote["ohlc"] = {name: shown.get(name, 0.0) for name in ("open", "high", "low", "close")}
        data[state.instrument.symbol] = quote
    return success(data)


async def _full(request: Request, *, version: int) -> Response:
    exchange, states = await _requested(request, codes.TOO_MANY_QUOTE_KEYS)
    return success({state.instrument.symbol: _full_quote(exchange, state, version) for state in states})


def _depth(exchange: Exchange, row: int) -> dict[str, list[dict[str, Any]]]:
    """Always five rows a side; the number of orders is made up as one a level."""
    day = exchange.day
    standing = int(day.depth_row[day.place[row]]) if row >= 0 else -1
    sides = {}
    for name, prices, quantities in (
        ("buy", day.ticks.bid_price, day.ticks.bid_qty),
        ("sell", day.ticks.ask_price, day.ticks.ask_qty),
    ):
        levels = [(0, 0)] * LEVELS
        if standing >= 0:
            levels = list(zip(prices[standing].tolist(), quantities[standing].tolist(), strict=True))
        sides[name] = [
            {"quantity": quantity, "price": rupees(price), "orders": int(quantity > 0)} for price, quantity in levels
        ]
    return sides


def _full_quote(exchange: Exchange, state: SymbolState, version: int) -> dict[str, Any]:
    day, row = exchange.day, state.row
    candle = _day_candle(exchange, state)
    depth = _depth(exchange, row)
    stamp = datetime.fromtimestamp(exchange.now_ns // NS_PER_MS / 1000, IST)
    band = state.previous_close * CIRCUIT_PERCENT // 100
    ohlc = _ohlc(candle) if candle else {"open": 0.0, "high": 0.0, "low": 0.0, "close": 0.0, "volume": 0, "ts": 0}
    if version == 2:
        del ohlc["volume"], ohlc["ts"]
    quote: dict[str, Any] = {
        "ohlc": ohlc,
        "depth": depth,
        "timestamp": stamp.isoformat(timespec="milliseconds"),
        "instrument_token": state.instrument.instrument_key,
        "symbol": state.instrument.symbol.split(":", 1)[1],
        "last_price": rupees(state.last_price),
        "volume": int(day.ticks.volume[row]) if row >= 0 else 0,
        "average_price": float(day.ticks.atp[row]) if row >= 0 else 0.0,
        "oi": 0.0,
        "net_change": rupees(state.last_price - state.previous_close) if state.previous_close else 0.0,
        "total_buy_quantity": float(sum(level["quantity"] for level in depth["buy"])),
        "total_sell_quantity": float(sum(level["quantity"] for level in depth["sell"])),
        "lower_circuit_limit": rupees(state.previous_close - band),
        "upper_circuit_limit": rupees(state.previous_close + band),
        "last_trade_time": str(int(day.ticks.ts[row]) // NS_PER_MS) if row >= 0 else "0",
        "oi_day_high": 0.0,
        "oi_day_low": 0.0,
    }
    if version == 3:
        quote |= {
            "prev_close_price": rupees(state.previous_close),
            "previous_oi": 0.0,
            "indicative_equilibrium_price": rupees(int(day.indicative[row])) if row >= 0 else 0.0,
            "cas_eligible": state.instrument.cas_eligible,
        }
    return quote


ROUTES = [
    Route(path, authorised(partial(endpoint, version=version)), methods=["GET"])
    for path, endpoint, version in (
        (paths.LTP_V2, _last_price, 2),
        (paths.LTP_V3, _last_price, 3),
        (paths.OHLC_V2, _open_high_low_close, 2),
        (paths.OHLC_V3, _open_high_low_close, 3),
        (paths.QUOTES_V2, _full, 2),
        (paths.QUOTES_V3, _full, 3),
    )
]
