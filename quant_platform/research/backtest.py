"""A backtest: files in, the numbers, tables and report of a run out, by the engine that trades live."""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from operator import itemgetter
from pathlib import Path
from typing import Protocol

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from quant_platform.adapters.ledger.memory import MemoryLedger
from quant_platform.adapters.ticks.files import FileTickSource
from quant_platform.domain.instruments import SymbolTable, instrument_for
from quant_platform.domain.session import midnight_ns, session_on
from quant_platform.domain.ticks import TickBatch, cut
from quant_platform.hosts.embedded import Blueprint, EmbeddedPlatform
from quant_platform.hosts.options import BacktestOptions
from quant_platform.hosts.results import as_json
from quant_platform.hosts.strategies import load_strategy
from quant_platform.ports.broker import Candle
from quant_platform.ports.ledger_store import (
    EquityRow,
    FillRow,
    LedgerBlock,
    OrderEndRow,
    OrderRow,
    RunRequest,
    RunSummary,
)
from quant_platform.ports.tick_source import DayTicks, TickSource
from quant_platform.ports.tick_store import StoredBar
from quant_platform.research import report, tables
from quant_platform.research.metrics import measure
from quant_platform.services.ingestion.history import WARM_UP_BARS, warm_up
from quant_platform.services.strategy_runtime.schema import DEFAULT_CAPITAL


def run(options: BacktestOptions) -> None:
    """Run the backtest and print what was asked for.

    Raises:
        UsageError: a file, range, strategy or parameter is not usable; nothing is left behind.
    """
    started = time.perf_counter()
    strategy, settings = load_strategy(options.strategy, options.parameters)
    if options.report is not None:
        report.check_folder(options.report)
    source = FileTickSource(
        options.data,
        first=options.first,
        last=options.last,
        symbols=options.symbols or None,
        skip_bad_rows=options.skip_bad_rows,
    )
    blueprint = Blueprint(strategy, settings, source.has_depth)
    capital = DEFAULT_CAPITAL if options.capital is None else options.capital
    ledger = MemoryLedger()
    start = ledger.begin(RunRequest("backtest", "backtest", strategy.name, "{}", capital, capital, fresh=True))
    platform = EmbeddedPlatform(blueprint, table_of(source), ledger, start.balance)
    rows = _Rows()
    if options.report is not None or not options.json:
        platform.watchers.append(rows.take)
    _replay(source, platform, options)
    summary = ledger.finish()
    _tell(options, source, rows, summary, started)


class BarIntake(Protocol):
    """What takes a run's bars in beside its ticks: the platform, or what shares its features with many sets."""

    table: SymbolTable

    def on_bars(self, symbol: str, kind: str, bars: Sequence[Candle], now_ns: int) -> None:
        """Warm a symbol up from history."""
        ...

    def on_stored_bars(self, stored: StoredBar) -> None:
        """Bars that entered a recorded run at this place of its stream."""
        ...


def table_of(source: TickSource) -> SymbolTable:
    """The symbols of a source, numbered as its ticks are."""
    table = SymbolTable()
    for symbol in source.symbols:
        table.add(symbol)
    return table


def _replay(source: FileTickSource, platform: EmbeddedPlatform, options: BacktestOptions) -> None:
    """Feed every day through the platform; one commit a session."""
    if options.first is not None:
        warm_up_from(source, platform, options.first)
    with _progress(source.rows, shown=not options.json) as advance:
        for day in source.days():
            for piece in pieces(day, platform, options.batch_size):
                platform.on_ticks(piece)
                advance(piece.ts.size)
            session = session_on(day.day)
            if session is not None:
                platform.on_clock(session.last_close_ns)
                platform.runtime.mark_close(session.last_close_ns)
            platform.counters["implausible"] = sum(source.skipped_rows.values())
            platform.commit()


def warm_up_from(source: TickSource, intake: BarIntake, first: date) -> None:
    """A run that starts in mid-file has history at hand: what the files hold before its first date."""
    midnight = midnight_ns(first)
    for symbol in source.symbols:
        # As from a broker's history: minutes without a trade are no bars, so more are asked for than are needed.
        history = source.history(symbol, first, 2 * WARM_UP_BARS)
        bars = warm_up(history, (), midnight, instrument_for(symbol).cas_eligible)
        intake.on_bars(symbol, "warm-up", bars, midnight)


def pieces(day: DayTicks, intake: BarIntake, batch_size: int) -> Iterator[TickBatch]:
    """A day's batches; bars that a recorded run took in are taken in at the same places of its stream."""
    ticks = day.ticks
    done = 0
    for place, stored in sorted(_places_of_bars(day, intake.table), key=itemgetter(0)):
        while done < place:
            stop = min(done + batch_size, place)
            yield cut(ticks, done, stop)
            done = stop
        intake.on_stored_bars(stored)
    for start in range(done, ticks.ts.size, batch_size):
        yield cut(ticks, start, min(start + batch_size, ticks.ts.size))


def _places_of_bars(day: DayTicks, table: SymbolTable) -> Iterator[tuple[int, StoredBar]]:
    """Where stored bars stand: before the first of their symbol's ticks with at least the ``seq`` they name."""
    for stored in day.bars:
        symbol = table.get(stored.symbol)
        if symbol is not None:
            rows = np.flatnonzero((day.ticks.symbol == symbol) & (day.ticks.seq >= stored.before_seq))
            yield (int(rows[0]) if rows.size else day.ticks.ts.size), stored


@contextmanager
def _progress(rows: int, *, shown: bool) -> Iterator[Callable[[int], None]]:
    """A bar on standard error, where a person watches; yields what counts ticks in."""
    console = Console(stderr=True)
    columns = (TextColumn("backtest"), BarColumn(), MofNCompleteColumn(), TextColumn("ticks"), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not (shown and console.is_terminal)) as progress:
        task = progress.add_task("ticks", total=rows)
        yield lambda ticks: progress.advance(task, ticks)


class _Rows:
    """What a report tells one by one: kept only where there is one to make."""

    def __init__(self) -> None:
        self.orders: list[OrderRow] = []
        self.fills: list[FillRow] = []
        self.ends: list[OrderEndRow] = []
        self.equity: list[EquityRow] = []

    def take(self, block: LedgerBlock) -> None:
        """Take in a committed block."""
        self.orders += block.orders
        self.fills += block.fills
        self.ends += block.ends
        self.equity += block.equity


def _tell(options: BacktestOptions, source: TickSource, rows: _Rows, summary: RunSummary, started: float) -> None:
    """Write and print what was asked for."""
    what = ", ".join(Path(path).name for path in options.data)
    days = source.trading_days()
    title = f"{options.strategy} on {what}, {days[0]} to {days[-1]}"
    about = {
        "strategy": options.strategy,
        "parameters": dict(options.parameters),
        "data": list(options.data),
        "first": str(days[0]),
        "last": str(days[-1]),
        "obi": "depth" if source.has_depth else "bar",
    }
    if options.report is not None:
        report.write(
            options.report, summary, rows.fills, rows.orders, rows.equity, ends=rows.ends, about=about, caption=title
        )
    seconds = time.perf_counter() - started
    if options.json:
        numbers = as_json(summary, mode="backtest", source="files", depth=source.has_depth, seconds=seconds)
        print(json.dumps(numbers))
        return
    metrics = measure(summary, rows.fills, rows.equity)
    notes = {
        "OBI": "from depth" if source.has_depth else "bar (the data has no depth)",
        "Speed": f"{summary.ticks / seconds:,.0f} ticks/s, {seconds:.1f} s",
    }
    tables.print_backtest(Console(), metrics, title=title, notes=notes)
    print(f"ledger sha256 {summary.ledger_sha256}")
    if options.report is not None:
        print(f"report written to {options.report}")
