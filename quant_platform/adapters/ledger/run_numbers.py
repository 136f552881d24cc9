"""The numbers of a run, computed from its stored rows in one pass."""

import hashlib

import msgspec
from sqlalchemy import Connection, func, select

from quant_platform.adapters.ledger.columns import decimal_text
from quant_platform.adapters.ledger.tables import executed_orders, orders, runs
from quant_platform.domain.errors import LedgerError
from quant_platform.ports.ledger_store import RunSummary

_HASHED = ("ts_ns", "symbol", "transaction_type", "quantity", "value", "charges", "pnl")


def summarise(connection: Connection, run_id: str) -> RunSummary:
    """Read the run's orders and executions, in order of execution, and add them up in paise.

    Raises:
        LedgerError: the executions do not lead from the starting balance to the stored one.
    """
    run = connection.execute(select(runs).where(runs.c.run_id == run_id)).mappings().one()
    by_state = select(orders.c.state, func.count()).where(orders.c.run_id == run_id).group_by(orders.c.state)
    states: dict[str, int] = dict(map(tuple, connection.execute(by_state)))
    digest = hashlib.sha256()
    fills = round_trips = gross = charges = net = 0
    cash = run["starting_balance"]
    executed = executed_orders.c
    query = select(*(executed[name] for name in _HASHED), executed.gross)
    query = query.where(executed.run_id == run_id).order_by(executed.seq).execution_options(yield_per=1000)
    for row in connection.execute(query):
        ts_ns, symbol, side, quantity, value, charge, pnl, gain = tuple(row)
        digest.update(f"{ts_ns}|{symbol}|{side}|{quantity}|{value}|{charge}|{pnl}\n".encode())
        fills += 1
        charges += charge
        net += pnl
        if side == "SELL":
            round_trips += 1
            gross += gain
            cash += value - charge
        else:
            cash -= value + charge
    if cash != run["balance"]:
        raise LedgerError(
            f"run {run_id} ends at {decimal_text(cash, 2)} by its orders and at "
            f"{decimal_text(run['balance'], 2)} by its balance",
            "the ledger was changed from outside; `quant doctor` names the row",
        )
    counters = msgspec.json.decode(run["counters"], type=dict[str, int])
    return RunSummary(
        run_id=run_id,
        ticks=counters.get("ticks", 0),
        late=counters.get("late", 0),
        duplicates=counters.get("duplicates", 0),
        orders=sum(states.values()),
        fills=fills,
        cancelled=states.get("cancelled", 0),
        round_trips=round_trips,
        gross_pnl=gross,
        charges=charges,
        net_pnl=net,
        starting_balance=run["starting_balance"],
        ending_balance=cash,
        max_drawdown=run["max_drawdown"],
        refusals=msgspec.json.decode(run["refusals"], type=dict[str, int]),
        ledger_sha256=digest.hexdigest(),
    )
