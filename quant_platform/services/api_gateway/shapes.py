"""What the API answers, column for column as the tables name it: rupees as numbers, times in IST with their offset."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from math import isnan

import numpy as np
from numpy.typing import NDArray

from quant_platform.domain.money import rupees
from quant_platform.domain.records import EnrichedRecord, Level, OrderEvent
from quant_platform.domain.session import IST, ist_time
from quant_platform.domain.ticks import LATE, OUT_OF_SESSION, REPAIRED
from quant_platform.ports.ledger_views import EquityPoint, InstrumentView, OrderView, PortfolioView, PositionView, Scan
from quant_platform.ports.series_store import CandleRows, TickRows

_FLAGS = {LATE: "late", OUT_OF_SESSION: "out_of_session", REPAIRED: "repaired"}


@dataclass(frozen=True, slots=True)
class Portfolio:
    """A portfolio as it stands, in rupees."""

    id: str
    user_id: str
    mode: str
    starting_balance: float
    balance: float
    equity: float
    open_positions: int
    runs: int
    last_run: str | None
    last_run_state: str | None
    last_updated: datetime
    halt: str | None  # "halted": no entries; "squared off": out of everything
    halt_reason: str | None


@dataclass(frozen=True, slots=True)
class Position:
    """An open position, in rupees; ``avg_price`` with four decimals, ``buy_value`` exactly."""

    portfolio_id: str
    symbol: str
    quantity: int
    avg_price: float
    buy_value: float
    buy_charges: float
    opened_at: datetime
    last_updated: datetime


@dataclass(frozen=True, slots=True)
class Order:
    """An approved order, in rupees; what only an execution has is null until there is one."""

    order_id: str
    run_id: str
    portfolio_id: str
    strategy_id: str
    timestamp: datetime  # when it was decided
    symbol: str
    transaction_type: str
    quantity: int
    price: float  # the last price it was decided on
    reason: str
    state: str
    refusal: str | None
    executed_at: datetime | None
    executed_price: float | None  # per share, with four decimals
    value: float | None
    charges: float | None
    gross: float | None
    pnl: float | None
    closed_at_last_price: bool


@dataclass(frozen=True, slots=True)
class Equity:
    """What a portfolio was worth at a moment, in rupees."""

    portfolio_id: str
    run_id: str
    timestamp: datetime
    balance: float
    equity: float


@dataclass(frozen=True, slots=True)
class Pick:
    """One of a scan's picks; price in rupees."""

    symbol: str
    score: float
    ltp: float
    volume: int


@dataclass(frozen=True, slots=True)
class ScannerResult:
    """One scan, its picks the best first."""

    timestamp: datetime
    picks: list[Pick]


@dataclass(frozen=True, slots=True)
class Tick:
    """A tick with its features, in rupees; null where a feature is not defined."""

    timestamp: datetime  # cut to microseconds; ``ts`` is exact
    ts: int  # ns UTC
    symbol: str
    seq: int
    ltp: float
    volume: int
    vwap: float | None
    rsi: float | None
    obi: float | None
    sma: float | None
    spread: float | None
    aggressor: str
    flags: list[str]


@dataclass(frozen=True, slots=True)
class OrderStep:
    """A step in an order's life, in rupees."""

    what: str  # intended, refused, accepted, filled, cancelled or refused_at_fill
    portfolio_id: str
    run_id: str
    order_id: str | None  # null until an intent is accepted
    timestamp: datetime
    ts: int  # ns UTC
    symbol: str
    transaction_type: str | None
    quantity: int | None
    price: float | None  # decided on, or a fill's average
    reason: str
    tick: str  # what the logs call the tick that brought it about


@dataclass(frozen=True, slots=True)
class Candle:
    """A closed one-minute bar from history, in rupees."""

    timestamp: datetime  # the bar's start
    ts: int  # ns UTC
    symbol: str
    open: float
    high: float
    low: float
    close: float
    volume: int  # shares traded within it


@dataclass(frozen=True, slots=True)
class Instrument:
    """A security as the broker's list of today has it; ``tick_size`` in rupees."""

    instrument_token: str
    exchange: str
    segment: str
    symbol: str
    isin: str | None
    tick_size: float
    lot_size: int
    cas_eligible: bool  # takes part in the closing auction


@dataclass(frozen=True, slots=True)
class StrategyKind:
    """A strategy that comes with the platform, and what can be set."""

    name: str
    what: str
    parameters: dict[str, str | None]  # its own; name → default, as `--set` takes it
    shared_parameters: dict[str, str | None]  # those that every strategy has


@dataclass(frozen=True, slots=True)
class Quote:
    """A symbol's last tick, in rupees; bid and ask are those it brought, which only the cache keeps."""

    symbol: str
    timestamp: datetime
    ts: int
    ltp: float
    volume: int
    bid: float | None
    ask: float | None
    vwap: float | None
    rsi: float | None
    obi: float | None
    sma: float | None
    spread: float | None
    source: str  # cache | store


@dataclass(frozen=True, slots=True)
class ServiceState:
    """How a service is."""

    service: str
    state: str  # ready | waiting | stuck | away
    reason: str | None


def portfolio(view: PortfolioView) -> Portfolio:
    """A portfolio's read model as the API shows it."""
    return Portfolio(
        id=view.name,
        user_id=view.user_id,
        mode=view.mode,
        starting_balance=_number(view.starting_balance),
        balance=_number(view.balance),
        equity=_number(view.equity),
        open_positions=view.open_positions,
        runs=view.runs,
        last_run=view.last_run or None,
        last_run_state=view.last_run_state or None,
        last_updated=view.last_updated.astimezone(IST),
        halt=view.halt.order.label or None,
        halt_reason=view.halt.reason or None,
    )


def position(view: PositionView) -> Position:
    """A position's read model as the API shows it."""
    return Position(
        portfolio_id=view.portfolio,
        symbol=view.symbol,
        quantity=view.quantity,
        avg_price=_per_share(view.buy_value, view.quantity),
        buy_value=_number(view.buy_value),
        buy_charges=_number(view.buy_charges),
        opened_at=view.opened_at.astimezone(IST),
        last_updated=view.last_updated.astimezone(IST),
    )


def order(view: OrderView) -> Order:
    """An order's read model as the API shows it."""
    done = view.executed_at is not None
    return Order(
        order_id=view.order_id,
        run_id=view.run_id,
        portfolio_id=view.portfolio,
        strategy_id=view.strategy,
        timestamp=view.decided_at.astimezone(IST),
        symbol=view.symbol,
        transaction_type=view.side,
        quantity=view.quantity,
        price=_number(view.price),
        reason=view.reason,
        state=view.state,
        refusal=view.refusal or None,
        executed_at=view.executed_at.astimezone(IST) if view.executed_at else None,
        executed_price=_per_share(view.value, view.quantity) if done else None,
        value=_number(view.value) if done else None,
        charges=_number(view.charges) if done else None,
        gross=_number(view.gross) if done else None,
        pnl=_number(view.pnl) if done else None,
        closed_at_last_price=view.closed_at_last_price,
    )


def equity(point: EquityPoint) -> Equity:
    """A point of the equity curve as the API shows it."""
    return Equity(point.portfolio, point.run_id, ist_time(point.ts), _number(point.balance), _number(point.equity))


def scanner_result(scan: Scan) -> ScannerResult:
    """A scan as the API shows it."""
    picks = [Pick(pick.symbol, pick.score, _number(pick.ltp), pick.volume) for pick in scan.picks]
    return ScannerResult(scan.at.astimezone(IST), picks)


def ticks(rows: TickRows) -> list[Tick]:
    """Stored ticks as the API shows them."""
    columns = zip(
        rows.timestamp.tolist(), rows.symbol.texts(), rows.seq.tolist(), rows.ltp.tolist(), rows.volume.tolist(),
        _features(rows.vwap), _features(rows.rsi), _features(rows.obi), _features(rows.sma), _features(rows.spread),
        rows.aggressor.texts(), map(_names, rows.flags.tolist()), strict=True,
    )  # fmt: skip
    return [Tick(ist_time(row[0]), *row) for row in columns]


def order_step(event: OrderEvent) -> OrderStep:
    """An event of the bus as the API shows it."""
    return OrderStep(
        event.what, event.portfolio, event.run_id, event.order_id, ist_time(event.ts), event.ts, event.symbol,
        event.transaction_type, event.quantity, event.price, event.reason, event.tick,
    )  # fmt: skip


def candles(rows: CandleRows) -> list[Candle]:
    """Stored candles as the API shows them."""
    columns = zip(
        rows.timestamp.tolist(), rows.symbol.texts(), rows.open.tolist(), rows.high.tolist(), rows.low.tolist(),
        rows.close.tolist(), rows.volume.tolist(), strict=True,
    )  # fmt: skip
    return [Candle(ist_time(row[0]), *row) for row in columns]


def instrument(view: InstrumentView) -> Instrument:
    """A security as the API shows it."""
    known = view._asdict() | {"isin": view.isin or None, "tick_size": _number(view.tick_size)}
    return Instrument(**known)


def quote(latest: EnrichedRecord) -> Quote:
    """A symbol's newest tick from the cache as the API shows it."""
    bids, asks = (latest.depth.bids, latest.depth.asks) if latest.depth else ([], [])
    return Quote(
        latest.symbol, ist_time(latest.ts), latest.ts, latest.ltp, latest.volume, _best(bids), _best(asks),
        latest.vwap, latest.rsi, latest.obi, latest.sma, latest.spread, "cache",
    )  # fmt: skip


def stored_quote(tick: Tick) -> Quote:
    """The newest stored tick in the place of a quote."""
    return Quote(
        tick.symbol, tick.timestamp, tick.ts, tick.ltp, tick.volume, None, None,
        tick.vwap, tick.rsi, tick.obi, tick.sma, tick.spread, "store",
    )  # fmt: skip


def missing(asked: Sequence[str], found: Sequence[Quote]) -> list[str]:
    """The symbols without a quote, in the order they were asked for."""
    known = {each.symbol for each in found}
    return [symbol for symbol in asked if symbol not in known]


def _number(paise: int) -> float:
    return float(rupees(paise))


def _per_share(value: int, quantity: int) -> float:
    return float(Decimal((200 * value + quantity) // (2 * quantity)).scaleb(-4))  # halves up, as the tables have it


def _best(levels: Sequence[Level]) -> float | None:
    """The price of the first level; a price or quantity of 0 is none."""
    return next((price for price, quantity in levels[:1] if price and quantity), None)


def _features(column: NDArray[np.float64]) -> list[float | None]:
    return [None if isnan(value) else value for value in column.tolist()]


def _names(flags: int) -> list[str]:
    return [name for bit, name in _FLAGS.items() if flags & bit]
