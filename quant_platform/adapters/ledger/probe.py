"""Look at a Postgres ledger without changing it: opening it as a ledger would bring its schema up to date."""

import math
from collections import defaultdict

from sqlalchemy import URL, Connection, NullPool, create_engine, func, inspect, select, text

from quant_platform.adapters.ledger.commands import HALT_FLAG, verify_chains
from quant_platform.adapters.ledger.engine import faults_named, reading_options
from quant_platform.adapters.ledger.schema import is_known, stored_revision
from quant_platform.adapters.ledger.tables import (
    HEAD_REVISION,
    consumer_offsets,
    metadata,
    outbox,
    portfolios,
    runtime_state,
)
from quant_platform.domain.errors import LedgerError
from quant_platform.ports.ledger_store import HaltFlag
from quant_platform.ports.server_probes import LedgerFound


def probe_ledger(url: str | URL, within_s: float, *, audit: bool) -> LedgerFound:
    """Ask a Postgres database about itself.

    Args:
        url: of the database, with the password.
        within_s: how long connecting, and each question, may take.
        audit: read every audit chain, too, where the schema is this program's.

    Raises:
        UnavailableError: it cannot be reached now.
        ConfigurationError: it refuses user, password or database.
    """
    arguments = {"connect_timeout": math.ceil(within_s), "options": f"-c statement_timeout={int(within_s * 1000)}"}
    engine = create_engine(url, poolclass=NullPool, connect_args=arguments)
    with faults_named(), engine.connect().execution_options(**reading_options(engine)) as connection:
        return _found(connection, audit)


def _found(connection: Connection, audit: bool) -> LedgerFound:
    asked = "SELECT current_setting('server_version'), (extract(epoch FROM clock_timestamp()) * 1e9)::bigint"
    version, clock_ns = connection.execute(text(asked)).one()
    there = set(inspect(connection).get_table_names())
    revision = stored_revision(connection)
    offsets: defaultdict[str, dict[tuple[str, int], int]] = defaultdict(dict)
    if consumer_offsets.name in there:
        for row in connection.execute(select(consumer_offsets)):
            offsets[row.group][row.topic, row.partition] = row.offset
    waiting = connection.scalar(select(func.count()).select_from(outbox)) if outbox.name in there else 0
    missing = sorted(set(metadata.tables) - there)
    is_ours = revision == HEAD_REVISION and not missing
    rows, error = _audited(connection) if audit and is_ours else (None, "")
    return LedgerFound(
        version=version.split()[0],
        clock_ns=clock_ns,
        revision=revision,
        head=HEAD_REVISION,
        is_known=revision == HEAD_REVISION or (revision is not None and is_known(revision)),
        missing=missing,
        offsets=dict(offsets),
        waiting=waiting or 0,
        audit_rows=rows,
        audit_error=error,
        halts=_halts(connection) if is_ours else {},
    )


def _halts(connection: Connection) -> dict[str, HaltFlag]:
    query = select(runtime_state.c.portfolio_id, *HALT_FLAG).where(runtime_state.c.halted)
    return {name: HaltFlag(*flag) for name, *flag in connection.execute(query.order_by(runtime_state.c.portfolio_id))}


def _audited(connection: Connection) -> tuple[int | None, str]:
    try:
        names = connection.scalars(select(portfolios.c.id)).all()
        return sum(verify_chains(connection, name) for name in names), ""
    except LedgerError as error:
        return None, error.what
