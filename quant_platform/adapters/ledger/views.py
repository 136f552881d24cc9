"""The reading side of the ledger, for the command line and for screens; and the tables that hold no money."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self, TypeVar

from sqlalchemy import Connection, Engine, Select, delete, func, insert, select

from quant_platform.adapters.ledger.columns import moment
from quant_platform.adapters.ledger.commands import HALT_FLAG, command, verify_chains
from quant_platform.adapters.ledger.engine import faults_named, open_engine, reading_options
from quant_platform.adapters.ledger.run_numbers import summarise
from quant_platform.adapters.ledger.standstill import past_standstill
from quant_platform.adapters.ledger.tables import (
    equity_curve,
    executed_orders,
    instruments,
    orders,
    portfolios,
    positions,
    runs,
    runtime_state,
    scanner_results,
)
from quant_platform.domain.commands import Halt
from quant_platform.domain.errors import UsageError
from quant_platform.domain.instruments import Instrument
from quant_platform.ports.ledger_store import EquityRow, HaltFlag, RunSummary
from quant_platform.ports.ledger_views import OrderView, PortfolioView, PositionView, RunRecord, ScanPick

T = TypeVar("T")


class LedgerDatabase:
    """An open ledger: what can be read from it, by several at once, and what is written without a run.

    Args:
        where: path of a SQLite file, or a database URL.
        durable: a commit is on the disk when it returns; False for a throw-away SQLite file.
        migrating: called every few seconds while Postgres brings the schema up to date, from another thread.

    Raises:
        ConfigurationError: the URL cannot be read, or the schema is newer than the program.
        UnavailableError: the database cannot be opened now.
    """

    patience_s: ClassVar[float] = 60.0
    """How long Postgres may take for each answer before it counts as away."""

    def __init__(
        self, where: str | Path, durable: bool = True, *, migrating: Callable[[], None] = lambda: None
    ) -> None:
        self._engine: Engine = open_engine(where, durable, self.patience_s, migrating)

    def close(self) -> None:
        """Let go of the database."""
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with faults_named(), self._engine.connect().execution_options(**reading_options(self._engine)) as connection:
            yield connection

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with faults_named(), self._engine.begin() as connection:
            yield connection

    def _past_standstill(self, change: Callable[[Connection], T]) -> T:
        with faults_named():
            return past_standstill(self._engine, change)

    def portfolios(self) -> list[PortfolioView]:
        """Every portfolio, by name."""
        last = (
            select(runs.c.portfolio_id, func.max(runs.c.run_no).label("run_no"), func.count().label("runs"))
            .group_by(runs.c.portfolio_id)
            .subquery()
        )
        held = (
            select(positions.c.portfolio_id, func.count().label("held")).group_by(positions.c.portfolio_id).subquery()
        )
        query = (
            select(portfolios, held.c.held, last.c.runs, runs.c.run_id, runs.c.state, *HALT_FLAG)
            .outerjoin(held, held.c.portfolio_id == portfolios.c.id)
            .outerjoin(last, last.c.portfolio_id == portfolios.c.id)
            .outerjoin(runtime_state, runtime_state.c.portfolio_id == portfolios.c.id)
            .outerjoin(runs, (runs.c.portfolio_id == portfolios.c.id) & (runs.c.run_no == last.c.run_no))
            .order_by(portfolios.c.id)
        )
        with self._reading() as connection:
            return [
                PortfolioView(
                    row.id,
                    row.mode,
                    row.starting_balance,
                    row.balance,
                    row.equity,
                    row.held or 0,
                    row.runs or 0,
                    row.run_id or "",
                    row.state or "",
                    row.last_updated,
                    row.user_id,
                    HaltFlag(bool(row.halted), row.halt_reason or "", bool(row.square_off)),
                )
                for row in connection.execute(query)
            ]

    def orders(self, portfolio: str | None = None, run: str | None = None, limit: int | None = None) -> list[OrderView]:
        """Approved orders, the newest first.

        Args:
            portfolio: only this one's.
            run: only those of the run with this id.
            limit: at most this many; None for all.
        """
        query = (
            select_orders()
            .join(runs, runs.c.run_id == orders.c.run_id)
            .order_by(runs.c.started_at.desc(), orders.c.run_id, orders.c.order_no.desc())
            .limit(limit)
        )
        if portfolio is not None:
            query = query.where(orders.c.portfolio_id == portfolio)
        if run is not None:
            query = query.where(orders.c.run_id == run)
        with self._reading() as connection:
            return [order_view(tuple(row)) for row in connection.execute(query)]

    def positions(self, portfolio: str | None = None) -> list[PositionView]:
        """Open positions, by portfolio and symbol."""
        columns = ("portfolio_id", "symbol", "quantity", "buy_value", "buy_charges", "opened_at", "last_updated")
        query = select(*(positions.c[name] for name in columns))
        if portfolio is not None:
            query = query.where(positions.c.portfolio_id == portfolio)
        with self._reading() as connection:
            return [
                PositionView(*row)
                for row in connection.execute(query.order_by(positions.c.portfolio_id, positions.c.symbol))
            ]

    def equity(self, run: str) -> list[EquityRow]:
        """The equity curve of a run, oldest point first."""
        query = select(equity_curve.c.ts_ns, equity_curve.c.balance, equity_curve.c.equity)
        query = query.where(equity_curve.c.run_id == run).order_by(equity_curve.c.ts_ns)
        with self._reading() as connection:
            return [EquityRow(*row) for row in connection.execute(query)]

    def run_record(self, run: str) -> RunRecord:
        """How a run was asked for, and how far it came.

        Raises:
            UsageError: there is no such run.
        """
        query = select(runs.c.mode, runs.c.identity, runs.c.state, runs.c.moment_ns).where(runs.c.run_id == run)
        with self._reading() as connection:
            found = connection.execute(query).one_or_none()
        if found is None:
            raise _no_run(run)
        return RunRecord(*found)

    def run_summary(self, run: str) -> RunSummary:
        """The numbers of any run, computed from its stored rows.

        Raises:
            UsageError: there is no such run.
            LedgerError: its rows contradict each other.
        """
        with self._reading() as connection:
            if connection.scalar(select(runs.c.run_id).where(runs.c.run_id == run)) is None:
                raise _no_run(run)
            return summarise(connection, run)

    def verify_audit(self) -> int:
        """Check every audit chain, and every executed order and balance against it.

        Returns:
            The number of audit rows.

        Raises:
            LedgerError: names the first row that was changed, added or taken away.
        """
        with self._reading() as connection:
            names = connection.scalars(select(portfolios.c.id).order_by(portfolios.c.id)).all()
            return sum(verify_chains(connection, name) for name in names)

    def command(self, order: Halt, reason: str, actor: str, now: datetime, portfolio: str | None = None) -> list[str]:
        """Have one portfolio, or every one, make no entries, be out of everything, or trade again.

        Whoever trades it obeys with its next commit. A halt leaves a square-off in force.

        Args:
            order: what is ordered; it holds until :attr:`~quant_platform.domain.orders.Halt.NONE` is.
            reason: why, in the owner's words.
            actor: who, for the audit log.
            now: the wall's time.
            portfolio: its name; None for all.

        Returns:
            The names, in order.

        Raises:
            UsageError: there is no such portfolio.
            UnavailableError: the ledger cannot be reached or written.
        """
        return self._past_standstill(lambda connection: command(connection, order, reason, actor, now, portfolio))

    def save_scan(self, ts: int, picks: Sequence[ScanPick]) -> None:
        """Keep a scan's picks; a scan of the same moment is replaced.

        Args:
            ts: market time of the scan, ns UTC.
            picks: best first.
        """
        when = moment(ts)
        with self._writing() as connection:
            connection.execute(delete(scanner_results).where(scanner_results.c.timestamp == when))
            if picks:
                rows = [{"timestamp": when, **pick._asdict()} for pick in picks]
                connection.execute(insert(scanner_results), rows)

    def scan_of(self, ts: int) -> list[ScanPick]:
        """The picks kept for a moment (ns UTC), best first; empty where none were."""
        stored = scanner_results.c
        query = select(stored.symbol, stored.score, stored.ltp, stored.volume).where(stored.timestamp == moment(ts))
        with self._reading() as connection:
            rows = connection.execute(query.order_by(stored.score.desc(), stored.symbol))
            return [ScanPick(*row) for row in rows]

    def closing_auction(self) -> dict[str, bool]:
        """Symbol → whether it takes part in the closing auction, of all stored instruments."""
        with self._reading() as connection:
            rows = connection.execute(select(instruments.c.symbol, instruments.c.cas_eligible))
            return {row.symbol: row.cas_eligible for row in rows}

    def save_instruments(self, listed: Sequence[Instrument]) -> None:
        """Replace the list of securities."""
        rows: list[dict[str, Any]] = [
            {
                "instrument_token": instrument.instrument_key,
                "exchange": instrument.symbol.partition("_")[0],
                "segment": instrument.symbol.partition(":")[0],
                "symbol": instrument.symbol,
                "isin": instrument.isin,
                "tick_size": instrument.tick_size,
                "lot_size": instrument.lot_size,
                "cas_eligible": instrument.cas_eligible,
            }
            for instrument in listed
        ]
        with self._writing() as connection:
            connection.execute(delete(instruments))
            if rows:
                connection.execute(insert(instruments), rows)


def _no_run(run: str) -> UsageError:
    return UsageError(f"the ledger has no run {run!r}", "`quant portfolio list` shows the last ones")


def select_orders() -> Select[Any]:
    """A question for approved orders and what became of them: the columns that :func:`order_view` reads."""
    done = executed_orders.c
    return select(
        *(orders.c[name] for name in ("order_id", "run_id", "portfolio_id", "strategy_id", "timestamp")),
        *(orders.c[name] for name in ("symbol", "transaction_type", "quantity", "price", "reason")),
        *(orders.c[name] for name in ("state", "refusal")),
        done.timestamp.label("executed_at"),
        *(done[name] for name in ("value", "charges", "gross", "pnl", "closed_at_last_price")),
    ).outerjoin(executed_orders, done.order_id == orders.c.order_id)


def order_view(row: tuple[Any, ...]) -> OrderView:
    """An order from the columns of :func:`select_orders`."""
    amounts = (amount or 0 for amount in row[13:17])
    values: list[Any] = [*row[:13], *amounts, bool(row[17])]
    return OrderView(*values)
