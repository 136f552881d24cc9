"""A committed block as ``orders.events``: every step in the lives of its orders."""

from operator import attrgetter

from quant_platform.domain.money import PAISE_PER_RUPEE
from quant_platform.domain.orders import BUY, order_id
from quant_platform.domain.records import OrderEvent, tick_id
from quant_platform.ports.ledger_store import FillRow, LedgerBlock, OrderEndRow, OrderRow, RefusalRow


def order_events(block: LedgerBlock, portfolio: str, run_id: str) -> list[OrderEvent]:
    """The events of a block in order of time; of one moment, what became of older orders before what was decided then.

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

    def intended(row: OrderRow | RefusalRow, side: int, reason: str) -> OrderEvent:
        price = row.price / PAISE_PER_RUPEE
        return event("intended", row.ts, row.symbol, reason, transaction_type=_side(side), price=price)

    def ordered(what: str, row: OrderRow | FillRow, price_paise: float) -> OrderEvent:
        known = {"order_id": order_id(run_id, row.order_no), "transaction_type": _side(row.side)}
        price = price_paise / PAISE_PER_RUPEE
        return event(what, row.ts, row.symbol, row.reason, quantity=row.quantity, price=price, **known)

    def refused(row: RefusalRow) -> OrderEvent:
        price = row.price / PAISE_PER_RUPEE
        return event("refused", row.ts, row.symbol, row.reason, transaction_type=_side(BUY), price=price)

    def outcome(row: FillRow | OrderEndRow) -> OrderEvent:
        if isinstance(row, FillRow):
            return ordered("filled", row, row.value / row.quantity)
        known = {"order_id": order_id(run_id, row.order_no)}
        return event(row.state, row.ts, row.symbol, row.refusal or row.state, **known)

    decided_at = {row.order_no: row.ts for row in block.orders}
    outcomes: list[FillRow | OrderEndRow] = sorted([*block.fills, *block.ends], key=attrgetter("order_no"))
    events = [outcome(row) for row in outcomes if decided_at.get(row.order_no) != row.ts]
    for order in block.orders:
        events += [intended(order, order.side, order.reason), ordered("accepted", order, order.price)]
    for refusal in block.refusals:
        # An exit is never refused; why an entry was wished for is kept with its order only.
        events += [intended(refusal, BUY, ""), refused(refusal)]
    events += [outcome(row) for row in outcomes if decided_at.get(row.order_no) == row.ts]
    return sorted(events, key=attrgetter("ts"))


def _side(side: int) -> str:
    return "BUY" if side == BUY else "SELL"
