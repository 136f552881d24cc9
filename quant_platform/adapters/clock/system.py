"""The wall clock, for a real market."""

import asyncio
import time


class SystemClock:
    """Time as the machine knows it."""

    def now_ns(self) -> int:
        """Nanoseconds since the epoch, UTC."""
        return time.time_ns()

    async def sleep(self, seconds: float) -> None:
        """Let this much real time pass; nothing for zero or less."""
        await asyncio.sleep(max(seconds, 0.0))
