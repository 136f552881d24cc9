"""The numbers of a run without its rows: what the runtime's events come to, counted a block at a time."""

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

from numpy.typing import NDArray

from quant_platform.domain.orders import BUY, SELL, EventKind
from quant_platform.ports.ledger_store import RunSummary
from quant_platform.services.strategy_runtime.journal import Journal

_FILL = ["ts", "symbol", "side", "quantity", "value", "charges", "pnl"]


class Tally(Journal):
    """A journal that keeps no rows. It counts as the ledger does when it sums up its stored ones.

    Args:
        name_of: symbol number → symbol.
    """

    def __init__(self, name_of: Callable[[int], str]) -> None:
        super().__init__(name_of)
        self._name = name_of
        self._digest = hashlib.sha256()
        self._orders = self._cancelled = self._fills = self._round_trips = 0
        self._gross = self._charges = self._net = 0

    def write(self, events: NDArray[Any], explain: Callable[[int, int], str]) -> None:
        """Count a block of events; nobody asks for reasons."""
        kinds = events["kind"]
        self._orders += int((kinds == EventKind.ACCEPTED).sum())
        self._cancelled += int((kinds == EventKind.CANCELLED).sum())
        filled = events[kinds == EventKind.FILLED]
        if not filled.size:
            return
        self._fills += filled.size
        self._round_trips += int((filled["side"] == SELL).sum())
        self._gross += int(filled["gross"].sum())
        self._charges += int(filled["charges"].sum())
        self._net += int(filled["pnl"].sum())
        for ts, symbol, side, quantity, value, charges, pnl in filled[_FILL].tolist():
            name = "BUY" if side == BUY else "SELL"
            self._digest.update(f"{ts}|{self._name(symbol)}|{name}|{quantity}|{value}|{charges}|{pnl}\n".encode())

    def summary(
        self, counters: Mapping[str, int], refusals: Mapping[str, int], start: int, end: int, max_drawdown: int
    ) -> RunSummary:
        """The numbers of the run so far.

        Args:
            counters: ticks, late and duplicates of its data.
            refusals: refused intents by reason.
            start: starting balance, paise.
            end: cash, paise.
            max_drawdown: paise.
        """
        return RunSummary(
            run_id="",
            ticks=counters["ticks"],
            late=counters["late"],
            duplicates=counters["duplicates"],
            orders=self._orders,
            fills=self._fills,
            cancelled=self._cancelled,
            round_trips=self._round_trips,
            gross_pnl=self._gross,
            charges=self._charges,
            net_pnl=self._net,
            starting_balance=start,
            ending_balance=end,
            max_drawdown=max_drawdown,
            refusals=dict(refusals),
            ledger_sha256=self._digest.hexdigest(),
        )
