"""Where a run begins: in a portfolio that is new, goes on or starts anew, or where it was cut short."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, delete, insert, select, update

from quant_platform.adapters.ledger.audit import AuditHead, Fact, append_facts
from quant_platform.adapters.ledger.bus_side import forget_offsets, read_offsets
from quant_platform.adapters.ledger.columns import to_ns
from quant_platform.adapters.ledger.running import Running
from quant_platform.adapters.ledger.tables import (
    GENESIS,
    executed_orders,
    portfolios,
    positions,
    runs,
    runtime_state,
)
from quant_platform.domain.errors import FencedError, UsageError
from quant_platform.domain.money import decimal_text
from quant_platform.ports.ledger_store import OpenPosition, RunRequest, RunStart

STARTS_ANEW = frozenset({"backtest", "replay"})
"""Modes in which a portfolio does not go on with its balance."""

LOCAL_USER = "local"


def begin(connection: Connection, request: RunRequest, now: datetime) -> tuple[Running, RunStart]:
    """Begin or resume a run within the connection's transaction.

    Raises:
        FencedError: the request comes back to an epoch that another writer has ended.
    """
    ts = to_ns(now)
    # First of all: until it is held, whoever had the portfolio may still write what is read below.
    ended = _claimed(connection, request.portfolio)
    if request.epoch is not None and request.epoch != ended:
        raise taken_over(request.portfolio)
    epoch = ended + 1
    last = _last_run(connection, request.portfolio)
    if last is not None and last["state"] == "running":
        nothing_happened = last["moment_ns"] is None
        can_go_on = last["state_at_commit"] or nothing_happened
        if not request.fresh and last["identity"] == request.identity and can_go_on:
            return _resume(connection, last, epoch, ts)
        _interrupt(connection, last["run_id"])
    balance, head = _balance_to_start_with(connection, request, now)
    run_no = 1 if last is None else last["run_no"] + 1
    run_id = f"{request.portfolio}-{run_no:04d}"
    connection.execute(
        insert(runs).values(
            run_id=run_id,
            portfolio_id=request.portfolio,
            run_no=run_no,
            mode=request.mode,
            strategy_id=request.strategy,
            identity=request.identity,
            state="running",
            started_at=now,
            starting_balance=balance,
            balance=balance,
            max_drawdown=0,
            counters="{}",
            refusals="{}",
        )
    )
    _hand_over(connection, request.portfolio, run_id, epoch, now)
    forget_offsets(connection, request.portfolio)
    after = {
        "run_id": run_id,
        "mode": request.mode,
        "strategy": request.strategy,
        "identity": request.identity,
    }
    head = append_facts(connection, request.portfolio, head, run_id, [Fact(ts, "run begun", {}, after)])
    running = Running(run_id, request.portfolio, request.strategy, epoch, balance, fills=0, audit=head)
    return running, RunStart(run_id, balance, balance, epoch=epoch)


def reset(connection: Connection, portfolio: str, capital: int | None, now: datetime) -> None:
    """Start a portfolio anew within the connection's transaction; whoever writes it is fenced off.

    Raises:
        UsageError: there is no such portfolio.
    """
    epoch = _claimed(connection, portfolio)
    stored = _portfolio(connection, portfolio)
    if stored is None:
        raise UsageError(f"there is no portfolio {portfolio!r}", "`quant portfolio list` shows them")
    last = _last_run(connection, portfolio)
    if last is not None and last["state"] == "running":
        _interrupt(connection, last["run_id"])
    _start_anew(connection, stored, stored["starting_balance"] if capital is None else capital, now)
    _hand_over(connection, portfolio, None, epoch + 1, now)


def taken_over(portfolio: str) -> FencedError:
    """What a writer is told that another one has followed."""
    return FencedError(f"another program has taken over portfolio {portfolio!r}", "stop this one; the other goes on")


def _claimed(connection: Connection, portfolio: str) -> int:
    """Keep whoever writes the portfolio from committing until the transaction ends.

    Returns:
        The epoch that it writes with; 0 where nobody ever did.
    """
    query = select(runtime_state.c.epoch).where(runtime_state.c.portfolio_id == portfolio)
    return connection.scalar(query.with_for_update()) or 0


def _hand_over(connection: Connection, portfolio: str, run_id: str | None, epoch: int, now: datetime) -> None:
    """Make who holds this epoch the portfolio's only writer: every earlier one fails at its next commit."""
    owner = runtime_state.c.portfolio_id == portfolio
    fresh = {"run_id": run_id, "epoch": epoch, "moment_ns": None, "state": b"", "last_updated": now}
    if connection.execute(update(runtime_state).where(owner).values(**fresh)).rowcount == 0:
        connection.execute(insert(runtime_state).values(portfolio_id=portfolio, halted=False, halt_reason="", **fresh))


def _resume(connection: Connection, last: RowMapping, epoch: int, ts: int) -> tuple[Running, RunStart]:
    portfolio, run_id = last["portfolio_id"], last["run_id"]
    stored = _portfolio(connection, portfolio)
    assert stored is not None, "a run has a portfolio by foreign key"  # noqa: S101
    owner = runtime_state.c.portfolio_id == portfolio
    connection.execute(update(runtime_state).where(owner).values(epoch=epoch))
    head = append_facts(
        connection,
        portfolio,
        AuditHead(stored["audit_seq"], stored["audit_hash"]),
        run_id,
        [Fact(ts, "run resumed", {}, {"run_id": run_id, "moment_ns": last["moment_ns"]})],
    )
    seqs = select(executed_orders.c.seq).where(executed_orders.c.run_id == run_id)
    running = Running(
        run_id,
        portfolio,
        last["strategy_id"],
        epoch,
        last["balance"],
        fills=connection.scalar(seqs.order_by(executed_orders.c.seq.desc()).limit(1)) or 0,
        audit=head,
        positions=_open_positions(connection, portfolio),
    )
    start = RunStart(
        run_id,
        last["starting_balance"],
        last["balance"],
        last["moment_ns"],
        last["state_at_commit"],
        read_offsets(connection, portfolio),
        epoch,
    )
    return running, start


def _balance_to_start_with(connection: Connection, request: RunRequest, now: datetime) -> tuple[int, AuditHead]:
    stored = _portfolio(connection, request.portfolio)
    capital = request.default_capital if request.capital is None else request.capital
    if stored is None:
        return _open_portfolio(connection, request, capital, now)
    connection.execute(update(portfolios).where(portfolios.c.id == request.portfolio).values(mode=request.mode))
    if request.capital is not None or request.fresh or request.mode in STARTS_ANEW:
        return _start_anew(connection, stored, capital, now)
    return _annul_positions(connection, stored, now)


def _open_portfolio(connection: Connection, request: RunRequest, capital: int, now: datetime) -> tuple[int, AuditHead]:
    connection.execute(
        insert(portfolios).values(
            id=request.portfolio,
            user_id=LOCAL_USER,
            mode=request.mode,
            starting_balance=capital,
            balance=capital,
            equity=capital,
            audit_seq=0,
            audit_hash=GENESIS,
            last_updated=now,
        )
    )
    fact = Fact(to_ns(now), "portfolio opened", {}, {"balance": decimal_text(capital, 2)})
    return capital, append_facts(connection, request.portfolio, AuditHead(0, GENESIS), LOCAL_USER, [fact])


def _start_anew(connection: Connection, stored: RowMapping, capital: int, now: datetime) -> tuple[int, AuditHead]:
    held = _open_positions(connection, stored["id"])
    new = {"starting_balance": capital, "balance": capital}
    head = _settle(connection, stored, "portfolio reset", held, new, now)
    return capital, head


def _annul_positions(connection: Connection, stored: RowMapping, now: datetime) -> tuple[int, AuditHead]:
    """Give back what open positions cost: then cash is the starting balance and all pnl, as when flat."""
    held = _open_positions(connection, stored["id"])
    if not held:
        return stored["balance"], AuditHead(stored["audit_seq"], stored["audit_hash"])
    cost = sum(position.buy_value + position.buy_charges for position in held.values())
    balance = stored["balance"] + cost
    head = _settle(connection, stored, "positions annulled", held, {"balance": balance}, now)
    return balance, head


def _settle(
    connection: Connection,
    stored: RowMapping,
    what: str,
    held: Mapping[str, OpenPosition],
    new: Mapping[str, Any],
    now: datetime,
) -> AuditHead:
    """Drop the positions and set the balance, with the audit row that says so."""
    connection.execute(delete(positions).where(positions.c.portfolio_id == stored["id"]))
    shares = {symbol: position.quantity for symbol, position in held.items()}
    before = {"balance": decimal_text(stored["balance"], 2), "positions": shares}
    after = {"balance": decimal_text(new["balance"], 2), "positions": {}}
    head = AuditHead(stored["audit_seq"], stored["audit_hash"])
    stands = {"equity": new["balance"], "last_updated": now, **new}
    return append_facts(connection, stored["id"], head, LOCAL_USER, [Fact(to_ns(now), what, before, after)], stands)


def _portfolio(connection: Connection, name: str) -> RowMapping | None:
    query = select(portfolios).where(portfolios.c.id == name).with_for_update()
    return connection.execute(query).mappings().one_or_none()


def _last_run(connection: Connection, portfolio: str) -> RowMapping | None:
    """The newest run, with the snapshot that its last commit left (empty where another run's or none)."""
    state = runtime_state.c
    query = (
        select(runs, state.state.label("state_at_commit"))
        .outerjoin(runtime_state, state.run_id == runs.c.run_id)
        .where(runs.c.portfolio_id == portfolio)
        .order_by(runs.c.run_no.desc())
        .limit(1)
    )
    return connection.execute(query).mappings().one_or_none()


def _interrupt(connection: Connection, run_id: str) -> None:
    connection.execute(update(runs).where(runs.c.run_id == run_id).values(state="interrupted"))


def _open_positions(connection: Connection, portfolio: str) -> dict[str, OpenPosition]:
    names = ("symbol", "quantity", "buy_value", "buy_charges", "opened_ns")
    query = select(*(positions.c[name] for name in names)).where(positions.c.portfolio_id == portfolio)
    rows = connection.execute(query.order_by(positions.c.symbol))
    return {position.symbol: position for position in (OpenPosition(*row) for row in rows)}
