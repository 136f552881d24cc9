"""How the REST side answers: envelopes, errors in the broker's codes, tokens, rate limits."""

import hmac
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, Response

from quant_platform.domain.errors import QuantError
from quant_platform.domain.ticks import NS_PER_SECOND
from quant_platform.protocol.upstox import codes
from quant_platform.protocol.upstox.limits import STANDARD
from quant_platform.simulator.exchange import Exchange

Endpoint = Callable[[Request], Awaitable[Response]]


class Refusal(Exception):  # noqa: N818 - an answer, not a failure of ours
    """A request that is answered with one of the broker's errors."""

    def __init__(self, status: int, code: str, *, path: str | None = None, value: object = None) -> None:
        super().__init__(code)
        self.status = status
        self.body = codes.error_envelope(code, path=path, value=value)


def success(data: object) -> JSONResponse:
    """The broker's envelope around a good answer."""
    return JSONResponse({"status": "success", "data": data})


def exchange_of(request: HTTPConnection) -> Exchange:
    """The exchange that a request is made to."""
    exchange: Exchange = request.app.state.exchange
    return exchange


def shows_token(request: HTTPConnection) -> bool:
    """Whether a request carries the right Bearer token."""
    expected = f"Bearer {request.app.state.token}"
    given = request.headers.get("authorization", "")
    return hmac.compare_digest(given.encode(), expected.encode())


def authorised(endpoint: Endpoint) -> Endpoint:
    """An endpoint that wants the token, and keeps the rate limit if there is one."""

    async def checked(request: Request) -> Response:
        if not shows_token(request):
            raise Refusal(401, codes.INVALID_TOKEN)
        return await limited(endpoint)(request)

    return checked


def limited(endpoint: Endpoint) -> Endpoint:
    """An endpoint that keeps the rate limit if there is one."""

    async def checked(request: Request) -> Response:
        guard: RateGuard | None = request.app.state.rate_guard
        if guard is not None and not guard.admits(exchange_of(request).now_ns):
            raise Refusal(429, codes.RATE_LIMIT)
        return await endpoint(request)

    return checked


class RateGuard:
    """The broker's standard limits, counted in market time."""

    def __init__(self) -> None:
        self._calls: deque[int] = deque(maxlen=STANDARD.per_half_hour)

    def admits(self, now_ns: int) -> bool:
        """Count one more call, unless it is one too many."""
        for seconds, allowed in STANDARD.windows:
            if len(self._calls) >= allowed and now_ns - self._calls[-allowed] < seconds * NS_PER_SECOND:
                return False
        self._calls.append(now_ns)
        return True


async def _refused(_: Request, error: Refusal) -> Response:
    return JSONResponse(error.body, status_code=error.status)


async def _not_found(_: Request, __: Exception) -> Response:
    return JSONResponse(codes.error_envelope(codes.RESOURCE_NOT_FOUND), status_code=404)


async def _wrong_method(_: Request, __: Exception) -> Response:
    return JSONResponse(codes.error_envelope(codes.INVALID_METHOD), status_code=400)


async def _failed(_: Request, error: Exception) -> Response:
    return JSONResponse(codes.error_envelope(codes.SYSTEM_FAILURE, str(error)), status_code=500)


ERROR_HANDLERS: Mapping[Any, Callable[[Request, Any], Awaitable[Response]]] = {
    Refusal: _refused,
    QuantError: _failed,
    404: _not_found,
    405: _wrong_method,
}
