"""The simulator's own endpoints: the clock, read and driven."""

import json

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from quant_platform.protocol.upstox import codes
from quant_platform.simulator.replies import Refusal, authorised, exchange_of

CLOCK = "/simulator/clock"
ADVANCE = "/simulator/advance"


async def _clock(request: Request) -> Response:
    exchange = exchange_of(request)
    await exchange.ready()
    return JSONResponse(
        {
            "now_ns": exchange.now_ns,
            "start_ns": exchange.start_ns,
            "end_ns": exchange.timetable.end_ns,
            "finished": exchange.finished,
            "speed": exchange.speed if exchange.speed is not None else "max",
            "source": exchange.source.name,
            "depth": exchange.source.has_depth,
        }
    )


def _integer(document: object, name: str) -> int:
    value = document.get(name) if isinstance(document, dict) else None
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise Refusal(400, codes.MALFORMED_INPUT, path=name, value=value)
    return value


async def _advance(request: Request) -> Response:
    exchange = exchange_of(request)
    if exchange.speed is not None:
        raise Refusal(400, codes.MALFORMED_INPUT, path="speed", value=exchange.speed)
    try:
        document = json.loads(await request.body())
    except ValueError:
        raise Refusal(400, codes.MALFORMED_INPUT) from None
    to_ns, requests = _integer(document, "to_ns"), _integer(document, "requests")
    await exchange.requests_worked_off(requests)
    await exchange.advance(to_ns)
    feed = exchange.newest
    return JSONResponse(
        {
            "now_ns": exchange.now_ns,
            "frames": feed.frames if feed else 0,
            "connected": feed is not None and not feed.lost.is_set(),
            "finished": exchange.finished,
        }
    )


ROUTES = [
    Route(CLOCK, authorised(_clock), methods=["GET"]),
    Route(ADVANCE, authorised(_advance), methods=["POST"]),
]
