"""Upstox's market data feed V3 as a stream of frames that keeps itself alive."""

import asyncio
import contextlib
import time
import uuid
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Protocol

import structlog
from google.protobuf.message import DecodeError
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI

from quant_platform.adapters.broker.upstox_transport import LOGIN_CURE, is_local
from quant_platform.domain.errors import AuthenticationError, BrokerError, UnavailableError
from quant_platform.domain.ticks import NS_PER_MS, NS_PER_SECOND
from quant_platform.ports.broker import FeedHandler
from quant_platform.ports.clock import Clock
from quant_platform.protocol.upstox import market_data_feed_pb2 as wire
from quant_platform.protocol.upstox.feed_requests import FULL, SUBSCRIBE, UNSUBSCRIBE, FeedRequest

KEYS_PER_REQUEST = 500
FIRST_BACKOFF_S = 1.0
LONGEST_BACKOFF_S = 30.0
CLOSE_TIMEOUT_S = 1.0
LONGEST_TURN_NS = 50 * NS_PER_MS
"""Frames that wait in a row are handled for so long before anything else, a signal to stop among it, has its turn."""

_log = structlog.get_logger(__name__)


class FeedAuthorizer(Protocol):
    """Who hands out the one-time URL; reads the token anew each time."""

    async def authorize_feed(self) -> str:
        """A URL that opens the feed once."""
        ...


class UpstoxFeed:
    """One connection at a time to the market data feed.

    Frames go to the handler from the task that reads the socket, without a queue between. Keys subscribed
    before the feed is up, or while it is down, are asked for when it is up. An error that the handler raises
    closes the connection and comes out of :meth:`connect_once`, :meth:`drained` or :meth:`run`: a core that
    failed on one frame must not be fed the next.

    Args:
        rest: hands out the one-time URL of every connection.
        clock: of the market, for pauses before reconnecting.
        handler: who listens.
        in_session: whether the exchange trades now, so that silence means a fault.
        mode: ``ltpc``, ``full`` or ``option_greeks``.
        stall_after_s: seconds of the wall without a frame, in session, after which to give the connection up.
        keepalive_s: seconds between our pings, which find a dead line outside the session; None for none.

    Attributes:
        connected: whether the connection stands.
        requests_sent: requests sent on the newest connection.
        frames_received: binary frames received on it, those that wait for ``on_connected`` included.
    """

    def __init__(
        self,
        rest: FeedAuthorizer,
        clock: Clock,
        handler: FeedHandler,
        in_session: Callable[[], bool],
        *,
        mode: str = FULL,
        stall_after_s: float = 5.0,
        keepalive_s: float | None = 20.0,
    ) -> None:
        self._rest = rest
        self._clock = clock
        self._handler = handler
        self._in_session = in_session
        self._mode = mode
        self._stall_after_ns = round(stall_after_s * NS_PER_SECOND)
        self._keepalive_s = keepalive_s
        self._keys: dict[str, None] = {}
        self._socket: ClientConnection | None = None
        self._reader: asyncio.Task[None] | None = None
        self._held: list[tuple[bytes, int]] | None = None
        self._last_frame: bytes | None = None
        self._lost_since_ns: int | None = None
        self._drop_reason = ""
        self._alive_ns = 0
        self._failure: Exception | None = None
        self._awaited_frames = 0
        self._drained = asyncio.Event()
        self.connected = False
        self.requests_sent = 0
        self.frames_received = 0
        self._frames_handled = 0

    async def subscribe(self, keys: Iterable[str]) -> None:
        """Add instrument keys; kept, and subscribed again on every reconnect."""
        new = [key for key in dict.fromkeys(keys) if key not in self._keys]
        self._keys.update(dict.fromkeys(new))
        await self._request(SUBSCRIBE, new)

    async def unsubscribe(self, keys: Iterable[str]) -> None:
        """Take instrument keys out again, as at the start of a new session."""
        gone = [key for key in dict.fromkeys(keys) if key in self._keys]
        for key in gone:
            del self._keys[key]
        await self._request(UNSUBSCRIBE, gone)

    async def connect_once(self) -> None:
        """Open the feed, subscribe the kept keys and let the handler prepare; afterwards frames flow.

        A failure is told to the handler, once, and raised.

        Raises:
            AuthenticationError: the token was refused, by the authorization or by the feed itself.
            BrokerError: the broker refused otherwise.
            UnavailableError: the broker cannot be reached.
        """
        self._raise_failure()
        await self.disconnect("a new connection is opened")
        self.requests_sent = self.frames_received = self._frames_handled = 0
        try:
            socket = await self._open(await self._rest.authorize_feed())
        except (BrokerError, UnavailableError) as error:
            self._handler.on_disconnected(str(error))
            raise
        self._socket = socket
        self._drop_reason = ""
        self._held = []
        self._alive_ns = time.perf_counter_ns()
        self.connected = True
        self._reader = asyncio.create_task(self._read(socket), name="upstox-feed-reader")
        try:
            await self._request(SUBSCRIBE, list(self._keys))
            await self._handler.on_connected(self._lost_since_ns)
            self._release()
        except BaseException as error:
            self._held = []
            await self.disconnect(str(error) or "stopped")
            self._held = None
            if self._reader is not None:
                self._lost()
            raise

    async def disconnect(self, reason: str) -> None:
        """Close the connection, if there is one, and wait until the handler was told."""
        reader, socket = self._reader, self._socket
        if reader is None or socket is None:
            return
        self._drop_reason = self._drop_reason or reason
        await socket.close()
        await asyncio.wait([reader])

    async def drained(self, frames: int) -> None:
        """Wait until that many frames of the newest connection were handled, or it was lost."""
        while self.connected and self._frames_handled < frames:
            self._awaited_frames = frames
            self._drained.clear()
            await self._drained.wait()
        self._raise_failure()

    async def run(self) -> None:
        """Connect, receive, watch and reconnect until cancelled.

        A refused token is reported like any other failure and read anew for the next try.
        """
        pause_s = FIRST_BACKOFF_S
        try:
            while True:
                with contextlib.suppress(BrokerError, UnavailableError):
                    await self.connect_once()
                    await self._watch()
                self._raise_failure()
                if self._frames_handled:
                    pause_s = FIRST_BACKOFF_S
                await self._clock.sleep(pause_s)
                pause_s = min(2 * pause_s, LONGEST_BACKOFF_S)
        finally:
            await self.disconnect("stopped")

    async def _open(self, url: str) -> ClientConnection:
        """The connection behind a one-time URL, whose code must not appear in any message."""
        where = url.split("?", 1)[0]
        try:
            return await connect(
                url,
                compression=None,
                max_size=None,
                ping_interval=self._keepalive_s,
                ping_timeout=self._keepalive_s,
                close_timeout=CLOSE_TIMEOUT_S,
                proxy=None if is_local(url) else True,
            )
        except InvalidStatus as error:
            status = error.response.status_code
            what = f"the feed at {where} refused the connection [HTTP {status}]"
            if status == HTTPStatus.UNAUTHORIZED:
                raise AuthenticationError(what, LOGIN_CURE, status=status) from None
            if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                raise UnavailableError(what, "try again") from None
            raise BrokerError(what, "see whether this account may use the feed", status=status) from None
        except (OSError, InvalidHandshake, InvalidURI, ConnectionClosed) as error:
            # The text of the error is left out: it may repeat the URL.
            raise UnavailableError(
                f"the feed at {where} cannot be opened ({type(error).__name__})", "check the network"
            ) from None

    async def _request(self, method: str, keys: list[str]) -> None:
        """Ask for keys; where the line is down or breaks, the next connection asks for all that are kept."""
        socket = self._socket
        for start in range(0, len(keys), KEYS_PER_REQUEST):
            if socket is None or not self.connected:
                return
            batch = tuple(keys[start : start + KEYS_PER_REQUEST])
            request = FeedRequest(str(uuid.uuid4()), method, batch, self._mode)
            self.requests_sent += 1
            with contextlib.suppress(ConnectionClosed):
                await socket.send(request.encode())

    async def _read(self, socket: ClientConnection) -> None:
        """Hand on frames until the connection ends, however it ends; what waits behind a disconnect is dropped."""
        reason = "stopped"
        turn_began_ns = time.perf_counter_ns()
        try:
            while True:
                message = await socket.recv()
                received_ns = time.perf_counter_ns()
                if received_ns - turn_began_ns > LONGEST_TURN_NS:
                    await asyncio.sleep(0)
                    turn_began_ns = time.perf_counter_ns()
                if self._drop_reason:
                    continue
                if isinstance(message, str):
                    _log.warning("the feed sent a text", text=message[:500])
                    continue
                self._alive_ns = received_ns
                self.frames_received += 1
                if self._held is not None:
                    self._held.append((message, received_ns))
                else:
                    self._handle(message, received_ns)
        except ConnectionClosed as error:
            reason = f"the connection was closed ({error.rcvd.code if error.rcvd else 'without a goodbye'})"
        except Exception as error:
            self._failure = error
            reason = f"a frame could not be handled ({type(error).__name__})"
            self.connected = False
            await socket.close()
        finally:
            self._drop_reason = self._drop_reason or reason
            self.connected = False
            if self._held is None:
                self._lost()

    def _handle(self, message: bytes, received_ns: int) -> None:
        self._handler.on_frame(message, received_ns)
        self._last_frame = message
        self._frames_handled += 1
        if self._frames_handled == self._awaited_frames:
            self._drained.set()

    def _release(self) -> None:
        """Handle the frames that waited, and the loss of the connection if it came meanwhile."""
        held, self._held = self._held or [], None
        for message, received_ns in held:
            self._handle(message, received_ns)
        if not self.connected:
            self._lost()

    def _lost(self) -> None:
        self._reader = self._socket = None
        if self._last_frame is not None:
            self._lost_since_ns = _stamp(self._last_frame) or self._lost_since_ns
        self._drained.set()
        self._handler.on_disconnected(self._drop_reason)

    def _raise_failure(self) -> None:
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    async def _watch(self) -> None:
        """Return when the connection is lost; give it up when it is silent for too long in session."""
        session_since_ns = 0
        while self._reader is not None:
            await asyncio.wait([self._reader], timeout=self._stall_after_ns / NS_PER_SECOND / 10)
            now_ns = time.perf_counter_ns()
            if not (self._keys and self._in_session()):
                session_since_ns = 0
                continue
            session_since_ns = session_since_ns or now_ns
            silent_ns = now_ns - max(self._alive_ns, session_since_ns)
            if silent_ns >= self._stall_after_ns:
                await self.disconnect(f"no frame for {silent_ns / NS_PER_SECOND:.1f} s in session")


def _stamp(frame: bytes) -> int | None:
    """Market time of a frame, ns UTC."""
    try:
        return wire.FeedResponse.FromString(frame).currentTs * NS_PER_MS or None
    except DecodeError:
        return None
