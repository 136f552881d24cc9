"""What a screen shows of a running platform, as plain values."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PositionLine:
    """A holding as the view shows it; prices and amounts in paise."""

    symbol: str
    quantity: int
    avg_price: int
    ltp: int
    pnl: int  # at the last price, the buy's charges paid, the sale's not yet


@dataclass(frozen=True, slots=True)
class OrderLine:
    """An order as the view shows it."""

    ts: int  # ns UTC
    side: str  # BUY | SELL
    symbol: str
    quantity: int
    price: int  # paise, of the fill; of the decision while it is pending
    state: str  # pending | filled | cancelled | refused_at_fill
    reason: str


@dataclass(frozen=True, slots=True)
class PickLine:
    """A symbol that the scanner picked."""

    symbol: str
    change: float  # of the previous close: 0.012 is 1.2 %
    volume: int  # shares today


@dataclass(frozen=True, slots=True)
class ViewState:
    """Everything on the screen, as plain values; the host fills one four times a second.

    Attributes:
        now_ns: market time, ns UTC.
        phase: what the session is doing, in words: ``continuous trading, closes 15:30``.
        source: demo, replay or upstox.
        speed: market seconds per wall second, None for lockstep.
        portfolio: its name.
        strategy: its name.
        starting_balance: at the day's start, paise.
        cash: paise.
        equity: cash and holdings at the last price, after all charges paid, paise.
        charges: paid since the day's start, paise.
        max_positions: the limit.
        feed: ``live``, or what is wrong with it.
        feed_ok: whether that is as it should be.
        halt: ``halted: WHY`` or ``squared off: WHY``; empty while it trades.
        positions: open ones, oldest first.
        orders: the newest first.
        picks: of the last scan, best first.
        scans: how many so far.
        equity_curve: equity in paise since the start, at even distances of time.
        ticks: so far.
        ticks_per_second: of wall time, over the last seconds.
        frames: received so far.
        reconnects: of the feed so far.
        gaps: in the feed so far.
        latency_p50_us: frame received → order decided, microseconds; None before the first order.
        latency_p99_us: the same.
    """

    now_ns: int
    phase: str
    source: str
    speed: float | None
    portfolio: str
    strategy: str
    starting_balance: int
    cash: int
    equity: int
    charges: int
    max_positions: int
    feed: str
    feed_ok: bool
    halt: str = ""
    positions: Sequence[PositionLine] = ()
    orders: Sequence[OrderLine] = ()
    picks: Sequence[PickLine] = ()
    scans: int = 0
    equity_curve: Sequence[int] = ()
    ticks: int = 0
    ticks_per_second: float = 0.0
    frames: int = 0
    reconnects: int = 0
    gaps: int = 0
    latency_p50_us: float | None = None
    latency_p99_us: float | None = None

    @property
    def gross_equity(self) -> int:
        """What the equity would be without charges, paise."""
        return self.equity + self.charges

    @property
    def net_pnl(self) -> int:
        """The day's, open positions at their last price, paise."""
        return self.equity - self.starting_balance

    @property
    def gross_pnl(self) -> int:
        """The day's before charges, paise."""
        return self.net_pnl + self.charges
