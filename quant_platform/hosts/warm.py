"""Compile every kernel once, so that no later start waits for the compiler: ``python -m quant_platform.hosts.warm``."""

import sys
import time
from datetime import date
from datetime import time as clock_time

import numpy as np

from quant_platform.domain.commands import Halt
from quant_platform.domain.depth_levels import price_levels, quantity_levels
from quant_platform.domain.instruments import SymbolTable
from quant_platform.domain.money import PAISE_PER_RUPEE
from quant_platform.domain.session import ns_at, session_on
from quant_platform.domain.tick_order import in_that_order, processing_order
from quant_platform.domain.ticks import LEVELS, NS_PER_MINUTE, NS_PER_SECOND, TickBatch, empty_bars, empty_ticks
from quant_platform.hosts.strategies import load_strategy
from quant_platform.hosts.warm_readers import warm_readers
from quant_platform.kernel import cache_folder
from quant_platform.services.feature_engine.engine import FeatureEngine
from quant_platform.services.ingestion.admit import Admission
from quant_platform.services.ingestion.normalise import Normaliser
from quant_platform.services.strategy_runtime.runtime import StrategyRuntime
from quant_platform.services.strategy_runtime.schema import DEFAULT_CAPITAL

DAY = date(2025, 1, 1)
TICKS = 240


def rising_and_falling(start_ns: int) -> TickBatch:
    """A tick every ten seconds, up for half the batch and down for the rest, so that something is bought and sold."""
    batch = empty_ticks(TICKS, LEVELS)
    for i in range(TICKS):
        batch.ts[i] = start_ns + i * 10 * NS_PER_SECOND
        batch.ltp[i] = 10_000 + 5 * (i if i < TICKS // 2 else TICKS - i)
        batch.volume[i] = 100 * (i + 1)
        batch.bid_price[i, 0], batch.bid_qty[i, 0] = batch.ltp[i] - 5, 200
        batch.ask_price[i, 0], batch.ask_qty[i, 0] = batch.ltp[i], 100
    return batch


def warm_kernels() -> int:
    """Run every kernel through the types that it is called with; returns the number of orders, for the curious."""
    session = session_on(DAY)
    table = SymbolTable()
    table.add("NSE_EQ:RELIANCE")
    strategy, settings = load_strategy("momentum", {})
    admission = Admission(table)
    features = FeatureEngine(settings.rsi_period, settings.sma_period, depth=True)
    runtime = StrategyRuntime(strategy, settings, table, depth=True, balance=DEFAULT_CAPITAL)
    bars = empty_bars(1)
    opens = ns_at(DAY, clock_time(9, 15))
    bars.ts[0] = opens - NS_PER_MINUTE
    bars.open[0] = bars.high[0] = bars.low[0] = bars.close[0] = 10_000
    features.on_bars(bars, anew=True)
    ticks = rising_and_falling(opens)
    backwards = processing_order(ticks.ts[::-1].copy(), ticks.symbol)
    if backwards is not None:
        ticks = TickBatch._make(in_that_order(column[::-1].copy(), backwards) for column in ticks)
    price_levels(*(ticks.bid_price.T / PAISE_PER_RUPEE))
    quantity_levels(*ticks.bid_qty.T.astype(np.int64))
    normaliser = Normaliser(table, {})
    normaliser.ticks(b"")
    normaliser.carry(ticks)
    runtime.on_ticks(features.on_ticks(admission.on_ticks(ticks).ticks))
    if session is not None:
        runtime.on_clock(session.last_close_ns)
    runtime.obey(Halt.OUT, int(ticks.ts[-1]))
    return runtime.orders


def main() -> None:
    """Warm up and say where the machine code is kept."""
    started = time.perf_counter()
    warm_kernels()
    warm_readers()
    where = cache_folder() or "nowhere: no folder is writable"
    print(f"kernels compiled in {time.perf_counter() - started:.1f} s, kept in {where}", file=sys.stderr)


if __name__ == "__main__":
    main()
