"""A made-up market's prices: closes from day to day, and the way from the open to the close.

Every stock moves with the market, with its industry and on its own. Daily closes are the reference price times a
fading memory of past shocks, so that any date can be made by itself and prices never run away. Within the day
the same three factors drive a random walk whose variance smiles (high at the open, higher again towards the close)
and comes in clusters; it is bent to end at the day's close.
"""

import zlib
from collections.abc import Sequence
from datetime import date
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from quant_platform.domain.instruments import Instrument, tick_size_on
from quant_platform.domain.session import previous_session, session_on
from quant_platform.domain.ticks import NS_PER_SECOND

STEP_NS = NS_PER_SECOND // 2
"""The grid of the feed's frames."""
STEPS_PER_MINUTE = 120

MARKET_WEIGHT, INDUSTRY_WEIGHT, OWN_WEIGHT = 0.55, 0.50, 0.67
"""Loadings of a stock's moves; their squares add up to one."""

GAP_LEAN, GAP_NEWS = 0.25, 0.4
"""The opening gap: a part of the day's move, and a stock's own news in its daily volatility."""

MEMORY_DAYS = 40
FADING = 0.97
"""What is left of a day's shock a day later."""

_CLOSES, _MARKET, _INDUSTRY, _GAP = range(4)
_CLUSTER_MINUTES = 60

Floats = NDArray[np.float64]


class Character(NamedTuple):
    """What stays with a stock from day to day and from seed to seed."""

    daily_volatility: float
    daily_turnover: float  # rupees
    beta: float  # scales the market's part


class DayPlan(NamedTuple):
    """What one stock's day is to look like, in paise."""

    previous_close: int
    open: int
    close: int
    tick: int


@lru_cache(maxsize=256)
def character_of(symbol: str) -> Character:
    """The character of a stock, from its name."""
    random = np.random.default_rng(zlib.crc32(symbol.encode()))
    return Character(random.uniform(0.014, 0.026), 10**9 * float(random.lognormal(1.1, 0.8)), random.uniform(0.8, 1.2))


@lru_cache(maxsize=16)
def smile(steps: int) -> Floats:
    """The day's U of activity over its steps, with a mean of one."""
    minutes = np.arange(steps) / STEPS_PER_MINUTE
    shape = 0.55 + 2.2 * np.exp(-minutes / 22.0) + 1.1 * np.exp((minutes - minutes[-1]) / 25.0)
    shape /= shape.mean()
    shape.flags.writeable = False
    return np.asarray(shape)


def grid(day: date, cas_eligible: bool) -> NDArray[np.int64]:
    """Stamps of the steps of continuous trading, ns UTC."""
    session = session_on(day)
    windows = session.windows(cas_eligible) if session else ()
    return np.concatenate([np.arange(opens, closes, STEP_NS, dtype=np.int64) for opens, closes in windows])


class Prices:
    """Prices of a seeded market.

    Args:
        instruments: the market's stocks, with a reference price each.
        seed: 0 or more; another one is another market.
    """

    def __init__(self, instruments: Sequence[Instrument], seed: int) -> None:
        self._instruments = instruments
        self._seed = seed
        industries = sorted({each.industry for each in instruments})
        self._industry = np.array([industries.index(each.industry) for each in instruments])
        self._industries = len(industries)
        characters = [character_of(each.symbol) for each in instruments]
        self._volatility = np.array([each.daily_volatility for each in characters])
        self._beta = np.array([each.beta for each in characters])
        self._reference = np.array([each.reference_price for each in instruments], np.float64)
        self._shocks = lru_cache(maxsize=512)(self._draw_shocks)
        self._closes = lru_cache(maxsize=128)(self._make_closes)
        self._factor = lru_cache(maxsize=32)(self._make_factor)

    def random(self, day: date, purpose: int, index: int) -> np.random.Generator:
        """The generator of one purpose on one date."""
        return np.random.default_rng([self._seed, day.toordinal(), purpose, index])

    def _mixed(self, random: np.random.Generator) -> Floats:
        """One draw for every stock: market, industry and own part."""
        market = random.standard_normal()
        industry = random.standard_normal(self._industries)[self._industry]
        own = random.standard_normal(len(self._instruments))
        return np.asarray(self._beta * MARKET_WEIGHT * market + INDUSTRY_WEIGHT * industry + OWN_WEIGHT * own)

    def _draw_shocks(self, day: date) -> Floats:
        return self._volatility * self._mixed(self.random(day, _CLOSES, 0))

    def _make_closes(self, day: date) -> Floats:
        """Closes of every stock in paise, not yet on the tick grid."""
        level = np.zeros(len(self._instruments))
        weight = 1.0
        for _ in range(MEMORY_DAYS):
            level += weight * self._shocks(day)
            weight *= FADING
            day = previous_session(day)
        return self._reference * np.exp(level)

    def closes(self, day: date) -> NDArray[np.int32]:
        """Closing prices of every stock, paise on the tick grid."""
        ticks = np.array([self._tick(number, day) for number in range(len(self._instruments))])
        return np.asarray(np.rint(self._closes(day) / ticks) * ticks, np.int32)

    def _tick(self, number: int, day: date) -> int:
        return tick_size_on(day, self._instruments[number].reference_price)

    def plan(self, number: int, day: date) -> DayPlan:
        """Where one stock's day starts and ends: the gap leans the way the day goes, and has news of its own."""
        before, after = self._closes(previous_session(day))[number], self._closes(day)[number]
        news = GAP_NEWS * self._volatility[number] * self.random(day, _GAP, number).standard_normal()
        opens = before * np.exp(GAP_LEAN * np.log(after / before) + news)
        tick = self._tick(number, day)
        previous, opening, closing = (int(np.rint(price / tick)) * tick for price in (before, opens, after))
        return DayPlan(previous, opening, closing, tick)

    def _make_factor(self, day: date, purpose: int, index: int, steps: int) -> Floats:
        """Increments of a market-wide or industry-wide factor over the day, with a total variance of one."""
        return _clustered_walk(self.random(day, purpose, index), steps)

    def path(self, number: int, day: date, opens: int, closes: int, steps: int, random: np.random.Generator) -> Floats:
        """The stock's price at every step, paise, from about ``opens`` to ``closes``."""
        market = self._beta[number] * MARKET_WEIGHT * self._factor(day, _MARKET, 0, steps)
        industry = INDUSTRY_WEIGHT * self._factor(day, _INDUSTRY, int(self._industry[number]), steps)
        own = OWN_WEIGHT * _clustered_walk(random, steps)
        walk = np.cumsum(self._volatility[number] * (market + industry + own))
        elapsed = np.cumsum(smile(steps)) / steps
        bend = (np.log(closes / opens) - walk[-1]) * elapsed
        return np.asarray(opens * np.exp(walk + bend))


def _clustered_walk(random: np.random.Generator, steps: int) -> Floats:
    """Increments with a smiling variance whose logarithm wanders: calm and busy spells of about half an hour."""
    minutes = -(-steps // STEPS_PER_MINUTE)
    memory = np.exp(-np.arange(_CLUSTER_MINUTES) / 20.0)
    noise = random.standard_normal(minutes + _CLUSTER_MINUTES - 1)
    heat = np.convolve(noise, memory, mode="valid") / np.sqrt((memory**2).sum())
    variance = smile(steps) * np.repeat(np.exp(0.7 * heat), STEPS_PER_MINUTE)[:steps]
    return np.asarray(np.sqrt(variance / variance.sum()) * random.standard_normal(steps))
