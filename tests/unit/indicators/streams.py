"""Small seeded streams for indicators; run as a program, every feature of them into a file."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, time
from itertools import pairwise
from random import Random

import numba
import numpy as np
from numpy.typing import NDArray

from quant_platform.domain.instruments import SymbolTable
from quant_platform.domain.ticks import LATE, OUT_OF_SESSION, TickBatch, cut
from quant_platform.services.feature_engine.engine import FeatureEngine
from tests.golden.made_up_market import Walk, as_batch
from tests.golden.reference import MINUTE, SECOND, Row, at

FEATURES = ("vwap", "rsi", "obi", "sma", "spread", "aggressor")
SYMBOLS = ("NSE_EQ:INFY", "NSE_EQ:AALPHA", "NSE_EQ:TCS")
DAYS = (date(2025, 3, 10), date(2025, 3, 11))
OPENS = at(DAYS[0], time(9, 15))


@dataclass(frozen=True)
class Stream:
    """Rows in order, which of them are fed, and the periods to use."""

    rows: tuple[Row, ...]
    fed: tuple[bool, ...]
    depth: bool
    rsi_period: int
    sma_period: int

    def batch(self) -> TickBatch:
        table = SymbolTable()
        for name in SYMBOLS:
            table.add(name)
        batch = as_batch(self.rows, table, depth=self.depth)
        batch.flags[:] = [0 if fed else (LATE, OUT_OF_SESSION)[i % 2] for i, fed in enumerate(self.fed)]
        return batch

    def engine(self) -> FeatureEngine:
        return FeatureEngine(self.rsi_period, self.sma_period, depth=self.depth)


def features(engine: FeatureEngine, batch: TickBatch, pieces: Sequence[int] = ()) -> dict[str, NDArray[np.float64]]:
    """Every feature of a batch that is cut before these rows."""
    edges = [0, *pieces, batch.ts.size]
    out = [engine.on_ticks(cut(batch, start, stop)) for start, stop in pairwise(edges)]
    return {name: np.concatenate([getattr(piece, name) for piece in out]) for name in FEATURES}


def random_stream(seed: int, *, depth: bool, rsi_period: int, sma_period: int) -> Stream:
    """Two mornings of three symbols; some rows are late or out of session, with values that would be noticed."""
    random = Random(seed)
    walks = [Walk(random, name, depth=depth, tick=5) for name in SYMBOLS]
    rows, fed = [], []
    for day in DAYS:
        ts = at(day, time(9, 15))
        for _ in range(450):
            ts += random.choice((0, 1, 5, 10, 15, 40)) * SECOND
            row = random.choice(walks).row(ts)
            counts = random.random() > 0.05
            rows.append(row if counts else row._replace(ltp=row.ltp * 3, volume=row.volume + 10**6))
            fed.append(counts)
        for walk in walks:
            walk.volume = random.choice((0, 700))
    return Stream(tuple(rows), tuple(fed), depth, rsi_period, sma_period)


def minute_by_minute(prices: Sequence[int], *, rsi_period: int = 14, sma_period: int = 20) -> Stream:
    """One symbol, a tick a minute, without depth."""
    rows = tuple(Row(OPENS + i * MINUTE, SYMBOLS[0], price, 10 * i) for i, price in enumerate(prices))
    return Stream(rows, (True,) * len(rows), False, rsi_period, sma_period)


STREAMS = {
    "plain": random_stream(1, depth=False, rsi_period=14, sma_period=20),
    "depth": random_stream(2, depth=True, rsi_period=14, sma_period=20),
    "short periods": random_stream(3, depth=True, rsi_period=2, sma_period=2),
    "short periods, plain": random_stream(4, depth=False, rsi_period=3, sma_period=5),
    "flat": minute_by_minute([10_000] * 40),
    "up and down": minute_by_minute([10_000 + 5 * (i % 7) * (-1) ** (i // 9) for i in range(60)]),
    "one tick": minute_by_minute([10_000]),
}

if __name__ == "__main__":
    columns = {
        f"{name}/{feature}": column
        for name, stream in STREAMS.items()
        for feature, column in features(stream.engine(), stream.batch()).items()
    }
    np.savez(sys.argv[1], compiled=not numba.config.DISABLE_JIT, **columns)
