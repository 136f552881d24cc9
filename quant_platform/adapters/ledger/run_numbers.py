"""The numbers of a run, computed from its stored rows in one pass."""

import msgspec
from sqlalchemy import Connection, func, select

from quant_platform.adapters.ledger.tables import executed_orders, orders, runs
from quant_platform.adapters.ledger.tally import SIDE_NAMES, Tally
from quant_platform.ports.ledger_store import Executions, RunSummary

_TALLIED = ("ts_ns", "symbol", "transaction_type", "quantity", "value", "charges", "gross", "pnl")
SIDES = {name: side for side, name in SIDE_NAMES.items()}


def summarise(connection: Connection, run_id: str) -> RunSummary:
    """Read the run's orders and executions, in order of execution, and add them up in paise.

    Raises:
        LedgerError: the executions do not lead from the starting balance to the stored one.
    """
    run = connection.execute(select(runs).where(runs.c.run_id == run_id)).mappings().one()
    by_state = select(orders.c.state, func.count()).where(orders.c.run_id == run_id).group_by(orders.c.state)
    states: dict[str, int] = dict(map(tuple, connection.execute(by_state)))
    tally = Tally(run["starting_balance"])
    executed = executed_orders.c
    query = select(*(executed[name] for name in _TALLIED)).where(executed.run_id == run_id)
    for rows in connection.execute(query.order_by(executed.seq).execution_options(yield_per=1000)).partitions():
        ts, symbol, side, *amounts = map(list, zip(*rows, strict=True))
        tally.take(Executions(ts, symbol, [SIDES[name] for name in side], *amounts))
    tally.check(run_id, run["balance"])
    counters = msgspec.json.decode(run["counters"], type=dict[str, int])
    return RunSummary(
        run_id=run_id,
        ticks=counters.get("ticks", 0),
        late=counters.get("late", 0),
        duplicates=counters.get("duplicates", 0),
        orders=sum(states.values()),
        fills=tally.fills,
        cancelled=states.get("cancelled", 0),
        round_trips=tally.round_trips,
        gross_pnl=tally.gross,
        charges=tally.charges,
        net_pnl=tally.net,
        starting_balance=run["starting_balance"],
        ending_balance=tally.balance,
        max_drawdown=run["max_drawdown"],
        refusals=msgspec.json.decode(run["refusals"], type=dict[str, int]),
        ledger_sha256=tally.sha256,
        latency_us=(counters.get("latency_p50_us"), counters.get("latency_p99_us")),
    )
