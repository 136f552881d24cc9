"""What more days cost in memory: a backtest of 26 made-up sessions with depth in one file against one of them.

    python -m benchmarks.days [--quick] [--json]

The same question on real trades is `backtest_trades`, for whoever has the file.
"""

import statistics
from collections.abc import Iterator
from functools import partial

from benchmarks import figure
from benchmarks.figure import Figure, Goal, Run
from benchmarks.made_up import Session

NAME = "peak memory, 26 made-up days against 1"
DAYS = 26


def measure(run: Run) -> Iterator[Figure]:
    """Peak memory of all days over that of the first one."""
    ticks = run.size(200_000, 20_000)
    commands = [figure.quant("backtest", "--data", str(Session(ticks, 34, days).parquet)) for days in (DAYS, 1)]
    all_days, one = figure.in_turns(min(run.rounds, 3), *(partial(figure.finished, each) for each in commands))
    peak_mb, peak_of_one = (statistics.median(each.peak_mb for each in runs) for runs in (all_days, one))
    yield Figure(
        NAME, peak_mb / peak_of_one, "times", Goal(1.2, 1.1, better="less"), peak_mb=peak_mb,
        cpu_s=figure.median(each.spent for each in all_days).cpu_s,
        note=f"one day of {ticks:,} ticks: {peak_of_one:,.0f} MB",
    )  # fmt: skip


if __name__ == "__main__":
    figure.main(NAME, measure)
