"""The journal: the runtime's events since the last commit, and the ledger's rows they become when somebody asks."""

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from quant_platform.domain.orders import EVENT, EventKind, OrderState, Refusal, Trigger
from quant_platform.domain.rows import LazyRows
from quant_platform.ports.ledger_store import (
    EquityRow,
    Executions,
    FillRow,
    FillRows,
    OrderEndRow,
    OrderRow,
    RefusalRow,
)
from quant_platform.services.strategy_runtime.strategy import FeatureRow, Features

STOP_REASON = "stop"
SQUARE_OFF_REASON = "square-off"
ACCEPTED, FILLED, CANCELLED, REFUSED, MARKED = map(int, EventKind)
_NO_EVENTS = np.zeros(0, EVENT)

Explain = Callable[[int, FeatureRow], str]
"""``(side, tick) → reason`` of an order that a signal decided."""


class _Piece(NamedTuple):
    """Events of one stretch of a batch, with what their reasons are made of: the batch itself goes away."""

    events: NDArray[Any]  # of EVENT
    decided_on: Features | None  # the ticks of the orders that signals decided, in order
    reason: str  # of those orders, where the strategy gave it with its wish


class _Rows(NamedTuple):
    """Events as the ledger's rows, each kind in order of happening."""

    orders: list[OrderRow]
    fills: list[FillRow]
    ends: list[OrderEndRow]
    refusals: list[RefusalRow]
    equity: list[EquityRow]
    waiting: dict[int, str]  # reasons of the orders that neither filled nor ended, by number


class Story:
    """What happened between two commits: counted at once, told in rows to those who ask.

    Args:
        pieces: in order.
        carried: reasons of the orders that were waiting before, by number.
        name_of: symbol number → symbol.
        explain: see :data:`Explain`.
    """

    def __init__(
        self, pieces: Sequence[_Piece], carried: dict[int, str], name_of: Callable[[int], str], explain: Explain
    ) -> None:
        self._pieces = pieces
        self._carried = carried
        self._name_of = name_of
        self._explain = explain
        self._events: NDArray[Any] = np.concatenate([piece.events for piece in pieces]) if pieces else _NO_EVENTS
        counts = np.bincount(self._events["kind"], minlength=len(EventKind)).tolist()
        unfilled = int(np.count_nonzero((self._events["kind"] == REFUSED) & (self._events["order_no"] > 0)))
        self.orders = LazyRows(counts[ACCEPTED], lambda: self._rows.orders)
        self.fills = FillRows(counts[FILLED], lambda: self._rows.fills, self._executions)
        self.ends = LazyRows(counts[CANCELLED] + unfilled, lambda: self._rows.ends)
        self.refusals = LazyRows(counts[REFUSED] - unfilled, lambda: self._rows.refusals)
        self.equity = LazyRows(counts[MARKED], lambda: self._rows.equity)

    def waiting(self) -> dict[int, str]:
        """Reasons of the orders that wait for their fill after all this, by number."""
        if not self.orders and not self._carried:
            return {}
        ended = self._events["order_no"][self._events["kind"] != ACCEPTED]
        begun = self._events["order_no"][self._events["kind"] == ACCEPTED]
        if np.isin([*begun.tolist(), *self._carried], ended).all():
            return {}
        return self._rows.waiting

    def _executions(self) -> Executions:
        fills = self._events[self._events["kind"] == FILLED]
        names = [self._name_of(number) for number in fills["symbol"].tolist()]
        numbers = (fills[name] for name in ("side", "quantity", "value", "charges", "gross", "pnl"))
        return Executions(fills["ts"].tolist(), names, *(column.tolist() for column in numbers))

    def _reasons(self) -> Iterator[str]:
        """Reasons of the orders that signals decided, in order."""
        for piece in self._pieces:
            signalled = signal_orders(piece.events)
            if piece.decided_on is None:
                yield from [piece.reason] * int(np.count_nonzero(signalled))
            else:
                sides = piece.events["side"][signalled].tolist()
                yield from map(self._explain, sides, piece.decided_on.rows())

    @cached_property
    def _rows(self) -> _Rows:
        rows = _Rows([], [], [], [], [], dict(self._carried))
        orders, fills, ends, refusals, equity, waiting = rows
        reasons = self._reasons()
        for event in self._events.tolist():
            (kind, ts, number, order_no, side, quantity, price, trigger, refusal, at_last, value) = event[:11]
            (charges, gross, pnl, cash, worth, _) = event[11:]
            if kind == MARKED:
                equity.append(EquityRow(ts, cash, worth))
                continue
            symbol = self._name_of(number)
            if kind == ACCEPTED:
                reason = waiting[order_no] = _TIMED.get(trigger) or next(reasons)
                orders.append(OrderRow(order_no, ts, symbol, side, quantity, price, reason))
            elif kind == FILLED:
                reason, closed = waiting.pop(order_no), bool(at_last)
                fills.append(FillRow(order_no, ts, symbol, side, quantity, value, charges, gross, pnl, reason, closed))
            elif kind == CANCELLED:
                del waiting[order_no]
                ends.append(OrderEndRow(order_no, ts, symbol, OrderState.CANCELLED.label, ""))
            elif order_no:
                del waiting[order_no]
                label = Refusal(refusal).label
                ends.append(OrderEndRow(order_no, ts, symbol, OrderState.REFUSED_AT_FILL.label, label))
            else:
                refusals.append(RefusalRow(ts, symbol, Refusal(refusal).label, price))
        return rows


_TIMED = {int(Trigger.STOP): STOP_REASON, int(Trigger.SQUARE_OFF): SQUARE_OFF_REASON}


def signal_orders(events: NDArray[Any]) -> NDArray[np.bool_]:
    """Which events are orders that a signal decided."""
    found: NDArray[np.bool_] = (events["kind"] == ACCEPTED) & (events["trigger"] == Trigger.SIGNAL)
    return found


class Journal:
    """Events since the last :meth:`clear`.

    Args:
        name_of: symbol number → symbol.
        explain: see :data:`Explain`; never asked where a strategy gives its reasons with its wishes.
    """

    def __init__(self, name_of: Callable[[int], str], explain: Explain) -> None:
        self._name_of = name_of
        self._explain = explain
        self._pieces: list[_Piece] = []
        self._story: Story | None = None
        self._carried: dict[int, str] = {}
        self.has_fills = False
        self.has_orders = False

    def write(self, events: NDArray[Any], features: Features | None = None, reason: str = "") -> None:
        """Take a block of :data:`~quant_platform.domain.orders.EVENT` in order; it may be reused afterwards.

        Args:
            events: the block.
            features: the batch that its rows refer to; None where ``reason`` explains its signals.
            reason: why, where the strategy has said it.
        """
        events = events.copy()
        decided_on = None if features is None else features.take(events["row"][signal_orders(events)])
        self._pieces.append(_Piece(events, decided_on, reason))
        self._story = None
        for kind, order_no in zip(events["kind"].tolist(), events["order_no"].tolist(), strict=True):
            if order_no:
                self.has_orders = True
                if kind != ACCEPTED:
                    self.has_fills = True
                    break

    @property
    def story(self) -> Story:
        """What happened since the last :meth:`clear`; it stays as it is when the journal goes on."""
        if self._story is None:
            self._story = Story(tuple(self._pieces), self._carried, self._name_of, self._explain)
        return self._story

    def mark(self, point: EquityRow) -> None:
        """A point of the equity curve that no tick or timer made."""
        event = np.zeros(1, EVENT)
        event["kind"], event["ts"], event["symbol"] = MARKED, point.ts, -1
        event["cash"], event["equity"] = point.balance, point.equity
        self.write(event)

    def clear(self) -> None:
        """Forget what happened, which is committed, but for the reasons of waiting orders."""
        self._carried = self.story.waiting()
        self._pieces, self._story = [], None
        self.has_fills = self.has_orders = False

    def waiting(self) -> dict[int, str]:
        """Reasons of the orders that wait for their fill, by number: what :meth:`restore` needs."""
        return self.story.waiting()

    def restore(self, waiting: dict[int, str]) -> None:
        """Go on with orders that were waiting."""
        self._carried = waiting
        self._pieces, self._story = [], None
