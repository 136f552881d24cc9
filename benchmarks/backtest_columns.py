"""A backtest from columns in memory on one core, beside the bare loop over the same columns.

    python -m benchmarks.backtest_columns [--quick] [--json]

Ours is all of it but the file: admission, features, signals, depth fills, charges, the ledger's checks and hash at
the close. The bare loop computes the same features and the same rule, and fills at the last price with nothing charged.
"""

import time
from collections.abc import Iterator

import numpy as np

from benchmarks import figure, shared
from benchmarks.figure import Figure, Goal, Limit, Missing, Run, Spent
from benchmarks.made_up import FIRST_DAY, Session
from quant_platform.adapters.ledger.memory import MemoryLedger
from quant_platform.domain.session import Session as TradingSession
from quant_platform.domain.session import session_on
from quant_platform.domain.ticks import TickBatch, cut
from quant_platform.hosts.embedded import Blueprint, EmbeddedPlatform
from quant_platform.hosts.results import peak_memory_mb
from quant_platform.hosts.strategies import load_strategy
from quant_platform.ports.ledger_store import RunRequest, RunSummary
from quant_platform.services.feature_engine.engine import FeatureEngine
from quant_platform.services.ingestion.admit import Admission
from quant_platform.services.strategy_runtime.runtime import StrategyRuntime

NAME = "backtest from columns in memory, one core"
CAPITAL = 200_000_000  # paise; ten per cent of it is the bare loop's slot
SLOT = CAPITAL // 10
POSITIONS = 10
BATCH = 65_536
WARM = 200
"""Ticks before which the bare loop does not trade."""


def fresh(columns: TickBatch) -> TickBatch:
    """Columns as a source hands them out: admission writes to two of them."""
    return columns._replace(seq=columns.seq.copy(), flags=columns.flags.copy())


def session_of_columns() -> TradingSession:
    """The trading day that made-up columns are of."""
    session = session_on(FIRST_DAY)
    assert session is not None
    return session


def backtest(columns: TickBatch, session: Session) -> tuple[Spent, RunSummary]:
    """One run over the columns, as ``quant backtest`` does it."""
    strategy, settings = load_strategy("momentum", {})
    ticks, market = fresh(columns), session_of_columns()
    ledger = MemoryLedger()
    start = ledger.begin(RunRequest("bench", "backtest", strategy.name, "{}", CAPITAL, CAPITAL, fresh=True))
    platform = EmbeddedPlatform(Blueprint(strategy, settings, True), session.table(), ledger, start.balance)

    def run() -> None:
        for at in range(0, ticks.ts.size, BATCH):
            platform.on_ticks(cut(ticks, at, min(at + BATCH, ticks.ts.size)))
        platform.on_clock(market.last_close_ns)
        platform.runtime.mark_close(market.last_close_ns)
        platform.commit()

    return figure.spent(run), ledger.finish()


def by_core(columns: TickBatch, session: Session) -> str:
    """What each core takes of a tick, in ns of CPU, run one after the other over the same batches."""
    strategy, settings = load_strategy("momentum", {})
    ticks, table = fresh(columns), session.table()
    admission = Admission(table)
    features = FeatureEngine(settings.rsi_period, settings.sma_period, depth=True)
    runtime = StrategyRuntime(strategy, settings, table, depth=True, balance=CAPITAL)
    taken = dict.fromkeys(("admission", "features", "strategy, matching and ledger"), 0.0)
    for at in range(0, ticks.ts.size, BATCH):
        marks = [time.process_time()]
        admitted = admission.on_ticks(cut(ticks, at, min(at + BATCH, ticks.ts.size))).ticks
        marks.append(time.process_time())
        enriched = features.on_ticks(admitted)
        marks.append(time.process_time())
        runtime.on_ticks(enriched)
        marks.append(time.process_time())
        for name, began, ended in zip(taken, marks, marks[1:], strict=False):
            taken[name] += ended - began
    return ", ".join(f"{name} {seconds / ticks.ts.size * 1e9:.0f}" for name, seconds in taken.items())


def measure(run: Run) -> Iterator[Figure]:
    """Million ticks per CPU-second, medians of both."""
    session = Session(run.size(10_000_000, 200_000), 100)
    columns = session.columns()
    million = columns.ts.size / 1e6
    _, summary = backtest(columns, session)

    def ours() -> Spent:
        return backtest(columns, session)[0]

    try:
        loop = shared.bare_loop()
    except Missing as missing:
        ((*spents,),) = figure.in_turns(run.rounds, ours)
        limit, note = None, str(missing)
    else:
        sums = [column.sum(axis=1, dtype=np.int32) for column in (columns.bid_qty, columns.ask_qty)]
        trades = np.zeros((columns.ts.size, 4), np.int64)
        square_off = session_of_columns().square_off_ns(True, load_strategy("momentum", {})[1].square_off, 10)
        bare_columns = (columns.symbol, columns.ts, columns.ltp, columns.volume, *sums)
        limits = (session.symbols, CAPITAL, SLOT, POSITIONS, WARM, square_off, trades)
        fills = loop(*bare_columns, *limits)[0]

        def bare() -> Spent:
            return figure.spent(lambda: loop(*bare_columns, *limits))

        spents, bare_spents = figure.in_turns(run.rounds, ours, bare)
        counts_from = shared.BARE_LOOP_COUNTS_FROM
        limit = Limit("the bare loop", million / figure.median(bare_spents).cpu_s, counts_from)
        note = f"{summary.fills:,} fills, the bare loop {fills:,}"
    cpu_s = figure.median(spents).cpu_s
    note += f"; ns a tick: {by_core(columns, session)}"
    yield Figure(
        NAME, million / cpu_s, "M ticks per CPU-s", Goal(0.6, 0.9, "ratio"), limit, peak_memory_mb(), cpu_s, note
    )


if __name__ == "__main__":
    figure.main(NAME, measure)
