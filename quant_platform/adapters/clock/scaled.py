"""The time of a simulated market that runs N times as fast as the wall."""

import asyncio
import time

from quant_platform.domain.ticks import NS_PER_SECOND

LONGEST_NAP_S = 0.1
"""Seconds of the wall after which a sleeper looks whether the market's clock has jumped."""


class ScaledClock:
    """Simulated market time, counted on from the last reading of the simulator's clock.

    The simulator stands still until someone watches and jumps over hours without trading, so its clock is read
    again now and then (:meth:`set`). Time never goes back.

    Args:
        market_ns: what the simulator's clock showed just now, ns UTC.
        speed: market seconds per second of the wall, above 0.

    Raises:
        ValueError: the speed is not above 0.
    """

    def __init__(self, market_ns: int, speed: float) -> None:
        if not speed > 0:
            raise ValueError(f"a market cannot run at speed {speed}")
        self._speed = speed
        self._latest_ns = market_ns
        self.set(market_ns)

    def set(self, market_ns: int) -> None:
        """Count on from what the simulator's clock shows now, ns UTC."""
        self._market_ns = market_ns
        self._read_at_ns = time.perf_counter_ns()

    def now_ns(self) -> int:
        """Market time: nanoseconds since the epoch, UTC."""
        counted = self._market_ns + int((time.perf_counter_ns() - self._read_at_ns) * self._speed)
        self._latest_ns = max(self._latest_ns, counted)
        return self._latest_ns

    async def sleep(self, seconds: float) -> None:
        """Let this much market time pass, ``seconds / speed`` on the wall, or less where the market jumps."""
        until_ns = self.now_ns() + round(seconds * NS_PER_SECOND)
        while (left_ns := until_ns - self.now_ns()) > 0:
            await asyncio.sleep(min(left_ns / NS_PER_SECOND / self._speed, LONGEST_NAP_S))
