"""The compiled loop of the runtime: timers, matching, marking and decision, tick by tick, in that order."""

from typing import Any

from quant_platform.domain.charges import ChargeRates, total_charges
from quant_platform.domain.orders import BUY, SELL, EventKind, Fill, Intent, Refusal, Trigger
from quant_platform.domain.prefetch import prefetch, ticks_ahead
from quant_platform.domain.ticks import NOT_FED, NS_PER_MINUTE, integer, unsigned
from quant_platform.kernel import kernel
from quant_platform.services.strategy_runtime import ledger, paper_exchange, risk
from quant_platform.services.strategy_runtime.state import LOOKED_AT_BYTES, NEVER, Depth, Limits, SessionTimes, Tape

ACCEPTED = int(EventKind.ACCEPTED)
FILLED = int(EventKind.FILLED)
CANCELLED = int(EventKind.CANCELLED)
REFUSED = int(EventKind.REFUSED)
MARKED = int(EventKind.MARKED)
INSUFFICIENT_CASH = int(Refusal.INSUFFICIENT_CASH)
SIGNAL = int(Trigger.SIGNAL)
STOP = int(Trigger.STOP)
SQUARE_OFF = int(Trigger.SQUARE_OFF)

BY_TIMER = -1
"""Row of an event that no tick brought about."""

EVENTS_PER_TICK = 6
"""Most events one tick can bring about beside those of timers."""


@kernel
def _note(account: Any, events: Any, kind: int, ts: int, symbol: int, row: int) -> Any:
    """Begin an event with what every event has; returns its record."""
    event = events[account["events"]]
    account["events"] += 1
    event["kind"] = kind
    event["ts"] = ts
    event["symbol"] = symbol
    event["row"] = row
    event["order_no"] = 0
    event["side"] = 0
    event["quantity"] = 0
    event["price"] = 0
    event["trigger"] = 0
    event["refusal"] = 0
    event["at_last_price"] = 0
    event["value"] = 0
    event["charges"] = 0
    event["gross"] = 0
    event["pnl"] = 0
    event["cash"] = account["cash"]
    event["equity"] = account["cash"] + account["holdings"]
    return event


@kernel
def _note_order(account: Any, position: Any, events: Any, kind: int, ts: int, symbol: int, row: int) -> Any:
    """Begin an event about the symbol's pending order."""
    event = _note(account, events, kind, ts, symbol, row)
    event["order_no"] = position["order_no"]
    event["side"] = position["side"]
    event["quantity"] = position["order_quantity"]
    event["price"] = position["order_price"]
    event["trigger"] = position["order_trigger"]
    return event


@kernel
def _refuse(account: Any, position: Any, refused: Any, refusal: int, intent: Intent) -> None:
    """Count a refusal; one a symbol, kind and minute is told of."""
    account["refusals"][refusal] += 1
    if intent.ts >= position["refused_until"][refusal - 1]:
        position["refused_until"][refusal - 1] = (intent.ts // NS_PER_MINUTE + 1) * NS_PER_MINUTE
        told = refused[account["refused"]]
        account["refused"] += 1
        told["ts"] = intent.ts
        told["symbol"] = intent.symbol
        told["refusal"] = refusal
        told["price"] = intent.price


@kernel
def _fill(
    account: Any, position: Any, events: Any, times: SessionTimes, value: int, ts: int, symbol: int, row: int
) -> Any:
    """Fill the pending order for ``value``; an entry that no longer fits the cash is refused instead."""
    side = position["side"]
    charges = total_charges(value, side, times.rates)
    if side == BUY and not ledger.can_pay(account, position, value + charges):
        account["refusals"][INSUFFICIENT_CASH] += 1
        account["slots"] -= 1
        event = _note_order(account, position, events, REFUSED, ts, symbol, row)
        event["refusal"] = INSUFFICIENT_CASH
        paper_exchange.release(account, position)
        return event
    quantity = position["order_quantity"]
    gross, pnl = ledger.post(account, position, Fill(ts, symbol, side, quantity, value, charges))
    if side == BUY:
        risk.set_stop(account, position)
    event = _note_order(account, position, events, FILLED, ts, symbol, row)
    event["value"] = value
    event["charges"] = charges
    event["gross"] = gross
    event["pnl"] = pnl
    paper_exchange.release(account, position)
    return event


@kernel
def _order_exit(account: Any, position: Any, events: Any, intent: Intent, row: int) -> None:
    approved = risk.approve_exit(position["quantity"], intent)
    paper_exchange.accept(account, position, approved, intent.price)
    _note_order(account, position, events, ACCEPTED, intent.ts, intent.symbol, row)


@kernel
def cancel_entry(account: Any, position: Any, events: Any, ts: int, symbol: int) -> None:
    """Give up the symbol's pending order where it is an entry."""
    if position["side"] == BUY:
        _note_order(account, position, events, CANCELLED, ts, symbol, BY_TIMER)
        account["slots"] -= 1
        paper_exchange.release(account, position)


@kernel
def square_off(account: Any, position: Any, events: Any, ts: int, symbol: int, trigger: int) -> None:
    """Cancel a pending entry; give a position its sell order."""
    cancel_entry(account, position, events, ts, symbol)
    if position["quantity"] > 0 and position["side"] == 0:
        intent = Intent(ts, symbol, SELL, position["ltp"], trigger)
        _order_exit(account, position, events, intent, BY_TIMER)


@kernel
def _close_out(account: Any, position: Any, events: Any, times: SessionTimes, ts: int, symbol: int) -> None:
    """Fill an exit that is still waiting at the continuous close at the last price, without slippage."""
    if position["side"] == SELL:
        value = position["order_quantity"] * position["ltp"]
        event = _fill(account, position, events, times, value, ts, symbol, BY_TIMER)
        event["at_last_price"] = 1


@kernel
def mark_minute(account: Any, events: Any, ts: int) -> None:
    """Before the first tick or timer of a minute does anything: the equity curve's point of the minute before."""
    if ts >= account["minute_end"]:
        if account["minute_end"] != 0:
            _note(account, events, MARKED, account["minute_end"], -1, BY_TIMER)
        account["minute_end"] = (ts // NS_PER_MINUTE + 1) * NS_PER_MINUTE


@kernel
def _fire(account: Any, positions: Any, events: Any, order: Any, classes: Any, times: SessionTimes, until: int) -> None:
    """Square-offs and closes due up to ``until``, by time and then by symbol."""
    while account["next_timer"] <= until:
        now = account["next_timer"]
        mark_minute(account, events, now)
        for k in range(order.size):
            symbol = order[k]
            position = positions[symbol]
            if position["side"] == 0 and position["quantity"] == 0:
                continue
            if times.square_off[classes[symbol]] == now:
                square_off(account, position, events, now, symbol, SQUARE_OFF)
            if times.close[classes[symbol]] == now:
                _close_out(account, position, events, times, now, symbol)
        upcoming = NEVER
        for security_class in range(2):
            for timer in (times.square_off[security_class], times.close[security_class]):
                if now < timer < upcoming:
                    upcoming = timer
        account["next_timer"] = upcoming


@kernel
def _match(
    account: Any,
    position: Any,
    events: Any,
    limits: Limits,
    times: SessionTimes,
    batch_depth: Depth,
    standing: Depth,
    tick: Intent,
    row: int,
) -> None:
    """Fill the symbol's pending order if it is due on this tick and the exchange can fill it."""
    if not paper_exchange.is_due(position, tick.ts, limits.latency_ns):
        return
    side, quantity = position["side"], position["order_quantity"]
    if position["depth_row"] > 0:
        value = paper_exchange.price_of(limits, side, quantity, tick.price, batch_depth, position["depth_row"] - 1)
    else:
        place = tick.symbol if position["has_depth"] == 1 else -1
        value = paper_exchange.price_of(limits, side, quantity, tick.price, standing, place)
    if value >= 0:
        _fill(account, position, events, times, value, tick.ts, tick.symbol, row)


@kernel
def _decide(
    account: Any,
    position: Any,
    events: Any,
    refused: Any,
    limits: Limits,
    times: SessionTimes,
    tick: Intent,
    classes: Any,
    enter: bool,
    leave: bool,
    row: int,
) -> None:
    """Turn the tick's signals, its stop and the time into at most one order."""
    if position["side"] != 0:
        return
    quantity = position["quantity"]
    if quantity > 0:
        trigger = -1
        if tick.price * quantity <= position["stop_value"]:
            trigger = STOP
        elif leave:
            trigger = SIGNAL
        elif tick.ts >= times.square_off[classes[tick.symbol]]:
            trigger = SQUARE_OFF
        if trigger >= 0:
            intent = Intent(tick.ts, tick.symbol, SELL, tick.price, trigger)
            _order_exit(account, position, events, intent, row)
    elif enter and tick.ts < times.entry_until[classes[tick.symbol]]:
        intent = Intent(tick.ts, tick.symbol, BUY, tick.price, SIGNAL)
        refusal, approved = risk.check_entry(account, limits, times.rates, intent)
        if refusal != 0:
            _refuse(account, position, refused, refusal, intent)
        else:
            paper_exchange.accept(account, position, approved, tick.price)
            _note_order(account, position, events, ACCEPTED, tick.ts, tick.symbol, row)


@kernel
def _mark(account: Any, position: Any, ltp: int) -> None:
    """Value the position at this tick."""
    position["ltp"] = ltp
    ledger.mark(account, position)
    ledger.mark_equity(account)


@kernel
def _limits_in(rules: Any) -> Limits:
    """The limits of a record of :data:`RULES`."""
    return Limits(
        rules["position_size_bps"],
        rules["max_positions"],
        rules["risk_per_trade_bps"],
        rules["latency_ns"],
        rules["slippage_bps"],
        rules["depth"] != 0,
    )


@kernel
def _times_in(rules: Any) -> SessionTimes:
    """The session times of a record of :data:`RULES`."""
    square_off, close, until, rates = rules["square_off"], rules["close"], rules["entry_until"], rules["rates"]
    return SessionTimes(
        (square_off[0], square_off[1]),
        (close[0], close[1]),
        (until[0], until[1]),
        ChargeRates(rates[0], rates[1], rates[2], rates[3], rates[4], rates[5], rates[6], rates[7]),
    )


@kernel
def _next_due(account: Any) -> int:
    """When something happens next that is not for a tick to bring about: a timer, a minute's end, the session's."""
    return min(account["next_timer"], account["minute_end"], account["day_end"])


@kernel
def _process(
    account: Any,
    positions: Any,
    events: Any,
    refused: Any,
    order: Any,
    classes: Any,
    limits: Limits,
    times: SessionTimes,
    standing: Depth,
    tape: Tape,
    start: int,
    stop: int,
    settle: bool,
    decide: bool,
) -> int:
    depth = Depth(tape.bid_price, tape.bid_qty, tape.ask_price, tape.ask_qty)
    room = events.size - EVENTS_PER_TICK
    stop = min(stop, start + refused.size)  # a tick brings about one at most
    ahead = ticks_ahead(positions)
    due = _next_due(account)
    for row in range(start, stop):
        i = unsigned(row)
        if ahead and i + ahead < stop:
            prefetch(positions, integer(tape.symbol[i + ahead]), LOOKED_AT_BYTES)
        if tape.flags[i] & NOT_FED:
            continue
        ts = integer(tape.ts[i])
        if account["events"] > room:
            return i
        if ts >= due:
            if ts >= account["day_end"] or (ts >= account["next_timer"] and account["events"] + 8 * order.size > room):
                return i
            if settle:
                _fire(account, positions, events, order, classes, times, ts)
                mark_minute(account, events, ts)
                due = _next_due(account)
        symbol = unsigned(tape.symbol[i])
        position = positions[symbol]
        tick = Intent(ts, symbol, 0, integer(tape.ltp[i]), SIGNAL)
        if settle:
            if tape.has_depth[i]:
                position["depth_row"] = i + 1
            if position["side"] != 0:
                _match(account, position, events, limits, times, depth, standing, tick, i)
            _mark(account, position, tick.price)
        if decide:
            enter, leave = tape.enter[i], tape.leave[i]
            _decide(account, position, events, refused, limits, times, tick, classes, enter, leave, i)
    return stop


# What Python calls takes arrays and plain numbers only, which cost a call next to nothing.


@kernel
def fire_timers(accounts: Any, positions: Any, events: Any, order: Any, classes: Any, rules: Any, until: int) -> None:
    """Square-offs and closes due up to ``until``, by time and then by symbol.

    Args:
        accounts: one of :data:`~.state.ACCOUNT`.
        positions: (symbols,) of :data:`~.state.POSITION`.
        events: block with room for two events a symbol and timer.
        order: symbol numbers by name.
        classes: security class by symbol number.
        rules: one of :data:`~.state.RULES`.
        until: ns UTC.
    """
    _fire(accounts[0], positions, events, order, classes, _times_in(rules[0]), until)


@kernel
def process(  # noqa: D417 - the rest is named in one line
    accounts: Any,
    positions: Any,
    events: Any,
    refused: Any,
    order: Any,
    classes: Any,
    rules: Any,
    standing_bid_price: Any,
    standing_bid_qty: Any,
    standing_ask_price: Any,
    standing_ask_qty: Any,
    tape_ts: Any,
    tape_symbol: Any,
    tape_ltp: Any,
    tape_flags: Any,
    tape_has_depth: Any,
    bid_price: Any,
    bid_qty: Any,
    ask_price: Any,
    ask_qty: Any,
    enter: Any,
    leave: Any,
    start: int,
    stop: int,
    settle: bool,
    decide: bool,
) -> int:
    """Process rows until ``stop``, a row of another session, or a full event block; at most as many as may be refused.

    Args:
        accounts: and positions, events, order, classes and rules, as in :func:`fire_timers`.
        refused: block of :data:`~quant_platform.domain.orders.REFUSED_INTENT`, nothing of which is used.
        standing_bid_price: and the other three, depth kept from earlier batches: columns of :class:`~.state.Depth`.
        tape_ts: and the following, the columns of :class:`~.state.Tape`.
        start: first row; ``stop`` is the row after the last.
        settle: do timers, matching and marking; ``decide``: do the decision.

    Returns:
        The first row that was not processed.
    """
    tape = Tape(
        tape_ts, tape_symbol, tape_ltp, tape_flags, tape_has_depth, bid_price, bid_qty, ask_price, ask_qty, enter, leave
    )
    standing = Depth(standing_bid_price, standing_bid_qty, standing_ask_price, standing_ask_qty)
    limits, times = _limits_in(rules[0]), _times_in(rules[0])
    account = accounts[0]
    return _process(
        account, positions, events, refused, order, classes, limits, times, standing, tape, start, stop, settle, decide
    )
