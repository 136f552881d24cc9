"""``/api/v1/ws``: events as they happen, to everyone who listens."""

import asyncio
import contextlib
from collections.abc import Sequence
from threading import Lock
from typing import NamedTuple

import msgspec
from fastapi import APIRouter
from starlette.websockets import WebSocket, WebSocketDisconnect

from quant_platform.services.api_gateway.shapes import OrderStep

MOST_WAITING = 1000
"""Events that wait for one listener; one that is slower is let go, and asks ``/orders`` for what it missed."""
WRONG_PARAMETER = 1008
TOO_SLOW = 1013


class _Listener(NamedTuple):
    """One connection."""

    loop: asyncio.AbstractEventLoop
    waiting: "asyncio.Queue[str | None]"  # None: it was too slow
    portfolio: str | None


class LiveEvents:
    """Hands events to the connections that are open. Any thread may publish."""

    def __init__(self) -> None:
        self._listeners: set[_Listener] = set()
        self._lock = Lock()

    def publish(self, steps: Sequence[OrderStep]) -> None:
        """Hand steps of orders to every listener that wants them; returns at once."""
        texts = [(step.portfolio_id, msgspec.json.encode({"event": "order", "data": step}).decode()) for step in steps]
        with self._lock:
            listeners = list(self._listeners)
        for listener in listeners:
            wanted = [text for portfolio, text in texts if listener.portfolio in {None, portfolio}]
            if wanted:
                with contextlib.suppress(RuntimeError):  # its loop has ended: the server stops
                    listener.loop.call_soon_threadsafe(_hand_over, listener, wanted)

    async def serve(self, socket: WebSocket, portfolio: str | None) -> None:
        """Send a connection what happens from now on, until it ends.

        Args:
            socket: accepted here.
            portfolio: only of this one; None for all.
        """
        await socket.accept()
        listener = _Listener(asyncio.get_running_loop(), asyncio.Queue(), portfolio)
        with self._lock:
            self._listeners.add(listener)
        sending = asyncio.create_task(_send(socket, listener.waiting))
        hearing = asyncio.create_task(_until_gone(socket))
        try:
            await asyncio.wait({sending, hearing}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            with self._lock:
                self._listeners.discard(listener)
            for task in (sending, hearing):
                task.cancel()
            await asyncio.gather(sending, hearing, return_exceptions=True)


def live_router(prefix: str, events: LiveEvents) -> APIRouter:
    """The path on which events are sent."""
    router = APIRouter(prefix=prefix)

    @router.websocket("/ws")
    async def ws(socket: WebSocket) -> None:
        """Steps of orders as they become durable: of one portfolio, or of all."""
        asked = dict(socket.query_params)
        portfolio = asked.pop("portfolio", None)
        if asked:
            await socket.close(WRONG_PARAMETER, f"there is no parameter {next(iter(asked))!r}")
            return
        await events.serve(socket, portfolio)

    return router


def _hand_over(listener: _Listener, texts: Sequence[str]) -> None:
    for text in texts:
        if listener.waiting.qsize() > MOST_WAITING:
            return  # it has been told already
        listener.waiting.put_nowait(text if listener.waiting.qsize() < MOST_WAITING else None)


async def _send(socket: WebSocket, waiting: "asyncio.Queue[str | None]") -> None:
    with contextlib.suppress(WebSocketDisconnect):
        while (text := await waiting.get()) is not None:
            await socket.send_text(text)
        await socket.close(TOO_SLOW, "events came faster than they were taken; ask /orders for what was missed")


async def _until_gone(socket: WebSocket) -> None:
    """Hear what a listener says, which is nothing to us, until it goes."""
    while (await socket.receive())["type"] != "websocket.disconnect":
        pass
