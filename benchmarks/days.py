"""What more days cost in memory: a backtest of 26 made-up sessions with depth in one file against one of five.

    python -m benchmarks.days [--quick] [--json]

What reading ahead holds is in both. On real trades, and against one day, `backtest_trades` asks the same.
"""

import statistics
from collections.abc import Iterator
from functools import partial

from benchmarks import figure
from benchmarks.figure import Figure, Goal, Run
from benchmarks.made_up import Session

NAME = "peak memory, 26 made-up days against 5"
MANY, FEW = 26, 5


def measure(run: Run) -> Iterator[Figure]:
    """Peak memory of many days over that of few."""
    ticks = run.size(200_000, 20_000)
    commands = [figure.quant("backtest", "--data", str(Session(ticks, 34, days).parquet)) for days in (MANY, FEW)]
    many, few = figure.in_turns(min(run.rounds, 3), *(partial(figure.finished, each) for each in commands))
    peak_mb, peak_of_few = (statistics.median(each.peak_mb for each in runs) for runs in (many, few))
    yield Figure(
        NAME, peak_mb / peak_of_few, "times", Goal(1.2, 1.1, better="less"), peak_mb=peak_mb,
        cpu_s=figure.median(each.spent for each in many).cpu_s,
        note=f"{FEW} days of {ticks:,} ticks: {peak_of_few:,.0f} MB",
    )  # fmt: skip


if __name__ == "__main__":
    figure.main(NAME, measure)
