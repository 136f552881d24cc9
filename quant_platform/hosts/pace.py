"""What moves a run from one moment to the next: the exchange in lockstep, or the clock on the wall."""

import asyncio
from collections.abc import Callable
from typing import Protocol

from quant_platform.domain.ticks import NS_PER_SECOND
from quant_platform.hosts.lockstep import LockstepDriver
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
