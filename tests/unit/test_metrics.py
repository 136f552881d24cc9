"""A run's figures: by hand on a small ledger, and what must hold on any."""

import math
from datetime import date, time
from io import StringIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from quant_platform.domain.orders import BUY, SELL
from quant_platform.domain.session import ns_at
from quant_platform.ports.ledger_store import EquityRow, FillRow, RunSummary
from quant_platform.research.metrics import curve_figures, drawdowns, measure, trade_figures
from quant_platform.research.tables import print_backtest

START = 20_000_00
MONDAY, TUESDAY = date(2021, 4, 5), date(2021, 4, 6)


def buy(order_no: int, ts: int, symbol: str, value: int, charges: int) -> FillRow:
    return FillRow(order_no, ts, symbol, BUY, 1, value, charges, 0, 0, "price above VWAP", False)


def sell(order_no: int, ts: int, symbol: str, value: int, charges: int, bought: FillRow, reason: str) -> FillRow:
    gross = value - bought.value
    pnl = gross - charges - bought.charges
    return FillRow(order_no, ts, symbol, SELL, 1, value, charges, gross, pnl, reason, False)


def small_run() -> tuple[RunSummary, list[FillRow], list[EquityRow]]:
    """Two round trips on Monday (+90 and −110 rupees gross), one on Tuesday (+1 rupee gross, a net loss)."""
    ten, noon = (ns_at(MONDAY, time(hour)) for hour in (10, 12))
    next_ten = ns_at(TUESDAY, time(10))
    first = buy(1, ten, "NSE_EQ:TCS", 1000_00, 1_00)
    second = buy(2, ten + 60 * 10**9, "NSE_EQ:INFY", 800_00, 80)
    third = buy(5, next_ten, "NSE_EQ:TCS", 1100_00, 1_10)
    fills = [
        first,
        second,
        sell(3, noon, "NSE_EQ:TCS", 1090_00, 1_20, first, "below VWAP"),
        sell(4, noon, "NSE_EQ:INFY", 690_00, 70, second, "stop"),
        third,
        sell(6, next_ten + 30 * 60 * 10**9, "NSE_EQ:TCS", 1101_00, 1_30, third, "below VWAP"),
    ]
    charges = sum(fill.charges for fill in fills)
    gross = sum(fill.gross for fill in fills)
    equity = [
        EquityRow(ten, START - 1001_00, START - 1_00),
        EquityRow(noon, START - 23_70, START - 23_70),
        EquityRow(next_ten, START - 23_70 - 1101_10, START - 24_80),
        EquityRow(ns_at(TUESDAY, time(15, 30)), START + gross - charges, START + gross - charges),
    ]
    summary = RunSummary(
        run_id="backtest-0001",
        ticks=1234567,
        late=0,
        duplicates=0,
        orders=6,
        fills=6,
        cancelled=0,
        round_trips=3,
        gross_pnl=gross,
        charges=charges,
        net_pnl=gross - charges,
        starting_balance=START,
        ending_balance=START + gross - charges,
        max_drawdown=25_10,
        refusals={"max_positions": 7, "price_above_budget": 12345},
        ledger_sha256="0" * 64,
    )
    return summary, fills, equity


def test_results_are_broken_down_by_symbol_with_all_charges() -> None:
    infy, tcs = measure(*small_run()).symbols
    assert (infy.label, infy.round_trips, infy.wins) == ("NSE_EQ:INFY", 1, 0)
    assert (infy.gross, infy.charges, infy.net) == (-110_00, 1_50, -111_50)
    assert (tcs.label, tcs.round_trips, tcs.wins) == ("NSE_EQ:TCS", 2, 1)
    assert (tcs.gross, tcs.charges, tcs.net) == (91_00, 4_60, 86_40)


def test_results_are_broken_down_by_exit_reason_the_commonest_first() -> None:
    below, stop = measure(*small_run()).exits
    assert (below.label, below.round_trips, below.gross, below.charges) == ("below VWAP", 2, 91_00, 4_60)
    assert (stop.label, stop.round_trips, stop.gross, stop.charges) == ("stop", 1, -110_00, 1_50)


def test_days_carry_equity_gross_and_net() -> None:
    monday, tuesday = measure(*small_run()).days
    assert (monday.day, monday.fills, monday.round_trips) == (MONDAY, 4, 2)
    assert (monday.gross, monday.charges, monday.net) == (-20_00, 3_70, -23_70)
    assert (monday.equity, monday.gross_equity) == (START - 23_70, START - 20_00)
    assert (tuesday.gross, tuesday.charges, tuesday.net) == (1_00, 2_40, -1_40)
    assert (tuesday.equity, tuesday.gross_equity) == (START - 25_10, START - 19_00)


def test_gross_equity_adds_the_charges_paid_so_far() -> None:
    curve = measure(*small_run()).curve
    assert (curve.gross - curve.equity).tolist() == [1_00, 3_70, 4_80, 6_10]
    assert curve.drawdown.tolist() == [-1_00, -23_70, -24_80, -25_10]


def test_trades_are_judged_before_and_after_charges() -> None:
    metrics = measure(*small_run())
    gross, net = metrics.trades_gross, metrics.trades_net
    assert (gross.wins, gross.losses, net.wins, net.losses) == (2, 1, 1, 2)
    assert gross.profit_factor == pytest.approx(91 / 110)
    assert gross.expectancy == pytest.approx(-1900 / 3)
    assert net.win_rate == pytest.approx(1 / 3)
    assert net.average_loss == pytest.approx(-(111_50 + 1_40) / 2)
    assert metrics.holding_minutes == pytest.approx((120 + 119 + 30) / 3)


def test_a_run_without_trades_divides_nothing_by_zero() -> None:
    summary, _, _ = small_run()
    metrics = measure(summary, [], [])
    assert metrics.trades_net.win_rate is None
    assert metrics.curve_net.sharpe is None
    assert metrics.curve_net.cagr is None
    assert metrics.curve_net.drawdown == 0
    assert metrics.holding_minutes is None
    assert not metrics.days


def test_ratios_of_a_curve_worked_out_by_hand() -> None:
    closes = [110_00, 99_00, 108_90]  # +10 %, −10 %, +10 % on 100
    figures = curve_figures(100_00, np.array(closes), closes)
    assert figures.total_return == pytest.approx(0.089)
    assert figures.cagr == pytest.approx(1.089 ** (252 / 3) - 1)
    mean, deviation = 0.1 / 3, math.sqrt((2 * (0.1 - 0.1 / 3) ** 2 + (-0.1 - 0.1 / 3) ** 2) / 2)
    assert figures.sharpe == pytest.approx(mean / deviation * math.sqrt(252))
    assert figures.sortino == pytest.approx(mean / math.sqrt(0.01 / 3) * math.sqrt(252))
    assert figures.drawdown == pytest.approx(0.1)
    assert figures.drawdown_paise == 11_00
    assert figures.calmar == pytest.approx(figures.cagr / 0.1)


def test_ratios_without_risk_are_undefined() -> None:
    flat = curve_figures(100, np.array([100, 100]), [100, 100])
    assert (flat.sharpe, flat.sortino, flat.calmar, flat.cagr) == (None, None, None, 0.0)
    one_day = curve_figures(100, np.array([110]), [110])
    assert one_day.sharpe is None
    ruined = curve_figures(100, np.array([-5]), [-5])
    assert (ruined.cagr, ruined.drawdown) == (-1.0, 1.05)


def test_the_starting_balance_is_the_first_peak() -> None:
    assert drawdowns(100, np.array([90, 105, 95])).tolist() == [-10, 0, -10]


@given(st.lists(st.integers(-10_000, 10_000), min_size=1))
def test_figures_of_trades_agree_with_each_other(results: list[int]) -> None:
    figures = trade_figures(results)
    assert figures.expectancy is not None
    assert figures.expectancy * len(results) == pytest.approx(sum(results))
    gains = figures.wins * (figures.average_win or 0)
    losses = figures.losses * (figures.average_loss or 0)
    assert gains + losses == pytest.approx(sum(results))
    if figures.profit_factor is not None:
        assert (figures.profit_factor > 1) == (sum(results) > 0)


def printed(width: int = 120) -> str:
    console = Console(width=width, record=True, file=StringIO())
    print_backtest(console, measure(*small_run()), title="Backtest · momentum", notes={"OBI": "bar"})
    return console.export_text()


@pytest.mark.parametrize("width", [40, 80])
def test_a_narrow_terminal_shows_every_digit_of_a_day_in_one_line(width: int) -> None:
    lines = [" ".join(line.split()) for line in printed(width).splitlines()]
    assert "2021-04-06 1 ₹1.00 ₹2.40 -₹1.40 ₹19,974.90" in lines
    assert not [line for line in lines if "…" in line]


def test_tables_show_gross_charges_and_net_side_by_side() -> None:
    text = printed()
    lines = [" ".join(line.replace("│", " ").split()) for line in text.splitlines()]
    assert "Profit and loss -₹19.00 -₹25.10" in lines
    assert "NSE_EQ:TCS 2 50.00 % ₹91.00 ₹4.60 ₹86.40" in lines
    assert "Total 3 33.33 % -₹19.00 ₹6.10 -₹25.10" in lines
    assert "2021-04-06 1 ₹1.00 ₹2.40 -₹1.40 ₹19,974.90" in lines
    assert "price above budget 12,345" in lines
    assert "OBI bar" in lines
