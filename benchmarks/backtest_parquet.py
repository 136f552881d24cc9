"""From a file of depth ticks (Parquet, zstd) to the printed report: the whole process, and its peak memory.

    python -m benchmarks.backtest_parquet [--quick] [--json]

The limit is Arrow decoding the same file on as many threads as it likes, and nothing else.
"""

import statistics
import sys
from collections.abc import Iterator
from functools import partial

from benchmarks import figure
from benchmarks.figure import Figure, Goal, Limit, Run
from benchmarks.made_up import Session

NAME = "Parquet file of depth ticks to printed report"

DECODE = """
import sys
import pyarrow.parquet
for batch in pyarrow.parquet.ParquetFile(sys.argv[1]).iter_batches(1 << 19):
    batch.num_rows
"""


def measure(run: Run) -> Iterator[Figure]:
    """Million ticks a second of the wall; megabytes."""
    session = Session(run.size(10_000_000, 200_000), 100)
    file, million = str(session.parquet), session.ticks / 1e6
    backtests, decoded = figure.in_turns(
        min(run.rounds, 3),
        partial(figure.finished, figure.quant("backtest", "--data", file, "--capital", "2000000")),
        partial(figure.finished, [sys.executable, "-c", DECODE, file]),
    )
    spent, bare = (figure.median(each.spent for each in runs) for runs in (backtests, decoded))
    peak_mb = statistics.median(each.peak_mb for each in backtests)
    limit = Limit("Arrow decoding it", million / bare.wall_s)
    yield Figure(
        NAME, million / spent.wall_s, "M ticks/s", Goal(3.5, 4.8), limit, peak_mb, spent.cpu_s,
        f"decoding takes {figure.number(bare.cpu_s)} CPU-s",
    )  # fmt: skip
    yield Figure(
        f"peak memory, {million:g} M depth ticks", peak_mb / 1000, "GB", Goal(1.5, 0.8, better="less"),
        cpu_s=spent.cpu_s,
    )  # fmt: skip


if __name__ == "__main__":
    figure.main(NAME, measure)
