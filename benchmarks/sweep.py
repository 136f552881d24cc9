"""A hundred parameter sets over a million ticks with depth, on two processors: set-ticks a second.

    python -m benchmarks.sweep [--quick] [--json]

Measured is what `quant sweep` does beside reading its file and telling its results: features once, into the shared
store, and all sets by two worker processes, started anew. The limit is the bare loop over the same columns, once a set,
on as many processors.
"""

import resource
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks import figure, shared
from benchmarks.backtest_columns import CAPITAL, POSITIONS, SLOT, WARM, fresh, session_of_columns
from benchmarks.figure import Figure, Goal, Limit, Missing, Run, Spent
from benchmarks.made_up import Session
from quant_platform.domain.ticks import TickBatch, cut
from quant_platform.hosts.results import peak_memory_mb
from quant_platform.hosts.strategies import load_strategy
from quant_platform.research.feature_store import FeaturePass, Periods
from quant_platform.research.grid import described, parameter_grid
from quant_platform.research.sweep_runs import BATCH, LocalWorkers, Market, chunks_of

NAME = "100 parameter sets × 1 M ticks, two cores"
WORKERS = 2
SWEPT = {"rsi_entry": "45:54:1", "rsi_exit": "35:44:1"}


def sweep(columns: TickBatch, session: Session) -> Spent:
    """Features, workers and sets, from columns to numbers; CPU is that of all processes."""
    ticks, table = fresh(columns), session.table()
    wall, cpu = time.perf_counter(), cpu_of_all()
    sets = parameter_grid("momentum", {}, SWEPT).sets
    parameters = [described(*load_strategy("momentum", each)) for each in sets]
    periods = [Periods(each["rsi_period"], each["sma_period"]) for each in parameters]
    with tempfile.TemporaryDirectory(prefix="quant-bench-") as folder:
        features = FeaturePass(Path(folder), table, set(periods), depth=True)
        for start in range(0, ticks.ts.size, BATCH):
            features.on_ticks(cut(ticks, start, start + BATCH))
        features.end_day(session_of_columns().last_close_ns)
        market = Market("momentum", table.names, True, CAPITAL, features.counters)
        chunks = chunks_of(periods, dict(enumerate(sets)), WORKERS)
        done = sum(len(each.summaries) for each in LocalWorkers(WORKERS).run(market, features.days, chunks))
    assert done == len(sets)
    return Spent(time.perf_counter() - wall, cpu_of_all() - cpu)


def cpu_of_all() -> float:
    """CPU seconds of this process and of the children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def measure(run: Run) -> Iterator[Figure]:
    """Million set-ticks a second of the wall."""
    session = Session(run.size(1_000_000, 20_000), 100)
    columns = session.columns()
    million = columns.ts.size * 100 / 1e6

    def ours() -> Spent:
        return sweep(columns, session)

    try:
        loop = shared.bare_loop()
    except Missing as missing:
        ((*spents,),) = figure.in_turns(run.rounds, ours)
        limit, note = None, f"; {missing}"
    else:
        sums = [column.sum(axis=1, dtype=np.int32) for column in (columns.bid_qty, columns.ask_qty)]
        trades = np.zeros((columns.ts.size, 4), np.int64)
        closes = session_of_columns().last_close_ns
        limits = (session.symbols, CAPITAL, SLOT, POSITIONS, WARM, closes, trades)

        def bare() -> Spent:
            return figure.spent(lambda: loop(columns.symbol, columns.ts, columns.ltp, columns.volume, *sums, *limits))

        spents, bare_spents = figure.in_turns(run.rounds, ours, bare)
        rate = WORKERS * columns.ts.size / 1e6 / figure.median(bare_spents).cpu_s
        limit = Limit("the bare loop on two cores", rate, WORKERS * shared.BARE_LOOP_COUNTS_FROM)
        note = ""
    spent = figure.median(spents)
    yield Figure(
        NAME, million / spent.wall_s, "M set-ticks/s", Goal(100, 200), limit, peak_memory_mb(), spent.cpu_s,
        f"{figure.number(million / spent.cpu_s)} M per CPU-second{note}",
    )  # fmt: skip


if __name__ == "__main__":
    figure.main(NAME, measure)
