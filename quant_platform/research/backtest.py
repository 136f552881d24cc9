"""A backtest: files in, the numbers, tables and report of a run out, by the engine that trades live."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from quant_platform.adapters.ledger.memory import MemoryLedger
from quant_platform.adapters.ticks.files import FileTickSource
from quant_platform.domain.session import session_on
from quant_platform.hosts import compiler
from quant_platform.hosts.embedded import Blueprint, EmbeddedPlatform
from quant_platform.hosts.garbage import Collector, collected_at_rest
from quant_platform.hosts.options import BacktestOptions
from quant_platform.hosts.results import as_json
from quant_platform.hosts.strategies import load_strategy
from quant_platform.ports.ledger_store import (
    EquityRow,
    FillRow,
    LedgerBlock,
    OrderEndRow,
    OrderRow,
    RunRequest,
    RunSummary,
)
from quant_platform.ports.tick_source import TickSource
from quant_platform.research import report, tables
from quant_platform.research.feeding import fed_days, source_of, table_of
from quant_platform.research.metrics import measure
from quant_platform.services.strategy_runtime.schema import DEFAULT_CAPITAL


def run(options: BacktestOptions) -> None:
    """Run the backtest and print what was asked for.

    Raises:
        UsageError: a file, range, strategy or parameter is not usable; nothing is left behind.
    """
    compiler.load_early()
    with collected_at_rest() as collector:
        _run(options, collector)


def _run(options: BacktestOptions, collector: Collector) -> None:
    started = time.perf_counter()
    strategy, settings = load_strategy(options.strategy, options.parameters)
    if options.report is not None:
        report.check_folder(options.report)
    source = source_of(options)
    blueprint = Blueprint(strategy, settings, source.has_depth)
    capital = DEFAULT_CAPITAL if options.capital is None else options.capital
    ledger = MemoryLedger()
    start = ledger.begin(RunRequest("backtest", "backtest", strategy.name, "{}", capital, capital, fresh=True))
    platform = EmbeddedPlatform(blueprint, table_of(source), ledger, start.balance)
    rows = _Rows(with_orders=options.report is not None)
    if options.report is not None or not options.json:
        platform.watchers.append(rows.take)
    with _progress(source.rows, shown=not options.json) as advance:
        trade(source, platform, options.first, options.batch_size, advance, collector)
    summary = ledger.finish()
    _tell(options, source, rows, summary, started)


def trade(
    source: FileTickSource,
    platform: EmbeddedPlatform,
    first: date | None,
    batch_size: int,
    advance: Callable[[int], None],
    collector: Collector,
) -> None:
    """Feed every day of a source through the platform; one commit a session.

    Args:
        source: of the ticks.
        platform: its cores.
        first: date before which the source is asked for history; None where there is none, or it is stored with the
            ticks.
        batch_size: most ticks of a batch.
        advance: told of the ticks of every batch.
        collector: of garbage, at rest between days.
    """
    for day in fed_days(source, platform, first, batch_size, advance):
        session = session_on(day)
        if session is not None:
            platform.on_clock(session.last_close_ns)
            platform.runtime.mark_close(session.last_close_ns)
        platform.counters["implausible"] = sum(source.skipped_rows.values())
        platform.commit()
        collector.rest()


@contextmanager
def _progress(rows: int, *, shown: bool) -> Iterator[Callable[[int], None]]:
    """A bar on standard error, where a person watches; yields what counts ticks in."""
    console = Console(stderr=True)
    columns = (TextColumn("backtest"), BarColumn(), MofNCompleteColumn(), TextColumn("ticks"), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not (shown and console.is_terminal)) as progress:
        task = progress.add_task("ticks", total=rows)
        yield lambda ticks: progress.advance(task, ticks)


class _Rows:
    """What is told one by one: fills and equity, and for a report the orders too.

    Args:
        with_orders: whether a report is made.
    """

    def __init__(self, *, with_orders: bool) -> None:
        self._with_orders = with_orders
        self.orders: list[OrderRow] = []
        self.fills: list[FillRow] = []
        self.ends: list[OrderEndRow] = []
        self.equity: list[EquityRow] = []

    def take(self, block: LedgerBlock) -> None:
        """Take in a committed block."""
        if self._with_orders:
            self.orders += block.orders
            self.ends += block.ends
        self.fills += block.fills
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
