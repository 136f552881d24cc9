"""The audit log: rows chained by SHA-256, so that a changed, missing or added row shows."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Connection, bindparam, select, update

from quant_platform.adapters.ledger.bulk import bulk_insert
from quant_platform.adapters.ledger.columns import moment
from quant_platform.adapters.ledger.tables import GENESIS, audit_log, executed_orders, portfolios, runs
from quant_platform.domain.errors import LedgerError
from quant_platform.domain.money import decimal_text

ORDER_FILLED = "order filled"

_PORTFOLIO = update(portfolios).where(portfolios.c.id == bindparam("of"))

_canonical = msgspec.json.Encoder(order="sorted").encode


def canonical_json(value: Any) -> str:
    """JSON without spaces, keys sorted: one text for one value."""
    return _canonical(value).decode()


class Fact(NamedTuple):
    """Something that happened to a portfolio, to be chained."""

    ts: int  # ns UTC
    what: str
    before: Mapping[str, Any]
    after: Mapping[str, Any]


def row_hash(previous: str, chain: str, seq: int, ts_ns: int, actor: str, what: str, before: str, after: str) -> str:
    """SHA-256 over the hash of the row before and this row's canonical JSON array."""
    line = previous + canonical_json([chain, seq, ts_ns, actor, what, before, after])
    return hashlib.sha256(line.encode()).hexdigest()


class AuditHead(NamedTuple):
    """Where a chain ends."""

    seq: int
    hash: str


def append_facts(
    connection: Connection,
    portfolio: str,
    head: AuditHead,
    actor: str,
    facts: Iterable[Fact],
    stands: Mapping[str, Any] | None = None,
) -> AuditHead:
    """Chain facts after ``head`` and move the portfolio's head, within the connection's transaction.

    Args:
        connection: within a transaction.
        portfolio: its name.
        head: where its chain ended so far.
        actor: who did it.
        facts: in order; none leave the head where it is.
        stands: what else of the portfolio's row is new, column by column.

    Returns:
        The new head.
    """
    moved = dict(stands or {})
    end = chain_facts(connection, portfolio, head, actor, facts)
    if end != head:
        moved |= {"audit_seq": end.seq, "audit_hash": end.hash}
    if moved:
        connection.execute(_PORTFOLIO, {"of": portfolio} | moved)
    return end


def chain_facts(connection: Connection, chain: str, head: AuditHead, actor: str, facts: Iterable[Fact]) -> AuditHead:
    """Write the rows of facts after the end of any chain; gives its new end, which the caller keeps."""
    rows = []
    seq, digest = head
    for ts, what, before, after in facts:
        seq += 1
        before_text, after_text = canonical_json(before), canonical_json(after)
        digest = row_hash(digest, chain, seq, ts, actor, what, before_text, after_text)
        rows.append(
            {
                "chain": chain,
                "seq": seq,
                "timestamp": moment(ts),
                "ts_ns": ts,
                "actor": actor,
                "what": what,
                "before": before_text,
                "after": after_text,
                "hash": digest,
            }
        )
    if rows:
        bulk_insert(connection, audit_log, rows)
    return AuditHead(seq, digest)


def fill_facts(row: Mapping[str, Any]) -> dict[str, Any]:
    """What the audit log keeps of a row of ``executed_orders``: everything that decides a number."""
    return {
        "order_id": row["order_id"],
        "ts_ns": row["ts_ns"],
        "symbol": row["symbol"],
        "transaction_type": row["transaction_type"],
        "quantity": row["quantity"],
        "value": decimal_text(row["value"], 2),
        "charges": decimal_text(row["charges"], 2),
        "gross": decimal_text(row["gross"], 2),
        "pnl": decimal_text(row["pnl"], 2),
    }


def verify_chain(connection: Connection, portfolio: str) -> int:
    """Check a portfolio's chain row by row, and every executed order against its audit row.

    Returns:
        The number of audit rows.

    Raises:
        LedgerError: the first row that was changed, added or taken away.
    """
    *end, stated = connection.execute(
        select(portfolios.c.audit_seq, portfolios.c.audit_hash, portfolios.c.balance).where(
            portfolios.c.id == portfolio
        )
    ).one()
    executed = _executions(connection, portfolio)
    balance = None
    for what, after in follow_chain(connection, portfolio, AuditHead(*end)):
        balance = after.get("balance", balance)
        if what == ORDER_FILLED and fill_facts(next(executed, _NOTHING)) != after["fill"]:
            raise _tampered(f"executed order {after['fill']['order_id']} is not what was written")
    if (extra := next(executed, None)) is not None:
        raise _tampered(f"executed order {extra['order_id']} is in no audit row")
    if balance != decimal_text(stated, 2):
        raise _tampered(f"the balance of portfolio {portfolio!r} is not what was written")
    return int(end[0])


def follow_chain(connection: Connection, chain: str, end: AuditHead) -> Iterator[tuple[str, dict[str, Any]]]:
    """What happened and what stood after it, row by row of a chain.

    Args:
        connection: to the ledger.
        chain: its name.
        end: where it was written to.

    Raises:
        LedgerError: the first row that was changed, added or taken away.
    """
    head = AuditHead(0, GENESIS)
    columns = (audit_log.c.ts_ns, audit_log.c.actor, audit_log.c.what, audit_log.c.before, audit_log.c.after)
    query = select(audit_log.c.seq, audit_log.c.hash, *columns).where(audit_log.c.chain == chain)
    for seq, stored, *content in connection.execute(query.order_by(audit_log.c.seq).execution_options(yield_per=1000)):
        head = AuditHead(head.seq + 1, row_hash(head.hash, chain, seq, *content))
        if head != (seq, stored):
            raise _tampered(f"row {head.seq} of audit chain {chain!r} is not what was written")
        yield content[2], msgspec.json.decode(content[4])
    if head != end:
        raise _tampered(f"audit chain {chain!r} ends at row {head.seq}, it was written to row {end.seq}")


_NOTHING: Mapping[str, Any] = {
    "order_id": "", "ts_ns": 0, "symbol": "", "transaction_type": "", "quantity": 0,
    "value": 0, "charges": 0, "gross": 0, "pnl": 0,
}  # fmt: skip


def _executions(connection: Connection, portfolio: str) -> Iterator[Mapping[str, Any]]:
    query = (
        select(executed_orders)
        .join(runs, runs.c.run_id == executed_orders.c.run_id)
        .where(executed_orders.c.portfolio_id == portfolio)
        .order_by(runs.c.run_no, executed_orders.c.seq)
    )
    for row in connection.execute(query.execution_options(yield_per=1000)).mappings():
        yield dict(row)


def _tampered(what: str) -> LedgerError:
    return LedgerError(what, "the ledger was changed from outside; restore a backup")
