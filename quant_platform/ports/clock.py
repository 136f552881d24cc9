"""The clock as hosts and adapters see it; a core never does."""

from typing import Protocol


class Clock(Protocol):
    """Time of the market that is being watched: the wall's, or a simulator's."""

    def now_ns(self) -> int:
        """Nanoseconds since the epoch, UTC."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Let this much of *its* time pass (a sixtieth of it on the wall at speed 60)."""
        ...
