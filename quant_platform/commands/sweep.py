"""``quant sweep`` and ``quant walkforward``: many parameter sets over the same data, and the best ones after it."""
# ruff: noqa: PLC0415 - what a command needs is imported when it runs, so that --help answers at once

from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from quant_platform.commands import flags, values
from quant_platform.hosts.options import SweepOptions, WalkForwardOptions

EXAMPLES = """\b
Examples:
  quant sweep --data july/*.parquet --set rsi_entry=45:60:5 --set rsi_exit=35,40,45
  quant sweep --data ticks/ --set max_positions=1:10:1 latency_ms=0,200,1000 --report out
  quant sweep --data ticks/ --set rsi_entry=45:60:1 --cluster tcp://10.0.0.5:8786 --json

\b
Every combination of the values is a set, and gives the numbers that `quant backtest` with it gives.
Features are computed once for all. Stopped or killed, the same command goes on: sets that are done are not run again.
"""

WALK_EXAMPLES = """\b
Examples:
  quant walkforward --data ticks/ --set rsi_entry=45:60:5 --train 20 --test 5
  quant walkforward --data 2026/*.parquet --set rsi_entry=45:60:5 rsi_exit=35,40,45 --from 2026-03-01 --json

\b
Each window's sweep gives the numbers of `quant sweep` with its dates, and its test those of `quant backtest`.
Stopped or killed, the same command goes on: sets that are done are not run again.
"""

Swept = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="NAME=VALUES...", help="Values of a parameter: 45,50,55, or a range 45:55:5, ends included."
    ),
]
Workers = Annotated[
    int | None, typer.Option("--workers", metavar="N", min=1, help="Processes. [default: one a processor]")
]
Cluster = Annotated[
    str | None, typer.Option("--cluster", metavar="ADDRESS", help="A Dask scheduler, to run on its workers instead.")
]
Results = Annotated[
    Path | None,
    typer.Option("--results", metavar="FILE", help="Parquet, a row a set. [default: one in the home's folder sweeps]"),
]
Top = Annotated[int, typer.Option("--top", metavar="N", min=1, help="How many sets the table shows, the best ones.")]
Report = Annotated[
    Path | None, typer.Option("--report", metavar="DIR", help="Write all sets and a heat map of their results there.")
]


Train = Annotated[int, typer.Option("--train", metavar="DAYS", min=1, help="Trading days that sets are chosen by.")]
Test = Annotated[int, typer.Option("--test", metavar="DAYS", min=1, help="Trading days that the best one trades then.")]


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.command(cls=values.SpreadingCommand, epilog=EXAMPLES)(sweep)
    app.command(cls=values.SpreadingCommand, epilog=WALK_EXAMPLES)(walkforward)


def sweep(
    data: flags.Data = None,
    first: flags.First = None,
    last: flags.Last = None,
    symbols: flags.Symbols = None,
    strategy: flags.Strategy = None,
    swept: Swept = None,
    capital: flags.Capital = None,
    latency_ms: flags.LatencyMs = None,
    workers: Workers = None,
    cluster: Cluster = None,
    results: Results = None,
    home: flags.Home = None,
    top: Top = 20,
    report: Report = None,
    json: flags.Json = False,
    skip_bad_rows: flags.SkipBadRows = False,
    config: flags.ConfigFile = None,
) -> None:
    """Run many parameter sets over your own files, and rank them.

    Net of charges, by the engine that trades live. The best of many is in part luck: `quant walkforward` tries it on
    other days.
    """
    from quant_platform.research import sweep as host

    options = _options(
        data, first, last, symbols, strategy, swept, capital, latency_ms, workers, cluster, results, home, json,
        skip_bad_rows, config,
    )  # fmt: skip
    host.run(replace(options, top=top, report=report))


def walkforward(
    data: flags.Data = None,
    train: Train = 20,
    test: Test = 5,
    first: flags.First = None,
    last: flags.Last = None,
    symbols: flags.Symbols = None,
    strategy: flags.Strategy = None,
    swept: Swept = None,
    capital: flags.Capital = None,
    latency_ms: flags.LatencyMs = None,
    workers: Workers = None,
    cluster: Cluster = None,
    results: Results = None,
    home: flags.Home = None,
    json: flags.Json = False,
    skip_bad_rows: flags.SkipBadRows = False,
    config: flags.ConfigFile = None,
) -> None:
    """Sweep over some days, trade the best set on the next ones, and go on so through your files.

    What it earns on days that it was not chosen by, on the balance that the days before left.
    """
    from quant_platform.research import walkforward as host

    options = _options(
        data, first, last, symbols, strategy, swept, capital, latency_ms, workers, cluster, results, home, json,
        skip_bad_rows, config,
    )  # fmt: skip
    host.run(WalkForwardOptions(options, train, test))


def _options(
    data: list[str] | None,
    first: date | None,
    last: date | None,
    symbols: list[str] | None,
    strategy: str | None,
    swept: list[str] | None,
    capital: int | None,
    latency_ms: int | None,
    workers: int | None,
    cluster: str | None,
    results: Path | None,
    home: Path | None,
    json: bool,
    skip_bad_rows: bool,
    config: Path | None,
) -> SweepOptions:
    """What both commands take alike."""
    if not data:
        raise typer.BadParameter("give at least one file, folder or glob", param_hint="--data")
    if not swept:
        raise typer.BadParameter("give at least one parameter with its values", param_hint="--set")
    if first is not None and last is not None and first > last:
        raise typer.BadParameter(f"{first} is after --to {last}", param_hint="--from")
    if workers is not None and cluster is not None:
        raise typer.BadParameter("a cluster has its own workers; give one of the two", param_hint="--workers")
    from quant_platform.hosts.config import load_settings
    from quant_platform.services.strategy_runtime.schema import DEFAULT_CAPITAL

    settings = load_settings(config)
    return SweepOptions(
        data=tuple(data),
        capital=DEFAULT_CAPITAL if capital is None else capital,
        swept=values.read_parameters(swept, latency_ms),
        parameters=settings.trading.parameters,
        first=first,
        last=last,
        symbols=values.read_symbols(symbols or ()),
        strategy=strategy or settings.trading.strategy,
        workers=workers,
        cluster=cluster,
        results=results,
        home=home or settings.paths.home,
        json=json,
        skip_bad_rows=skip_bad_rows,
    )
