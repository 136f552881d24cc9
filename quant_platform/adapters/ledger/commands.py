"""What a portfolio's owner orders, beside whoever writes it: the halt flag, and the audit chain of these commands."""

from datetime import datetime

from sqlalchemy import Connection, select, update

from quant_platform.adapters.ledger.audit import AuditHead, Fact, chain_facts, follow_chain, verify_chain
from quant_platform.adapters.ledger.columns import to_ns
from quant_platform.adapters.ledger.tables import runtime_state
from quant_platform.domain.commands import Halt
from quant_platform.domain.errors import UsageError
from quant_platform.ports.ledger_store import HaltFlag

HALT_FLAG = (runtime_state.c.halted, runtime_state.c.halt_reason, runtime_state.c.square_off)
"""The columns of a :class:`~quant_platform.ports.ledger_store.HaltFlag`, in order."""


def chain_of(portfolio: str) -> str:
    """Name of the audit chain of a portfolio's commands: its own is the runtime's, and a chain has one writer."""
    return f"{portfolio}/commands"


def halt_of(connection: Connection, portfolio: str) -> HaltFlag:
    """A portfolio's halt flag."""
    return HaltFlag(*connection.execute(select(*HALT_FLAG).where(runtime_state.c.portfolio_id == portfolio)).one())


def command(
    connection: Connection, order: Halt, reason: str, actor: str, now: datetime, portfolio: str | None
) -> list[str]:
    """Set the halt flag of one portfolio, or of all, with the audit row that says who did.

    A halt leaves a square-off in force, which a runtime may not have seen yet; only to resume takes it back.

    Args:
        connection: within a transaction.
        order: what is ordered.
        reason: why, in the owner's words.
        actor: who.
        now: the wall's time.
        portfolio: its name; None for every one.

    Returns:
        The names, in order.

    Raises:
        UsageError: there is no such portfolio.
    """
    state = runtime_state.c
    query = select(state.portfolio_id, state.command_seq, state.command_hash, *HALT_FLAG).order_by(state.portfolio_id)
    if portfolio is not None:
        query = query.where(state.portfolio_id == portfolio)
    found = connection.execute(query.with_for_update()).all()  # who commands at the same time waits here
    if portfolio is not None and not found:
        raise UsageError(f"there is no portfolio {portfolio!r}", "`quant portfolio list` shows them")
    for name, seq, digest, *flag in found:
        before = HaltFlag(*flag)
        after = HaltFlag()
        if order is not Halt.NONE:
            after = HaltFlag(True, reason, order is Halt.OUT or before.square_off)
        fact = Fact(to_ns(now), order.label or "resumed", before._asdict(), after._asdict())
        head = chain_facts(connection, chain_of(name), AuditHead(seq, digest), actor, [fact])
        new = {"halted": after.halted, "halt_reason": after.reason, "square_off": after.square_off}
        ends = {"command_seq": head.seq, "command_hash": head.hash}
        connection.execute(update(runtime_state).where(state.portfolio_id == name).values(**new, **ends))
    return [row.portfolio_id for row in found]


def verify_chains(connection: Connection, portfolio: str) -> int:
    """Check both audit chains of a portfolio: of what it did, and of its commands.

    Returns:
        The number of audit rows.

    Raises:
        LedgerError: the first row that was changed, added or taken away.
    """
    state = runtime_state.c
    ends = select(state.command_seq, state.command_hash).where(state.portfolio_id == portfolio)
    end = AuditHead(*connection.execute(ends).one())
    commands = sum(1 for _ in follow_chain(connection, chain_of(portfolio), end))
    return verify_chain(connection, portfolio) + commands
