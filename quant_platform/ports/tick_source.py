"""Market data at rest, handed out one trading day after another."""

from collections.abc import Iterator, Sequence
from datetime import date
from typing import NamedTuple, Protocol

from quant_platform.domain.ticks import TickBatch
from quant_platform.ports.broker import Candle
from quant_platform.ports.tick_store import StoredBar


class DayTicks(NamedTuple):
    """One IST date of a source."""

    day: date
    ticks: TickBatch  # sorted by (ts, symbol name, order in the files); numbers index TickSource.symbols
    bars: Sequence[StoredBar]  # what warmed and repaired a recorded run; empty for plain files


class DayPart(NamedTuple):
    """Consecutive rows of one IST date."""

    day: date
    ticks: TickBatch  # as of DayTicks
    bars: Sequence[StoredBar]  # of the whole date, with its first part
    ends_day: bool  # no more rows of the date follow


class TickSource(Protocol):
    """Files of ticks or candles as a stream of days; memory holds one day."""

    @property
    def symbols(self) -> Sequence[str]:
        """All symbols of the source, sorted by name; a tick's number is its place here."""
        ...

    @property
    def has_depth(self) -> bool:
        """Whether any of the files has depth columns."""
        ...

    @property
    def rows(self) -> int:
        """Rows that will be handed out, four for a candle: for a progress bar."""
        ...

    def trading_days(self) -> Sequence[date]:
        """The IST dates with rows, in order."""
        ...

    def days(self) -> Iterator[DayTicks]:
        """The days in order."""
        ...

    def history(self, symbol: str, before: date, bars: int) -> list[Candle]:
        """The last ``bars`` one-minute bars of the source that start before a date, oldest first."""
        ...
