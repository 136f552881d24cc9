"""How long a person waits: for `quant --help`, for the first trade of `quant up`, for a backtest of 1,000 ticks.

    python -m benchmarks.start_up [--quick] [--json]

Whole processes, kernels in their cache. A trade is there when another process can read it from the ledger.
"""

import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

from benchmarks import figure
from benchmarks.figure import Figure, Goal, Limit, Run
from benchmarks.made_up import Session
from quant_platform.hosts.home import HomeFolder

NAME = "start-up"
PATIENCE_S = 120
LIBRARIES = "import numba, numpy, pyarrow.parquet, sqlalchemy"


def first_trade() -> float:
    """Seconds from the start of `quant up`, a demo day at its usual speed, to the first order in its ledger."""
    with tempfile.TemporaryDirectory(prefix="quant-bench-") as home:
        started = time.perf_counter()
        with subprocess.Popen(
            figure.quant("up", "--json", "--home", home),
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        ) as platform:  # fmt: skip
            try:
                while not has_traded(HomeFolder(Path(home))):
                    if platform.poll() is not None or time.perf_counter() - started > PATIENCE_S:
                        raise RuntimeError(f"quant up made no trade within {PATIENCE_S} s, or ended")
                    time.sleep(0.02)
                return time.perf_counter() - started
            finally:
                platform.terminate()


def has_traded(home: HomeFolder) -> bool:
    """Whether the ledger of a home has an executed order."""
    if not home.ledger.exists():
        return False
    try:
        with closing(sqlite3.connect(f"file:{home.ledger}?mode=ro", uri=True)) as ledger:
            return ledger.execute("SELECT 1 FROM executed_orders LIMIT 1").fetchone() is not None
    except sqlite3.OperationalError:
        return False  # its tables are being made


def measure(run: Run) -> Iterator[Figure]:
    """Seconds of the wall, medians."""
    python = [sys.executable, "-c"]
    helps, bare = figure.in_turns(
        2 * run.rounds, partial(figure.finished, figure.quant("--help")), partial(figure.finished, [*python, "pass"])
    )
    spent = figure.median(each.spent for each in helps)
    limit = Limit("an empty Python", figure.median(each.spent for each in bare).wall_s)
    yield Figure("`quant --help`", spent.wall_s, "s", Goal(0.5, 0.35, better="less"), limit, cpu_s=spent.cpu_s)
    small = figure.quant("backtest", "--data", str(Session(1000, 10).parquet))
    backtests, bare = figure.in_turns(
        run.rounds, partial(figure.finished, small), partial(figure.finished, [*python, LIBRARIES])
    )
    spent = figure.median(each.spent for each in backtests)
    limit = Limit("importing Numba, Arrow and SQLAlchemy", figure.median(each.spent for each in bare).wall_s)
    yield Figure(
        "backtest of 1,000 ticks, whole process", spent.wall_s, "s", Goal(2, 1.5, better="less"), limit,
        backtests[0].peak_mb, spent.cpu_s,
    )  # fmt: skip
    seconds = statistics.median(first_trade() for _ in range(min(run.rounds, 3)))
    yield Figure("first trade of `quant up`", seconds, "s", Goal(15, 8, better="less"))


if __name__ == "__main__":
    figure.main(NAME, measure)
