"""A backtest: files in, the numbers, tables and report of a run out, by the engine that trades live."""

import json
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from datetime import time as clock_time
from operator import itemgetter
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from quant_platform.adapters.ledger.sql import SqlLedger
from quant_platform.adapters.ticks.files import FileTickSource
from quant_platform.domain.instruments import SymbolTable
from quant_platform.domain.session import ns_at, session_on
from quant_platform.domain.ticks import TickBatch, cut
from quant_platform.hosts.embedded import Blueprint, EmbeddedPlatform
from quant_platform.hosts.options import BacktestOptions
from quant_platform.hosts.results import as_json
from quant_platform.hosts.strategies import load_strategy
from quant_platform.ports.ledger_store import RunRequest, RunSummary
from quant_platform.ports.tick_source import DayTicks, TickSource
from quant_platform.ports.tick_store import StoredBar
from quant_platform.services.ingestion.history import WARM_UP_BARS
from quant_platform.services.strategy_runtime.schema import DEFAULT_CAPITAL

MIDNIGHT = clock_time(0, 0)


def run(options: BacktestOptions) -> None:
    """Run the backtest and print what was asked for.

    Raises:
        UsageError: a file, range, strategy or parameter is not usable; nothing is left behind.
    """
    started = time.perf_counter()
    strategy, settings = load_strategy(options.strategy, options.parameters)
    source = FileTickSource(
        options.data,
        first=options.first,
        last=options.last,
        symbols=options.symbols or None,
        skip_bad_rows=options.skip_bad_rows,
    )
    blueprint = Blueprint(strategy, settings, source.has_depth)
    capital = DEFAULT_CAPITAL if options.capital is None else options.capital
    with tempfile.TemporaryDirectory(prefix="quant-backtest-") as folder:
        ledger = SqlLedger(Path(folder) / "ledger.sqlite", durable=False)
        with ledger:
            request = RunRequest("backtest", "backtest", strategy.name, "{}", capital, capital, fresh=True)
            start = ledger.begin(request)
            platform = EmbeddedPlatform(blueprint, _table_of(source), ledger, start.balance)
            _replay(source, platform, options)
            platform.counters["implausible"] = sum(source.skipped_rows.values())
            summary = ledger.finish()
            _print(options, source, ledger, summary, started)


def _table_of(source: TickSource) -> SymbolTable:
    table = SymbolTable()
    for symbol in source.symbols:
        table.add(symbol)
    return table


def _replay(source: TickSource, platform: EmbeddedPlatform, options: BacktestOptions) -> None:
    """Feed every day through the platform; one commit a session."""
    if options.first is not None:
        _warm_up(source, platform, options.first)
    with _progress(source.rows, shown=not options.json) as advance:
        for day in source.days():
            for piece in _pieces(day, platform, options.batch_size):
                platform.on_ticks(piece)
                advance(piece.ts.size)
            session = session_on(day.day)
            if session is not None:
                platform.on_clock(session.last_close_ns)
                platform.runtime.mark_close(session.last_close_ns)
            platform.commit()


def _warm_up(source: TickSource, platform: EmbeddedPlatform, first: date) -> None:
    """A run that starts in mid-file has history at hand: what the files hold before its first date."""
    midnight = ns_at(first, MIDNIGHT)
    for symbol in source.symbols:
        bars = source.history(symbol, first, WARM_UP_BARS)
        platform.on_bars(symbol, "warm-up", bars, midnight)


def _pieces(day: DayTicks, platform: EmbeddedPlatform, batch_size: int) -> Iterator[TickBatch]:
    """A day's batches; bars that a recorded run took in are taken in at the same places of its stream."""
    ticks = day.ticks
    done = 0
    for place, stored in sorted(_places_of_bars(day, platform.table), key=itemgetter(0)):
        while done < place:
            stop = min(done + batch_size, place)
            yield cut(ticks, done, stop)
            done = stop
        platform.on_stored_bars(stored)
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


def _print(
    options: BacktestOptions, source: TickSource, ledger: SqlLedger, summary: RunSummary, started: float
) -> None:
    seconds = time.perf_counter() - started
    if options.json:
        numbers = as_json(summary, mode="backtest", source="files", depth=source.has_depth, seconds=seconds)
        print(json.dumps(numbers))
    else:
        print(summary)
