"""The ledger of a run whose rows nobody keeps, such as a backtest: its numbers only, and the checks of the real one."""

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from quant_platform.adapters.ledger.tally import Tally
from quant_platform.domain.errors import LedgerError
from quant_platform.domain.orders import OrderState
from quant_platform.ports.ledger_store import HaltFlag, LedgerBlock, RunRequest, RunStart, RunSummary, executions


class _Open(NamedTuple):
    """The run that is being written."""

    run_id: str
    starting_balance: int
    tally: Tally
    held: Counter[str]  # shares by symbol


class MemoryLedger:
    """A :class:`~quant_platform.ports.ledger_store.LedgerStore` of one run after another that keeps no rows."""

    def __init__(self) -> None:
        self._runs = 0
        self._open: _Open | None = None
        self._orders = self._cancelled = self._max_drawdown = 0
        self._counters: Mapping[str, int] = {}
        self._refusals: Mapping[str, int] = {}

    @property
    def halt(self) -> HaltFlag:
        """Never: nobody can order anything here."""
        return HaltFlag()

    def begin(self, request: RunRequest) -> RunStart:
        """Start a run with its capital; nothing is ever resumed."""
        balance = request.default_capital if request.capital is None else request.capital
        self._runs += 1
        run_id = f"{request.portfolio}-{self._runs:04d}"
        self._open = _Open(run_id, balance, Tally(balance), Counter())
        self._orders = self._cancelled = self._max_drawdown = 0
        self._counters, self._refusals = {}, {}
        return RunStart(run_id, balance, balance)

    def commit(self, block: LedgerBlock) -> None:
        """Add the block.

        Raises:
            LedgerError: its fills do not lead from the last balance and holdings to its own.
        """
        run = self._run()
        executed = executions(block.fills)
        run.tally.take(executed)
        run.tally.check(run.run_id, block.balance)
        for symbol, side, quantity in zip(executed.symbol, executed.side, executed.quantity, strict=True):
            run.held[symbol] += side * quantity
        if +run.held != Counter({position.symbol: position.quantity for position in block.positions}):
            raise LedgerError(f"run {run.run_id}: the fills lead to other holdings than the block says")
        self._orders += len(block.orders)
        self._cancelled += sum(end.state == OrderState.CANCELLED.label for end in block.ends)
        self._max_drawdown = block.max_drawdown
        self._counters, self._refusals = dict(block.counters), dict(block.refusal_counts)

    def summary(self) -> RunSummary:
        """The numbers so far.

        Raises:
            LedgerError: no run was begun.
        """
        run, tally = self._run(), self._run().tally
        return RunSummary(
            run_id=run.run_id,
            ticks=self._counters.get("ticks", 0),
            late=self._counters.get("late", 0),
            duplicates=self._counters.get("duplicates", 0),
            orders=self._orders,
            fills=tally.fills,
            cancelled=self._cancelled,
            round_trips=tally.round_trips,
            gross_pnl=tally.gross,
            charges=tally.charges,
            net_pnl=tally.net,
            starting_balance=run.starting_balance,
            ending_balance=tally.balance,
            max_drawdown=self._max_drawdown,
            refusals=self._refusals,
            ledger_sha256=tally.sha256,
        )

    def finish(self) -> RunSummary:
        """The run's numbers; it takes no more blocks.

        Raises:
            LedgerError: no run was begun.
        """
        numbers = self.summary()
        self._open = None
        return numbers

    def close(self) -> None:
        """There is nothing to let go of."""

    def _run(self) -> _Open:
        if self._open is None:
            raise LedgerError("no run is open", "call begin() first")
        return self._open
