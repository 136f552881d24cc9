"""The time of a simulated market that runs N times as fast as the wall."""

import asyncio
import time


class ScaledClock:
    """Simulated market time, counted on from one reading of the simulator's clock.

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
        self._market_ns = market_ns
        self._read_at_ns = time.perf_counter_ns()

    def now_ns(self) -> int:
        """Market time: nanoseconds since the epoch, UTC."""
        return self._market_ns + int((time.perf_counter_ns() - self._read_at_ns) * self._speed)

    async def sleep(self, seconds: float) -> None:
        """Let this much market time pass: ``seconds / speed`` on the wall."""
        await asyncio.sleep(max(seconds, 0.0) / self._speed)
