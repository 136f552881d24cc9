"""One open market data feed: what it subscribed to, what was sent on it, how it is sent."""

import asyncio
from collections.abc import Sequence

import numpy as np
from starlette.websockets import WebSocket, WebSocketDisconnect

from quant_platform.domain.instruments import Instrument
from quant_platform.protocol.upstox.feed_requests import SUBSCRIBE, UNSUBSCRIBE, FeedRequest
from quant_platform.simulator.feed_frames import MODES, NOT_SUBSCRIBED, FrameWriter
from quant_platform.simulator.market_day import MarketDay

ROWS_AHEAD = 8192
"""Rows whose frames are written at once, however small the steps of the clock: writing many is much cheaper."""


class FeedConnection:
    """A client's feed. Its methods are called in turn, never at the same time.

    Args:
        socket: accepted, or about to be.
        writer: of the market.
        instruments: by number.

    Attributes:
        requests: messages of the client that were worked off.
        frames: binary messages sent.
        lost: set when the connection is gone, or is to go.
        progress: set whenever one of the above changes.
    """

    def __init__(self, socket: WebSocket, writer: FrameWriter, instruments: Sequence[Instrument]) -> None:
        self._socket = socket
        self._writer = writer
        self._numbers = {each.instrument_key: number for number, each in enumerate(instruments)}
        self._modes = np.full(len(instruments), NOT_SUBSCRIBED, np.int8)
        self._day: MarketDay | None = None
        self._ahead: list[bytes] = []
        self._ahead_rows: list[int] = []
        self._written_to = 0
        self.requests = 0
        self.frames = 0
        self.lost = asyncio.Event()
        self.progress = asyncio.Event()

    async def send(self, frame: bytes) -> None:
        """One binary message; waits while the client is slow to read. A lost connection is noted, not raised."""
        if self.lost.is_set():
            return
        try:
            await self._socket.send_bytes(frame)
        except (WebSocketDisconnect, RuntimeError, OSError):
            self.drop()
        else:
            self.frames += 1

    def drop(self) -> None:
        """Note that the connection is gone, or let it go."""
        self.lost.set()
        self.progress.set()

    def worked_off(self) -> None:
        """Note that one more message of the client is done with."""
        self.requests += 1
        self.progress.set()

    def change(self, request: FeedRequest) -> dict[int, int]:
        """Bring a request into force.

        Returns:
            The symbols to be shown a snapshot, with their places in MODES; keys that nothing is known of are left out.
        """
        known = [self._numbers[key] for key in request.keys if key in self._numbers]
        if request.method == UNSUBSCRIBE:
            self._modes[known] = NOT_SUBSCRIBED
            self._forget_written()
            return {}
        mode = MODES.index(request.mode) if request.mode in MODES else MODES.index("full")
        if request.method == SUBSCRIBE:
            changed = known
        else:
            changed = [number for number in known if self._modes[number] != NOT_SUBSCRIBED]
        self._modes[changed] = mode
        self._forget_written()
        return dict.fromkeys(changed, mode)

    def _forget_written(self) -> None:
        self._day = None

    async def show(self, day: MarketDay, start: int, stop: int) -> None:
        """Send the frames of the day's rows from ``start`` to ``stop``."""
        if day is not self._day:
            self._day, self._ahead, self._ahead_rows, self._written_to = day, [], [], start
        while not self.lost.is_set():
            sent = 0
            while sent < len(self._ahead) and self._ahead_rows[sent] <= stop:
                await self.send(self._ahead[sent])
                sent += 1
            del self._ahead[:sent], self._ahead_rows[:sent]
            if self._ahead or self._written_to >= stop:
                return
            self._write_ahead(day)

    def _write_ahead(self, day: MarketDay) -> None:
        """Write the frames of the next rows, up to the end of a frame."""
        start = self._written_to
        frame = int(np.searchsorted(day.frames.starts, start + ROWS_AHEAD))
        end = int(day.frames.starts[min(frame, day.frames.starts.size - 1)])
        self._ahead, rows = self._writer.live(day, start, end, self._modes)
        self._ahead_rows = rows.tolist()
        self._written_to = end
