"""``quant backtest``, ``quant up`` and ``quant exchange``: the commands that run a market."""
# ruff: noqa: PLC0415 - what a command needs is imported when it runs, so that --help answers at once

from datetime import date, time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from quant_platform.commands import values
from quant_platform.hosts.options import BacktestOptions, Source, Subscription, UpOptions
from quant_platform.simulator.options import ExchangeOptions

if TYPE_CHECKING:
    from quant_platform.hosts.config import Settings

BACKTEST_EXAMPLES = """\b
Examples:
  quant backtest --data candles.parquet
  quant backtest --data july/*.parquet august/ --from 2026-07-15 --symbols RELIANCE,TCS
  quant backtest --data ticks/ --set rsi_entry=55 --set max_positions=5 --capital 100000
  quant backtest --data candles.parquet --strategy my_rules.py --report out --json

\b
Files: Parquet with timestamp, symbol, open, high, low, close, volume (candles),
or timestamp, symbol, seq, ltp, volume, atp and five levels of depth (ticks).
"""
UP_EXAMPLES = """\b
Examples:
  quant up                                       a simulated day at 60 times its speed
  quant up --speed max --until-close --json      the same as fast as it goes, one JSON object
  quant up --source replay --data july.parquet --subscribe all
  quant up --source upstox --portfolio live      the real market (needs UPSTOX_ACCESS_TOKEN), paper fills

\b
Ctrl-C stops it with nothing lost; the same command goes on where it stopped.
"""
EXCHANGE_EXAMPLES = """\b
Examples:
  quant exchange                                 the demo market on a free port
  quant exchange --port 9000 --token secret --speed 60 --date 2026-07-31
  quant exchange --source replay --data july.parquet --speed max

\b
When ready it prints one JSON line: {"url": …, "token": …, "depth": true|false}.
"""

Data = Annotated[
    list[str] | None,
    typer.Option("--data", metavar="PATH...", help="Files, folders or globs of candles or ticks, one or several."),
]
Day = Annotated[
    date | None,
    typer.Option("--date", metavar="YYYY-MM-DD", parser=values.read_date, help="The market's day (IST)."),
]
Seed = Annotated[int, typer.Option(min=0, help="Of the demo market: another seed is another day.")]
Cut = Annotated[int, typer.Option(min=0, metavar="N", help="Cut the feed N times, 1 to 120 simulated seconds each.")]


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.command(cls=values.SpreadingCommand, epilog=UP_EXAMPLES)(up)
    app.command(cls=values.SpreadingCommand, epilog=BACKTEST_EXAMPLES)(backtest)
    app.command(cls=values.SpreadingCommand, epilog=EXCHANGE_EXAMPLES)(exchange)


def backtest(
    data: Data = None,
    first: Annotated[
        date | None,
        typer.Option("--from", metavar="YYYY-MM-DD", parser=values.read_date, help="First IST date to take."),
    ] = None,
    last: Annotated[
        date | None,
        typer.Option("--to", metavar="YYYY-MM-DD", parser=values.read_date, help="Last IST date to take, inclusive."),
    ] = None,
    symbols: Annotated[
        list[str] | None,
        typer.Option(metavar="SYMBOL...", help="Only these: RELIANCE,TCS or NSE_EQ:RELIANCE. [default: all]"),
    ] = None,
    strategy: values.Strategy = None,
    parameters: values.Parameters = None,
    capital: values.Capital = None,
    latency_ms: values.LatencyMs = None,
    report: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write summary, orders, equity curve and pictures there."),
    ] = None,
    json: values.Json = False,
    skip_bad_rows: Annotated[
        bool,
        typer.Option("--skip-bad-rows", help="Count implausible rows and go on instead of refusing the file."),
    ] = False,
    batch_size: Annotated[int, typer.Option(min=1, hidden=True)] = 65_536,
    config: values.ConfigFile = None,
) -> None:
    """Run the strategy over your own files.

    Candles or ticks, with the engine that trades live: the same features, fills, charges and ledger.
    """
    if not data:
        raise typer.BadParameter("give at least one file, folder or glob", param_hint="--data")
    if first is not None and last is not None and first > last:
        raise typer.BadParameter(f"{first} is after --to {last}", param_hint="--from")
    settings = _settings(config)
    options = BacktestOptions(
        data=tuple(data),
        first=first,
        last=last,
        symbols=values.read_symbols(symbols or ()),
        strategy=strategy or settings.trading.strategy,
        parameters=settings.trading.parameters | values.read_parameters(parameters or (), latency_ms),
        capital=capital,
        report=report,
        json=json,
        skip_bad_rows=skip_bad_rows,
        batch_size=batch_size,
    )
    from quant_platform.research import backtest as host

    host.run(options)


def up(
    source: Annotated[
        Source,
        typer.Option(help="demo: a simulated exchange; replay: it serves your files; upstox: the market."),
    ] = "demo",
    data: Data = None,
    subscribe: Annotated[
        Subscription | None, typer.Option(help="The scanner's picks, or every symbol. [default: scanner]")
    ] = None,
    speed: Annotated[
        float | None,
        typer.Option(
            metavar="N|max",
            parser=values.read_speed,
            help="Times the market's own speed. [default: 60; upstox 1]",
        ),
    ] = None,
    until_close: Annotated[bool, typer.Option("--until-close", help="Leave after the day's summary.")] = False,
    day: Day = None,
    seed: Seed = 1,
    capital: values.Capital = None,
    latency_ms: values.LatencyMs = None,
    strategy: values.Strategy = None,
    parameters: values.Parameters = None,
    home: values.Home = None,
    portfolio: Annotated[str, typer.Option(metavar="NAME", help="Which portfolio of the ledger.")] = "default",
    fresh: Annotated[bool, typer.Option("--fresh", help="Start the portfolio anew.")] = False,
    cut: Cut = 0,
    json: values.Json = False,
    config: values.ConfigFile = None,
) -> None:
    """Run the whole platform in one process.

    A market (simulated by default, over the real protocol), features, scanner, strategy, paper fills, ledger.
    """
    _check_source(source, data)
    if source == "upstox":
        for flag, given in {
            "--speed": speed is not None,
            "--date": day is not None,
            "--cut": cut > 0,
        }.items():
            if given:
                raise typer.BadParameter("the real market has its own; use it with demo or replay", param_hint=flag)
    if not portfolio.strip():
        raise typer.BadParameter("a portfolio needs a name", param_hint="--portfolio")
    settings = _settings(config)
    options = UpOptions(
        source=source,
        data=tuple(data or ()),
        subscribe=subscribe or settings.feed.subscribe,
        speed=values.finite(speed or (1.0 if source == "upstox" else 60.0)),
        until_close=until_close,
        day=day,
        seed=seed,
        capital=capital,
        strategy=strategy or settings.trading.strategy,
        parameters=settings.trading.parameters | values.read_parameters(parameters or (), latency_ms),
        home=home or settings.paths.home,
        portfolio=portfolio.strip(),
        fresh=fresh,
        cut=cut,
        json=json,
        config=settings.file,
    )
    from quant_platform.hosts import up as host

    host.run(options)


def exchange(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="0 takes any free one.")] = 0,
    token: Annotated[
        str | None,
        typer.Option(
            help="What clients must show; QUANT_EXCHANGE_TOKEN keeps it off the process list. [default: a new one]",
            envvar="QUANT_EXCHANGE_TOKEN",
            show_envvar=False,
        ),
    ] = None,
    source: Annotated[Literal["demo", "replay"], typer.Option(help="A seeded market, or your files.")] = "demo",
    data: Data = None,
    day: Day = None,
    seed: Seed = 1,
    speed: Annotated[
        float, typer.Option(metavar="N|max", parser=values.read_speed, help="max: the client drives the clock.")
    ] = 1.0,
    start: Annotated[
        time | None,
        typer.Option(metavar="HH:MM", parser=values.read_time, help="Begin here (IST). [default: the pre-open]"),
    ] = None,
    seek: Annotated[
        int | None,
        typer.Option(
            metavar="MOMENT",
            parser=values.read_moment,
            help="Begin at this IST moment of any day (2026-07-31T10:30, or ns UTC); what lies before is not sent.",
        ),
    ] = None,
    run_at_once: Annotated[
        bool, typer.Option("--run-at-once", help="Let the clock run before the first feed connects.")
    ] = False,
    cut: Cut = 0,
    rate_limit: Annotated[
        bool, typer.Option("--rate-limit", help="Answer 429 beyond the broker's published limits.")
    ] = False,
    exit_with_parent: Annotated[
        bool, typer.Option("--exit-with-parent", help="Stop when standard input ends.")
    ] = False,
) -> None:
    """Serve an Upstox-compatible exchange.

    REST and the V3 feed over a seeded market or your own files, with faults on demand.
    """
    _check_source(source, data)
    options = ExchangeOptions(
        host=host,
        port=port,
        token=token,
        source=source,
        day=day,
        seed=seed,
        speed=values.finite(speed),
        run_at_once=run_at_once,
        start=start,
        seek_ns=seek,
        cut=cut,
        rate_limit=rate_limit,
        exit_with_parent=exit_with_parent,
    )
    from quant_platform.hosts import exchange as exchange_host

    exchange_host.run(options, tuple(data or ()))


def _check_source(source: Source, data: list[str] | None) -> None:
    if source == "replay" and not data:
        raise typer.BadParameter("a replay needs at least one file, folder or glob", param_hint="--data")
    if source != "replay" and data:
        raise typer.BadParameter(f"--source {source} reads no files; use --source replay", param_hint="--data")


def _settings(config: Path | None) -> "Settings":
    from quant_platform.hosts.config import load_settings

    return load_settings(config)
