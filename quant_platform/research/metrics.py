"""What a run's ledger says about its strategy: by symbol, by day, by exit reason, and the usual ratios.

Everything is given twice, gross (before charges) and net, since a strategy that only pays its broker looks fine gross.
"Gross equity" is what the account would hold had the charges not been taken: equity plus the charges paid so far.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from operator import attrgetter

import numpy as np
from numpy.typing import NDArray

from quant_platform.domain.orders import SELL
from quant_platform.domain.session import date_of
from quant_platform.domain.ticks import trading_day, trading_days
from quant_platform.ports.ledger_store import EquityRow, FillRow, RunSummary

SESSIONS_A_YEAR = 252
"""Sessions by which daily figures are made yearly, as is usual for equities."""


@dataclass(frozen=True, slots=True)
class TradeFigures:
    """Figures over closed round trips, of which each has one result. None where there is nothing to divide by.

    Attributes:
        wins: round trips that gained more than 0.
        losses: that lost.
        win_rate: wins / round trips.
        average_win: paise.
        average_loss: paise, below 0.
        profit_factor: Σ gains / |Σ losses|.
        expectancy: mean result of a round trip, paise: win rate × average win + loss rate × average loss.
    """

    wins: int
    losses: int
    win_rate: float | None
    average_win: float | None
    average_loss: float | None
    profit_factor: float | None
    expectancy: float | None


@dataclass(frozen=True, slots=True)
class CurveFigures:
    """Figures of an equity curve from its daily closes. None where they are undefined (too few days, no risk taken).

    Attributes:
        total_return: last equity / starting balance − 1.
        cagr: compound annual growth rate, (1 + total return) ^ (252 / sessions) − 1; −1 when nothing is left.
        sharpe: mean daily return / its standard deviation (n − 1) × √252, without a riskless rate
            (Sharpe, "The Sharpe Ratio", Journal of Portfolio Management 21, 1994).
        sortino: mean daily return / √(mean of min(return, 0)² over all days) × √252
            (Sortino and Price, "Performance Measurement in a Downside Risk Framework", Journal of Investing 3, 1994).
        calmar: cagr / largest fall from a peak as a part of that peak (Young, "Calmar Ratio: A Smoother Tool",
            Futures 20, 1991), over the whole run.
        drawdown: that fall, 0 … 1, over all points of the curve.
        drawdown_paise: the largest fall from a peak in paise, over all points of the curve.
    """

    total_return: float
    cagr: float | None
    sharpe: float | None
    sortino: float | None
    calmar: float | None
    drawdown: float
    drawdown_paise: int


@dataclass(frozen=True, slots=True)
class Breakdown:
    """Results of the fills that share something: a symbol, an exit reason. Money in paise.

    Attributes:
        label: what they share.
        round_trips: closed positions.
        wins: of them, those with a net gain.
        gross: Σ (sell value − its position's buy value).
        charges: of the round trips, both sides; in a breakdown by symbol of every fill.
        net: gross − charges.
    """

    label: str
    round_trips: int
    wins: int
    gross: int
    charges: int

    @property
    def net(self) -> int:
        """After charges, paise."""
        return self.gross - self.charges


@dataclass(frozen=True, slots=True)
class Day:
    """One IST date of the run. Money in paise.

    Attributes:
        day: the date.
        fills: executed orders.
        round_trips: positions closed.
        gross: of the positions closed.
        charges: of the fills.
        equity: at the end of the day.
        gross_equity: the same with all charges so far added back.
    """

    day: date
    fills: int
    round_trips: int
    gross: int
    charges: int
    equity: int
    gross_equity: int

    @property
    def net(self) -> int:
        """After charges, paise."""
        return self.gross - self.charges


@dataclass(frozen=True)
class Curve:
    """The equity curve as columns, one point a row of the ledger. Money in paise, int64.

    Attributes:
        ts: ns UTC.
        balance: cash.
        equity: cash and holdings.
        gross: equity with all charges so far added back.
        drawdown: fall of ``equity`` from its highest so far (the starting balance is the first peak), ≤ 0.
    """

    ts: NDArray[np.int64]
    balance: NDArray[np.int64]
    equity: NDArray[np.int64]
    gross: NDArray[np.int64]
    drawdown: NDArray[np.int64]


@dataclass(frozen=True)
class Metrics:
    """Everything of a run that tables, pictures and report files show."""

    summary: RunSummary
    curve: Curve
    trades_gross: TradeFigures
    trades_net: TradeFigures
    curve_gross: CurveFigures
    curve_net: CurveFigures
    symbols: Sequence[Breakdown]
    exits: Sequence[Breakdown]
    days: Sequence[Day]
    holding_minutes: float | None


def measure(summary: RunSummary, fills: Sequence[FillRow], equity: Sequence[EquityRow]) -> Metrics:
    """All figures of a run.

    Args:
        summary: the run's numbers.
        fills: in order of execution.
        equity: points of the equity curve, in order of time.
    """
    curve = _curve(summary.starting_balance, fills, equity)
    days = _days(summary.starting_balance, fills, curve)
    sells = [fill for fill in fills if fill.side == SELL]
    return Metrics(
        summary=summary,
        curve=curve,
        trades_gross=trade_figures([fill.gross for fill in sells]),
        trades_net=trade_figures([fill.pnl for fill in sells]),
        curve_gross=curve_figures(summary.starting_balance, curve.gross, [day.gross_equity for day in days]),
        curve_net=curve_figures(summary.starting_balance, curve.equity, [day.equity for day in days]),
        symbols=_by_symbol(fills),
        exits=_by_exit_reason(sells),
        days=days,
        holding_minutes=_holding_minutes(fills),
    )


def trade_figures(results: Sequence[int]) -> TradeFigures:
    """Figures over the results of round trips, in paise."""
    gains = [result for result in results if result > 0]
    losses = [result for result in results if result < 0]
    return TradeFigures(
        wins=len(gains),
        losses=len(losses),
        win_rate=_ratio(len(gains), len(results)),
        average_win=_ratio(sum(gains), len(gains)),
        average_loss=_ratio(sum(losses), len(losses)),
        profit_factor=_ratio(sum(gains), -sum(losses)),
        expectancy=_ratio(sum(results), len(results)),
    )


def curve_figures(start: int, points: NDArray[np.int64], closes: Sequence[int]) -> CurveFigures:
    """Figures of an equity curve.

    Args:
        start: starting balance, paise.
        points: the whole curve, paise.
        closes: its value at the end of every session, paise.
    """
    values = np.array([start, *closes], np.float64)
    total = float(values[-1] / start - 1)
    sessions = len(closes)
    cagr = _compounded(total, sessions) if sessions else None
    fall = drawdowns(start, points)
    peaks = points - fall
    drawdown = float((-fall / peaks).max(initial=0.0))
    sharpe = sortino = None
    if sessions >= 2 and (values > 0).all():
        returns = values[1:] / values[:-1] - 1
        sharpe = _ratio(returns.mean() * math.sqrt(SESSIONS_A_YEAR), returns.std(ddof=1))
        downside = math.sqrt(float(np.square(np.minimum(returns, 0)).mean()))
        sortino = _ratio(returns.mean() * math.sqrt(SESSIONS_A_YEAR), downside)
    return CurveFigures(
        total_return=total,
        cagr=cagr,
        sharpe=sharpe,
        sortino=sortino,
        calmar=None if cagr is None else _ratio(cagr, drawdown),
        drawdown=drawdown,
        drawdown_paise=int(-fall.min(initial=0)),
    )


def drawdowns(start: int, points: NDArray[np.int64]) -> NDArray[np.int64]:
    """Fall of every point from the highest before it (``start`` is the first peak), paise, ≤ 0."""
    return points - np.maximum(np.maximum.accumulate(points), start)


def _ratio(numerator: float, denominator: float) -> float | None:
    return float(numerator / denominator) if denominator else None


def _compounded(total_return: float, sessions: int) -> float | None:
    if total_return <= -1:
        return -1.0
    exponent = SESSIONS_A_YEAR / sessions * math.log1p(total_return)
    return math.expm1(exponent) if exponent < 700 else None  # beyond that a float has no room


def _curve(start: int, fills: Sequence[FillRow], equity: Sequence[EquityRow]) -> Curve:
    points = sorted(equity, key=attrgetter("ts"))
    ts, balance, worth = (np.array([row[place] for row in points], np.int64) for place in range(3))
    paid = np.cumsum([0, *(fill.charges for fill in fills)])
    fills_so_far = np.searchsorted([fill.ts for fill in fills], ts, side="right") if fills else np.zeros_like(ts)
    return Curve(ts, balance, worth, worth + paid[fills_so_far], drawdowns(start, worth))


def _days(start: int, fills: Sequence[FillRow], curve: Curve) -> list[Day]:
    """Every date with a fill or a point of the curve; one without a point keeps the equity of the day before."""
    by_day: dict[int, list[FillRow]] = defaultdict(list)
    for fill in fills:
        by_day[trading_day(fill.ts)].append(fill)
    closes = {day: place for place, day in enumerate(trading_days(curve.ts).tolist())}
    days = []
    worth = gross_worth = start
    for day in sorted(by_day.keys() | closes.keys()):
        of_day = by_day[day]
        if day in closes:
            worth, gross_worth = int(curve.equity[closes[day]]), int(curve.gross[closes[day]])
        sells = [fill for fill in of_day if fill.side == SELL]
        gross, charges = sum(fill.gross for fill in sells), sum(fill.charges for fill in of_day)
        days.append(Day(date_of(day), len(of_day), len(sells), gross, charges, worth, gross_worth))
    return days


def _by_symbol(fills: Iterable[FillRow]) -> list[Breakdown]:
    return _break_down(fills, lambda fill: fill.symbol, lambda fill: fill.charges)


def _by_exit_reason(sells: Iterable[FillRow]) -> list[Breakdown]:
    found = _break_down(sells, lambda fill: fill.reason, lambda fill: fill.gross - fill.pnl)
    return sorted(found, key=lambda part: -part.round_trips)


def _break_down(
    fills: Iterable[FillRow], label_of: Callable[[FillRow], str], charges_of: Callable[[FillRow], int]
) -> list[Breakdown]:
    groups: Mapping[str, list[FillRow]] = defaultdict(list)
    for fill in fills:
        groups[label_of(fill)].append(fill)
    return [
        Breakdown(
            label=label,
            round_trips=sum(fill.side == SELL for fill in group),
            wins=sum(fill.pnl > 0 for fill in group),
            gross=sum(fill.gross for fill in group if fill.side == SELL),
            charges=sum(map(charges_of, group)),
        )
        for label, group in sorted(groups.items())
    ]


def _holding_minutes(fills: Iterable[FillRow]) -> float | None:
    """Mean time from a buy to the sell that closes it."""
    bought: dict[str, int] = {}
    held = []
    for fill in fills:
        if fill.side == SELL:
            held.append(fill.ts - bought.pop(fill.symbol, fill.ts))
        else:
            bought[fill.symbol] = fill.ts
    return sum(held) / len(held) / 60e9 if held else None
