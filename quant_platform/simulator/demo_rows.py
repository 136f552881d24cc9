"""One stock's day in a made-up market as rows: trades, volume and five levels along a path of prices."""

from datetime import date
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from quant_platform.domain.instruments import Instrument
from quant_platform.domain.money import PAISE_PER_RUPEE
from quant_platform.domain.session import Phase, PhaseKind, session_on
from quant_platform.domain.ticks import LEVELS, NS_PER_SECOND, TickBatch, empty_ticks, join
from quant_platform.simulator.demo_prices import STEP_NS, Floats, Prices, character_of, grid, smile

UPDATES_PER_STEP = 0.26
"""Share of the grid's steps at which a stock changes: about one in two seconds."""
TRADES_PER_UPDATE = 0.8
LEAN_STEPS = 40
"""The short-term direction that the book leans to is that of the last twenty seconds."""
SPREAD_ODDS = (0.6, 0.9)
"""Cumulative odds of a spread of one and of two ticks; otherwise three."""
OPENING_SHARE, CLOSING_SHARE = 0.01, 0.07
"""Of the day's volume, traded in the two auctions."""
INDICATION_NS = 10 * NS_PER_SECOND
_DEPTH_PROFILE = np.array([1.0, 1.5, 1.9, 2.2, 2.4], np.float32)

_STOCK, _LEVELS = 10, 11  # purposes of the generators used here; demo_prices has the lower ones

_COLLECTS_OPENING = {PhaseKind.PRE_OPEN_ENTRY, PhaseKind.PRE_OPEN_LIMIT_ENTRY}
_COLLECTS_CLOSING = {PhaseKind.AUCTION_ENTRY, PhaseKind.AUCTION_LIMIT_ENTRY}

Integers = NDArray[np.int64]


class StockDay(NamedTuple):
    """One stock's rows of a date, in order of time."""

    ticks: TickBatch  # ``symbol`` is the stock's number
    indicative: NDArray[np.int32]  # paise, 0 outside an auction


class _Auction(NamedTuple):
    """A call auction: indications while orders are collected, then one print."""

    starts: int
    matches: int
    ends: int


class _Book(NamedTuple):
    """What the depth of some rows is made from."""

    best_bid: Integers  # paise
    spread: Integers  # paise
    lean: Floats  # -1 … 1, towards the bids where above 0
    size: float  # usual shares of the first level


class _Dice(NamedTuple):
    """Generators of one stock and date; the levels have their own, so that a day is the same without them."""

    trades: np.random.Generator
    levels: np.random.Generator | None  # None: the rows need no levels


def stock_day(prices: Prices, instrument: Instrument, number: int, day: date, *, with_levels: bool = True) -> StockDay:
    """Make one stock's day, the same for the same seed, stock and date; for candles it needs no levels."""
    plan = prices.plan(number, day)
    levels = prices.random(day, _LEVELS, number) if with_levels else None
    dice = _Dice(prices.random(day, _STOCK, number), levels)
    moved = abs(np.log(plan.close / plan.previous_close))
    busy = float(dice.trades.lognormal(0.0, 0.3)) * (1.0 + 25.0 * moved)
    shares = character_of(instrument.symbol).daily_turnover * PAISE_PER_RUPEE / plan.close * busy

    steps = grid(day, instrument.cas_eligible)
    path = prices.path(number, day, plan.open, plan.close, steps.size, dice.trades)
    trading = _trading_rows(steps, path, shares, plan.tick, dice)
    parts = [StockDay(trading, np.zeros(trading.ts.size, np.int32))]
    opening, closing = _auctions(day, instrument.cas_eligible)
    if opening is not None:
        volume = shares * OPENING_SHARE
        parts.insert(0, _auction_rows(opening, plan.previous_close, plan.open, volume, plan.tick, dice))
    if closing is not None:
        volume = shares * CLOSING_SHARE
        parts.append(_auction_rows(closing, int(trading.ltp[-1]), plan.close, volume, plan.tick, dice))
    else:
        _end_at(trading, plan.close, plan.tick)
    ticks = join([part.ticks for part in parts])
    ticks.symbol[:] = number
    _accumulate(ticks)
    return StockDay(ticks, np.concatenate([part.indicative for part in parts]))


def _accumulate(ticks: TickBatch) -> None:
    """Turn ``volume`` from the shares of each row into the day's count, and average what they traded at."""
    value = np.cumsum(ticks.volume * ticks.ltp.astype(np.int64))
    np.cumsum(ticks.volume, out=ticks.volume)
    counted = np.maximum(ticks.volume, 1)
    ticks.atp[:] = np.round(value / counted / PAISE_PER_RUPEE, 2)


def _trading_rows(steps: Integers, path: Floats, shares: float, tick: int, dice: _Dice) -> TickBatch:
    """Continuous trading; ``volume`` holds the shares of each row."""
    random = dice.trades
    activity = smile(steps.size)
    changes = random.random(steps.size) < np.clip(UPDATES_PER_STEP * np.sqrt(activity), 0.0, 0.9)
    changes[[0, -1]] = True
    at = np.flatnonzero(changes)
    n = at.size
    ticks = empty_ticks(n, LEVELS)
    ticks.ts[:] = steps[at]

    move = path[at] - path[np.maximum(at - LEAN_STEPS, 0)]
    lean = np.tanh(move / (move.std() + tick * 0.1) + 0.5 * random.standard_normal(n))
    odds = random.random(n)
    spread = tick * (1 + (odds > SPREAD_ODDS[0]) + (odds > SPREAD_ODDS[1]))
    best_bid = np.rint((path[at] - spread / 2) / tick).astype(np.int64) * tick

    trades = random.random(n) < TRADES_PER_UPDATE
    trades[0] = True
    buys = random.random(n) < 0.5 + 0.25 * lean
    price = np.where(buys, best_bid + spread, best_bid)
    last_trade = np.maximum.accumulate(np.where(trades, np.arange(n), 0))
    ticks.ltp[:] = price[last_trade]

    weight = random.lognormal(0.0, 1.1, n) * np.sqrt(activity[at]) * trades
    ticks.volume[:] = np.where(trades, np.maximum(shares * weight / weight.sum(), 1.0), 0.0)
    if dice.levels is not None:
        _fill_levels(ticks, _Book(best_bid, spread, lean, 3.0 * shares / n), tick, dice.levels)
    return ticks


def _fill_levels(ticks: TickBatch, book: _Book, tick: int, random: np.random.Generator) -> None:
    """Five levels a side, one tick apart, larger further out; the side that the market leans to is the fuller one."""
    n = ticks.ts.size
    ladder = np.arange(LEVELS) * tick
    ticks.bid_price[:] = book.best_bid[:, None] - ladder
    ticks.ask_price[:] = (book.best_bid + book.spread)[:, None] + ladder
    noise = random.standard_normal((2, n, LEVELS), np.float32)
    for quantity, towards, own_noise in ((ticks.bid_qty, 0.6, noise[0]), (ticks.ask_qty, -0.6, noise[1])):
        typical = (book.size * np.exp(towards * book.lean)).astype(np.float32)[:, None] * _DEPTH_PROFILE
        quantity[:] = np.clip(typical * np.exp(np.float32(0.6) * own_noise), 1.0, 1e8)


def _end_at(ticks: TickBatch, close: int, tick: int) -> None:
    """Let the last row trade at the day's close, at its best bid."""
    ladder = np.arange(LEVELS) * tick
    ticks.ltp[-1] = close
    ticks.volume[-1] = max(int(ticks.volume[-1]), 1)
    ticks.bid_price[-1] = close - ladder
    ticks.ask_price[-1] = close + tick + ladder


def _auctions(day: date, cas_eligible: bool) -> tuple[_Auction | None, _Auction | None]:
    session = session_on(day)
    phases = session.phases(cas_eligible) if session else ()
    opening = _auction(phases, _COLLECTS_OPENING, PhaseKind.PRE_OPEN_MATCH)
    return opening, _auction(phases, _COLLECTS_CLOSING, PhaseKind.AUCTION_MATCH)


def _auction(phases: tuple[Phase, ...], collects: set[PhaseKind], matches: PhaseKind) -> _Auction | None:
    """The first auction of a kind."""
    matching = next((phase for phase in phases if phase.kind is matches), None)
    if matching is None:
        return None
    starts = min(phase.start for phase in phases if phase.kind in collects)
    return _Auction(starts, matching.start, matching.end)


def _auction_rows(auction: _Auction, standing: int, result: int, shares: float, tick: int, dice: _Dice) -> StockDay:
    """Indications that settle on the result, then the print; ``volume`` holds the shares of each row.

    Args:
        auction: when.
        standing: last price until the print, paise.
        result: the auction's price, paise.
        shares: traded in it.
        tick: price step, paise.
        dice: of the stock and date.
    """
    random = dice.trades
    first = auction.starts + int(random.integers(INDICATION_NS // STEP_NS)) * STEP_NS
    stamps = np.arange(first, auction.matches, INDICATION_NS, dtype=np.int64)
    prints_after = int(random.integers((auction.ends - auction.matches) // STEP_NS // 2)) * STEP_NS
    n = stamps.size + 1
    ticks = empty_ticks(n, LEVELS)
    ticks.ts[:-1], ticks.ts[-1] = stamps, auction.matches + prints_after
    settled = np.linspace(0.3, 1.0, n - 1)
    noise = random.standard_normal(n - 1) * (1.0 - settled) * 0.3
    indicated = np.rint((standing + (result - standing) * (settled + noise)) / tick).astype(np.int64) * tick
    around = np.append(indicated, result)
    ticks.ltp[:-1], ticks.ltp[-1] = standing, result
    ticks.volume[-1] = max(int(shares), 1)
    if dice.levels is not None:
        book = _Book(around - tick, np.full(n, 2 * tick), np.zeros(n), max(shares / 20, 1.0))
        _fill_levels(ticks, book, tick, dice.levels)
    return StockDay(ticks, np.append(indicated, 0).astype(np.int32))
