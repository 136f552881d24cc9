"""The market data feed: its one-time URLs and its WebSocket."""

import asyncio
import secrets
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket

from quant_platform.protocol.upstox import codes, paths
from quant_platform.protocol.upstox.feed_requests import decode_request
from quant_platform.simulator.connection import FeedConnection
from quant_platform.simulator.exchange import Exchange
from quant_platform.simulator.replies import authorised, exchange_of, shows_token, success


async def _authorize(request: Request) -> Response:
    if exchange_of(request).refuses_feeds:
        return JSONResponse(codes.error_envelope(codes.SYSTEM_FAILURE), status_code=503)
    code = secrets.token_urlsafe(24)
    one_time: set[str] = request.app.state.feed_codes
    one_time.add(code)
    query = urlencode({"requestId": secrets.token_hex(16), "code": code})
    url = f"ws://{request.url.netloc}{paths.FEED_SOCKET}?{query}"
    return success({"authorized_redirect_uri": url, "authorizedRedirectUri": url})


async def _refuse(socket: WebSocket, status: int, code: str) -> None:
    await socket.send_denial_response(JSONResponse(codes.error_envelope(code), status_code=status))


async def _by_token(socket: WebSocket) -> None:
    if not shows_token(socket):
        await _refuse(socket, 401, codes.INVALID_TOKEN)
    else:
        await _serve(socket)


async def _by_code(socket: WebSocket) -> None:
    one_time: set[str] = socket.app.state.feed_codes
    code = socket.query_params.get("code", "")
    if code not in one_time:
        await _refuse(socket, 401, codes.INVALID_TOKEN)
        return
    one_time.remove(code)
    await _serve(socket)


async def _serve(socket: WebSocket) -> None:
    """A feed from handshake to end.

    Returning without a close message is what lets a feed break off: the server then closes the bare connection.
    """
    exchange = exchange_of(socket)
    if exchange.refuses_feeds:
        await _refuse(socket, 503, codes.SYSTEM_FAILURE)
        return
    feed = FeedConnection(socket, exchange.writer, exchange.instruments)
    # Admitted first: a client that has seen the handshake may at once ask the clock to wait for its requests.
    exchange.admit(feed)
    try:
        await socket.accept()
        await exchange.greet(feed)
        listening = asyncio.ensure_future(_listen(exchange, feed, socket))
        losing = asyncio.ensure_future(feed.lost.wait())
        try:
            await asyncio.wait({listening, losing}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            listening.cancel()
            losing.cancel()
    finally:
        exchange.forget(feed)


async def _listen(exchange: Exchange, feed: FeedConnection, socket: WebSocket) -> None:
    while True:
        message = await socket.receive()
        if message["type"] != "websocket.receive":
            return
        try:
            request = decode_request(message.get("bytes") or message.get("text") or b"")
        except ValueError as error:
            # What the broker does here is not documented; a text message is what its clients know of.
            await socket.send_json({"status": "failed", "error": str(error)})
            feed.worked_off()
        else:
            await exchange.obey(feed, request)


ROUTES: list[BaseRoute] = [
    Route(paths.FEED_V2 + paths.AUTHORIZE, authorised(_authorize), methods=["GET"]),
    Route(paths.FEED_V3 + paths.AUTHORIZE, authorised(_authorize), methods=["GET"]),
    WebSocketRoute(paths.FEED_V2, _by_token),
    WebSocketRoute(paths.FEED_V3, _by_token),
    WebSocketRoute(paths.FEED_SOCKET, _by_code),
]
