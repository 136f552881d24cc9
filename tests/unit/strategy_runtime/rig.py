"""A runtime whose strategy does as the ticks say, so that a test reads like a day's notes."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, time
from typing import Any, NamedTuple

import numpy as np

from quant_platform.domain.instruments import SymbolTable
from quant_platform.domain.orders import BUY
from quant_platform.domain.session import ist_date, ns_at
from quant_platform.domain.ticks import LEVELS, OUT_OF_SESSION, EnrichedBatch, empty_ticks
from quant_platform.services.strategy_runtime.runtime import StrategyRuntime
from quant_platform.services.strategy_runtime.schema import TradingSettings
from quant_platform.services.strategy_runtime.strategy import Booleans, FeatureRow, Features, Strategy

DAY = date(2025, 3, 10)
WISHES = {"": math.nan, "buy": 1.0, "sell": -1.0}
Levels = Sequence[tuple[int, int]]


class Scripted:
    """Buys and sells where the test wrote so, into the column of VWAP."""

    name = "scripted"

    @dataclass(frozen=True)
    class Parameters:
        """None."""

    parameters = Parameters()

    def signals(self, features: Features) -> tuple[Booleans, Booleans]:
        return features.vwap == WISHES["buy"], features.vwap == WISHES["sell"]

    def explain_entry(self, tick: FeatureRow) -> str:
        return f"wished at {tick.ltp:.2f}"

    def explain_exit(self, tick: FeatureRow) -> str:
        return f"unwished at {tick.ltp:.2f}"


class T(NamedTuple):
    """One tick: when, at which price in paise, and what the strategy wishes on it."""

    at: str
    price: int
    wish: str = ""
    symbol: str = "A"
    bids: Levels = ()
    asks: Levels = ()
    day: date = DAY
    in_session: bool = True


class Trade(NamedTuple):
    """A fill as a test writes it."""

    at: str
    side: str
    symbol: str
    quantity: int
    value: int


def stamp(at: str, day: date = DAY) -> int:
    return ns_at(day, time.fromisoformat(at))


def clock_of(ts: int) -> str:
    """``10:00:00.200`` of a stamp on its own day."""
    of_day = ts - ns_at(ist_date(ts), time(0, 0))
    seconds, rest = divmod(of_day, 10**9)
    text = f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
    return f"{text}.{rest // 10**6:03d}" if rest else text


class Rig:
    """A runtime on a day of its own.

    Args:
        depth: whether the data has depth.
        balance: paise.
        symbols: name → in the closing auction or not.
        strategy: another strategy than the scripted one.
        settings: trading settings by name.
    """

    def __init__(
        self,
        *,
        depth: bool = False,
        balance: int = 20_000_00,
        symbols: Mapping[str, bool] | None = None,
        strategy: Strategy | None = None,
        **settings: Any,
    ) -> None:
        self.depth = depth
        self.table = SymbolTable()
        for name, cas in (symbols or {"A": False}).items():
            self.add(name, cas)
        self.runtime = StrategyRuntime(
            strategy or Scripted(), TradingSettings(**settings), self.table, depth=depth, balance=balance
        )

    def add(self, name: str, cas: bool = False) -> None:
        self.table.add(f"NSE_EQ:{name}", cas)

    def batch(self, ticks: Sequence[T]) -> EnrichedBatch:
        n = len(ticks)
        raw = empty_ticks(n, LEVELS if self.depth else 0)
        for i, tick in enumerate(ticks):
            raw.ts[i] = stamp(tick.at, tick.day)
            raw.symbol[i] = self.table.number(f"NSE_EQ:{tick.symbol}")
            raw.ltp[i] = tick.price
            raw.flags[i] = 0 if tick.in_session else OUT_OF_SESSION
            for level, (price, quantity) in enumerate(tick.bids):
                raw.bid_price[i, level], raw.bid_qty[i, level] = price, quantity
            for level, (price, quantity) in enumerate(tick.asks):
                raw.ask_price[i, level], raw.ask_qty[i, level] = price, quantity
        wishes = np.array([WISHES[tick.wish] for tick in ticks])
        rsi, obi, sma, spread = (np.full(n, np.nan) for _ in range(4))
        shown = np.array([bool(tick.bids or tick.asks) for tick in ticks], np.bool_)
        return EnrichedBatch(raw, wishes, rsi, obi, sma, spread, np.zeros(n, np.uint8), shown)

    def play(self, *ticks: T) -> "Rig":
        self.runtime.on_ticks(self.batch(ticks))
        return self

    def clock(self, at: str, day: date = DAY) -> "Rig":
        self.runtime.on_clock(stamp(at, day))
        return self

    @property
    def trades(self) -> list[Trade]:
        return [
            Trade(
                clock_of(fill.ts),
                "BUY" if fill.side == BUY else "SELL",
                fill.symbol.removeprefix("NSE_EQ:"),
                fill.quantity,
                fill.value,
            )
            for fill in self.runtime.journal.story.fills
        ]

    @property
    def orders(self) -> list[tuple[str, str, str]]:
        """When decided, on which symbol, and why."""
        return [(clock_of(o.ts), o.symbol.removeprefix("NSE_EQ:"), o.reason) for o in self.runtime.journal.story.orders]

    @property
    def ends(self) -> list[tuple[str, str]]:
        return [(clock_of(end.ts), end.state) for end in self.runtime.journal.story.ends]
