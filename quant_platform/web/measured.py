"""Counts requests by route, status and duration; never by path, which anybody may make up."""

import time
from collections.abc import Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

Observe = Callable[[str, int, float], None]
"""Told the route's pattern (empty where the request met none), the status and the seconds that it took."""


class Measured:
    """Middleware that tells how every request went.

    Args:
        app: what is measured.
        observe: told of each request.
    """

    def __init__(self, app: ASGIApp, observe: Observe) -> None:
        self._app = app
        self._observe = observe

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and tell when it was answered."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 500

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        began = time.perf_counter()
        try:
            await self._app(scope, receive, noting)
        finally:
            route = scope.get("route")
            self._observe(getattr(route, "path", ""), status, time.perf_counter() - began)
