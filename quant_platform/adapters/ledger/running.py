"""The run that is being written: what its next block must follow from, and the rows the block becomes."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from quant_platform.adapters.ledger.audit import ORDER_FILLED, AuditHead, Fact, fill_facts
from quant_platform.adapters.ledger.bulk import Row
from quant_platform.adapters.ledger.columns import moment
from quant_platform.adapters.ledger.tally import SIDE_NAMES
from quant_platform.domain.errors import LedgerError
from quant_platform.domain.money import decimal_text
from quant_platform.domain.orders import order_id
from quant_platform.ports.ledger_store import FillRow, LedgerBlock, OpenPosition, OrderEndRow

PENDING = "pending"
FILLED = "filled"


@dataclass(frozen=True)
class Running:
    """A run as of its last commit.

    Attributes:
        run_id: its id.
        portfolio: its portfolio's name.
        strategy: stored as ``strategy_id``.
        epoch: of this writer; the database holds a higher one once another writer has taken over.
        balance: cash, paise.
        fills: number of executions.
        positions: open ones, by symbol.
        audit: end of the portfolio's audit chain.
    """

    run_id: str
    portfolio: str
    strategy: str
    epoch: int
    balance: int
    fills: int
    audit: AuditHead
    positions: Mapping[str, OpenPosition] = field(default_factory=dict)

    def order_id(self, order_no: int) -> str:
        """Unique over all runs of all portfolios."""
        return order_id(self.run_id, order_no)


@dataclass
class BlockRows:
    """A block as rows of the tables."""

    orders: list[Row]
    ended: list[Row]  # orders of earlier blocks that ended in this one
    executed: list[Row]
    refusals: list[Row]
    equity: list[Row]
    facts: list[Fact]
    positions: dict[str, OpenPosition]


def block_rows(run: Running, block: LedgerBlock) -> BlockRows:
    """Turn a block into rows.

    Raises:
        LedgerError: the fills do not lead from the last balance and positions to the block's.
    """
    executed, facts = _executions(run, block)
    positions = {position.symbol: position for position in block.positions}
    ends = {row.order_no: (FILLED, "", row.ts) for row in block.fills}
    ends |= {row.order_no: (row.state, row.refusal, row.ts) for row in block.ends}
    facts += [_end_fact(run, end) for end in block.ends]
    approved = {row.order_no for row in block.orders}
    return BlockRows(
        orders=_orders(run, block, ends),
        ended=[
            {"b_order_id": run.order_id(no), "state": state, "refusal": refusal, "ended_at": moment(ts)}
            for no, (state, refusal, ts) in ends.items()
            if no not in approved
        ],
        executed=executed,
        refusals=[
            {
                "run_id": run.run_id,
                "ts_ns": row.ts,
                "symbol": row.symbol,
                "reason": row.reason,
                "timestamp": moment(row.ts),
                "price": row.price,
            }
            for row in block.refusals
        ],
        equity=[
            {
                "run_id": run.run_id,
                "ts_ns": ts,
                "portfolio_id": run.portfolio,
                "timestamp": moment(ts),
                "balance": row.balance,
                "equity": row.equity,
            }
            for ts, row in {row.ts: row for row in block.equity}.items()
        ],
        facts=facts,
        positions=positions,
    )


def position_rows(portfolio: str, positions: Iterable[OpenPosition], ts: int) -> list[Row]:
    """Rows of ``positions``."""
    return [
        {
            "portfolio_id": portfolio,
            "symbol": position.symbol,
            "quantity": position.quantity,
            "avg_price": price_per_share(position.buy_value, position.quantity),
            "buy_value": position.buy_value,
            "buy_charges": position.buy_charges,
            "opened_at": moment(position.opened_at),
            "opened_ns": position.opened_at,
            "last_updated": moment(ts),
        }
        for position in positions
    ]


def price_per_share(value: int, quantity: int) -> int:
    """Paise of ``quantity`` shares to hundredths of a paisa for one, halves up."""
    return (200 * value + quantity) // (2 * quantity)


def _orders(run: Running, block: LedgerBlock, ends: Mapping[int, tuple[str, str, int]]) -> list[Row]:
    rows = []
    for order in block.orders:
        state, refusal, ended = ends.get(order.order_no, (PENDING, "", None))
        rows.append(
            {
                "order_id": run.order_id(order.order_no),
                "run_id": run.run_id,
                "order_no": order.order_no,
                "portfolio_id": run.portfolio,
                "strategy_id": run.strategy,
                "timestamp": moment(order.ts),
                "ts_ns": order.ts,
                "symbol": order.symbol,
                "transaction_type": SIDE_NAMES[order.side],
                "quantity": order.quantity,
                "price": order.price,
                "reason": order.reason,
                "state": state,
                "refusal": refusal,
                "ended_at": None if ended is None else moment(ended),
            }
        )
    return rows


def _executions(run: Running, block: LedgerBlock) -> tuple[list[Row], list[Fact]]:
    """Rows and audit facts of the fills, while cash and holdings are carried along and checked at the end."""
    rows: list[Row] = []
    facts: list[Fact] = []
    balance = run.balance
    held = {symbol: position.quantity for symbol, position in run.positions.items()}
    for seq, fill in enumerate(block.fills, run.fills + 1):
        row = _execution(run, seq, fill)
        rows.append(row)
        quantity = held.get(fill.symbol, 0)
        before = {"balance": decimal_text(balance, 2), "quantity": quantity}
        balance -= fill.side * fill.value + fill.charges
        held[fill.symbol] = quantity + fill.side * fill.quantity
        after = {"balance": decimal_text(balance, 2), "quantity": held[fill.symbol], "fill": fill_facts(row)}
        facts.append(Fact(fill.ts, ORDER_FILLED, before, after))
    if balance != block.balance:
        raise LedgerError(
            f"run {run.run_id}: the fills lead to a balance of {decimal_text(balance, 2)}, "
            f"the block says {decimal_text(block.balance, 2)}"
        )
    _check_holdings(run, {symbol: n for symbol, n in held.items() if n}, block.positions)
    return rows, facts


def _check_holdings(run: Running, held: Mapping[str, int], positions: Sequence[OpenPosition]) -> None:
    stated = {position.symbol: position.quantity for position in positions}
    if held != stated:
        symbol = min(s for s in {*held, *stated} if held.get(s) != stated.get(s))
        raise LedgerError(
            f"run {run.run_id}: the fills lead to {held.get(symbol, 0)} shares of {symbol}, "
            f"the block says {stated.get(symbol, 0)}"
        )


def _execution(run: Running, seq: int, fill: FillRow) -> Row:
    return {
        "run_id": run.run_id,
        "seq": seq,
        "order_id": run.order_id(fill.order_no),
        "portfolio_id": run.portfolio,
        "strategy_id": run.strategy,
        "timestamp": moment(fill.ts),
        "ts_ns": fill.ts,
        "symbol": fill.symbol,
        "transaction_type": SIDE_NAMES[fill.side],
        "quantity": fill.quantity,
        "price": price_per_share(fill.value, fill.quantity),
        "value": fill.value,
        "charges": fill.charges,
        "gross": fill.gross,
        "pnl": fill.pnl,
        "reason": fill.reason,
        "closed_at_last_price": fill.at_last_price,
    }


def _end_fact(run: Running, end: OrderEndRow) -> Fact:
    before = {"order_id": run.order_id(end.order_no), "state": PENDING}
    return Fact(end.ts, f"order {end.state}", before, {"state": end.state, "refusal": end.refusal})
