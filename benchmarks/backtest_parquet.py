"""From a file of depth ticks (Parquet, zstd) to the printed report, and its peak memory.

    python -m benchmarks.backtest_parquet [--quick] [--json]

Measured with kernels loaded, in a process that has replayed a small file before; the note says what it is with the
start of the process. The limit is Arrow decoding the same file on as many threads as it likes, and nothing else: in a
process of its own, from start to end.
"""

import statistics
import sys
from collections.abc import Iterator
from functools import partial

from benchmarks import figure
from benchmarks.figure import Figure, Goal, Limit, Run
from benchmarks.loaded import backtest
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
    few, whole = ["--data", str(Session(20_000, 100).parquet)], ["--data", file, "--capital", "2000000"]
    loaded, backtests, decoded = figure.in_turns(
        min(run.rounds, 3),
        partial(backtest, few, whole),
        partial(figure.finished, figure.quant("backtest", *whole)),
        partial(figure.finished, [sys.executable, "-c", DECODE, file]),
    )
    spent, from_the_start, bare = (figure.median(each.spent for each in runs) for runs in (loaded, backtests, decoded))
    peak_mb = statistics.median(each.peak_mb for each in backtests)
    limit = Limit("Arrow decoding it", million / bare.wall_s)
    yield Figure(
        NAME, million / spent.wall_s, "M ticks/s", Goal(3.5, 4.8), limit, peak_mb, spent.cpu_s,
        f"decoding takes {figure.number(bare.cpu_s)} CPU-s; with the start of the process "
        f"{figure.number(million / from_the_start.wall_s)}",
    )  # fmt: skip
    yield Figure(
        f"peak memory, {million:g} M depth ticks", peak_mb / 1000, "GB", Goal(1.5, 0.8, better="less"),
        cpu_s=from_the_start.cpu_s,
    )  # fmt: skip


if __name__ == "__main__":
    figure.main(NAME, measure)
