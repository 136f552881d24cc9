"""The ledger as the runtime's host hands it over: one block, one transaction."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from quant_platform.domain.commands import Halt
from quant_platform.domain.rows import LazyRows


class OrderRow(NamedTuple):
    """An approved order, written before anything else happens to it."""

    order_no: int  # counts the run's orders from 1; the store makes the unique order id of run and number
    ts: int  # ns UTC, when it was decided
    symbol: str
    side: int  # BUY or SELL
    quantity: int
    price: int  # paise, the last price it was decided on
    reason: str  # for a person: "below VWAP"


class FillRow(NamedTuple):
    """An executed order."""

    order_no: int
    ts: int  # ns UTC
    symbol: str
    side: int  # BUY or SELL
    quantity: int
    value: int  # paise
    charges: int  # paise
    gross: int  # paise: of a sell, its value less its position's buy value
    pnl: int  # paise; 0 for a buy
    reason: str  # the order's, for a person
    at_last_price: bool  # an exit closed at the session's last price


class Executions(NamedTuple):
    """Fills as columns, in order of execution; units as in :class:`FillRow`."""

    ts: Sequence[int]
    symbol: Sequence[str]
    side: Sequence[int]
    quantity: Sequence[int]
    value: Sequence[int]
    charges: Sequence[int]
    gross: Sequence[int]
    pnl: Sequence[int]


class FillRows(LazyRows[FillRow]):
    """Fills whose columns are at hand without making a row of each.

    Args:
        length: their number.
        make: builds the rows.
        columns: builds the columns.
    """

    def __init__(self, length: int, make: Callable[[], Sequence[FillRow]], columns: Callable[[], Executions]) -> None:
        super().__init__(length, make)
        self.columns = columns


def executions(fills: Sequence[FillRow]) -> Executions:
    """The columns of fills, by the shortest way."""
    if isinstance(fills, FillRows):
        return fills.columns()
    return Executions(*([getattr(fill, name) for fill in fills] for name in Executions._fields))


class OrderEndRow(NamedTuple):
    """An approved order that ended without a fill."""

    order_no: int
    ts: int  # ns UTC
    symbol: str
    state: str  # cancelled | refused_at_fill
    refusal: str  # reason of refused_at_fill, else empty


class RefusalRow(NamedTuple):
    """A refused intent worth a line: at most one a symbol, reason and minute."""

    ts: int  # ns UTC
    symbol: str
    reason: str  # price_above_budget | max_positions | insufficient_cash
    price: int  # paise


class EquityRow(NamedTuple):
    """The portfolio's worth at the end of a minute, or after a fill."""

    ts: int  # ns UTC
    balance: int  # paise of cash
    equity: int  # paise


class OpenPosition(NamedTuple):
    """A holding."""

    symbol: str
    quantity: int
    buy_value: int  # paise
    buy_charges: int  # paise
    opened_at: int  # ns UTC


class OutboxRow(NamedTuple):
    """A record that leaves for the bus once the block it belongs to is committed."""

    topic: str
    key: str
    value: bytes  # JSON


@dataclass(frozen=True)
class LedgerBlock:
    """What happened since the last commit, and the totals after it.

    Attributes:
        orders: newly approved orders, in order of decision.
        fills: in order of execution.
        ends: orders that ended unfilled.
        refusals: logged refusals.
        equity: points of the equity curve, in order of time.
        positions: all open positions after the block.
        balance: cash after the block, paise.
        last_equity: equity after the block, paise.
        max_drawdown: of the run so far, paise.
        counters: of the run so far: ticks, late, duplicates, implausible, …
        refusal_counts: of the run so far, by reason.
        moment: ns UTC, the last market time the block covers.
        state: snapshot of all cores at that moment; empty where a run does not resume (backtest).
        offsets: (topic, partition) → first record that the block does not cover; empty where nothing is read off a bus.
        outbox: records that leave once the block is committed.
    """

    orders: Sequence[OrderRow] = ()
    fills: Sequence[FillRow] = ()
    ends: Sequence[OrderEndRow] = ()
    refusals: Sequence[RefusalRow] = ()
    equity: Sequence[EquityRow] = ()
    positions: Sequence[OpenPosition] = ()
    balance: int = 0
    last_equity: int = 0
    max_drawdown: int = 0
    counters: Mapping[str, int] = field(default_factory=dict)
    refusal_counts: Mapping[str, int] = field(default_factory=dict)
    moment: int = 0
    state: bytes = b""
    offsets: Mapping[tuple[str, int], int] = field(default_factory=dict)
    outbox: Sequence[OutboxRow] = ()


@dataclass(frozen=True)
class RunRequest:
    """Which run the host wants to begin.

    Attributes:
        portfolio: its name; one ledger holds many.
        mode: backtest | replay | demo | paper.
        strategy: name of the strategy, stored as ``strategy_id``.
        identity: everything that makes two runs the same run (source, data, date, settings …), as sorted JSON text.
        capital: starting balance in paise; None to go on with the portfolio's balance (or the default when new).
        default_capital: starting balance of a new portfolio, paise.
        fresh: never resume or go on.
        epoch: of this program's last run here, which it comes back to; None where it comes for the first time.
    """

    portfolio: str
    mode: str
    strategy: str
    identity: str
    capital: int | None
    default_capital: int
    fresh: bool = False
    epoch: int | None = None


@dataclass(frozen=True)
class RunStart:
    """What the store answers: where the run begins.

    Attributes:
        run_id: unique; part of every order id.
        starting_balance: paise.
        balance: cash now, paise (differs from the start on resumption).
        resumed_at: ns UTC of the last committed moment of the interrupted run, None for a new run.
        state: the snapshot committed at that moment; empty for a new run.
        offsets: as of that moment (:attr:`LedgerBlock.offsets`); empty for a new run.
        epoch: of this writer; a later one's is higher.
    """

    run_id: str
    starting_balance: int
    balance: int
    resumed_at: int | None = None
    state: bytes = b""
    offsets: Mapping[tuple[str, int], int] = field(default_factory=dict)
    epoch: int = 0


class HaltFlag(NamedTuple):
    """Whether a portfolio is to make no entries, or to be out of everything, and why."""

    halted: bool = False
    reason: str = ""  # empty where it is not
    square_off: bool = False

    @property
    def order(self) -> Halt:
        """What the core is told."""
        if not self.halted:
            return Halt.NONE
        return Halt.OUT if self.square_off else Halt.NO_ENTRIES


@dataclass(frozen=True)
class RunSummary:
    """The numbers of a run, computed from the stored rows (money in paise).

    Attributes: as listed in the trading rules under "Numbers a backtest prints", and
        latency_us: from a tick's receipt to the commit of its order, the median and the 99th percentile, where services
            traded on the wall's clock.
    """

    run_id: str
    ticks: int
    late: int
    duplicates: int
    orders: int
    fills: int
    cancelled: int
    round_trips: int
    gross_pnl: int
    charges: int
    net_pnl: int
    starting_balance: int
    ending_balance: int
    max_drawdown: int
    refusals: Mapping[str, int]
    ledger_sha256: str
    latency_us: tuple[int | None, int | None] = (None, None)


class LedgerStore(Protocol):
    """One writer, one transaction a block."""

    @property
    def halt(self) -> HaltFlag:
        """The portfolio's halt flag, as the run's beginning or the last commit found it."""
        ...

    def begin(self, request: RunRequest) -> RunStart:
        """Start a run, or go on with the same one if it was interrupted in mid-session."""
        ...

    def commit(self, block: LedgerBlock) -> None:
        """Write the block in one transaction; return only when it is durable. A block written twice is an error."""
        ...

    def finish(self) -> RunSummary:
        """Mark the run complete and compute its numbers from the stored rows."""
        ...

    def summary(self) -> RunSummary:
        """The numbers so far, computed from the stored rows."""
        ...

    def close(self) -> None:
        """Let go of the database."""
        ...
