"""The simulated exchange as a server: one process, one port, one line on standard output when it is ready."""

import asyncio
import contextlib
import json
import os
import secrets
import socket
import sys
import threading
from collections.abc import AsyncIterator

import uvicorn
from starlette.applications import Starlette

from quant_platform.domain.errors import UnavailableError, UsageError
from quant_platform.ports.tick_source import TickSource
from quant_platform.simulator import (
    control_endpoints,
    feed_endpoints,
    history_endpoints,
    login_endpoints,
    market_endpoints,
    quote_endpoints,
)
from quant_platform.simulator.exchange import Exchange
from quant_platform.simulator.options import ExchangeOptions
from quant_platform.simulator.replay import ReplaySource
from quant_platform.simulator.replies import ERROR_HANDLERS, RateGuard
from quant_platform.simulator.source import MarketSource

ROUTERS = (
    quote_endpoints.ROUTES,
    history_endpoints.ROUTES,
    market_endpoints.ROUTES,
    login_endpoints.ROUTES,
    feed_endpoints.ROUTES,
    control_endpoints.ROUTES,
)
"""Everything that is served; orders and the portfolio stream join here."""

PING_INTERVAL_S = 10.0
PING_TIMEOUT_S = 300.0
"""A client that compiles, or sits in a debugger, is slow but there."""


def build_app(exchange: Exchange, options: ExchangeOptions, token: str) -> Starlette:
    """The exchange as an ASGI application, whose market starts to move with its lifespan."""

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        running = asyncio.ensure_future(exchange.run())
        try:
            yield
        finally:
            running.cancel()

    routes = [route for router in ROUTERS for route in router]
    app = Starlette(routes=routes, exception_handlers=dict(ERROR_HANDLERS), lifespan=lifespan)
    app.state.exchange = exchange
    app.state.token = token
    app.state.numbers = {each.instrument_key: number for number, each in enumerate(exchange.instruments)}
    app.state.feed_codes = set()
    app.state.login_codes = {}
    app.state.rate_guard = RateGuard() if options.rate_limit else None
    return app


def open_source(options: ExchangeOptions, tick_source: TickSource | None) -> MarketSource:
    """The market that the options name.

    Raises:
        UsageError: a replay without a tick source.
        DataError: the tick source has no rows of that date.
    """
    if options.source == "replay":
        if tick_source is None:
            raise UsageError("a replay needs files", "name them with --data")
        return ReplaySource(tick_source, options.day)
    from quant_platform.simulator.demo import DemoSource  # noqa: PLC0415 - a replay needs none of it

    return DemoSource(options.seed, options.day)


def _listen(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port), backlog=128)
    except OSError as error:
        raise UnavailableError(
            f"the exchange cannot listen on {host}:{port}: {error.strerror}", "choose another --port"
        ) from None


class ExchangeServer(uvicorn.Server):
    """A bound exchange: says when it is ready, and may end with the process that started it.

    Args:
        options: what to serve and where.
        tick_source: the market of a replay.

    Attributes:
        ready: ``url``, ``token`` and ``depth``, as printed.

    Raises:
        UsageError: the options contradict each other, or the data cannot be replayed.
        UnavailableError: the port is taken.
    """

    def __init__(self, options: ExchangeOptions, tick_source: TickSource | None = None) -> None:
        exchange = Exchange(open_source(options, tick_source), options)
        token = options.token or secrets.token_urlsafe(32)
        self._listener = _listen(options.host, options.port)
        host = f"[{options.host}]" if ":" in options.host else options.host
        url = f"http://{host}:{self._listener.getsockname()[1]}"
        self.ready = {"url": url, "token": token, "depth": exchange.source.has_depth}
        self._exit_with_parent = options.exit_with_parent
        super().__init__(
            uvicorn.Config(
                build_app(exchange, options, token),
                ws="websockets-sansio",
                ws_per_message_deflate=False,
                ws_ping_interval=PING_INTERVAL_S,
                ws_ping_timeout=PING_TIMEOUT_S,
                log_config=None,
                log_level="critical",
                access_log=False,
                timeout_graceful_shutdown=0,
            )
        )

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until told to stop."""
        with self._listener:
            super().run(sockets or [self._listener])

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start listening, and say so."""
        await super().startup(sockets)
        if self._exit_with_parent:
            threading.Thread(target=self._end_with_standard_input, daemon=True).start()
        sys.stdout.write(json.dumps(self.ready) + "\n")
        sys.stdout.flush()

    def _end_with_standard_input(self) -> None:
        # The other end of the pipe closes with its process, however that ends.
        while os.read(0, 4096):
            pass
        self.should_exit = True


def serve(options: ExchangeOptions, tick_source: TickSource | None = None) -> None:
    """Run the exchange until it is told to stop; prints ``{"url", "token", "depth"}`` on one line when ready.

    Args:
        options: what to serve and where.
        tick_source: the market of a replay.

    Raises:
        UsageError: the options contradict each other, or the data cannot be replayed.
        UnavailableError: the port is taken.
    """
    with contextlib.suppress(KeyboardInterrupt):
        ExchangeServer(options, tick_source).run()
