"""What a strategy is: features in, wishes out. It never sees money, orders or the future."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Booleans = NDArray[np.bool_]


class Features(NamedTuple):
    """Columns of a batch as a strategy sees them: one row a tick, prices in rupees, NaN where undefined."""

    ts: NDArray[np.int64]  # ns UTC
    symbol: NDArray[np.int32]  # number in the symbol table
    ltp: Floats  # rupees
    volume: NDArray[np.int64]  # shares traded today
    vwap: Floats  # rupees
    rsi: Floats  # 0 … 100
    obi: Floats  # -1 … 1
    sma: Floats  # rupees
    spread: Floats  # rupees
    aggressor: NDArray[np.uint8]  # AGGRESSOR_NONE, AGGRESSOR_BUY, AGGRESSOR_SELL

    def row(self, i: int) -> "FeatureRow":
        """One tick as plain numbers."""
        return FeatureRow._make(column.item(i) for column in self)

    def rows(self) -> Iterator["FeatureRow"]:
        """Every tick as plain numbers."""
        return map(FeatureRow, *(column.tolist() for column in self))

    def take(self, places: NDArray[np.intp]) -> "Features":
        """The ticks at these places, copied."""
        return Features._make(column[places] for column in self)


class FeatureRow(NamedTuple):
    """One tick with its features; units as in :class:`Features`."""

    ts: int
    symbol: int
    ltp: float
    volume: int
    vwap: float
    rsi: float
    obi: float
    sma: float
    spread: float
    aggressor: int


class Context(NamedTuple):
    """What a strategy with a state of its own may know when it is asked about a tick."""

    quantity: int  # shares of the tick's symbol held
    average_price: float  # rupees; NaN when not held
    pending: bool  # an order of the symbol waits for its fill


class Decision(NamedTuple):
    """A wish to buy or to sell all, and why, for a person to read."""

    buy: bool
    reason: str


@runtime_checkable
class FactorStrategy(Protocol):
    """A strategy that is a rule over the features of the tick alone."""

    name: str
    parameters: Any  # a frozen dataclass: what --set can change

    def signals(self, features: Features) -> tuple[Booleans, Booleans]:
        """Entry and exit per row. A comparison with NaN is false. Row i may depend on row i only."""
        ...

    def explain_entry(self, tick: FeatureRow) -> str:
        """Why this tick is an entry."""
        ...

    def explain_exit(self, tick: FeatureRow) -> str:
        """Why this tick is an exit; a small set of texts, since reports group by it."""
        ...


@runtime_checkable
class TickStrategy(Protocol):
    """A strategy with a state of its own, asked tick by tick: slower, and free in what it remembers."""

    name: str
    parameters: Any  # a frozen dataclass: what --set can change

    def on_tick(self, tick: FeatureRow, context: Context) -> Decision | None:
        """A wish on this tick, or None. Risk checks, sizing and fills follow as for every strategy."""
        ...

    def snapshot(self) -> bytes:
        """What it remembers."""
        ...

    def restore(self, state: bytes) -> None:
        """Go on from a snapshot."""
        ...


Strategy = FactorStrategy | TickStrategy
StrategyFactory = Callable[[Any], Strategy]
