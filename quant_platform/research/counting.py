"""A journal that keeps no rows: what a sweep wants of each of its runs are the numbers only."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quant_platform.adapters.ledger.tally import Tally
from quant_platform.domain.orders import EventKind
from quant_platform.ports.ledger_store import Executions
from quant_platform.services.strategy_runtime.journal import PLACES, EventRows, Journal
from quant_platform.services.strategy_runtime.strategy import Features


class CountingJournal(Journal):
    """Counts events as they come, and adds up the executions as every ledger does.

    Args:
        name_of: symbol number → symbol.
        balance: starting balance, paise.

    Attributes:
        orders: approved ones.
        cancelled: those that square-off cancelled.
        tally: of the executions.
    """

    def __init__(self, name_of: Callable[[int], str], balance: int) -> None:
        super().__init__(name_of, lambda _side, _tick: "")
        self._symbol = name_of
        self.tally = Tally(balance)
        self.orders = self.cancelled = 0

    def write(
        self, events: EventRows, refused: NDArray[Any], features: Features | None = None, reason: str = ""
    ) -> None:
        """Count a block of events; reasons and refused intents are for rows."""
        kinds = events[:, PLACES["kind"]]
        counts = np.bincount(kinds, minlength=len(EventKind)).tolist()
        self.orders += counts[EventKind.ACCEPTED]
        self.cancelled += counts[EventKind.CANCELLED]
        if counts[EventKind.FILLED]:
            filled = events[kinds == EventKind.FILLED]
            columns = {name: filled[:, PLACES[name]].tolist() for name in Executions._fields}
            columns["symbol"] = list(map(self._symbol, columns["symbol"]))
            self.tally.take(Executions(**columns))
