"""``quant up, backtest, parity`` and ``quant exchange``: the commands that run a market."""
# ruff: noqa: PLC0415 - what a command needs is imported when it runs, so that --help answers at once

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from quant_platform.commands import flags, values
from quant_platform.hosts.garbage import nothing_to_collect
from quant_platform.hosts.options import BacktestOptions, ParityOptions, Source, UpMode, UpOptions
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
  quant up --mode distributed                    a process for every service, over the servers of `quant servers up`
  quant up --source upstox --portfolio live      the real market (needs UPSTOX_ACCESS_TOKEN), paper fills

\b
Ctrl-C stops it with nothing lost; the same command goes on where it stopped.
"""
PARITY_EXAMPLES = """\b
Examples:
  quant parity                                   the last run of the portfolio default
  quant parity --portfolio paper --set square_off=15:10

\b
Strategy and parameters are those of the run. Exit code 1 where an order differs.
"""
EXCHANGE_EXAMPLES = """\b
Examples:
  quant exchange                                 the demo market on a free port
  quant exchange --port 9000 --token secret --speed 60 --date 2026-07-31
  quant exchange --source replay --data july.parquet --speed max

\b
When ready it prints one JSON line: {"url": …, "token": …, "depth": true|false}.
"""


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.command(cls=values.SpreadingCommand, epilog=UP_EXAMPLES)(up)
    app.command(cls=values.SpreadingCommand, epilog=BACKTEST_EXAMPLES)(backtest)
    app.command(cls=values.SpreadingCommand, epilog=PARITY_EXAMPLES)(parity)
    app.command(cls=values.SpreadingCommand, epilog=EXCHANGE_EXAMPLES)(exchange)


def backtest(
    data: flags.Data = None,
    first: flags.First = None,
    last: flags.Last = None,
    symbols: flags.Symbols = None,
    strategy: flags.Strategy = None,
    parameters: flags.Parameters = None,
    capital: flags.Capital = None,
    latency_ms: flags.LatencyMs = None,
    report: flags.Report = None,
    json: flags.Json = False,
    skip_bad_rows: flags.SkipBadRows = False,
    batch_size: flags.BatchSize = 65_536,
    config: flags.ConfigFile = None,
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
    from quant_platform.hosts.allocator import keep_freed_memory

    keep_freed_memory()
    with nothing_to_collect():
        from quant_platform.research import backtest as host
    host.run(options)


def parity(
    portfolio: flags.Portfolio = "default",
    strategy: flags.Strategy = None,
    parameters: flags.Parameters = None,
    latency_ms: flags.LatencyMs = None,
    home: flags.Home = None,
    json: flags.Json = False,
    config: flags.ConfigFile = None,
) -> None:
    """Compare a finished run of `quant up` with a backtest of the ticks it stored, order by order."""
    settings = _settings(config)
    options = ParityOptions(
        home=home or settings.paths.home,
        portfolio=portfolio,
        strategy=strategy or settings.trading.strategy,
        parameters=settings.trading.parameters | values.read_parameters(parameters or (), latency_ms),
        json=json,
    )
    from quant_platform.research import parity as host

    if not host.run(options):
        raise typer.Exit(1)


def up(
    mode: flags.Mode = "embedded",
    source: flags.UpSource = "demo",
    data: flags.Data = None,
    subscribe: flags.Subscribe = None,
    speed: flags.UpSpeed = None,
    until_close: flags.UntilClose = False,
    day: flags.Day = None,
    seed: flags.Seed = 1,
    capital: flags.Capital = None,
    latency_ms: flags.LatencyMs = None,
    strategy: flags.Strategy = None,
    parameters: flags.Parameters = None,
    home: flags.Home = None,
    portfolio: flags.Portfolio = "default",
    fresh: flags.Fresh = False,
    cut: flags.Cut = 0,
    feature_engines: flags.FeatureEngines = 1,
    json: flags.Json = False,
    picture: flags.Picture = None,
    config: flags.ConfigFile = None,
) -> None:
    """Run the whole platform, in one process or in many.

    A market (simulated by default, over the real protocol), features, scanner, strategy, paper fills, ledger.
    """
    _check_source(source, data)
    if source == "upstox":
        _refuse({"--speed": speed is not None, "--date": day is not None, "--cut": cut > 0})
    _check_platform(mode, feature_engines, picture, portfolio)
    settings = _settings(config)
    options = UpOptions(
        mode=mode,
        feature_engines=feature_engines,
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
        picture=picture,
        config=settings.file,
    )
    if mode == "embedded":
        from quant_platform.hosts import up as embedded

        embedded.run(options)
    else:
        from quant_platform.hosts.distributed import up as distributed

        distributed.run(options)


def exchange(
    host: flags.Host = "127.0.0.1",
    port: flags.Port = 0,
    token: flags.ServerToken = None,
    source: flags.ExchangeSource = "demo",
    data: flags.Data = None,
    day: flags.Day = None,
    seed: flags.Seed = 1,
    speed: flags.ExchangeSpeed = 1.0,
    start: flags.Start = None,
    seek: flags.Seek = None,
    run_at_once: flags.RunAtOnce = False,
    cut: flags.Cut = 0,
    rate_limit: flags.RateLimit = False,
    exit_with_parent: flags.ExitWithParent = False,
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


def _check_platform(mode: UpMode, feature_engines: int, picture: Path | None, portfolio: str) -> None:
    if not portfolio.strip():
        raise typer.BadParameter("a portfolio needs a name", param_hint="--portfolio")
    if mode == "embedded" and feature_engines > 1:
        raise typer.BadParameter("one process has one; use it with --mode distributed", param_hint="--feature-engines")
    if mode == "distributed" and picture is not None:
        raise typer.BadParameter("it shows the view of one process", param_hint="--picture")


def _refuse(given: Mapping[str, bool]) -> None:
    for flag, is_given in given.items():
        if is_given:
            raise typer.BadParameter("the real market has its own; use it with demo or replay", param_hint=flag)


def _settings(config: Path | None) -> "Settings":
    from quant_platform.hosts.config import load_settings

    return load_settings(config)
