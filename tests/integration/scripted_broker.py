"""A real HTTP and WebSocket server that answers as a test tells it to: the faults a simulator does not show."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from quant_platform.adapters.broker.upstox_rest import UpstoxRest
from quant_platform.protocol.upstox import codes, paths
from quant_platform.protocol.upstox import market_data_feed_pb2 as wire
from quant_platform.protocol.upstox.feed_requests import FeedRequest, decode_request

Answer = Response | Callable[[Request], Response]
Script = Callable[["FeedLine"], Awaitable[None]]


def data(content: object) -> JSONResponse:
    return JSONResponse({"status": "success", "data": content})


class FeedLine:
    """One accepted connection of the feed, as the server sees it."""

    def __init__(self, socket: WebSocket) -> None:
        self.socket = socket
        self.requests: list[FeedRequest] = []

    async def send(self, ts_ms: int, ltp: float = 100.0, vtt: int = 1, key: str = "NSE_EQ|A") -> None:
        frame = wire.FeedResponse(type=wire.live_feed, currentTs=ts_ms)
        frame.feeds[key].fullFeed.marketFF.ltpc.ltp = ltp
        frame.feeds[key].fullFeed.marketFF.vtt = vtt
        await self.socket.send_bytes(frame.SerializeToString())

    async def take_request(self) -> FeedRequest:
        request = decode_request(await self.socket.receive_bytes())
        self.requests.append(request)
        return request

    async def until_closed(self) -> None:
        with contextlib.suppress(WebSocketDisconnect, KeyError):
            while True:
                await self.take_request()


class ScriptedBroker:
    """Answers paths that start so with the queued replies, the last one for ever; plays a script a connection."""

    def __init__(self) -> None:
        self.url = ""
        self.requests: list[Request] = []
        self.lines: list[FeedLine] = []
        self.scripts: list[Script | Response] = []
        self.tokens: list[str | None] = []
        self.accepted_token: str | None = None
        self._answers: dict[str, list[Answer]] = {}
        self._codes: set[str] = set()

    def answer(self, path: str, *answers: Answer) -> None:
        self._answers[path] = list(answers)

    async def _rest(self, request: Request) -> Response:
        self.requests.append(request)
        path = request.url.path
        if path == paths.FEED_V3 + paths.AUTHORIZE and not self._answers:
            return self._authorize(request)
        queue = next(answers for start, answers in self._answers.items() if path.startswith(start))
        answer = queue.pop(0) if len(queue) > 1 else queue[0]
        return answer(request) if callable(answer) and not isinstance(answer, Response) else answer

    def _authorize(self, request: Request) -> Response:
        self.tokens.append(request.headers.get("Authorization"))
        if self.accepted_token and self.tokens[-1] != f"Bearer {self.accepted_token}":
            return JSONResponse({"status": "error", "errors": [{"errorCode": "UDAPI100050"}]}, 401)
        code = f"code-{len(self.tokens)}"
        self._codes.add(code)
        url = f"{self.url.replace('http', 'ws')}{paths.FEED_SOCKET}?requestId=1&code={code}"
        return data({"authorizedRedirectUri": url, "authorized_redirect_uri": url})

    async def _feed(self, socket: WebSocket) -> None:
        code = socket.query_params["code"]
        script = self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]
        if code not in self._codes:
            script = Response(status_code=401)
        self._codes.discard(code)
        if isinstance(script, Response):
            await socket.send_denial_response(script)
            return
        await socket.accept()
        line = FeedLine(socket)
        self.lines.append(line)
        with contextlib.suppress(WebSocketDisconnect):
            await script(line)
            await socket.close(1012)

    @property
    def app(self) -> Starlette:
        routes = [
            WebSocketRoute(paths.FEED_SOCKET, self._feed),
            Route("/{rest:path}", self._rest, methods=["GET", "POST"]),
        ]
        return Starlette(routes=routes)


@contextlib.asynccontextmanager
async def scripted_broker() -> AsyncIterator[ScriptedBroker]:
    broker = ScriptedBroker()
    config = uvicorn.Config(
        broker.app, port=0, log_level="warning", lifespan="off", date_header=False, timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    broker.url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    try:
        yield broker
    finally:
        server.should_exit = True
        await task


class SteppingClock:
    """Market time that passes only by sleeping, and then at once."""

    def __init__(self, now_ns: int = 1_777_000_000 * 10**9) -> None:
        self._now_ns = now_ns
        self.slept: list[float] = []

    def now_ns(self) -> int:
        return self._now_ns

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self._now_ns += round(seconds * 10**9)
        await asyncio.sleep(0)


class Listener:
    """Writes down what it hears."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.stamps: list[int] = []
        self.lost_since: list[int | None] = []
        self.reasons: list[str] = []
        self.prepare: Callable[[], Awaitable[None]] | None = None
        self.frame_error: Exception | None = None
        self._changed = asyncio.Event()

    def _note(self, what: str) -> None:
        self.heard.append(what)
        self._changed.set()

    def on_frame(self, payload: bytes, received_ns: int) -> None:
        assert received_ns > 0
        if self.frame_error is not None:
            raise self.frame_error
        self.stamps.append(wire.FeedResponse.FromString(payload).currentTs)
        self._note(f"frame {self.stamps[-1]}")

    async def on_connected(self, lost_since_ns: int | None) -> None:
        self.lost_since.append(lost_since_ns)
        self._note("connecting")
        if self.prepare is not None:
            await self.prepare()
        self._note("connected")

    def on_disconnected(self, reason: str) -> None:
        self.reasons.append(reason)
        self._note("disconnected")

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not condition():
                self._changed.clear()
                await self._changed.wait()


TOKEN = "a-secret-token"


def error(code: str, status: int, **headers: str) -> JSONResponse:
    return JSONResponse(codes.error_envelope(code), status, headers)


def with_client(
    body: Callable[[ScriptedBroker, UpstoxRest, SteppingClock], Coroutine[Any, Any, None]],
    token: Callable[[], str] = lambda: TOKEN,
    **options: Any,
) -> None:
    """Run a test's body with a server and a client of it."""

    async def run() -> None:
        async with scripted_broker() as broker:
            clock = SteppingClock()
            rest = UpstoxRest(broker.url, token, clock, **options)
            try:
                await body(broker, rest, clock)
            finally:
                await rest.close()

    asyncio.run(run())
