"""What ``quant up`` shows: a live view of market and portfolio in a terminal, plain lines elsewhere."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from quant_platform.domain.money import format_rupees
from quant_platform.domain.session import ist_time
from quant_platform.hosts.view_state import ViewState
from quant_platform.ports.ledger_store import RunSummary

REFRESH_S = 0.25
PLAIN_EVERY_S = 10.0
WIDE_FROM = 110
UNLIMITED_HEIGHT = 60
TOP_ROWS = 7
MOST_POSITIONS = 10
MOST_ORDERS = 12
SPARKS = "▁▂▃▄▅▆▇█"


def render(state: ViewState) -> RenderableType:
    """The view, laid out for whatever width and height it is given."""
    return _Screen(state)


async def show(sample: Callable[[], ViewState], console: Console) -> None:
    """Show the state until cancelled: four times a second in a terminal, else as a line every ten seconds.

    The last view stays on the screen.

    Args:
        sample: gives the state now; called in the event loop, so it must be quick.
        console: where to; a terminal or not.
    """
    await (_live(sample, console) if console.is_terminal else _plain(sample, console))


async def _live(sample: Callable[[], ViewState], console: Console) -> None:
    try:
        with Live(render(sample()), console=console, screen=True, auto_refresh=False) as live:
            while True:
                await asyncio.sleep(REFRESH_S)
                live.update(render(sample()), refresh=True)
    finally:
        console.print(render(sample()))


async def _plain(sample: Callable[[], ViewState], console: Console) -> None:
    while True:
        console.print(plain_line(sample()), soft_wrap=True, highlight=False, markup=False)
        await asyncio.sleep(PLAIN_EVERY_S)


def plain_line(state: ViewState) -> str:
    """The state in one line, for logs and pipes."""
    return (
        f"{_clock(state.now_ns)} IST  equity {format_rupees(state.equity)} net, "
        f"{format_rupees(state.gross_equity)} gross  cash {format_rupees(state.cash)}  "
        f"{len(state.positions)} positions  {state.ticks_per_second:,.0f} ticks/s  feed {state.feed}"
        + (f"  {state.halt}" if state.halt else "")
    )


def render_summary(summary: RunSummary, title: str) -> RenderableType:
    """The numbers of a run as a table, as printed at its end."""
    table = Table(title=title, box=box.SIMPLE_HEAD, show_header=False, title_justify="left")
    table.add_column(style="dim")
    table.add_column(justify="right")
    counts = {
        "ticks": summary.ticks,
        "late, duplicates": f"{summary.late:,}, {summary.duplicates:,}",
        "orders": summary.orders,
        "fills": summary.fills,
        "cancelled": summary.cancelled,
        "round trips": summary.round_trips,
    }
    for name, count in counts.items():
        table.add_row(name, count if isinstance(count, str) else f"{count:,}")
    table.add_section()
    table.add_row("P&L before charges", _amount(summary.gross_pnl))
    table.add_row("charges", format_rupees(summary.charges))
    if open_charges := summary.charges - (summary.gross_pnl - summary.net_pnl):
        table.add_row("of these, of open positions", format_rupees(open_charges))
    table.add_row(Text("P&L after charges", style="bold"), _amount(summary.net_pnl, bold=True))
    table.add_row("balance at start", format_rupees(summary.starting_balance))
    table.add_row(Text("balance at end", style="bold"), Text(format_rupees(summary.ending_balance), style="bold"))
    table.add_row("largest drawdown", format_rupees(summary.max_drawdown))
    if summary.refusals:
        table.add_section()
        for reason, count in sorted(summary.refusals.items()):
            table.add_row(f"refused: {reason}", f"{count:,}")
    table.add_section()
    table.add_row("ledger sha256", Text(summary.ledger_sha256, overflow="fold"))
    return table


def save_picture(state: ViewState, path: Path, width: int = 120) -> None:
    """Write the view as an SVG picture, as the README shows it."""
    console = Console(record=True, width=width, file=StringIO(), force_terminal=True, color_system="truecolor")
    console.print(render(state))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(console.export_svg(title="quant up"), encoding="utf-8")


@dataclass(frozen=True, slots=True)
class _Screen:
    """The whole view; how many rows its tables get depends on the height there is."""

    state: ViewState

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        state = self.state
        yield _header(state)
        if options.max_width >= WIDE_FROM:
            yield _side_by_side(_portfolio(state), _rates(state), _picks(state))
            fixed = 3 + 9
        else:
            yield _side_by_side(_portfolio(state), _rates(state))
            fixed = 3 + 9 + 3
        rows = (options.height or UNLIMITED_HEIGHT) - fixed - 5  # the tables' borders and one heading
        position_rows = min(MOST_POSITIONS, max(2, rows // 2))
        yield _positions(state, position_rows)
        shown = min(position_rows, max(1, len(state.positions)))
        yield _orders(state, min(MOST_ORDERS, max(2, rows - shown)))
        if options.max_width < WIDE_FROM:
            yield _picks_line(state)


def _side_by_side(*parts: RenderableType) -> Table:
    grid = Table.grid(expand=True)
    for _ in parts:
        grid.add_column(ratio=1)
    grid.add_row(*parts)
    return grid


def _panel(title: str, content: RenderableType, rows: int | None = None) -> Panel:
    height = None if rows is None else rows + 2
    heading = Text(title, style="bold")
    return Panel(content, title=heading, title_align="left", box=box.ROUNDED, border_style="blue", height=height)


def _header(state: ViewState) -> Panel:
    moment = ist_time(state.now_ns)
    speed = "lockstep" if state.speed is None else f"×{state.speed:g}"
    phase = (state.halt, "bold red") if state.halt else state.phase
    left = Text.assemble((f"{moment:%a %d %b %Y %H:%M:%S} IST", "bold"), "  ", phase)
    light = ("● ", "green") if state.feed_ok else ("● ", "bold red")
    right = Text.assemble(light, ("feed " if state.feed_ok else "") + state.feed, justify="right")
    line = Table.grid(expand=True)
    line.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
    line.add_column(justify="right", no_wrap=True)
    line.add_row(left, right)
    title = f"Quant Platform · {state.source} {speed} · {state.strategy} · {state.portfolio}"
    return _panel(title, line)


def _portfolio(state: ViewState) -> Panel:
    table = Table(box=None, expand=True, padding=(0, 1, 0, 0), header_style="dim")
    table.add_column("")
    table.add_column("gross", justify="right", no_wrap=True)
    table.add_column("net", justify="right", no_wrap=True)
    table.add_row("equity", format_rupees(state.gross_equity), Text(format_rupees(state.equity), style="bold"))
    table.add_row("day's P&L", _amount(state.gross_pnl), _amount(state.net_pnl, bold=True))
    table.add_row("charges", "", format_rupees(state.charges))
    table.add_row("cash", "", format_rupees(state.cash))
    table.add_row("start", "", format_rupees(state.starting_balance))
    style = "green" if state.net_pnl >= 0 else "red"
    return _panel("Portfolio", Group(table, Text(_spark(state.equity_curve, 32), style=style, no_wrap=True)), TOP_ROWS)


def _rates(state: ViewState) -> Panel:
    table = Table.grid(expand=True, padding=(0, 1, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_row("ticks", f"{state.ticks:,}")
    table.add_row("ticks/s", f"{state.ticks_per_second:,.0f}")
    table.add_row("frames", f"{state.frames:,}")
    table.add_row("reconnects", _count(state.reconnects))
    table.add_row("gaps", _count(state.gaps))
    table.add_row("scans", f"{state.scans:,}")
    table.add_row("latency p50 / p99", f"{_micros(state.latency_p50_us)} / {_micros(state.latency_p99_us)}")
    return _panel("Rates", table, TOP_ROWS)


def _picks(state: ViewState) -> Panel:
    table = Table.grid(expand=True, padding=(0, 1, 0, 0))
    table.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(justify="right", no_wrap=True, style="dim")
    rows = state.picks[:TOP_ROWS]
    for pick in rows:
        table.add_row(_short(pick.symbol), _percent(pick.change), _shares(pick.volume))
    if not rows:
        table.add_row(Text("no scan yet", style="dim"), "", "")
    return _panel("Scanner", table, TOP_ROWS)


def _picks_line(state: ViewState) -> Panel:
    line = Text(no_wrap=True, overflow="ellipsis")
    for pick in state.picks[:5]:
        line.append(f"{_short(pick.symbol)} ").append_text(_percent(pick.change)).append("  ")
    return _panel("Scanner", line if state.picks else Text("no scan yet", style="dim"))


def _positions(state: ViewState, rows: int) -> Panel:
    table = Table(box=None, padding=(0, 3, 0, 0), header_style="dim")
    table.add_column("symbol", no_wrap=True, overflow="ellipsis", min_width=14)
    for name in ("quantity", "average", "last", "P&L"):
        table.add_column(name, justify="right", no_wrap=True)
    for line in state.positions[:rows]:
        prices = (format_rupees(line.avg_price), format_rupees(line.ltp))
        table.add_row(_short(line.symbol), f"{line.quantity:,}", *prices, _amount(line.pnl))
    if not state.positions:
        table.add_row(Text("none open", style="dim"))
    hidden = len(state.positions) - rows
    more = f", {hidden} of them not shown" if hidden > 0 else ""
    return _panel(f"Positions {len(state.positions)} of {state.max_positions}{more}", table)


def _orders(state: ViewState, rows: int) -> Panel:
    table = Table(box=None, expand=True, padding=(0, 1, 0, 0), show_header=False)
    table.add_column(no_wrap=True, style="dim")
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, justify="right")
    table.add_column(no_wrap=True, overflow="ellipsis", max_width=14)
    table.add_column(no_wrap=True, justify="right")
    table.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    for order in state.orders[:rows]:
        side = Text(f"{order.side:4}", style="bold green" if order.side == "BUY" else "bold red")
        reason = Text(order.reason)
        if order.state != "filled":
            reason = Text.assemble((f"{order.state.replace('_', ' ')}: ", "yellow"), reason)
        price = format_rupees(order.price)
        table.add_row(_clock(order.ts), side, f"{order.quantity:,}", _short(order.symbol), price, reason)
    if not state.orders:
        table.add_row(Text("none yet", style="dim"))
    return _panel("Last orders", table)


def _clock(ts: int) -> str:
    return f"{ist_time(ts):%H:%M:%S}"


def _short(symbol: str) -> str:
    return symbol.removeprefix("NSE_EQ:")


def _amount(paise: int, bold: bool = False) -> Text:
    colour = "green" if paise > 0 else "red" if paise < 0 else "dim"
    sign = "+" if paise > 0 else ""
    return Text(sign + format_rupees(paise), style=f"bold {colour}" if bold else colour)


def _percent(fraction: float) -> Text:
    return Text(f"{fraction:+.2%}", style="green" if fraction > 0 else "red" if fraction < 0 else "dim")


def _count(number: int) -> Text:
    return Text(f"{number:,}", style="yellow" if number else "")


def _micros(microseconds: float | None) -> str:
    if microseconds is None:
        return "–"
    return f"{microseconds:,.0f} µs" if microseconds < 10_000 else f"{microseconds / 1000:,.1f} ms"


def _shares(volume: int) -> str:
    """Shares in lakh and crore."""
    if volume >= 10**7:
        return f"{volume / 10**7:.2f} cr"
    return f"{volume / 10**5:.1f} lakh" if volume >= 10**5 else f"{volume:,}"


def _spark(values: Sequence[int], width: int) -> str:
    """The curve in one line of blocks, its newest value last."""
    if len(values) < 2:
        return ""
    count = min(width, len(values))
    picked = [values[round(i * (len(values) - 1) / (count - 1))] for i in range(count)]
    low, high = min(picked), max(picked)
    return "".join(SPARKS[(value - low) * (len(SPARKS) - 1) // max(1, high - low)] for value in picked)
