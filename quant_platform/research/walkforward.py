"""``quant walkforward``: a sweep over some days, its best set on the next ones, and on so through the data."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date
from typing import NamedTuple

from rich import box
from rich.console import Console
from rich.table import Table

from quant_platform.domain.errors import UsageError
from quant_platform.domain.money import format_rupees
from quant_platform.hosts.look import print_json
from quant_platform.hosts.options import SweepOptions, WalkForwardOptions
from quant_platform.hosts.results import in_rupees, peak_memory_mb
from quant_platform.hosts.strategies import load_strategy
from quant_platform.ports.ledger_store import RunSummary
from quant_platform.research.feeding import Span, source_of
from quant_platform.research.grid import Grid, described, parameter_grid
from quant_platform.research.sweep import numbers_of, results_of
from quant_platform.research.sweep_report import shown, signed, varied
from quant_platform.research.sweep_results import SetResult

WIDEST = 105
"""Columns of the table beside the parameters'; a narrower terminal wraps lines and still shows every digit."""


class Window(NamedTuple):
    """One step of the walk."""

    train: Span
    test: Span
    best: SetResult  # of the sweep over the days of training
    tested: RunSummary  # by the same set, on the days after them
    ran: int  # sets that were run for it; the others' results were there


def run(options: WalkForwardOptions) -> None:
    """Walk, and print what it came to.

    Raises:
        UsageError: a file, range, strategy or parameter is not usable, or there are too few days.
        StrategyError: a strategy failed.
        UnavailableError: no Dask cluster answers.
    """
    started = time.perf_counter()
    sweep = options.sweep
    grid = parameter_grid(sweep.strategy, sweep.parameters, sweep.swept)
    spans = spans_of(source_of(sweep).trading_days(), options.train, options.test)
    windows = list(_walk(sweep, grid, spans))
    if sweep.json:
        _print_json(options, grid, windows, time.perf_counter() - started)
    else:
        _print(options, grid, windows)


def spans_of(days: Sequence[date], train: int, test: int) -> list[tuple[Span, Span]]:
    """Days of training and of trading, window by window; every window trades on where the one before ended.

    Args:
        days: trading days, in order.
        train: how many a set is chosen by.
        test: how many it then trades; the last window may have fewer.

    Raises:
        UsageError: there is no day left to trade.
    """
    if len(days) <= train:
        raise UsageError(
            f"{len(days)} trading days are too few for --train {train} and one day more",
            "give more data, or a smaller --train",
        )
    return [
        (Span(days[start - train], days[start - 1]), Span(days[start], days[min(start + test, len(days)) - 1]))
        for start in range(train, len(days), test)
    ]


def _walk(sweep: SweepOptions, grid: Grid, spans: Sequence[tuple[Span, Span]]) -> Iterator[Window]:
    """Each window trades on the balance that the one before left; sets are always chosen on the same capital."""
    balance = sweep.capital
    for train, test in spans:
        trained = results_of(replace(sweep, first=train.first, last=train.last), grid)
        best = trained.results[0]
        alone = Grid([_texts(sweep, grid, best)], grid.axes)
        traded = results_of(replace(sweep, first=test.first, last=test.last, capital=balance), alone)
        tested = traded.results[0].summary
        yield Window(train, test, best, tested, trained.ran + traded.ran)
        balance = tested.ending_balance


def _texts(sweep: SweepOptions, grid: Grid, best: SetResult) -> dict[str, str]:
    """The set of the grid that came to a result."""
    return next(each for each in grid.sets if described(*load_strategy(sweep.strategy, each)) == best.parameters)


def _print_json(options: WalkForwardOptions, grid: Grid, windows: Sequence[Window], seconds: float) -> None:
    sweep = options.sweep
    print_json(
        {
            "mode": "walkforward",
            "strategy": sweep.strategy,
            "data": list(sweep.data),
            "train": options.train,
            "test": options.test,
            "sets": len(grid.sets),
            "ran": sum(window.ran for window in windows),
            "seconds": round(seconds, 3),
            "peak_memory_mb": peak_memory_mb(),
            **{name: in_rupees(amount) for name, amount in _totals(sweep, windows).items()},
            "windows": [
                {
                    "train": {"first": str(window.train.first), "last": str(window.train.last)},
                    "test": {"first": str(window.test.first), "last": str(window.test.last)},
                    "parameters": dict(window.best.parameters),
                    "trained": numbers_of(window.best.summary),
                    "tested": numbers_of(window.tested),
                }
                for window in windows
            ],
        }
    )


def _totals(sweep: SweepOptions, windows: Sequence[Window]) -> dict[str, int]:
    """Of the days that were traded, paise."""
    sums = {name: sum(getattr(each.tested, name) for each in windows) for name in ("gross_pnl", "charges", "net_pnl")}
    return {"starting_balance": sweep.capital, **sums, "ending_balance": windows[-1].tested.ending_balance}


def _print(options: WalkForwardOptions, grid: Grid, windows: Sequence[Window]) -> None:
    """Window by window what was chosen and what it earned then, and the sum."""
    console = Console()
    names = varied(grid.axes)
    console.width = max(console.width, WIDEST + sum(len(name) + 3 for name in names))
    title = f"{options.sweep.strategy}: chosen by {options.train} days, traded on the next {options.test}"
    table = Table(title=title, title_justify="left", title_style="bold", header_style="bold", box=box.SIMPLE_HEAD)
    table.add_column("Traded", no_wrap=True)
    for name in (*names, "Net before", "Gross", "Charges", "Net", "Trips"):
        table.add_column(name, justify="right", no_wrap=True)
    for window in windows:
        tested = window.tested
        table.add_row(
            str(window.test), *(shown(window.best.parameters[name]) for name in names),
            signed(window.best.summary.net_pnl), signed(tested.gross_pnl), format_rupees(tested.charges),
            signed(tested.net_pnl), f"{tested.round_trips:,}",
        )  # fmt: skip
    totals = _totals(options.sweep, windows)
    table.add_section()
    table.add_row(
        "all", *("" for _ in names), "", signed(totals["gross_pnl"]), format_rupees(totals["charges"]),
        signed(totals["net_pnl"]), f"{sum(window.tested.round_trips for window in windows):,}",
    )  # fmt: skip
    console.print(table)
    start, end = totals["starting_balance"], totals["ending_balance"]
    print(f"balance {format_rupees(start)} to {format_rupees(end)}; `Net before` is what each set was chosen for")
