"""A committed block as ``orders.events``: every step in the lives of its orders."""

from operator import attrgetter

from quant_platform.domain.money import PAISE_PER_RUPEE
from quant_platform.domain.orders import BUY, order_id
from quant_platform.domain.records import OrderEvent, tick_id
from quant_platform.ports.ledger_store import LedgerBlock


def order_events(block: LedgerBlock, portfolio: str, run_id: str) -> list[OrderEvent]:
    """The events of a block in order of time; of one moment, what was decided before what became of it.

    Args:
        block: about to be committed.
        portfolio: its name.
        run_id: of the run.
    """

    def event(what: str, ts: int, symbol: str, reason: str, **known: object) -> OrderEvent:
        content = {"order_id": None, "transaction_type": None, "quantity": None, "price": None} | known
        return OrderEvent(
            what=what,  # type: ignore[arg-type]
            portfolio=portfolio,
            run_id=run_id,
            ts=ts,
            symbol=symbol,
            reason=reason,
            tick=tick_id(symbol, ts),
            **content,  # type: ignore[arg-type]
        )

    events = [
        event("refused", row.ts, row.symbol, row.reason, price=row.price / PAISE_PER_RUPEE) for row in block.refusals
    ]
    events += [
        event(
            "accepted",
            row.ts,
            row.symbol,
            row.reason,
            order_id=order_id(run_id, row.order_no),
            transaction_type=_side(row.side),
            quantity=row.quantity,
            price=row.price / PAISE_PER_RUPEE,
        )
        for row in block.orders
    ]
    events += [
        event(
            "filled",
            row.ts,
            row.symbol,
            row.reason,
            order_id=order_id(run_id, row.order_no),
            transaction_type=_side(row.side),
            quantity=row.quantity,
            price=row.value / row.quantity / PAISE_PER_RUPEE,
        )
        for row in block.fills
    ]
    events += [
        event(row.state, row.ts, row.symbol, row.refusal or row.state, order_id=order_id(run_id, row.order_no))
        for row in block.ends
    ]
    return sorted(events, key=attrgetter("ts"))


def _side(side: int) -> str:
    return "BUY" if side == BUY else "SELL"
