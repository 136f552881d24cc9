"""The ledger in a SQL database: a block of orders, fills, cash and audit rows is one transaction."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Insert, Table, bindparam, delete, update
from sqlalchemy.exc import IntegrityError

from quant_platform.adapters.ledger import beginning
from quant_platform.adapters.ledger.audit import Fact, append_facts, canonical_json
from quant_platform.adapters.ledger.bulk import bulk_insert
from quant_platform.adapters.ledger.bus_side import take_outbox, write_offsets, write_outbox
from quant_platform.adapters.ledger.columns import moment
from quant_platform.adapters.ledger.commands import HALT_FLAG, halt_of
from quant_platform.adapters.ledger.run_numbers import summarise
from quant_platform.adapters.ledger.running import PENDING, BlockRows, Running, block_rows, position_rows
from quant_platform.adapters.ledger.tables import (
    equity_curve,
    executed_orders,
    orders,
    positions,
    refusals,
    runs,
    runtime_state,
)
from quant_platform.adapters.ledger.together import answered_together
from quant_platform.adapters.ledger.views import LedgerDatabase
from quant_platform.domain.errors import LedgerError
from quant_platform.ports.ledger_store import HaltFlag, LedgerBlock, OutboxRow, RunRequest, RunStart, RunSummary

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql, sqlite


# Made once: to make a statement takes SQLAlchemy longer than to run it. Parameters named like columns are what is set.
_CLAIM = (
    update(runtime_state)
    .where(runtime_state.c.portfolio_id == bindparam("of"), runtime_state.c.epoch == bindparam("writer"))
    .returning(*HALT_FLAG)
)
_END = update(orders).where(orders.c.order_id == bindparam("b_order_id"), orders.c.state == PENDING)
_DROP_POSITIONS = delete(positions).where(positions.c.portfolio_id == bindparam("of"))
_RUN = update(runs).where(runs.c.run_id == bindparam("of"))


def utc_now() -> datetime:
    """The wall's time: it dates runs, and decides nothing."""
    return datetime.now(UTC)


class SqlLedger(LedgerDatabase):
    """A ledger with one writer, this one (:class:`~quant_platform.ports.ledger_store.LedgerStore`).

    Args:
        where: path of a SQLite file, or a database URL.
        durable: a commit is on the disk when it returns; False for a throw-away SQLite file.
        now: dates the beginning and the end of runs.
        migrating: called every few seconds while Postgres brings the schema up to date, from another thread.

    Raises:
        ConfigurationError: the URL cannot be read, or the schema is newer than the program.
        UnavailableError: the database cannot be opened now.
    """

    def __init__(
        self,
        where: str | Path,
        durable: bool = True,
        now: Callable[[], datetime] = utc_now,
        *,
        migrating: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(where, durable, migrating=migrating)
        self._now = now
        self._running: Running | None = None
        self._run_id = ""
        self._halt = HaltFlag()

    @property
    def halt(self) -> HaltFlag:
        """The portfolio's halt flag, as the run's beginning, the last commit or the last look found it."""
        return self._halt

    def look_for_halt(self) -> HaltFlag:
        """Read the halt flag now, between commits.

        Raises:
            LedgerError: no run is open.
            UnavailableError: the database cannot be reached.
        """
        portfolio = self._current_run().portfolio
        with self._reading() as connection:
            self._halt = halt_of(connection, portfolio)
        return self._halt

    def begin(self, request: RunRequest) -> RunStart:
        """Start a run, or go on with the portfolio's last one if it is the same and was cut short.

        A run goes on with the portfolio's balance. It starts anew, positions dropped, with ``capital``, with
        ``fresh`` and in the modes replay and backtest. Positions left open by another, interrupted run are
        annulled at cost: nobody knows what they would have been sold for.

        Raises:
            FencedError: the request comes back to a run, and another writer has taken the portfolio over meanwhile.
            UnavailableError: the database cannot be reached or written.
        """

        def change(connection: Connection) -> tuple[Running, RunStart, HaltFlag]:
            running, start = beginning.begin(connection, request, self._now())
            return running, start, halt_of(connection, request.portfolio)

        running, start, halt = self._past_standstill(change)
        self._running, self._run_id, self._halt = running, start.run_id, halt
        return start

    def commit(self, block: LedgerBlock) -> None:
        """Write the block in one transaction, or nothing of it.

        Raises:
            LedgerError: the block was written before, or does not follow from what is stored.
            FencedError: another writer has taken the portfolio over.
            UnavailableError: the database cannot be reached or written.
        """
        run = self._current_run()
        rows = block_rows(run, block)
        try:
            with self._writing() as connection:
                halt = _hold_epoch(connection, run, block)
                with answered_together(connection):
                    _write_rows(connection, rows)
                    if rows.positions != run.positions:
                        _write_positions(connection, run.portfolio, rows, block.moment)
                    _write_totals(connection, run, block)
                    write_offsets(connection, run.portfolio, block.offsets)
                    write_outbox(connection, block.outbox, moment(block.moment))
                    head = append_facts(connection, run.portfolio, run.audit, run.run_id, rows.facts, _stands(block))
                _end_orders(connection, rows)
        except IntegrityError as error:
            raise LedgerError(f"run {run.run_id} was given a block that it has already: {error.orig}") from error
        self._halt = halt
        self._running = replace(
            run,
            balance=block.balance,
            fills=run.fills + len(rows.executed),
            audit=head,
            positions=rows.positions,
        )

    def publish(self, publisher: Callable[[Sequence[OutboxRow]], None], most: int = 1000) -> int:
        """Hand the records of committed blocks to a publisher, oldest first; they are gone once it returned.

        A publisher that raises, or a process killed in it, finds them again: what it does may happen twice.

        Args:
            publisher: called with some at a time.
            most: how many that is.

        Returns:
            How many there were.
        """
        published = 0
        while True:
            with self._writing() as connection:
                rows = take_outbox(connection, most)
                if rows:
                    publisher(rows)
            published += len(rows)
            if len(rows) < most:
                return published

    def summary(self) -> RunSummary:
        """The numbers so far, computed from the stored rows.

        Raises:
            LedgerError: no run was begun, or its rows contradict each other.
        """
        if not self._run_id:
            raise LedgerError("no run has begun", "call begin() first")
        with self._reading() as connection:
            return summarise(connection, self._run_id)

    def finish(self) -> RunSummary:
        """Compute the run's numbers from the stored rows and mark it complete.

        Raises:
            LedgerError: no run was begun, or its rows contradict each other.
            FencedError: another writer has taken the portfolio over.
        """
        run = self._current_run()
        when = self._now()
        with self._writing() as connection:
            _hold_epoch(connection, run, None)
            numbers = summarise(connection, run.run_id)
            after = {"ledger_sha256": numbers.ledger_sha256}
            fact = Fact(int(when.timestamp() * 1_000_000_000), "run finished", {}, after)
            append_facts(connection, run.portfolio, run.audit, run.run_id, [fact])
            ended = {"state": "complete", "finished_at": when, "ledger_sha256": numbers.ledger_sha256}
            connection.execute(_RUN, {"of": run.run_id} | ended)
        self._running = None
        return numbers

    def reset(self, portfolio: str, capital: int | None = None) -> None:
        """Give a portfolio its starting balance again; what it did stays as history.

        Args:
            portfolio: its name.
            capital: the balance in paise; None for the one it started with.

        Raises:
            UsageError: there is no such portfolio.
        """
        self._past_standstill(lambda connection: beginning.reset(connection, portfolio, capital, self._now()))

    def _current_run(self) -> Running:
        if self._running is None:
            raise LedgerError("no run is open", "call begin() first")
        return self._running


def _hold_epoch(connection: Connection, run: Running, block: LedgerBlock | None) -> HaltFlag:
    """Claim the portfolio for this transaction, and keep the cores' snapshot that belongs to the block."""
    kept: dict[str, Any] = {"state": b""}
    if block is not None:
        kept = {"moment_ns": block.moment, "state": block.state, "last_updated": moment(block.moment)}
    held = connection.execute(_CLAIM, {"of": run.portfolio, "writer": run.epoch} | kept).one_or_none()
    if held is None:
        raise beginning.taken_over(run.portfolio)
    return HaltFlag(*held)


def _end_orders(connection: Connection, rows: BlockRows) -> None:
    if not rows.ended:
        return
    if connection.execute(_END, rows.ended).rowcount != len(rows.ended):
        raise LedgerError(f"an order among {rows.ended[0]['b_order_id']} … has ended already, or never was")


def _write_rows(connection: Connection, rows: BlockRows) -> None:
    for table, new in ((orders, rows.orders), (executed_orders, rows.executed), (refusals, rows.refusals)):
        bulk_insert(connection, table, new)
    is_postgres = connection.dialect.name == "postgresql"
    bulk_insert(connection, equity_curve, rows.equity, _upsert_postgres if is_postgres else _upsert_sqlite)


def _upsert_sqlite(table: Table) -> Insert:
    from sqlalchemy.dialects.sqlite import insert as sqlite_insert  # noqa: PLC0415 - only the one in use

    return _last_word(sqlite_insert(table))


def _upsert_postgres(table: Table) -> Insert:
    from sqlalchemy.dialects.postgresql import insert as postgres_insert  # noqa: PLC0415 - only the one in use

    return _last_word(postgres_insert(table))


def _last_word(statement: "sqlite.Insert | postgresql.Insert") -> Insert:
    """A point of the equity curve, which replaces an earlier one of the same moment."""
    return statement.on_conflict_do_update(
        index_elements=["run_id", "ts_ns"],
        set_={"balance": statement.excluded.balance, "equity": statement.excluded.equity},
    )


def _write_positions(connection: Connection, portfolio: str, rows: BlockRows, ts: int) -> None:
    connection.execute(_DROP_POSITIONS, {"of": portfolio})
    bulk_insert(connection, positions, position_rows(portfolio, rows.positions.values(), ts))


def _stands(block: LedgerBlock) -> dict[str, Any]:
    """How the portfolio stands after a block."""
    return {"balance": block.balance, "equity": block.last_equity, "last_updated": moment(block.moment)}


def _write_totals(connection: Connection, run: Running, block: LedgerBlock) -> None:
    totals = {
        "balance": block.balance,
        "max_drawdown": block.max_drawdown,
        "moment_ns": block.moment,
        "counters": canonical_json(dict(block.counters)),
        "refusals": canonical_json(dict(block.refusal_counts)),
    }
    connection.execute(_RUN, {"of": run.run_id} | totals)
