"""``quant sweep``: many parameter sets over the same data."""
# ruff: noqa: PLC0415 - what a command needs is imported when it runs, so that --help answers at once

from pathlib import Path
from typing import Annotated

import typer

from quant_platform.commands import flags, values
from quant_platform.hosts.options import SweepOptions

EXAMPLES = """\b
Examples:
  quant sweep --data july/*.parquet --set rsi_entry=45:60:5 --set rsi_exit=35,40,45
  quant sweep --data ticks/ --set max_positions=1:10:1 latency_ms=0,200,1000 --report out
  quant sweep --data ticks/ --set rsi_entry=45:60:1 --cluster tcp://10.0.0.5:8786 --json

\b
Every combination of the values is a set, and gives the numbers that `quant backtest` with it gives.
Features are computed once for all. Stopped or killed, the same command goes on: sets that are done are not run again.
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


def register(app: typer.Typer) -> None:
    """Add this module's command."""
    app.command(cls=values.SpreadingCommand, epilog=EXAMPLES)(sweep)


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

    Net of charges, by the engine that trades live. The best of many is in part luck: try it on other days.
    """
    if not data:
        raise typer.BadParameter("give at least one file, folder or glob", param_hint="--data")
    if not swept:
        raise typer.BadParameter("give at least one parameter with its values", param_hint="--set")
    if first is not None and last is not None and first > last:
        raise typer.BadParameter(f"{first} is after --to {last}", param_hint="--from")
    if workers is not None and cluster is not None:
        raise typer.BadParameter("a cluster has its own workers; give one of the two", param_hint="--workers")
    from quant_platform.hosts.config import load_settings
    from quant_platform.research import sweep as host
    from quant_platform.services.strategy_runtime.schema import DEFAULT_CAPITAL

    settings = load_settings(config)
    given = values.read_parameters(swept, latency_ms)
    host.run(
        SweepOptions(
            data=tuple(data),
            capital=DEFAULT_CAPITAL if capital is None else capital,
            swept=given,
            parameters=settings.trading.parameters,
            first=first,
            last=last,
            symbols=values.read_symbols(symbols or ()),
            strategy=strategy or settings.trading.strategy,
            workers=workers,
            cluster=cluster,
            results=results,
            home=home or settings.paths.home,
            top=top,
            report=report,
            json=json,
            skip_bad_rows=skip_bad_rows,
        )
    )
