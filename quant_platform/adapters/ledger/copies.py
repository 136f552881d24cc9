"""Whole ledgers copied, from any database to any other: every row of one moment, in one transaction, verified there."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from sqlalchemy import Connection, delete, func, select, text, update

from quant_platform.adapters.ledger.audit import AuditHead, Fact, append_facts
from quant_platform.adapters.ledger.bulk import bulk_insert
from quant_platform.adapters.ledger.commands import verify_chains
from quant_platform.adapters.ledger.run_numbers import summarise
from quant_platform.adapters.ledger.tables import metadata, outbox, portfolios, runs, runtime_state
from quant_platform.adapters.ledger.views import LedgerDatabase
from quant_platform.domain.errors import LedgerError, SafetyError
from quant_platform.domain.ticks import NS_PER_SECOND

ROWS_AT_ONCE = 10_000

RunHashes = Mapping[str, str]
"""Run id → ``ledger_sha256``, computed from the rows."""


class LedgerCopies(LedgerDatabase):
    """A ledger that can be copied into a file, and made from one.

    Args:
        where: path of a SQLite file, or a database URL.
        durable: a commit is on the disk when it returns; False for a throw-away SQLite file.

    Raises:
        ConfigurationError: the URL cannot be read, or the schema is newer than the program.
        UnavailableError: the database cannot be opened now.
    """

    def copy_to(self, path: Path) -> RunHashes:
        """Write every row, as of one moment, into a new SQLite ledger; others may write meanwhile.

        Raises:
            LedgerError: the rows contradict their audit chain or each other.
        """
        with LedgerCopies(path, durable=False) as copy, copy._writing() as target:
            with self._reading() as source:  # let go before the check, which may take longer than a server waits
                _copy_rows(source, target)
            return _verified(target)

    def verified(self) -> RunHashes:
        """Check all audit chains, and the numbers of every run.

        Raises:
            LedgerError: names what was changed, added or taken away.
        """
        with self._reading() as connection:
            return _verified(connection)

    def become(self, path: Path, backup: str, now: datetime, *, replace: bool) -> None:
        """Take every row of a SQLite ledger, fence off whoever wrote here, and note it in every audit chain.

        Args:
            path: of the ledger to be taken, which is brought to this program's schema first.
            backup: its name, for the audit log.
            now: of the wall.
            replace: whether portfolios that are here are given up.

        Raises:
            SafetyError: there are portfolios here, and they are not to be replaced.
            LedgerError: the rows contradict their audit chain or each other; nothing was changed then.
        """

        def take(target: Connection) -> None:
            _keep_writers_out(target)
            names = target.scalars(select(portfolios.c.id).order_by(portfolios.c.id)).all()
            if names and not replace:
                raise SafetyError(
                    f"the ledger is not empty: it has portfolio {', '.join(names)}",
                    "restore into an empty one, or give these up with --replace",
                )
            fenced = _epochs(target)
            for table in reversed(metadata.sorted_tables):
                target.execute(delete(table))
            _copy_rows(source, target)
            _count_on(target)
            _fence_off(target, fenced, now)
            _note(target, backup, now)
            _verified(target)

        with LedgerCopies(path) as copy, copy._reading() as source:
            self._past_standstill(take)


def _copy_rows(source: Connection, target: Connection) -> None:
    for table in metadata.sorted_tables:
        result = source.execute(select(table).execution_options(yield_per=ROWS_AT_ONCE)).mappings()
        for rows in result.partitions():
            bulk_insert(target, table, [dict(row) for row in rows])


def _verified(connection: Connection) -> RunHashes:
    for portfolio in connection.scalars(select(portfolios.c.id)).all():
        verify_chains(connection, portfolio)
    found = {}
    for run_id, stored in connection.execute(select(runs.c.run_id, runs.c.ledger_sha256)).all():
        found[run_id] = summarise(connection, run_id).ledger_sha256
        if stored not in (None, found[run_id]):
            raise LedgerError(
                f"the executed orders of run {run_id} are not those it finished with",
                "the ledger was changed from outside; restore a backup",
            )
    return found


def _keep_writers_out(connection: Connection) -> None:
    """Until the end of the transaction. SQLite's has begun with that."""
    if connection.dialect.name == "postgresql":
        names = ", ".join(table.name for table in metadata.sorted_tables)
        connection.execute(text(f"LOCK TABLE {names} IN EXCLUSIVE MODE"))


def _epochs(connection: Connection) -> dict[str, int]:
    return {row[0]: row[1] for row in connection.execute(select(runtime_state.c.portfolio_id, runtime_state.c.epoch))}


def _fence_off(connection: Connection, before: Mapping[str, int], now: datetime) -> None:
    """Take an epoch that no writer holds.

    One may have come to a higher epoch after the backup was made, in a database that is lost. So the wall's seconds
    count too: writers that take over less than once a second never catch up with a later restore.
    """
    for portfolio, epoch in _epochs(connection).items():
        taken = max(epoch, before.get(portfolio, 0), int(now.timestamp())) + 1
        connection.execute(update(runtime_state).where(runtime_state.c.portfolio_id == portfolio).values(epoch=taken))


def _note(connection: Connection, backup: str, now: datetime) -> None:
    heads = connection.execute(select(portfolios.c.id, portfolios.c.audit_seq, portfolios.c.audit_hash)).all()
    fact = Fact(int(now.timestamp()) * NS_PER_SECOND, "ledger restored", {}, {"backup": backup})
    for portfolio, seq, digest in heads:
        append_facts(connection, portfolio, AuditHead(seq, digest), "restore", [fact])


def _count_on(connection: Connection) -> None:
    """Have Postgres number the next outbox row after those that came with their numbers; SQLite looks by itself."""
    if connection.dialect.name == "postgresql":
        last = select(func.coalesce(func.max(outbox.c.id), 0) + 1).scalar_subquery()
        connection.execute(select(func.setval(func.pg_get_serial_sequence(outbox.name, outbox.c.id.name), last, False)))
