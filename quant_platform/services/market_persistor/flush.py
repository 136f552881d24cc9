"""When taken rows have to be written: after so many of them, or after so long."""

from quant_platform.domain.ticks import NS_PER_SECOND


class FlushRule:
    """Counts what waits. Time is handed in, on any clock that only moves forward.

    Args:
        max_rows: as many rows as may wait.
        max_age_ns: as long as the oldest of them may wait.
    """

    def __init__(self, max_rows: int = 16_384, max_age_ns: int = NS_PER_SECOND) -> None:
        self._max_rows = max_rows
        self._max_age_ns = max_age_ns
        self._rows = 0
        self._oldest_ns = 0

    def took(self, rows: int, now_ns: int) -> None:
        """Rows were handed to the store at this moment."""
        if rows and not self._rows:
            self._oldest_ns = now_ns
        self._rows += rows

    def is_due(self, now_ns: int) -> bool:
        """Whether the waiting rows have to be written now."""
        if not self._rows:
            return False
        return self._rows >= self._max_rows or now_ns - self._oldest_ns >= self._max_age_ns

    def flushed(self) -> None:
        """Nothing waits any more."""
        self._rows = 0
