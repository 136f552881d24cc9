"""``quant scan, orders, ticks, portfolio, config, doctor``: the commands that look, and one that resets."""
# ruff: noqa: PLC0415 - what a command needs is imported when it runs, so that --help answers at once

import sys
from pathlib import Path

import typer

from quant_platform.commands import flags
from quant_platform.domain.errors import SafetyError
from quant_platform.hosts.options import DoctorOptions, LookOptions, ResetOptions, ScanOptions, TicksOptions

SCAN_EXAMPLES = """\b
Examples:
  quant scan                                     Upstox's market (needs UPSTOX_ACCESS_TOKEN)
  quant scan --url http://127.0.0.1:9000 --token secret      a running quant exchange
"""
ORDERS_EXAMPLES = """\b
Examples:
  quant orders --portfolio default --last 50
  quant orders --mode distributed                of the services over Kafka, whose ledger is in Postgres
"""
PORTFOLIO_EXAMPLES = """\b
Examples:
  quant portfolio list
  quant portfolio list --mode distributed        of the services over Kafka, whose ledger is in Postgres
  quant portfolio reset default --capital 50000
"""
TICKS_EXAMPLES = """\b
Examples:
  quant ticks                                    what is stored of each day and symbol
  quant ticks "SELECT symbol, avg(spread) FROM ticks GROUP BY symbol"
"""
CONFIG_EXAMPLES = """\b
Settings come from, the later above the earlier:
  defaults, quant.toml, .env beside it, environment variables.
A variable is QUANT_SECTION__KEY (QUANT_SCANNER__INTERVAL_MIN=10), or one of Upstox's usual names:
  UPSTOX_API_KEY, UPSTOX_API_SECRET, UPSTOX_REDIRECT_URI, UPSTOX_ACCESS_TOKEN.

\b
quant.toml:
  [trading]
  strategy = "momentum"
  latency_ms = 500
  square_off = "15:10"
"""

portfolio_app = typer.Typer(help="The portfolios of the ledger.", epilog=PORTFOLIO_EXAMPLES, rich_markup_mode=None)
config_app = typer.Typer(help="The settings in force.", epilog=CONFIG_EXAMPLES, rich_markup_mode=None)


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.command(epilog=SCAN_EXAMPLES)(scan)
    app.command(epilog=ORDERS_EXAMPLES)(orders)
    app.command(epilog=TICKS_EXAMPLES)(ticks)
    app.add_typer(portfolio_app, name="portfolio")
    app.add_typer(config_app, name="config")
    app.command()(doctor)


def scan(
    url: flags.ScanUrl = None,
    token: flags.ScanToken = None,
    json: flags.Json = False,
    config: flags.ConfigFile = None,
) -> None:
    """Scan the whole universe once, now."""
    from quant_platform.hosts import scan as host

    host.run(ScanOptions(url=url, token=token, json=json, config=config))


def orders(
    mode: flags.LedgerMode = "embedded",
    home: flags.Home = None,
    portfolio: flags.OnePortfolio = None,
    last: flags.LastRows = 20,
    json: flags.Json = False,
    config: flags.ConfigFile = None,
) -> None:
    """Print the newest orders and their reasons."""
    from quant_platform.hosts import look as host

    host.orders(LookOptions(mode=mode, home=home, portfolio=portfolio, last=last, json=json, config=config))


def ticks(
    query: flags.TickQuery = None,
    home: flags.Home = None,
    json: flags.Json = False,
    config: flags.ConfigFile = None,
) -> None:
    """Ask the stored ticks in SQL (DuckDB)."""
    from quant_platform.hosts import stored_ticks as host

    host.run(TicksOptions(query=query, home=_home_folder(home, config), json=json))


@portfolio_app.command("list")
def portfolio_list(
    mode: flags.LedgerMode = "embedded",
    home: flags.Home = None,
    json: flags.Json = False,
    config: flags.ConfigFile = None,
) -> None:
    """Print every portfolio: balance, equity, open positions, how its last run ended."""
    from quant_platform.hosts import look as host

    host.portfolios(LookOptions(mode=mode, home=home, json=json, config=config))


@portfolio_app.command("reset")
def portfolio_reset(
    name: flags.PortfolioName,
    capital: flags.Capital = None,
    yes: flags.Yes = False,
    mode: flags.LedgerMode = "embedded",
    home: flags.Home = None,
    config: flags.ConfigFile = None,
) -> None:
    """Start a portfolio anew with its starting capital; its past orders stay in the ledger.

    A strategy_runtime that trades it ends with exit code 3, and begins a new run when it is started again.
    """
    if not yes:
        if not sys.stdin.isatty():
            raise SafetyError(f"portfolio {name} was not reset: nobody is there to ask", "repeat with --yes")
        typer.confirm(f"Start portfolio {name} anew? Its open positions are given up.", abort=True)
    from quant_platform.hosts import look as host

    host.reset(ResetOptions(mode=mode, home=home, portfolio=name, capital=capital, config=config))


@config_app.command("show")
def config_show(
    json: flags.Json = False,
    config: flags.ConfigFile = None,
) -> None:
    """Print every setting, where it came from, and secrets masked."""
    from quant_platform.hosts import look as host

    host.settings(config, as_json=json)


def doctor(
    home: flags.Home = None,
    json: flags.Json = False,
    config: flags.ConfigFile = None,
) -> None:
    """Check everything the platform stands on.

    A verdict for each part and the cure where something is wrong; exit code 1 if anything is broken.
    """
    from quant_platform.hosts import doctor as host

    if not host.run(DoctorOptions(home=home, json=json, config=config)):
        raise typer.Exit(1)


def _home_folder(given: Path | None, config: Path | None) -> Path:
    if given is not None:
        return given
    from quant_platform.hosts.config import load_settings

    return load_settings(config).paths.home
