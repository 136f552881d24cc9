"""A source's days, fed to what takes ticks and bars: the platform of a backtest, or the shared features of a sweep."""

from collections.abc import Callable, Iterator, Sequence
from datetime import date
from operator import itemgetter
from typing import NamedTuple, Protocol

import numpy as np

from quant_platform.adapters.ticks.files import FileTickSource
from quant_platform.domain.instruments import SymbolTable, instrument_for
from quant_platform.domain.session import midnight_ns
from quant_platform.domain.ticks import TickBatch, cut
from quant_platform.hosts.options import BacktestOptions, SweepOptions
from quant_platform.ports.broker import Candle
from quant_platform.ports.tick_source import DayPart, TickSource
from quant_platform.ports.tick_store import StoredBar
from quant_platform.services.ingestion.history import WARM_UP_BARS, warm_up


class Intake(Protocol):
    """What is fed.

    Attributes:
        table: the source's symbols, see :func:`table_of`.
    """

    table: SymbolTable

    def on_ticks(self, ticks: TickBatch) -> None:
        """Take raw ticks in order."""
        ...

    def on_bars(self, symbol: str, kind: str, bars: Sequence[Candle], now_ns: int) -> None:
        """Warm a symbol up from history."""
        ...

    def on_stored_bars(self, stored: StoredBar) -> None:
        """Bars that entered a recorded run at this place of its stream."""
        ...


class Span(NamedTuple):
    """Trading days, both ends included."""

    first: date
    last: date

    def __str__(self) -> str:
        return str(self.first) if self.first == self.last else f"{self.first} to {self.last}"


def source_of(options: BacktestOptions | SweepOptions) -> FileTickSource:
    """The files, range and symbols that options name.

    Raises:
        UsageError: a file or range is not usable.
    """
    return FileTickSource(
        options.data,
        first=options.first,
        last=options.last,
        symbols=options.symbols or None,
        skip_bad_rows=options.skip_bad_rows,
    )


def table_of(source: TickSource) -> SymbolTable:
    """The symbols of a source, numbered as its ticks are."""
    table = SymbolTable()
    for symbol in source.symbols:
        table.add(symbol)
    return table


def fed_days(
    source: FileTickSource, intake: Intake, first: date | None, batch_size: int, advance: Callable[[int], None]
) -> Iterator[date]:
    """Feed every day in order; yields each date when all of it was taken.

    Args:
        source: of the ticks.
        intake: takes them.
        first: the date the source was cut at, before which it is asked for history; None: it was not.
        batch_size: most ticks of a batch.
        advance: told of the ticks of every batch.
    """
    if first is not None:
        _warm_up(source, intake, first)
    bars: list[StoredBar] = []
    for part in source.parts():
        bars += part.bars
        for piece in _pieces(part, bars, intake, batch_size):
            intake.on_ticks(piece)
            advance(piece.ts.size)
        if part.ends_day:
            bars.clear()
            yield part.day


def _warm_up(source: TickSource, intake: Intake, first: date) -> None:
    """A run that starts in mid-file has history at hand: what the files hold before its first date."""
    midnight = midnight_ns(first)
    for symbol in source.symbols:
        # As from a broker's history: minutes without a trade are no bars, so more are asked for than are needed.
        history = source.history(symbol, first, 2 * WARM_UP_BARS)
        bars = warm_up(history, (), midnight, instrument_for(symbol).cas_eligible)
        intake.on_bars(symbol, "warm-up", bars, midnight)


def _pieces(part: DayPart, bars: list[StoredBar], intake: Intake, batch_size: int) -> Iterator[TickBatch]:
    """A part's batches; bars that a recorded run took in are taken in at the same places of its stream.

    Args:
        part: of a day.
        bars: of the day, without those that came in with an earlier part; those that come in with this one are removed.
        intake: takes the bars in.
        batch_size: most ticks of a batch.
    """
    ticks = part.ticks
    done = 0
    for place, stored in sorted(_places_of_bars(part, bars, intake.table), key=itemgetter(0)):
        while done < place:
            stop = min(done + batch_size, place)
            yield cut(ticks, done, stop)
            done = stop
        intake.on_stored_bars(stored)
        bars[:] = [other for other in bars if other is not stored]
    for start in range(done, ticks.ts.size, batch_size):
        yield cut(ticks, start, min(start + batch_size, ticks.ts.size))


def _places_of_bars(part: DayPart, bars: Sequence[StoredBar], table: SymbolTable) -> Iterator[tuple[int, StoredBar]]:
    """Where stored bars stand: before the first of their symbol's ticks with at least the ``seq`` they name."""
    for stored in bars:
        symbol = table.get(stored.symbol)
        if symbol is not None:
            rows = np.flatnonzero((part.ticks.symbol == symbol) & (part.ticks.seq >= stored.before_seq))
            if rows.size or part.ends_day:
                yield (int(rows[0]) if rows.size else part.ticks.ts.size), stored
