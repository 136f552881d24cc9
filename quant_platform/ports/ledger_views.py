"""What people and screens ask of the ledger: row types of the reading side, and the scanner's picks."""

from datetime import datetime
from typing import NamedTuple


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


class ScanPick(NamedTuple):
    """One of the scanner's picks."""

    symbol: str
    score: float
    ltp: int  # paise
    volume: int  # shares today
