"""The journal: the runtime's events since the last commit, and the ledger's rows they become when somebody asks."""

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from quant_platform.domain.orders import BUY, EVENT, REFUSED_INTENT, SELL, EventKind, OrderState, Refusal, Trigger
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
COMMAND_REASON = "squared off by command"
ACCEPTED, FILLED, CANCELLED, REFUSED, MARKED = map(int, EventKind)
SIGNAL = int(Trigger.SIGNAL)
_UNSIGNALLED = {
    int(Trigger.STOP): STOP_REASON,
    int(Trigger.SQUARE_OFF): SQUARE_OFF_REASON,
    int(Trigger.COMMAND): COMMAND_REASON,
}
_UNFILLED = {CANCELLED: OrderState.CANCELLED.label, REFUSED: OrderState.REFUSED_AT_FILL.label}
_SIDES = (BUY, SELL)
_FEW = 8
_SMALL_BATCH = 1024
PLACES = {name: place for place, name in enumerate(EVENT.names or ())}
"""Where each field of an event stands in its row of integers, :data:`EventRows`."""
_KIND, _ORDER_NO, _SIDE, _TRIGGER, _ROW = (PLACES[name] for name in ("kind", "order_no", "side", "trigger", "row"))
_REFUSALS = [refusal.label for refusal in Refusal]
_TOLD = REFUSED_INTENT.names or ()
NONE_REFUSED = np.zeros(0, REFUSED_INTENT)

Explain = Callable[[int, FeatureRow], str]
"""``(side, tick) → reason`` of an order that a signal decided."""


EventRows = NDArray[np.int64]
"""Events as rows of integers, (events, fields of EVENT): NumPy takes ten times as long to choose among records."""


def event_rows(events: NDArray[Any]) -> EventRows:
    """The same memory as rows.

    Args:
        events: of :data:`~quant_platform.domain.orders.EVENT`, contiguous.
    """
    return events.view(np.int64).reshape(-1, len(PLACES))


class _Piece(NamedTuple):
    """Events of one stretch of a batch, with what the reasons of the orders that signals decided are made of."""

    events: EventRows
    refused: NDArray[Any]  # of REFUSED_INTENT
    ticks: Features | None  # to which the rows of those orders' events refer
    reason: str  # where the strategy gave it with its wish


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
        nothing = np.zeros(0, np.int64)
        self._kinds = np.concatenate([nothing, *(piece.events[:, _KIND] for piece in pieces)])
        self._numbers = np.concatenate([nothing, *(piece.events[:, _ORDER_NO] for piece in pieces)])
        self._kinds[self._kinds == REFUSED] = CANCELLED  # an order refused at its fill ends as a cancelled one does
        counts = np.bincount(self._kinds, minlength=len(EventKind)).tolist()
        self.orders = LazyRows(counts[ACCEPTED], self._orders)
        self.fills = FillRows(counts[FILLED], self._fills, self._executions)
        self.ends = LazyRows(counts[CANCELLED], self._ends)
        self.refusals = LazyRows(sum(piece.refused.size for piece in pieces), self._refusals)
        self.equity = LazyRows(counts[MARKED], self._equity)

    def waiting(self) -> dict[int, str]:
        """Reasons of the orders that wait for their fill after all this, by number."""
        accepted = self._kinds == ACCEPTED
        ended = set(self._numbers[~accepted & (self._numbers > 0)].tolist())
        if ended.issuperset(self._numbers[accepted].tolist()) and ended.issuperset(self._carried):
            return {}
        return {number: reason for number, reason in self._reasons.items() if number not in ended}

    def _events(self, kind: int) -> NDArray[Any]:
        """Those of a kind, in order, as records of :data:`~quant_platform.domain.orders.EVENT`."""
        chosen = self._kinds == kind
        found, start = [np.zeros((0, len(PLACES)), np.int64)], 0
        for piece in self._pieces:
            stop = start + len(piece.events)
            found.append(piece.events[chosen[start:stop]])
            start = stop
        return np.concatenate(found).view(EVENT).ravel()

    @cached_property
    def _filled(self) -> NDArray[Any]:
        return self._events(FILLED)

    def _executions(self) -> Executions:
        names = [self._name_of(number) for number in self._filled["symbol"].tolist()]
        amounts = (self._filled[name].tolist() for name in Executions._fields[2:])
        return Executions(self._filled["ts"].tolist(), names, *amounts)

    @cached_property
    def _reasons(self) -> dict[int, str]:
        """Of every order that waited or was approved, by number."""
        signalled = self._signals()
        numbers = _rows(self._events(ACCEPTED), "order_no", "trigger")
        return self._carried | {no: _UNSIGNALLED.get(trigger) or next(signalled) for no, trigger in numbers}

    def _signals(self) -> Iterator[str]:
        """Reasons of the orders that signals decided, in order."""
        for piece in self._pieces:
            signalled = _signal_orders(piece.events)
            if piece.ticks is None:
                yield from [piece.reason] * int(np.count_nonzero(signalled))
            else:
                sides, rows = piece.events[signalled, _SIDE].tolist(), piece.events[signalled, _ROW]
                yield from map(self._explain, sides, piece.ticks.take(rows).rows())

    def _orders(self) -> list[OrderRow]:
        rows = _rows(self._events(ACCEPTED), "order_no", "ts", "symbol", "side", "quantity", "price")
        name_of, reasons = self._name_of, self._reasons
        return [
            OrderRow(no, ts, name_of(symbol), side, quantity, price, reasons[no])
            for no, ts, symbol, side, quantity, price in rows
        ]

    def _fills(self) -> list[FillRow]:
        amounts = ("side", "quantity", "value", "charges", "gross", "pnl")
        rows = _rows(self._filled, "order_no", "ts", "symbol", "at_last_price", *amounts)
        name_of, reasons = self._name_of, self._reasons
        return [
            FillRow(no, ts, name_of(symbol), side, quantity, value, charges, gross, pnl, reasons[no], bool(at_last))
            for no, ts, symbol, at_last, side, quantity, value, charges, gross, pnl in rows
        ]

    def _ends(self) -> list[OrderEndRow]:
        rows = _rows(self._events(CANCELLED), "kind", "order_no", "ts", "symbol", "refusal")
        return [
            OrderEndRow(no, ts, self._name_of(symbol), _UNFILLED[kind], _REFUSALS[refusal] if refusal else "")
            for kind, no, ts, symbol, refusal in rows
        ]

    def _refusals(self) -> list[RefusalRow]:
        rows = chain.from_iterable(_rows(piece.refused, *_TOLD) for piece in self._pieces)
        return [RefusalRow(ts, self._name_of(symbol), _REFUSALS[refusal], price) for ts, symbol, refusal, price in rows]

    def _equity(self) -> list[EquityRow]:
        return [EquityRow(*row) for row in _rows(self._events(MARKED), "ts", "cash", "equity")]


def _rows(events: NDArray[Any], *names: str) -> Iterator[tuple[Any, ...]]:
    """These columns of events, row by row, as plain numbers."""
    return zip(*(events[name].tolist() for name in names), strict=True)


def _signal_orders(events: EventRows) -> NDArray[np.bool_]:
    """Which events are orders that a signal decided."""
    found: NDArray[np.bool_] = (events[:, _KIND] == ACCEPTED) & (events[:, _TRIGGER] == SIGNAL)
    return found


def _taken_out(features: Features, events: EventRows) -> Features:
    """The ticks of a batch that signals decided orders on, copied; the rows of those orders' events refer to them."""
    signalled = np.flatnonzero(_signal_orders(events))
    rows = events[signalled, _ROW]
    events[signalled, _ROW] = np.arange(rows.size)
    return features.take(rows)


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
        self._explained: set[int] = set()
        self.has_fills = False
        self.has_orders = False

    def write(
        self, events: EventRows, refused: NDArray[Any], features: Features | None = None, reason: str = ""
    ) -> None:
        """Take what a stretch of a batch came to, in order.

        Args:
            events: orders, fills and marks; the block may be reused afterwards.
            refused: intents, of :data:`~quant_platform.domain.orders.REFUSED_INTENT`; the array is the journal's.
            features: the batch that its rows refer to; None where ``reason`` explains its signals.
            reason: why, where the strategy has said it.
        """
        events = events.copy()
        self._look_at(events)
        if not len(events):
            features = None  # there is nothing to explain
        if features is not None:
            if features.ts.size > _SMALL_BATCH:
                features = _taken_out(features, events)  # the batch itself goes away
            if len(self._explained) < len(_SIDES):
                self._try_to_explain(events, features)
        self._pieces.append(_Piece(events, refused, features, reason))
        self._story = None

    def _look_at(self, events: EventRows) -> None:
        """See at once whether there are orders and fills."""
        if len(events) <= _FEW:  # as live, where an order waits meanwhile: NumPy would take ten times as long
            for event in events.tolist():
                if event[_ORDER_NO]:
                    self.has_orders = True
                    self.has_fills = self.has_fills or event[_KIND] != ACCEPTED
        else:
            kinds_of_orders = events[events[:, _ORDER_NO] > 0, _KIND]
            self.has_orders |= bool(kinds_of_orders.size)
            self.has_fills |= bool((kinds_of_orders != ACCEPTED).any())

    def _try_to_explain(self, events: EventRows, ticks: Features) -> None:
        """Explain the first entry and the first exit at once: a strategy that cannot is found where nobody reads it."""
        signalled = events[_signal_orders(events)]
        for side, row in zip(signalled[:, _SIDE].tolist(), signalled[:, _ROW].tolist(), strict=True):
            if side not in self._explained:
                self._explained.add(side)
                self._explain(side, ticks.row(row))

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
        self.write(event_rows(event), NONE_REFUSED)

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
