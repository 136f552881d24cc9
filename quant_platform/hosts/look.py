"""``quant orders``, ``quant portfolio`` and ``quant config show``: what is stored, as tables or JSON."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from datetime import datetime
from pathlib import Path

import msgspec
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from quant_platform.adapters.ledger.sql import SqlLedger
from quant_platform.domain.errors import UsageError
from quant_platform.domain.money import format_rupees, rupees
from quant_platform.domain.session import IST
from quant_platform.hosts.config import load_settings
from quant_platform.hosts.home import HomeFolder, HomeLock, lock_holder
from quant_platform.hosts.options import HaltOptions, LookOptions, ResetOptions
from quant_platform.ports.ledger_views import OrderView, PortfolioView

WIDE_FROM = 120
"""Columns from which the tables show everything; a narrower terminal gets what matters most."""


def orders(options: LookOptions) -> None:
    """Print the newest orders.

    Raises:
        UsageError: there is no ledger yet, or it has no such portfolio.
        ConfigurationError: a setting is wrong, or Postgres refuses us.
        UnavailableError: the ledger cannot be reached now.
    """
    with open_ledger(options) as ledger:
        if options.portfolio is not None:
            _require_portfolio(ledger.portfolios(), options.portfolio)
        found = ledger.orders(portfolio=options.portfolio, limit=options.last)
    if options.json:
        print_json({"orders": [order_json(order) for order in found]})
        return
    console = _console()
    wide = console.width >= WIDE_FROM
    table = _table(
        "decided (IST)", *(["portfolio"] if wide else []), "side", "#quantity" if wide else "#qty", "symbol", "#price",
        "#P&L", "state", "reason",
    )  # fmt: skip
    for order in reversed(found):
        pnl = format_rupees(order.pnl) if order.state == "filled" and order.side == "SELL" else ""
        price = order.value / order.quantity if order.value else order.price
        state = f"{order.state}: {order.refusal}" if order.refusal else order.state
        when, symbol = _moment(order.decided_at), order.symbol
        if not wide:
            when, symbol = when[5:], symbol.partition(":")[2] or symbol
        table.add_row(
            when, *([order.portfolio] if wide else []), order.side, f"{order.quantity:,}", symbol,
            format_rupees(round(price)), pnl, state.replace("_", " "), order.reason,
        )  # fmt: skip
    _print(console, table, "no orders yet")


def portfolios(options: LookOptions) -> None:
    """Print every portfolio.

    Raises:
        UsageError: there is no ledger yet.
        ConfigurationError: a setting is wrong, or Postgres refuses us.
        UnavailableError: the ledger cannot be reached now.
    """
    with open_ledger(options) as ledger:
        found = ledger.portfolios()
    if options.mode == "embedded":
        found = [_as_it_is_now(view, home_of(options)) for view in found]
    if options.json:
        print_json({"portfolios": [_portfolio_json(view) for view in found]})
        return
    console = _console()
    wide = console.width >= WIDE_FROM
    table = _table(
        "portfolio", "mode", "#start", "#balance", "#equity", "#positions", "state",
        *(["#runs", "updated (IST)"] if wide else []),
    )  # fmt: skip
    for view in found:
        table.add_row(
            view.name, view.mode, format_rupees(view.starting_balance), format_rupees(view.balance),
            format_rupees(view.equity), str(view.open_positions), view.halt.order.label or view.last_run_state,
            *([str(view.runs), _moment(view.last_updated)] if wide else []),
        )  # fmt: skip
    _print(console, table, "no portfolios yet")


def reset(options: ResetOptions) -> None:
    """Give a portfolio its starting balance again.

    Raises:
        SafetyError: a running platform holds the home folder.
        UsageError: there is no ledger yet, or no such portfolio.
        ConfigurationError: a setting is wrong, or Postgres refuses us.
        UnavailableError: the ledger cannot be reached now.
    """
    is_embedded = options.mode == "embedded"
    with open_ledger(options) as ledger, HomeLock(home_of(options)) if is_embedded else nullcontext():
        ledger.reset(options.portfolio, options.capital)
        [view] = [view for view in ledger.portfolios() if view.name == options.portfolio]
    Console(highlight=False).print(f"portfolio {view.name} starts anew with {format_rupees(view.balance)}")


def settings(config: Path | None, as_json: bool) -> None:
    """Print every setting and where it came from.

    Raises:
        ConfigurationError: a setting is unknown or ill-typed.
    """
    loaded = load_settings(config)
    lines = loaded.describe()
    if as_json:
        values = {line.name: {"value": line.value, "source": line.source} for line in lines}
        print_json({"file": str(loaded.file) if loaded.file else None, "settings": values})
        return
    table = _table("setting", "value", "from")
    for line in lines:
        table.add_row(line.name, line.value, Text(line.source, style="dim" if line.source == "default" else ""))
    _print(_console(), table, "")


def print_json(value: Mapping[str, object]) -> None:
    """One JSON object as the last line of standard output."""
    print(msgspec.json.encode(value).decode(), flush=True)


def home_of(options: LookOptions | ResetOptions | HaltOptions) -> HomeFolder:
    """The home folder that options or settings name."""
    return HomeFolder(options.home or load_settings(options.config).paths.home)


def open_ledger(options: LookOptions | ResetOptions | HaltOptions) -> SqlLedger:
    """The ledger that options name.

    Raises:
        UsageError: there is none in the home folder.
        ConfigurationError: a setting is wrong, or Postgres refuses us.
        UnavailableError: it cannot be reached now.
    """
    if options.mode == "distributed":
        from quant_platform.hosts.distributed.ledger_connections import postgres  # noqa: PLC0415 - loads every server's driver

        return postgres(load_settings(options.config))
    home = home_of(options)
    if not home.ledger.is_file():
        raise UsageError(
            f"there is no ledger in {home.root}",
            "run `quant up` first, name another --home, or --mode distributed for that of Postgres",
        )
    return SqlLedger(home.ledger)


def _require_portfolio(known: Sequence[PortfolioView], name: str) -> None:
    names = [view.name for view in known]
    if name not in names:
        raise UsageError(f"there is no portfolio {name!r}", f"the ledger has {', '.join(names) or 'none'}")


def _as_it_is_now(view: PortfolioView, home: HomeFolder) -> PortfolioView:
    """A run that is marked as running, on a home that nobody holds, was killed or stopped before its end."""
    if view.last_run_state == "running" and lock_holder(home) is None:
        return view._replace(last_run_state="interrupted")
    return view


def order_json(order: OrderView) -> dict[str, object]:
    """An order as JSON shows it: amounts in rupees."""
    money = {name: float(rupees(getattr(order, name))) for name in ("price", "value", "charges", "gross", "pnl")}
    return order._asdict() | money


def _portfolio_json(view: PortfolioView) -> dict[str, object]:
    money = {name: float(rupees(getattr(view, name))) for name in ("starting_balance", "balance", "equity")}
    halt = {"halt": view.halt.order.label or None, "halt_reason": view.halt.reason or None}
    return view._asdict() | money | halt


def _table(*columns: str) -> Table:
    """A table of these headings; ``#`` before one aligns it as numbers. Only the last column is ever wrapped."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name in columns:
        table.add_column(
            name.removeprefix("#"), justify="right" if name.startswith("#") else "left", no_wrap=name != columns[-1]
        )
    return table


def _console() -> Console:
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = max(console.width, 160)
    return console


def _print(console: Console, table: Table, nothing: str) -> None:
    console.print(table if table.rows else nothing)


def _moment(moment: datetime) -> str:
    return f"{moment.astimezone(IST):%Y-%m-%d %H:%M:%S}"
