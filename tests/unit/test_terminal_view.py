"""The terminal view: what it says, that it fits, and that a pipe gets plain lines."""

import asyncio
from dataclasses import replace
from datetime import datetime
from io import StringIO
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console

from quant_platform.domain.session import IST
from quant_platform.hosts import terminal_view
from quant_platform.hosts.terminal_view import plain_line, render, render_summary, save_picture, show
from quant_platform.hosts.view_state import OrderLine, PickLine, PositionLine, ViewState
from quant_platform.ports.ledger_store import RunSummary

NOW = int(datetime(2026, 7, 31, 10, 42, 17, tzinfo=IST).timestamp()) * 10**9
SYMBOLS = ("NSE_EQ:RELIANCE", "NSE_EQ:BAJAJ-AUTO", "NSE_EQ:M&M", "NSE_EQ:ADANIENSOL", "NSE_EQ:HDFCBANK")

STATE = ViewState(
    now_ns=NOW,
    phase="continuous trading, closes 15:30",
    source="demo",
    speed=60.0,
    portfolio="default",
    strategy="momentum",
    starting_balance=20_000_00,
    cash=14_233_10,
    equity=20_013_44,
    charges=52_30,
    max_positions=10,
    feed="live",
    feed_ok=True,
    positions=[PositionLine(symbol, n + 1, 1_402_10, 1_405_60, 3_50 - n * 2_00) for n, symbol in enumerate(SYMBOLS)],
    orders=[
        OrderLine(NOW, "SELL", SYMBOLS[0], 1, 1_399_85, "filled", "below VWAP"),
        OrderLine(NOW - 47 * 10**9, "BUY", SYMBOLS[1], 12, 9_600_00, "refused_at_fill", "RSI 57.2, OBI 0.31"),
    ],
    picks=[PickLine(symbol, 0.0123, 12_34_567) for symbol in SYMBOLS],
    scans=18,
    equity_curve=[20_000_00, 20_010_00, 19_990_00, 20_013_44],
    ticks=1_234_567,
    ticks_per_second=24_321.4,
    frames=8_123,
    reconnects=2,
    gaps=1,
    latency_p50_us=212.4,
    latency_p99_us=15_400.0,
)
EMPTY = ViewState(
    now_ns=NOW, phase="before the open", source="replay", speed=None, portfolio="two", strategy="mine",
    starting_balance=20_000_00, cash=20_000_00, equity=20_000_00, charges=0, max_positions=10,
    feed="reconnecting: no frame for 5 s", feed_ok=False,
)  # fmt: skip
SUMMARY = RunSummary(
    run_id="r", ticks=1_000, late=1, duplicates=2, orders=6, fills=6, cancelled=0, round_trips=3, gross_pnl=65_74,
    charges=52_30, net_pnl=13_44, starting_balance=20_000_00, ending_balance=20_013_44, max_drawdown=31_00,
    refusals={"max_positions": 4}, ledger_sha256="ab" * 32,
)  # fmt: skip


def drawn(state: ViewState, width: int, height: int | None = None) -> list[str]:
    console = Console(width=width, height=height, file=StringIO(), force_terminal=True, color_system=None)
    options = console.options if height is None else console.options.update_height(height)
    return ["".join(part.text for part in line).rstrip() for line in console.render_lines(render(state), options)]


@pytest.mark.parametrize("width", [80, 120])
def test_everything_that_matters_is_on_the_screen(width: int) -> None:
    screen = "\n".join(drawn(STATE, width))
    told = [
        *["Fri 31 Jul 2026 10:42:17 IST", "continuous trading, closes 15:30", "demo ×60", "momentum", "feed live"],
        *["₹20,065.74", "₹20,013.44", "+₹65.74", "+₹13.44", "₹52.30", "₹14,233.10"],
        *["RELIANCE", "BAJAJ-AUTO", "-₹4.50", "Positions 5 of 10"],
        *["10:42:17 SELL", "below VWAP", "refused at fill: RSI 57.2, OBI 0.31", "+1.23%"],
        *["1,234,567", "24,321", "8,123", "212 µs / 15.4 ms"],
    ]
    assert [each for each in told if each not in screen] == []


@pytest.mark.parametrize("state", [STATE, EMPTY], ids=["busy", "empty"])
@pytest.mark.parametrize(("width", "height"), [(80, 24), (80, 50), (109, 30), (110, 24), (120, 30), (200, 60)])
def test_the_view_fits_the_terminal(state: ViewState, width: int, height: int) -> None:
    lines = drawn(state, width, height)
    while lines and not lines[-1]:
        lines.pop()
    assert len(lines) <= height
    assert max(cell_len(line) for line in lines) <= width


def test_an_empty_day_says_so_and_a_lost_feed_shows_its_reason() -> None:
    screen = "\n".join(drawn(EMPTY, 80))
    for told in ("none open", "none yet", "no scan yet", "lockstep", "reconnecting: no frame for 5 s", "– / –"):
        assert told in screen


def test_positions_that_do_not_fit_are_counted() -> None:
    many = replace(STATE, positions=[replace(STATE.positions[0], symbol=f"NSE_EQ:S{n}") for n in range(9)])
    assert "Positions 9 of 10, 7 of them not shown" in "\n".join(drawn(many, 80, 24))


def test_a_symbol_that_looks_like_markup_is_shown_as_it_is() -> None:
    odd = replace(STATE, portfolio="[red]x[/]", orders=[replace(STATE.orders[0], reason="[bold]why[/bold]")])
    screen = "\n".join(drawn(odd, 120))
    assert "[red]x[/]" in screen
    assert "[bold]why[/bold]" in screen


def test_a_pipe_gets_plain_lines() -> None:
    file = StringIO()

    async def watch_briefly() -> None:
        showing = asyncio.create_task(show(lambda: STATE, Console(file=file, width=80)))
        while not file.getvalue():
            await asyncio.sleep(0)
        showing.cancel()

    asyncio.run(watch_briefly())
    assert file.getvalue() == plain_line(STATE) + "\n"
    assert "\x1b" not in file.getvalue()
    assert plain_line(STATE).startswith("10:42:17 IST  equity ₹20,013.44 net, ₹20,065.74 gross")


def test_a_terminal_is_redrawn_and_keeps_the_last_view(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal_view, "REFRESH_S", 0.0)
    file = StringIO()
    console = Console(file=file, width=120, height=40, force_terminal=True, color_system=None)
    cash = iter(range(10_000_00, 10_000_00 + 10**6, 1_00))

    async def watch_until_redrawn() -> None:
        showing = asyncio.create_task(show(lambda: replace(STATE, cash=next(cash)), console))
        while "₹10,003.00" not in file.getvalue():
            await asyncio.sleep(0)
        showing.cancel()
        await asyncio.gather(showing, return_exceptions=True)

    asyncio.run(watch_until_redrawn())
    after_leaving = file.getvalue().rpartition("\x1b[?1049l")[2]
    assert "Positions 5 of 10" in after_leaving


def test_the_summary_shows_gross_charges_net_and_refusals() -> None:
    console = Console(width=100, file=StringIO(), color_system=None)
    with console.capture() as captured:
        console.print(render_summary(SUMMARY, "Fri 31 Jul 2026"))
    for told in ("Fri 31 Jul 2026", "+₹65.74", "₹52.30", "+₹13.44", "₹20,013.44", "max_positions", "ab" * 32):
        assert told in captured.get()


def test_the_picture_is_an_svg_of_the_view(tmp_path: Path) -> None:
    path = tmp_path / "images" / "view.svg"
    save_picture(STATE, path)
    text = path.read_text("utf-8")
    assert text.startswith("<svg")
    assert "below&#160;VWAP" in text
