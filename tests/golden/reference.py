"""The trading rules a second time: one tick after another in plain Python, slow, and sharing nothing with the cores.

Prices are integer paise, times integer nanoseconds. The momentum strategy's comparisons are done on integers where
they can be (VWAP, OBI), so that not even the rounding is shared.
"""

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from datetime import date, time, timedelta
from fractions import Fraction
from itertools import pairwise
from typing import Literal, NamedTuple

from .reference_charges import charges

SECOND = 1_000_000_000
MINUTE = 60 * SECOND
IST = 19_800 * SECOND
DAY = 86_400 * SECOND
EPOCH = date(1970, 1, 1)

COUNTED = (
    "ticks", "late", "duplicates", "orders", "fills", "cancelled", "round_trips", "gross_pnl", "charges", "net_pnl"
)  # fmt: skip

Level = tuple[int, int]

TWO_WINDOWS = date(2024, 5, 18)
MUHURAT = date(2024, 11, 1)
SPECIAL = {
    TWO_WINDOWS: ((time(9, 15), time(10, 0)), (time(11, 30), time(12, 30))),
    MUHURAT: ((time(18, 0), time(19, 0)),),
}
CLOSING_AUCTION_SINCE = date(2026, 8, 3)


class Row(NamedTuple):
    """One row of a stream."""

    ts: int
    symbol: str
    ltp: int
    volume: int
    atp: float = 0.0
    bids: tuple[Level, ...] = ()
    asks: tuple[Level, ...] = ()


@dataclass(frozen=True)
class Rules:
    """The parameters of a run, by the names of the trading rules."""

    rsi_period: int = 14
    rsi_entry: float = 50.0
    rsi_exit: float = 45.0
    position_size_bps: int = 1000
    max_positions: int = 10
    risk_per_trade_bps: int = 100
    latency_ms: int = 200
    slippage_bps: int = 0
    square_off: time = time(15, 20)
    square_off_lead_min: int = 10
    entry_until: time | None = None


def at(day: date, clock: time) -> int:
    seconds = clock.hour * 3600 + clock.minute * 60 + clock.second
    return (day - EPOCH).days * DAY - IST + seconds * SECOND


def ist_day(ts: int) -> date:
    return EPOCH + timedelta(days=(ts + IST) // DAY)


def windows(day: date, cas: bool) -> list[tuple[int, int]]:
    """Continuous trading of a date that is no holiday."""
    if day in SPECIAL:
        return [(at(day, opens), at(day, closes)) for opens, closes in SPECIAL[day]]
    if day.weekday() >= 5:
        return []
    closes = time(15, 15) if cas and day >= CLOSING_AUCTION_SINCE else time(15, 30)
    return [(at(day, time(9, 15)), at(day, closes))]


@dataclass
class Order:
    ts: int
    side: Literal["BUY", "SELL"]
    quantity: int
    hold: int = 0


@dataclass
class Holding:
    quantity: int
    value: int
    charges: int
    stop_value: int


@dataclass
class Book:
    bids: list[Level]
    asks: list[Level]


@dataclass
class Stock:
    """Everything about one symbol."""

    name: str
    cas: bool
    last_row: Row | None = None
    day: date | None = None
    cum_value: int = 0
    cum_volume: int = 0
    highest: int = 0
    minute: int | None = None
    high: int = 0
    low: int = 0
    last_bar: tuple[int, int, int] | None = None  # high, low, close
    closes: list[int] = field(default_factory=list)
    averages: tuple[float, float] | None = None
    book: Book | None = None
    ltp: int = 0
    order: Order | None = None
    holding: Holding | None = None


class Reference:
    """One portfolio that trades momentum by the rules."""

    def __init__(self, rules: Rules, capital: int, cas: set[str], *, depth: bool) -> None:
        self.rules, self.cas, self.depth = rules, cas, depth
        self.cash = self.start = self.peak = capital
        self.stocks: dict[str, Stock] = {}
        self.day: date | None = None
        self.timers: list[int] = []
        self.base = 0
        self.numbers: Counter[str] = Counter()
        self.refusals: Counter[str] = Counter()
        self.max_drawdown = 0
        self.lines: list[str] = []
        self.at_last_price: list[str] = []

    # What the stream brings

    def row(self, row: Row) -> None:
        """Judge a row as it arrives, and trade on it when it counts."""
        self.numbers["ticks"] += 1
        stock = self.stocks.setdefault(row.symbol, Stock(row.symbol, row.symbol in self.cas))
        if stock.last_row is not None and row == stock.last_row:
            self.numbers["duplicates"] += 1
        elif stock.last_row is not None and row.ts < stock.last_row.ts:
            self.numbers["late"] += 1
        else:
            stock.last_row = row
            if any(opens <= row.ts < closes for opens, closes in windows(ist_day(row.ts), stock.cas)):
                self.tick(stock, row)

    def warm(self, name: str, bars: list[tuple[int, int, int]]) -> None:
        """Start a symbol with closed bars of history, each as high, low and close."""
        stock = self.stocks.setdefault(name, Stock(name, name in self.cas))
        for high, low, close in bars:
            stock.high, stock.low, stock.ltp = high, low, close
            self.close_bar(stock)

    def end_of_day(self) -> None:
        """The clock runs on to the date's last close."""
        self.clock(max(self.timers, default=0))

    def clock(self, until: int) -> None:
        """Timers by time, then symbol."""
        while self.timers and self.timers[0] <= until:
            now = self.timers.pop(0)
            for name in sorted(self.stocks):
                stock = self.stocks[name]
                if self.square_off_at(stock) == now:
                    self.square_off(stock, now)
                if self.close_at(stock) == now and stock.order is not None and stock.order.side == "SELL":
                    self.at_last_price.append(f"{now}|{name}")
                    self.fill(stock, now, stock.order.quantity * stock.ltp)

    def tick(self, stock: Stock, row: Row) -> None:
        if ist_day(row.ts) != self.day:
            self.end_of_day()
            self.begin_session(ist_day(row.ts))
        self.clock(row.ts)
        self.see_depth(stock, row)
        self.match(stock, row)
        self.follow(stock, row)
        stock.ltp = row.ltp
        self.mark()
        self.decide(stock, row)

    # Session

    def begin_session(self, day: date) -> None:
        self.day = day
        times = set()
        for cas in (True, False):
            probe = Stock("", cas)
            times |= {self.square_off_at(probe), self.close_at(probe)}
        self.timers = sorted(times)
        self.base = self.equity()
        for stock in self.stocks.values():
            stock.book = None

    def close_at(self, stock: Stock) -> int:
        assert self.day is not None
        return windows(self.day, stock.cas)[-1][1]

    def square_off_at(self, stock: Stock) -> int:
        assert self.day is not None
        by_lead = self.close_at(stock) - self.rules.square_off_lead_min * MINUTE
        by_clock = at(self.day, self.rules.square_off)
        if windows(self.day, stock.cas)[0][0] > by_clock:
            return by_lead
        return min(by_clock, by_lead)

    def square_off(self, stock: Stock, now: int) -> None:
        if stock.order is not None and stock.order.side == "BUY":
            stock.order = None
            self.numbers["cancelled"] += 1
        if stock.holding is not None and stock.order is None:
            self.place(stock, Order(now, "SELL", stock.holding.quantity))

    # Matching

    def see_depth(self, stock: Stock, row: Row) -> None:
        bids = [(price, quantity) for price, quantity in row.bids if price > 0 and quantity > 0]
        asks = [(price, quantity) for price, quantity in row.asks if price > 0 and quantity > 0]
        if bids or asks:
            stock.book = Book(bids, asks)

    def match(self, stock: Stock, row: Row) -> None:
        order = stock.order
        if order is None or row.ts < order.ts + self.rules.latency_ms * 1_000_000:
            return
        if not self.depth:
            bps = self.rules.slippage_bps
            up, down = -(-row.ltp * (10_000 + bps) // 10_000), row.ltp * (10_000 - bps) // 10_000
            price = up if order.side == "BUY" else down
            self.fill(stock, row.ts, price * order.quantity)
            return
        levels = [] if stock.book is None else stock.book.asks if order.side == "BUY" else stock.book.bids
        if levels:
            shares = [price for price, quantity in levels for _ in range(min(quantity, order.quantity))]
            shares += [levels[-1][0]] * order.quantity
            self.fill(stock, row.ts, sum(shares[: order.quantity]))

    def place(self, stock: Stock, order: Order) -> None:
        self.numbers["orders"] += 1
        stock.order = order

    def held(self) -> int:
        return sum(stock.order.hold for stock in self.stocks.values() if stock.order is not None)

    def fill(self, stock: Stock, ts: int, value: int) -> None:
        order = stock.order
        assert order is not None
        stock.order = None
        fees = charges(ist_day(ts), order.side, value)
        if order.side == "BUY":
            if value + fees > self.cash - self.held():
                self.refusals["insufficient_cash"] += 1
                return
            self.cash -= value + fees
            risk = self.base * self.rules.risk_per_trade_bps // 10_000
            stop = value - order.quantity * (risk // order.quantity)
            stock.holding = Holding(order.quantity, value, fees, stop)
            pnl = 0
        else:
            assert stock.holding is not None
            self.cash += value - fees
            gross = value - stock.holding.value
            pnl = gross - fees - stock.holding.charges
            stock.holding = None
            self.numbers["round_trips"] += 1
            self.numbers["gross_pnl"] += gross
            self.numbers["net_pnl"] += pnl
        self.numbers["fills"] += 1
        self.numbers["charges"] += fees
        self.lines.append(f"{ts}|{stock.name}|{order.side}|{order.quantity}|{value}|{fees}|{pnl}\n")

    def equity(self) -> int:
        worth = (stock.holding.quantity * stock.ltp for stock in self.stocks.values() if stock.holding is not None)
        return self.cash + sum(worth)

    def mark(self) -> None:
        equity = self.equity()
        self.peak = max(self.peak, equity)
        self.max_drawdown = max(self.max_drawdown, self.peak - equity)

    # Features

    def follow(self, stock: Stock, row: Row) -> None:
        if stock.day != self.day:
            stock.day = self.day
            stock.highest = row.volume
            stock.cum_value = round(row.atp * 100 * row.volume) if row.atp > 0 else 0
            stock.cum_volume = row.volume if row.atp > 0 else 0
        shares = max(0, row.volume - stock.highest)
        stock.highest += shares
        stock.cum_volume += shares
        stock.cum_value += shares * row.ltp
        minute = row.ts // MINUTE
        if minute != stock.minute:
            if stock.minute is not None:
                self.close_bar(stock)
            stock.minute, stock.high, stock.low = minute, row.ltp, row.ltp
        stock.high, stock.low = max(stock.high, row.ltp), min(stock.low, row.ltp)

    def close_bar(self, stock: Stock) -> None:
        stock.last_bar = (stock.high, stock.low, stock.ltp)
        stock.closes.append(stock.ltp)
        if len(stock.closes) > self.rules.rsi_period:
            stock.averages = self.wilder(stock.averages, stock.closes[-self.rules.rsi_period - 1 :])

    def wilder(self, before: tuple[float, float] | None, prices: list[int]) -> tuple[float, float]:
        """Average rise and fall once the last of the prices is counted; the first ones are plain means."""
        n = self.rules.rsi_period
        if before is None:
            changes = [later - earlier for earlier, later in pairwise(prices)]
            return sum(max(c, 0) for c in changes) / n, sum(max(-c, 0) for c in changes) / n
        change = prices[-1] - prices[-2]
        gain, loss = before
        return (gain * (n - 1) + max(change, 0)) / n, (loss * (n - 1) + max(-change, 0)) / n

    def rsi(self, stock: Stock, ltp: int) -> float | None:
        if len(stock.closes) < self.rules.rsi_period:
            return None
        gain, loss = self.wilder(stock.averages, [*stock.closes[-self.rules.rsi_period :], ltp])
        return 0.0 if gain + loss == 0 else 100 * (gain / (gain + loss))

    def obi(self, stock: Stock) -> Fraction | None:
        if not self.depth:
            if stock.last_bar is None or stock.last_bar[0] == stock.last_bar[1]:
                return Fraction(0)
            high, low, close = stock.last_bar
            return Fraction((close - low) - (high - close), high - low)
        if stock.book is None:
            return None
        bids, asks = (sum(quantity for _, quantity in side) for side in (stock.book.bids, stock.book.asks))
        return Fraction(bids - asks, bids + asks)

    # Decision

    def decide(self, stock: Stock, row: Row) -> None:
        if stock.order is not None:
            return
        if stock.cum_volume:
            above, below = row.ltp * stock.cum_volume > stock.cum_value, row.ltp * stock.cum_volume < stock.cum_value
        else:
            above = below = False
        rsi, obi = self.rsi(stock, row.ltp), self.obi(stock)
        holding = stock.holding
        if holding is not None:
            weak = rsi is not None and rsi < self.rules.rsi_exit
            stopped = row.ltp * holding.quantity <= holding.stop_value
            if below or weak or stopped or row.ts >= self.square_off_at(stock):
                self.place(stock, Order(row.ts, "SELL", holding.quantity))
        elif above and rsi is not None and rsi > self.rules.rsi_entry and obi is not None and obi > 0:
            until = self.square_off_at(stock)
            if self.rules.entry_until is not None:
                until = min(until, at(ist_day(row.ts), self.rules.entry_until))
            if row.ts < until:
                self.enter(stock, row)

    def enter(self, stock: Stock, row: Row) -> None:
        quantity = self.base * self.rules.position_size_bps // 10_000 // row.ltp
        taken = sum(
            s.holding is not None or (s.order is not None and s.order.side == "BUY") for s in self.stocks.values()
        )
        if quantity <= 0:
            self.refusals["price_above_budget"] += 1
            return
        if taken >= self.rules.max_positions:
            self.refusals["max_positions"] += 1
            return
        needed = quantity * row.ltp + charges(ist_day(row.ts), "BUY", quantity * row.ltp)
        if needed > self.cash - self.held():
            self.refusals["insufficient_cash"] += 1
            return
        self.place(stock, Order(row.ts, "BUY", quantity, needed))

    # The answer

    def answer(self) -> dict[str, object]:
        """The numbers that a backtest prints, money in paise."""
        return {
            **{name: self.numbers[name] for name in COUNTED},
            "starting_balance": self.start,
            "ending_balance": self.cash,
            "max_drawdown": self.max_drawdown,
            "refusals": dict(self.refusals),
            "ledger_sha256": hashlib.sha256("".join(self.lines).encode()).hexdigest(),
        }
