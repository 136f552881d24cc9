"""The tables that a backtest prints: gross, charges and net side by side, rupees in lakh and crore groups."""

from collections.abc import Callable, Mapping, Sequence
from itertools import groupby

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from quant_platform.domain.money import format_rupees
from quant_platform.research.metrics import Breakdown, CurveFigures, Day, Metrics, TradeFigures

MOST_DAYS = 31
"""A longer run's days are added up by month."""
MOST_REASONS = 12
NARROWEST = 80
"""Columns below which tables are not squeezed further: a terminal that wraps a line still shows every digit."""

_NONE = "–"


def print_backtest(console: Console, metrics: Metrics, *, title: str, notes: Mapping[str, str] | None = None) -> None:
    """Print everything a trader asks of a run.

    Args:
        console: where to.
        metrics: of the run.
        title: what was run, for the head of the first table.
        notes: more lines of the first table, such as ``{"OBI": "bar"}``.
    """
    console.width = max(console.width, NARROWEST)
    console.print(_overview(metrics, title, notes or {}))
    console.print(_breakdown("By symbol", "Symbol", metrics.symbols))
    console.print(_breakdown("By exit reason", "Reason", _at_most(metrics.exits, MOST_REASONS)))
    if metrics.days:
        console.print(_calendar(metrics.days))
    if metrics.summary.refusals:
        console.print(_refusals(metrics.summary.refusals))


def _overview(metrics: Metrics, title: str, notes: Mapping[str, str]) -> Table:
    table = _table(title, "", "Gross", "Net")
    run = metrics.summary
    table.add_row("Profit and loss", _signed(run.gross_pnl), _signed(run.net_pnl))
    table.add_row("Charges", "", format_rupees(run.charges))
    table.add_row("Starting balance", "", format_rupees(run.starting_balance))
    table.add_row("Ending balance", format_rupees(run.ending_balance + run.charges), format_rupees(run.ending_balance))
    table.add_row(
        "Largest drawdown", format_rupees(metrics.curve_gross.drawdown_paise), format_rupees(run.max_drawdown)
    )
    curves = (metrics.curve_gross, metrics.curve_net)
    for name, figure in _CURVE_ROWS:
        table.add_row(name, *map(figure, curves))
    table.add_section()
    trades = (metrics.trades_gross, metrics.trades_net)
    for name, of_trades in _TRADE_ROWS:
        table.add_row(name, *map(of_trades, trades))
    table.add_section()
    table.add_row("Round trips", "", f"{run.round_trips:,}")
    held = metrics.holding_minutes
    table.add_row("Average holding time", "", _NONE if held is None else f"{held:.1f} min")
    table.add_row("Orders, fills, cancelled", "", f"{run.orders:,}, {run.fills:,}, {run.cancelled:,}")
    table.add_row("Ticks, late, duplicates", "", f"{run.ticks:,}, {run.late:,}, {run.duplicates:,}")
    for name, note in notes.items():
        table.add_row(name, "", note)
    return table


def _percent(value: float | None) -> str:
    return _NONE if value is None else f"{value * 100:,.2f} %"


def _number(value: float | None) -> str:
    return _NONE if value is None else f"{value:.2f}"


def _average(paise: float | None) -> Text | str:
    return _NONE if paise is None else _signed(round(paise))


_CURVE_ROWS: Sequence[tuple[str, Callable[[CurveFigures], str]]] = (
    ("Return", lambda curve: _percent(curve.total_return)),
    ("CAGR (252 sessions)", lambda curve: _percent(curve.cagr)),
    ("Drawdown from peak", lambda curve: _percent(curve.drawdown)),
    ("Sharpe", lambda curve: _number(curve.sharpe)),
    ("Sortino", lambda curve: _number(curve.sortino)),
    ("Calmar", lambda curve: _number(curve.calmar)),
)
_TRADE_ROWS: Sequence[tuple[str, Callable[[TradeFigures], Text | str]]] = (
    ("Win rate", lambda trades: _percent(trades.win_rate)),
    ("Profit factor", lambda trades: _number(trades.profit_factor)),
    ("Expectancy a round trip", lambda trades: _average(trades.expectancy)),
    ("Average win", lambda trades: _average(trades.average_win)),
    ("Average loss", lambda trades: _average(trades.average_loss)),
)


def _breakdown(title: str, label: str, parts: Sequence[Breakdown]) -> Table:
    table = _table(title, label, "Trips", "Won net", "Gross", "Charges", "Net")
    for part in parts:
        _add_breakdown(table, part)
    table.add_section()
    _add_breakdown(table, _sum("Total", parts))
    return table


def _add_breakdown(table: Table, part: Breakdown) -> None:
    won = _percent(part.wins / part.round_trips if part.round_trips else None)
    table.add_row(
        part.label,
        f"{part.round_trips:,}",
        won,
        _signed(part.gross),
        format_rupees(part.charges),
        _signed(part.net),
    )


def _sum(label: str, parts: Sequence[Breakdown]) -> Breakdown:
    return Breakdown(
        label,
        sum(part.round_trips for part in parts),
        sum(part.wins for part in parts),
        sum(part.gross for part in parts),
        sum(part.charges for part in parts),
    )


def _at_most(parts: Sequence[Breakdown], most: int) -> Sequence[Breakdown]:
    if len(parts) <= most:
        return parts
    return [*parts[: most - 1], _sum(f"{len(parts) - most + 1} other reasons", parts[most - 1 :])]


def _calendar(days: Sequence[Day]) -> Table:
    by_month = len(days) > MOST_DAYS
    table = _table("By month" if by_month else "By day", "", "Trips", "Gross", "Charges", "Net", "Equity")
    for label, group in groupby(days, key=lambda day: f"{day.day:%Y-%m}" if by_month else f"{day.day}"):
        of_period = list(group)
        table.add_row(
            label,
            f"{sum(day.round_trips for day in of_period):,}",
            _signed(sum(day.gross for day in of_period)),
            format_rupees(sum(day.charges for day in of_period)),
            _signed(sum(day.net for day in of_period)),
            format_rupees(of_period[-1].equity),
        )
    return table


def _refusals(refusals: Mapping[str, int]) -> Table:
    table = _table("Refused intents", "Reason", "Times")
    for reason, times in sorted(refusals.items(), key=lambda item: -item[1]):
        table.add_row(reason.replace("_", " "), f"{times:,}")
    return table


def _table(title: str, *columns: str) -> Table:
    """Only the first column gives way where the terminal is narrow: an amount in two lines reads as two amounts."""
    table = Table(title=title, title_justify="left", title_style="bold", header_style="bold", box=box.SIMPLE_HEAD)
    for place, column in enumerate(columns):
        table.add_column(column, justify="left" if place == 0 else "right", no_wrap=place > 0)
    return table


def _signed(paise: int) -> Text:
    style = "green" if paise > 0 else "red" if paise < 0 else ""
    return Text(format_rupees(paise), style)
