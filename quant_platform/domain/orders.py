"""The life of an order as frozen facts: Intent → Approved | Refused → Order → Fill.

Kernels and Python use the same tuples. Only ``services/strategy_runtime/risk.py`` makes an :class:`Approved`, and the
paper exchange takes nothing else; ``tests/test_tidy.py`` holds both to it.
"""

from enum import IntEnum
from typing import NamedTuple

import numpy as np

BUY = 1
SELL = -1


class Refusal(IntEnum):
    """Why an intent did not become an order, or an approved entry was refused at its fill."""

    NONE = 0
    PRICE_ABOVE_BUDGET = 1
    MAX_POSITIONS = 2
    INSUFFICIENT_CASH = 3
    HALTED = 4

    @property
    def label(self) -> str:
        """As counted in reports: ``price_above_budget``."""
        return self.name.lower()


class Trigger(IntEnum):
    """What decided an order."""

    SIGNAL = 0
    STOP = 1
    SQUARE_OFF = 2
    COMMAND = 3


class OrderState(IntEnum):
    """Where an approved order stands."""

    PENDING = 0
    FILLED = 1
    CANCELLED = 2
    REFUSED_AT_FILL = 3

    @property
    def label(self) -> str:
        """As stored: ``refused_at_fill``."""
        return self.name.lower()


def order_id(run_id: str, order_no: int) -> str:
    """An order's name, unique over all runs of all portfolios."""
    return f"{run_id}-{order_no:06d}"


class Intent(NamedTuple):
    """A wish to trade, before any check."""

    ts: int  # ns UTC, when it was decided
    symbol: int
    side: int  # BUY or SELL
    price: int  # paise, the last price it was decided on
    trigger: int  # Trigger


class Approved(NamedTuple):
    """An intent that passed every check; the only thing the exchange accepts."""

    ts: int  # ns UTC
    symbol: int
    side: int  # BUY or SELL
    quantity: int  # shares, > 0
    hold: int  # paise of cash kept back while the entry waits; 0 for an exit
    trigger: int  # Trigger


class Fill(NamedTuple):
    """What the exchange gave for an order: the whole quantity at once."""

    ts: int  # ns UTC
    symbol: int
    side: int  # BUY or SELL
    quantity: int  # shares
    value: int  # paise, the exact sum over the levels it took
    charges: int  # paise


class EventKind(IntEnum):
    """What a row of the runtime's event block reports."""

    ACCEPTED = 0
    FILLED = 1
    CANCELLED = 2
    REFUSED = 3
    MARKED = 4


EVENT = np.dtype(
    [
        ("kind", np.int64),  # EventKind
        ("ts", np.int64),  # ns UTC, stamped by the rule
        ("symbol", np.int64),  # number in the symbol table; -1 for MARKED
        ("order_no", np.int64),  # counts the run's approved orders from 1; 0 where none is meant
        ("side", np.int64),  # BUY or SELL
        ("quantity", np.int64),  # shares
        ("price", np.int64),  # paise: the last price it was decided on
        ("trigger", np.int64),  # Trigger of the order
        ("refusal", np.int64),  # Refusal of an order refused at its fill
        ("at_last_price", np.int64),  # 1 where an exit was closed at the last price of the session
        ("value", np.int64),  # paise, of a fill
        ("charges", np.int64),  # paise, of a fill
        ("gross", np.int64),  # paise, of a sell: its value less its position's buy value
        ("pnl", np.int64),  # paise, of a sell; 0 for a buy
        ("cash", np.int64),  # paise after the event
        ("equity", np.int64),  # paise after the event
        ("row", np.int64),  # row of the batch that was being processed; -1 for a timer
    ]
)
"""One event of the strategy runtime, in order of happening: a row of :data:`EVENT`."""

REFUSED_INTENT = np.dtype(
    [
        ("ts", np.int64),  # ns UTC
        ("symbol", np.int64),  # number in the symbol table
        ("refusal", np.int64),  # Refusal
        ("price", np.int64),  # paise: the last price it was decided on
    ]
)
"""An intent that became no order: of five thousand symbols most events would be such."""
