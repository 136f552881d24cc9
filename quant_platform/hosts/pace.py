"""What moves a run from one moment to the next: the exchange in lockstep, or the clock on the wall."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from quant_platform.domain.ticks import NS_PER_SECOND
from quant_platform.hosts.lockstep import DrivenClock, LockstepDriver
from quant_platform.ports.clock import Clock

TICK_S = 0.1
"""How often, on the wall, time is told to the platform where no tick tells it."""
IN_FLIGHT_S = 1.0
"""Wall seconds within which a frame that was sent has arrived: clocks stay that far behind."""


class Pace(Protocol):
    """Lets the market go on."""

    async def until(self, ts_ns: int) -> None:
        """Return when the moment (ns UTC) is reached and every frame up to it was handled."""
        ...


class LockstepPace:
    """As fast as everything goes: the exchange's clock waits for the platform.

    Args:
        driver: brings exchange and feed to a moment.
    """

    def __init__(self, driver: LockstepDriver) -> None:
        self._driver = driver

    async def until(self, ts_ns: int) -> None:
        """Return when all frames up to the moment were handled, or the exchange has nothing more."""
        await self._driver.advance_to(ts_ns)


class WallPace:
    """Time passes by itself, at the wall's speed or a multiple.

    Args:
        clock: of the market.
        speed: market seconds per wall second.
        on_time: told market time that no frame still under way can be before.
    """

    def __init__(self, clock: Clock, speed: float, on_time: Callable[[int], None]) -> None:
        self._clock = clock
        self._on_time = on_time
        self._in_flight_ns = round(IN_FLIGHT_S * speed * NS_PER_SECOND)

    async def until(self, ts_ns: int) -> None:
        """Return when the clock has passed the moment by as much as a frame may be under way."""
        while (now_ns := self._clock.now_ns()) < ts_ns + self._in_flight_ns:
            self._on_time(min(now_ns - self._in_flight_ns, ts_ns))
            await asyncio.sleep(TICK_S)


class ShownTime(Protocol):
    """What a simulated exchange tells of its clock."""

    @property
    def now_ns(self) -> int:
        """Ns UTC."""
        ...

    @property
    def finished(self) -> bool:
        """Whether the simulated market has nothing more to show."""
        ...


class FollowingPace:
    """Beside another process that drives the exchange's clock: look how far it has come.

    Args:
        shown: asks the exchange for its clock.
        clock: of the market here; whoever sleeps by it waits for the driver.
        on_time: told market time at every look.
    """

    def __init__(
        self, shown: Callable[[], Awaitable[ShownTime]], clock: DrivenClock, on_time: Callable[[int], None]
    ) -> None:
        self._shown = shown
        self._clock = clock
        self._on_time = on_time
        clock.drive_by(self.until)

    async def until(self, ts_ns: int) -> None:
        """Return when the exchange has reached the moment, or has nothing more.

        Raises:
            UnavailableError: the exchange does not answer.
        """
        while True:
            shown = await self._shown()
            self._clock.reached(shown.now_ns)
            self._on_time(shown.now_ns)
            if shown.now_ns >= ts_ns or shown.finished:
                return
            await asyncio.sleep(TICK_S)
