"""The journal: the runtime's events as rows of the ledger, each order with a reason that a person can read."""

from collections.abc import Callable, Sequence
from typing import Any

from numpy.typing import NDArray

from quant_platform.domain.orders import BUY, EventKind, OrderState, Refusal, Trigger
from quant_platform.ports.ledger_store import (
    EquityRow,
    FillRow,
    OpenPosition,
    OrderEndRow,
    OrderRow,
    RefusalRow,
)

STOP_REASON = "stop"
SQUARE_OFF_REASON = "square-off"


class Journal:
    """Rows since the last :meth:`clear`, and what is needed to go on writing them.

    Args:
        name_of: symbol number → symbol.
    """

    def __init__(self, name_of: Callable[[int], str]) -> None:
        self._name_of = name_of
        self.orders: list[OrderRow] = []
        self.fills: list[FillRow] = []
        self.ends: list[OrderEndRow] = []
        self.refusals: list[RefusalRow] = []
        self.equity: list[EquityRow] = []
        self.pending_reasons: dict[int, str] = {}
        self.positions: dict[str, OpenPosition] = {}

    @property
    def has_fills(self) -> bool:
        """Whether a fill or an order's end waits to be committed."""
        return bool(self.fills or self.ends)

    @property
    def has_orders(self) -> bool:
        """Whether anything of an order's life waits to be committed."""
        return bool(self.orders or self.fills or self.ends)

    def clear(self) -> None:
        """Forget the rows, which are committed."""
        self.orders, self.fills, self.ends, self.refusals, self.equity = [], [], [], [], []

    def write(self, events: NDArray[Any], explain: Callable[[int, int], str]) -> None:
        """Take a block of :data:`~quant_platform.domain.orders.EVENT` in order.

        Args:
            events: the block.
            explain: ``(side, row of the batch) → reason`` of an order that a signal decided.
        """
        for event in events.tolist():
            (kind, ts, number, order_no, side, quantity, price, trigger, refusal, at_last, value) = event[:11]
            (charges, gross, pnl, cash, equity, row) = event[11:]
            if kind == EventKind.MARKED:
                self.equity.append(EquityRow(ts, cash, equity))
                continue
            symbol = self._name_of(number)
            if kind == EventKind.ACCEPTED:
                reason = self._reason(trigger, side, row, explain)
                self.pending_reasons[order_no] = reason
                self.orders.append(OrderRow(order_no, ts, symbol, side, quantity, price, reason))
            elif kind == EventKind.FILLED:
                reason = self.pending_reasons.pop(order_no)
                self.fills.append(
                    FillRow(
                        order_no,
                        ts,
                        symbol,
                        side,
                        quantity,
                        value,
                        charges,
                        gross,
                        pnl,
                        reason,
                        bool(at_last),
                    )
                )
                if side == BUY:
                    self.positions[symbol] = OpenPosition(symbol, quantity, value, charges, ts)
                else:
                    del self.positions[symbol]
            elif kind == EventKind.CANCELLED:
                self._end(order_no, ts, symbol, OrderState.CANCELLED, "")
            elif order_no:
                self._end(order_no, ts, symbol, OrderState.REFUSED_AT_FILL, Refusal(refusal).label)
            else:
                self.refusals.append(RefusalRow(ts, symbol, Refusal(refusal).label, price))

    def _end(self, order_no: int, ts: int, symbol: str, state: OrderState, refusal: str) -> None:
        del self.pending_reasons[order_no]
        self.ends.append(OrderEndRow(order_no, ts, symbol, state.label, refusal))

    @staticmethod
    def _reason(trigger: int, side: int, row: int, explain: Callable[[int, int], str]) -> str:
        if trigger == Trigger.STOP:
            return STOP_REASON
        if trigger == Trigger.SQUARE_OFF:
            return SQUARE_OFF_REASON
        return explain(side, row)

    def open_positions(self) -> Sequence[OpenPosition]:
        """All holdings, by symbol."""
        return [self.positions[symbol] for symbol in sorted(self.positions)]
