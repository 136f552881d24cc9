"""What people and screens ask of the ledger: row types of the reading side, and the scanner's picks."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, NamedTuple, Protocol

from msgspec import Meta

from quant_platform.domain.records import Stamp
from quant_platform.ports.ledger_store import HaltFlag


class PortfolioView(NamedTuple):
    """One portfolio as it stands. Money in paise."""

    name: str
    mode: str
    starting_balance: int
    balance: int
    equity: int
    open_positions: int
    runs: int
    last_run: str  # its id; empty before the first
    last_run_state: str  # running | interrupted | complete; empty before the first
    last_updated: datetime
    user_id: str
    halt: HaltFlag


class RunRecord(NamedTuple):
    """A run as it was asked for, and how far it came."""

    mode: str  # backtest | replay | demo | paper
    identity: str  # of its request
    state: str  # running | interrupted | complete
    last_moment: int | None  # market time of the last commit, ns UTC; None before the first


class OrderView(NamedTuple):
    """An approved order and what became of it. Money in paise; value and after are 0 until it is filled."""

    order_id: str
    run_id: str
    portfolio: str
    strategy: str
    decided_at: datetime
    symbol: str
    side: str  # BUY | SELL
    quantity: int
    price: int  # the last price it was decided on
    reason: str
    state: str  # pending | filled | cancelled | refused_at_fill
    refusal: str
    executed_at: datetime | None
    value: int
    charges: int
    gross: int
    pnl: int
    closed_at_last_price: bool


class PositionView(NamedTuple):
    """A holding. Money in paise."""

    portfolio: str
    symbol: str
    quantity: int
    buy_value: int
    buy_charges: int
    opened_at: datetime
    last_updated: datetime


class ScanPick(NamedTuple):
    """One of the scanner's picks."""

    symbol: str
    score: float
    ltp: int  # paise
    volume: int  # shares today


class InstrumentView(NamedTuple):
    """A security as the broker's list of today has it."""

    instrument_token: str  # NSE_EQ|INE002A01018
    exchange: str
    segment: str
    symbol: str
    isin: str  # empty where it is not known
    tick_size: int  # paise
    lot_size: int  # shares
    cas_eligible: bool  # takes part in the closing auction


class Scan(NamedTuple):
    """What one scan of the market picked."""

    at: datetime
    picks: Sequence[ScanPick]  # best first


class EquityPoint(NamedTuple):
    """What a portfolio was worth at a moment of one of its runs. Money in paise."""

    portfolio: str
    run_id: str
    ts: int  # ns UTC
    balance: int
    equity: int


RunId = Annotated[str, Meta(min_length=1, max_length=200, pattern=r"^[^\x00]+$")]
OrderNo = Annotated[int, Meta(ge=0, le=2**31 - 1)]
# Places come back from outside, as cursors: their types allow what a database can be asked, and nothing else.


class OrderPlace(NamedTuple):
    """An order's place among all, which new ones do not change."""

    ts: Stamp  # when it was decided
    run_id: RunId
    order_no: OrderNo


class EquityPlace(NamedTuple):
    """A point's place among all of its portfolio."""

    ts: Stamp
    run_id: RunId


class ScanPlace(NamedTuple):
    """A scan's place among all."""

    at: Annotated[datetime, Meta(tz=True)]


class InstrumentPlace(NamedTuple):
    """An instrument's place among all."""

    symbol: Annotated[str, Meta(min_length=1, max_length=200, pattern=r"^[^\x00]+$")]


class OrderFilter(NamedTuple):
    """Which orders; None for all."""

    portfolio: str | None = None
    run: str | None = None
    symbol: str | None = None
    state: str | None = None


class LedgerPages(Protocol):
    """The ledger a page at a time: what has a time the newest first.

    Each row comes with the place after which the next page starts.

    Any call raises :class:`UnavailableError` where the ledger cannot be reached now.
    """

    def portfolios(self) -> Sequence[PortfolioView]:
        """Every portfolio, by name."""
        ...

    def positions(self, portfolio: str | None = None) -> Sequence[PositionView]:
        """Open positions, by portfolio and symbol."""
        ...

    def order_page(
        self, wanted: OrderFilter, after: OrderPlace | None, limit: int
    ) -> Sequence[tuple[OrderPlace, OrderView]]:
        """At most so many orders, the last decided first."""
        ...

    def equity_page(
        self, portfolio: str, run: str | None, after: EquityPlace | None, limit: int
    ) -> Sequence[tuple[EquityPlace, EquityPoint]]:
        """At most so many points of a portfolio, of all its runs or of one."""
        ...

    def instrument_page(
        self, symbol: str | None, after: InstrumentPlace | None, limit: int
    ) -> Sequence[tuple[InstrumentPlace, InstrumentView]]:
        """At most so many securities, or the one, by symbol."""
        ...

    def scan_page(self, after: ScanPlace | None, limit: int) -> Sequence[tuple[ScanPlace, Scan]]:
        """At most so many scans."""
        ...
