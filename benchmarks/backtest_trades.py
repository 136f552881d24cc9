"""From the real file of trades (26 sessions) to the printed report, and what more days cost in memory.

    python -m benchmarks.backtest_trades [--quick] [--json]

Measured with kernels loaded, in a process that has replayed a day of it before; the note says what it is with the
start of the process. The file is no part of the project; where it is not at hand, nothing is measured.
"""

import statistics
from collections.abc import Iterator
from functools import partial

from benchmarks import figure
from benchmarks.figure import Figure, Goal, Run
from benchmarks.loaded import backtest
from benchmarks.shared import shared_file

NAME = "real trades file, 26 sessions, to printed report"
FILE = "data/trades_1s_2021-03-30_2021-05-07.parquet"
MILLION_TICKS = 8.933597
BUSIEST_DAY = "2021-05-06"


def measure(run: Run) -> Iterator[Figure]:
    """Million ticks a second of the wall; peak memory of all days over that of the busiest one."""
    whole = ["--data", str(shared_file(FILE))]
    one_day = [*whole, "--from", BUSIEST_DAY, "--to", BUSIEST_DAY]
    loaded, all_days, one = figure.in_turns(
        min(run.rounds, 3),
        partial(backtest, one_day, whole),
        *(partial(figure.finished, figure.quant("backtest", *each)) for each in (whole, one_day)),
    )
    spent, from_the_start = (figure.median(each.spent for each in runs) for runs in (loaded, all_days))
    peak_mb, peak_of_one = (statistics.median(each.peak_mb for each in runs) for runs in (all_days, one))
    yield Figure(
        NAME, MILLION_TICKS / spent.wall_s, "M ticks/s", Goal(6, 9), None, peak_mb, spent.cpu_s,
        f"with the start of the process {figure.number(MILLION_TICKS / from_the_start.wall_s)}",
    )  # fmt: skip
    yield Figure(
        "peak memory, 26 days against 1", peak_mb / peak_of_one, "times", Goal(1.2, 1.1, better="less"),
        peak_mb=peak_mb, cpu_s=from_the_start.cpu_s, note=f"the busiest day alone: {peak_of_one:,.0f} MB",
    )  # fmt: skip


if __name__ == "__main__":
    figure.main(NAME, measure)
