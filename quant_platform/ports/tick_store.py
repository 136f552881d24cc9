"""Where ticks are kept, and what warmed and repaired a run with them."""

from collections.abc import Sequence
from datetime import date
from typing import NamedTuple, Protocol

from quant_platform.domain.ticks import BarBatch, EnrichedBatch


class StoredBar(NamedTuple):
    """Bars that entered the stream just before the symbol's tick ``before_seq`` of the day."""

    symbol: str
    before_seq: int  # seq of the first tick that comes after them
    kind: str  # warm-up | repair
    bars: BarBatch


class TickStore(Protocol):
    """Append-only storage of one day's stream after another."""

    def append(self, day: date, ticks: EnrichedBatch, symbols: Sequence[str]) -> None:
        """Take rows in order; they are safe from a kill of the process after at most a second."""
        ...

    def append_bars(self, day: date, bars: StoredBar) -> None:
        """Take warm-up or repair bars, in order with the ticks."""
        ...

    def flush(self) -> None:
        """Hand everything taken so far to the operating system."""
        ...

    def compact(self, day: date) -> None:
        """Turn the day's segments into one file, each (timestamp, symbol, seq) once."""
        ...
