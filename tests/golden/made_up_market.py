"""Seeded streams that visit every corner of the trading rules, as plain rows and as batches of columns."""

from collections.abc import Sequence
from datetime import date, time
from random import Random

import numpy as np

from quant_platform.domain.instruments import SymbolTable
from quant_platform.domain.ticks import LEVELS, TickBatch, empty_ticks

from .reference import MUHURAT, SECOND, TWO_WINDOWS, Level, Row, Rules, at

CAS = ("NSE_EQ:INFY", "NSE_EQ:RELIANCE", "NSE_EQ:TCS")
"""In the closing auction, from 2026-08-03."""
OTHER = ("NSE_EQ:AALPHA", "NSE_EQ:ZOMEGA")
"""Not in it."""

SEASONS = (
    (date(2026, 7, 31), date(2026, 8, 1), date(2026, 8, 3), date(2026, 8, 4)),
    (date(2024, 12, 31), date(2025, 1, 1), date(2025, 1, 2)),
    (date(2026, 2, 27), date(2026, 3, 2)),
    (date(2024, 5, 17), TWO_WINDOWS, date(2024, 5, 21)),
    (date(2024, 10, 31), MUHURAT, date(2024, 11, 4)),
)
"""Runs of dates around a change of hours or charges; the Saturday 2026-08-01 has no session."""

REGULAR_HOURS = ((time(9, 5), time(9, 55)), (time(11, 58), time(12, 4)), (time(14, 50), time(15, 40)))
BUSY_HOURS = {
    TWO_WINDOWS: ((time(9, 10), time(10, 5)), (time(11, 25), time(12, 35))),
    MUHURAT: ((time(17, 55), time(19, 5)),),
}
EDGES = [time(h, m) for h, m in ((9, 15), (15, 5), (15, 15), (15, 20), (15, 30), (10, 0), (11, 30), (18, 0), (18, 50))]


def some_rules(random: Random) -> tuple[Rules, int]:
    """Parameters and a capital in paise: usual ones, tight stops, no latency, low cash, early ends."""
    pick = random.choice
    rules = Rules(
        rsi_period=pick((2, 3, 5, 14)),
        rsi_entry=pick((30.0, 50.0, 55.5)),
        rsi_exit=pick((20.0, 45.0, 50.0)),
        position_size_bps=pick((500, 1000, 3000, 10_000)),
        max_positions=pick((1, 2, 10)),
        risk_per_trade_bps=pick((0, 1, 3, 20, 100)),
        latency_ms=pick((0, 0, 1, 200, 200, 5_000, 90_000, 1_500_000)),
        slippage_bps=pick((0, 0, 5, 37, 9_999)),
        square_off=pick((time(15, 20), time(15, 20), time(15, 0), time(9, 40), time(12, 0))),
        square_off_lead_min=pick((10, 10, 0, 25)),
        entry_until=pick((None, None, time(15, 0), time(9, 45))),
    )
    return rules, pick((150_000, 2_000_000, 2_000_000, 20_000_000))


class Walk:
    """One symbol's prices, volumes and books."""

    def __init__(self, random: Random, symbol: str, *, depth: bool, tick: int) -> None:
        self.random, self.symbol, self.depth, self.tick = random, symbol, depth, tick
        self.price = random.choice((4_000, 15_000, 61_000, 250_000)) // tick * tick
        self.volume = 0
        self.drift = 0
        self.emptiness = random.choice((0.04, 0.04, 0.8))
        self.silence = random.choice((0.25, 0.25, 0.97))

    def row(self, ts: int) -> Row:
        draw = self.random.random
        if draw() < 0.02:
            self.drift = self.random.choice((-1, 0, 0, 1))
        self.price = max(self.tick, self.price + self.tick * (self.random.randint(-2, 2) + self.drift))
        if draw() < 0.7:
            self.volume += self.random.randint(0, 400)
        if draw() < 0.01:
            self.volume = max(0, self.volume - self.random.randint(1, 1000))
        atp = round(self.price / 100 * self.random.uniform(0.99, 1.01), 2) if draw() < 0.6 else 0.0
        bids, asks = self.book() if self.depth else ((), ())
        return Row(ts, self.symbol, self.price, self.volume, atp, bids, asks)

    def book(self) -> tuple[tuple[Level, ...], tuple[Level, ...]]:
        draw = self.random.random
        nothing = ((0, 0),) * LEVELS
        if draw() < self.silence:
            return nothing, nothing
        gap = self.random.randint(0, 2)
        sides = []
        for sign in (-1, 1):
            prices = [max(1, self.price + sign * self.tick * (gap + n)) for n in range(LEVELS)]
            levels = [(price, self.random.randint(1, self.random.choice((5, 60, 5_000)))) for price in prices]
            for n in range(LEVELS):
                if draw() < 0.05:
                    levels[n] = self.random.choice(((0, levels[n][1]), (levels[n][0], 0), (0, 0)))
            sides.append(nothing if draw() < self.emptiness else tuple(levels))
        return sides[0], sides[1]


def _moments(random: Random, day: date, pace_ms: int) -> list[int]:
    found = []
    for opens, closes in BUSY_HOURS.get(day, REGULAR_HOURS):
        now, end = at(day, opens), at(day, closes)
        while now < end:
            found.append(now)
            now += random.choice((0, 1, 50, 200, 250, 1000, pace_ms, 3 * pace_ms)) * SECOND // 1000
    found += [at(day, edge) + random.choice((-1, 0, 1)) for edge in EDGES for _ in range(2)]
    return found


def some_rows(random: Random, *, depth: bool, late: bool = True, pace_ms: int = 4_000) -> list[Row]:
    """A stream in order of arrival: several dates and symbols, with duplicates and, if wished, late rows."""
    symbols = [*random.sample(CAS, random.randint(1, 3)), *random.sample(OTHER, random.randint(0, 2))]
    walks = {name: Walk(random, name, depth=depth, tick=random.choice((1, 5, 100))) for name in symbols}
    rows: list[Row] = []
    for day in random.choice(SEASONS):
        for ts in sorted(_moments(random, day, pace_ms)):
            rows.append(walks[random.choice(symbols)].row(ts))
        for walk in walks.values():
            walk.volume = random.choice((0, 0, 5_000))
    rows.sort(key=lambda row: (row.ts, row.symbol))
    return _disturbed(random, rows, late=late)


def _disturbed(random: Random, rows: list[Row], *, late: bool) -> list[Row]:
    """Repeat some rows, some with one field changed, and let some arrive late."""
    last: dict[str, Row] = {}
    arrived: list[Row] = []
    for row in rows:
        arrived.append(row)
        last[row.symbol] = row
        chance = random.random()
        if chance < 0.03:
            arrived.append(row)
        elif chance < 0.04 and row.asks:
            price, quantity = row.asks[4]
            arrived.append(row._replace(asks=(*row.asks[:4], (price, quantity + 1))))
        elif chance < 0.05 and late:
            old = random.choice(list(last.values()))
            arrived.append(old._replace(ts=old.ts - random.choice((1, SECOND, 3600 * SECOND)), ltp=old.ltp + 500))
    return sorted(arrived, key=lambda row: (row.ts, row.symbol)) if not late else arrived


def as_batch(rows: Sequence[Row], table: SymbolTable, *, depth: bool) -> TickBatch:
    """The rows as columns."""
    batch = empty_ticks(len(rows), LEVELS if depth else 0)
    batch.ts[:] = [row.ts for row in rows]
    batch.symbol[:] = [table.number(row.symbol) for row in rows]
    batch.ltp[:] = [row.ltp for row in rows]
    batch.volume[:] = [row.volume for row in rows]
    batch.atp[:] = [row.atp for row in rows]
    if depth:
        bids = np.array([row.bids for row in rows], np.int64).reshape(-1, LEVELS, 2)
        asks = np.array([row.asks for row in rows], np.int64).reshape(-1, LEVELS, 2)
        batch.bid_price[:], batch.bid_qty[:] = bids[:, :, 0], bids[:, :, 1]
        batch.ask_price[:], batch.ask_qty[:] = asks[:, :, 0], asks[:, :, 1]
    return batch
