"""The paper exchange: accepts approved orders, matches them against depth or the last price, at real charges."""

from typing import Any

from quant_platform.domain.orders import BUY, Approved
from quant_platform.domain.prefetch import AHEAD, prefetch_levels
from quant_platform.domain.ticks import integer
from quant_platform.kernel import kernel
from quant_platform.services.strategy_runtime.state import Limits


@kernel
def accept(account: Any, position: Any, approved: Approved, price: int) -> None:
    """Let an approved order wait for its fill.

    Args:
        account: record of :data:`~.state.ACCOUNT`.
        position: record of :data:`~.state.POSITION` of the order's symbol, without a pending order.
        approved: the order.
        price: paise it was decided on.
    """
    account["orders"] += 1
    account["held"] += approved.hold
    if approved.side == BUY:
        account["slots"] += 1
    position["side"] = approved.side
    position["order_no"] = account["orders"]
    position["order_quantity"] = approved.quantity
    position["order_ts"] = approved.ts
    position["order_price"] = price
    position["order_trigger"] = approved.trigger
    position["hold"] = approved.hold


@kernel
def release(account: Any, position: Any) -> None:
    """End the pending order, filled or not: nothing is held for it any more."""
    account["held"] -= position["hold"]
    position["side"] = 0
    position["hold"] = 0


@kernel
def is_due(position: Any, ts: int, latency_ns: int) -> bool:
    """Whether a pending order may match on a tick at ``ts``."""
    return position["side"] != 0 and ts >= position["order_ts"] + latency_ns


@kernel
def walk(prices: Any, quantities: Any, row: int, quantity: int) -> int:
    """Value of ``quantity`` shares taken level by level; what the levels do not hold goes at the worst of them.

    Args:
        prices: (n, levels) paise of one side, best first.
        quantities: (n, levels) shares.
        row: which row.
        quantity: shares, > 0.

    Returns:
        The exact sum in paise; 0 when the side has no level.
    """
    value = 0
    rest = quantity
    worst = 0
    for level in range(prices.shape[1]):
        if prices[row, level] > 0 and quantities[row, level] > 0:
            worst = integer(prices[row, level])
            taken = min(rest, integer(quantities[row, level]))
            value += taken * worst
            rest -= taken
            if rest == 0:
                break
    return value + rest * worst


@kernel
def value_at_last(ltp: int, side: int, quantity: int, slippage_bps: int) -> int:
    """Value at the last price moved against the order, up to the paisa for a buy and down for a sell.

    Args:
        ltp: paise.
        side: BUY or SELL.
        quantity: shares.
        slippage_bps: basis points a share.
    """
    if side == BUY:
        return quantity * -(-ltp * (10_000 + slippage_bps) // 10_000)
    return quantity * (ltp * (10_000 - slippage_bps) // 10_000)


@kernel
def price_of(limits: Limits, side: int, quantity: int, ltp: int, depth: Any, row: int) -> int:
    """What the exchange gives or takes for an order now, in paise; negative when it cannot be filled on this tick.

    Args:
        limits: whether the data has depth, and the slippage where it has not.
        side: BUY walks the asks, SELL the bids.
        quantity: shares.
        ltp: paise.
        depth: :class:`~.state.Depth` that holds the standing depth.
        row: its row; negative when no depth was seen this session.
    """
    if not limits.depth:
        return value_at_last(ltp, side, quantity, limits.slippage_bps)
    if row < 0:
        return -1
    if side == BUY:
        value = walk(depth.ask_price, depth.ask_qty, row, quantity)
    else:
        value = walk(depth.bid_price, depth.bid_qty, row, quantity)
    return value if value > 0 else -1


@kernel
def keep_depth(
    positions: Any,
    standing_bid_price: Any,
    standing_bid_qty: Any,
    standing_ask_price: Any,
    standing_ask_qty: Any,
    symbols: Any,
    bid_price: Any,
    bid_qty: Any,
    ask_price: Any,
    ask_qty: Any,
) -> None:
    """Copy the depth that still stands out of the batch, which is about to go away."""
    source = (bid_price, bid_qty, ask_price, ask_qty)
    target = (standing_bid_price, standing_bid_qty, standing_ask_price, standing_ask_qty)
    by_symbol = positions.size < symbols.size  # the shorter of two ways to every symbol's last depth
    count = positions.size if by_symbol else symbols.size
    for k in range(count):
        if by_symbol and k + AHEAD < count:  # these rows lie all over the batch
            prefetch_levels(source, positions[k + AHEAD]["depth_row"] - 1)
        symbol = k if by_symbol else integer(symbols[k])
        row = positions[symbol]["depth_row"] - 1
        if row >= 0:
            positions[symbol]["depth_row"] = 0
            positions[symbol]["has_depth"] = 1
            for side in range(4):
                for level in range(source[side].shape[1]):
                    target[side][symbol, level] = source[side][row, level]
