"""Risk: the only maker of Approved. The halt, then sizing, limits and cash, in the order of the trading rules."""

from typing import Any

from quant_platform.domain.charges import ChargeRates, total_charges
from quant_platform.domain.commands import Halt
from quant_platform.domain.orders import BUY, SELL, Approved, Intent, Refusal
from quant_platform.kernel import kernel
from quant_platform.services.strategy_runtime.state import Limits

NOTHING = 0
PRICE_ABOVE_BUDGET = int(Refusal.PRICE_ABOVE_BUDGET)
MAX_POSITIONS = int(Refusal.MAX_POSITIONS)
INSUFFICIENT_CASH = int(Refusal.INSUFFICIENT_CASH)
HALTED = int(Refusal.HALTED)
NO_HALT = int(Halt.NONE)


@kernel
def start_session(account: Any, limits: Limits) -> None:
    """Take the base, equity at the session's start, and what follows from it."""
    base = account["cash"] + account["holdings"]
    account["base"] = base
    account["budget"] = base * limits.position_size_bps // 10_000
    account["risk"] = base * limits.risk_per_trade_bps // 10_000


@kernel
def check_entry(account: Any, limits: Limits, rates: ChargeRates, intent: Intent) -> tuple[int, Approved]:
    """Size an entry and check it: the halt, then budget, then positions, then cash.

    Args:
        account: record of :data:`~.state.ACCOUNT`.
        limits: the run's limits.
        rates: the date's charges.
        intent: a BUY at the last price.

    Returns:
        ``(Refusal, approved)``; ``approved`` is of quantity 0 unless the refusal is NONE. It holds the value at the
        last price and its charges until the fill.
    """
    if account["halt"] != NO_HALT:
        return HALTED, Approved(intent.ts, intent.symbol, BUY, 0, 0, intent.trigger)
    budget, free = account["budget"], account["cash"] - account["held"]
    if not 0 < intent.price <= budget:
        return PRICE_ABOVE_BUDGET, Approved(intent.ts, intent.symbol, BUY, 0, 0, intent.trigger)
    if account["slots"] >= limits.max_positions:
        return MAX_POSITIONS, Approved(intent.ts, intent.symbol, BUY, 0, 0, intent.trigger)
    # A strategy may ask at every tick while all cash is in use: budget // price shares are worth more than
    # budget − price, so that is seen without sizing the order.
    if budget - intent.price >= free:
        return INSUFFICIENT_CASH, Approved(intent.ts, intent.symbol, BUY, 0, 0, intent.trigger)
    quantity = budget // intent.price
    value = quantity * intent.price
    needed = value + total_charges(value, BUY, rates)
    if needed > free:
        return INSUFFICIENT_CASH, Approved(intent.ts, intent.symbol, BUY, 0, 0, intent.trigger)
    return NOTHING, Approved(intent.ts, intent.symbol, BUY, quantity, needed, intent.trigger)


@kernel
def approve_exit(quantity: int, intent: Intent) -> Approved:
    """An exit of the whole position is never refused."""
    return Approved(intent.ts, intent.symbol, SELL, quantity, 0, intent.trigger)


@kernel
def set_stop(account: Any, position: Any) -> None:
    """Where a new position's stop is touched: worth buy value − quantity × floor(risk / quantity), or less."""
    quantity = position["quantity"]
    position["stop_value"] = position["buy_value"] - quantity * (account["risk"] // quantity)
