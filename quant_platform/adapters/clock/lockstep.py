"""A clock that moves only as the simulator is told to advance: as fast as the machine, always alike."""

from collections.abc import Awaitable, Callable

from quant_platform.domain.ticks import NS_PER_SECOND


class LockstepClock:
    """The moment up to which the simulator has advanced.

    Nobody waits on the wall: a sleep advances the simulator by that much. Whoever advances it (the lockstep
    driver) announces itself with :meth:`drive_by` and reports every advance with :meth:`reached`.

    Args:
        start_ns: where the simulator's clock stands, ns UTC.
    """

    def __init__(self, start_ns: int) -> None:
        self._now_ns = start_ns
        self._advance: Callable[[int], Awaitable[None]] | None = None

    def now_ns(self) -> int:
        """Market time of the last advance: nanoseconds since the epoch, UTC."""
        return self._now_ns

    def drive_by(self, advance: Callable[[int], Awaitable[None]]) -> None:
        """Name the one who advances the simulator to a moment (ns UTC) for :meth:`sleep`."""
        self._advance = advance

    def reached(self, ts_ns: int) -> None:
        """Take over the simulator's answer to an advance; time never goes back."""
        self._now_ns = max(self._now_ns, ts_ns)

    async def sleep(self, seconds: float) -> None:
        """Advance the simulator by this much market time.

        Raises:
            RuntimeError: nobody drives this clock.
        """
        if self._advance is None:
            raise RuntimeError("a lockstep clock was asked to sleep before anything drives it")
        await self._advance(self._now_ns + round(max(seconds, 0.0) * NS_PER_SECOND))
