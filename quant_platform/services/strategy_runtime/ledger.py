"""The ledger: a fill moves cash and the position; the pnl of a round trip includes both sides' charges."""

from typing import Any

from quant_platform.domain.orders import BUY, Fill
from quant_platform.kernel import kernel


@kernel
def can_pay(account: Any, position: Any, cost: int) -> bool:
    """Whether the pending entry's value and charges fit the cash that no other pending entry holds."""
    return cost <= account["cash"] - (account["held"] - position["hold"])


@kernel
def post(account: Any, position: Any, fill: Fill) -> tuple[int, int]:
    """Book one fill of a whole order.

    Buy: cash −= value + charges. Sell: cash += value − charges, and the position is gone.

    Args:
        account: record of :data:`~.state.ACCOUNT`.
        position: record of :data:`~.state.POSITION` of the fill's symbol.
        fill: the fill.

    Returns:
        ``(gross, pnl)`` in paise of a sell: value less the position's buy value, before and after the charges of both
        sides; ``(0, 0)`` of a buy.
    """
    if fill.side == BUY:
        account["cash"] -= fill.value + fill.charges
        position["quantity"] = fill.quantity
        position["buy_value"] = fill.value
        position["buy_charges"] = fill.charges
        position["opened_at"] = fill.ts
        mark(account, position)
        return 0, 0
    account["cash"] += fill.value - fill.charges
    gross = fill.value - position["buy_value"]
    pnl = gross - fill.charges - position["buy_charges"]
    account["slots"] -= 1
    position["quantity"] = 0
    position["buy_value"] = 0
    position["buy_charges"] = 0
    mark(account, position)
    return gross, pnl


@kernel
def mark(account: Any, position: Any) -> None:
    """Value the position at its symbol's last in-session price."""
    worth = position["quantity"] * position["ltp"]
    account["holdings"] += worth - position["mark"]
    position["mark"] = worth


@kernel
def mark_equity(account: Any) -> None:
    """Take equity = cash + holdings into the peak and the largest fall from it."""
    equity = account["cash"] + account["holdings"]
    if equity > account["peak"]:
        account["peak"] = equity
    elif account["peak"] - equity > account["max_drawdown"]:
        account["max_drawdown"] = account["peak"] - equity
