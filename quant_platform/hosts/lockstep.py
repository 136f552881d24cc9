"""Drive a simulated exchange step by step: its clock waits for the platform, so that runs repeat exactly."""

from typing import Protocol

from quant_platform.domain.errors import BrokerError, UnavailableError
from quant_platform.domain.ticks import NS_PER_SECOND

FIRST_BACKOFF_NS = NS_PER_SECOND
LONGEST_BACKOFF_NS = 8 * NS_PER_SECOND


class AdvanceReply(Protocol):
    """Where an advance came to."""

    @property
    def now_ns(self) -> int:
        """The simulator's clock, ns UTC."""
        ...

    @property
    def frames(self) -> int:
        """Sent on the newest connection so far."""
        ...

    @property
    def connected(self) -> bool:
        """Whether that connection still stands."""
        ...

    @property
    def finished(self) -> bool:
        """Whether the simulated market has nothing more to show."""
        ...


class Control(Protocol):
    """Who moves the simulator's clock."""

    async def advance(self, to_ns: int, requests: int) -> AdvanceReply:
        """Go on to a moment (ns UTC), once that many requests of the connection were processed."""
        ...


class SteppedFeed(Protocol):
    """A feed that is connected and read step by step."""

    connected: bool
    requests_sent: int

    async def connect_once(self) -> None:
        """Open it; raises where that fails."""
        ...

    async def disconnect(self, reason: str) -> None:
        """Close it."""
        ...

    async def drained(self, frames: int) -> None:
        """Wait until that many frames of the connection were handled, or it was lost."""
        ...


class DrivenClock(Protocol):
    """A clock that shows what the simulator has reached."""

    def now_ns(self) -> int:
        """Ns UTC."""
        ...

    def drive_by(self, advance: "Advance") -> None:
        """Name who advances for its sleeps."""
        ...

    def reached(self, ts_ns: int) -> None:
        """Take over the simulator's time."""
        ...


class Advance(Protocol):
    """Moves the simulated market on."""

    async def __call__(self, ts_ns: int) -> None:
        """Return when the moment (ns UTC) is reached."""
        ...


class LockstepDriver:
    """Brings simulator, feed and clock to one moment after another.

    Everything happens at a moment that the data alone decide: frames are handled before the next step, and a
    lost connection is opened again at once, or after 1, 2, 4, 8 … simulated seconds while that fails.

    Args:
        control: moves the simulator's clock.
        feed: is connected, and read to the last frame of each step.
        clock: shows the moment reached; its sleeps are steps of this driver.

    Attributes:
        finished: the simulated market has nothing more to show.
    """

    def __init__(self, control: Control, feed: SteppedFeed, clock: DrivenClock) -> None:
        self._control = control
        self._feed = feed
        self._clock = clock
        self._backoff_ns = FIRST_BACKOFF_NS
        self._retry_at_ns = 0
        self._frames_sent = 0
        self._cut = False
        self.finished = False
        clock.drive_by(self._sleep_until)

    async def advance_to(self, ts_ns: int) -> None:
        """Go on to a moment, connecting as needed; return when all frames up to it were handled.

        Raises:
            QuantError: the simulator does not answer, or a frame could not be handled.
        """
        await self._settle()
        while self._clock.now_ns() < ts_ns and not self.finished:
            if self._feed.connected:
                await self._step(ts_ns)
            elif self._clock.now_ns() >= self._retry_at_ns:
                await self._connect()
            else:
                await self._step(min(ts_ns, self._retry_at_ns))
            await self._settle()

    async def _connect(self) -> None:
        self._frames_sent, self._cut = 0, False
        try:
            await self._feed.connect_once()
        except (BrokerError, UnavailableError):  # the feed has told its handler
            self._retry_at_ns = self._clock.now_ns() + self._backoff_ns
            self._backoff_ns = min(2 * self._backoff_ns, LONGEST_BACKOFF_NS)
        else:
            self._backoff_ns = FIRST_BACKOFF_NS

    async def _step(self, ts_ns: int) -> None:
        """Advance once: to the moment, or to where the connection is cut."""
        live = self._feed.connected and not self._cut
        reply = await self._control.advance(ts_ns, self._feed.requests_sent if live else 0)
        if live:
            self._frames_sent, self._cut = reply.frames, not reply.connected
        self._clock.reached(reply.now_ns)
        self.finished = reply.finished

    async def _settle(self) -> None:
        """Handle all that was sent, and let go of a connection that the exchange cut."""
        await self._feed.drained(self._frames_sent)
        if self._cut:
            await self._feed.disconnect("the exchange cut the connection")

    async def _sleep_until(self, ts_ns: int) -> None:
        """Let simulated time pass for one who waits, such as a rate limit; frames arrive meanwhile."""
        while self._clock.now_ns() < ts_ns and not self.finished:
            await self._step(ts_ns)
