"""What a tick costs among 5,000 symbols against one among 10, in a backtest from columns in memory.

python -m benchmarks.symbols [--quick] [--json]
"""

from collections.abc import Callable, Iterator

from benchmarks import figure
from benchmarks.backtest_columns import backtest
from benchmarks.figure import Figure, Goal, Limit, Run, Spent
from benchmarks.made_up import Session
from quant_platform.hosts.results import peak_memory_mb

NAME = "cost per tick, 5,000 symbols against 10"
COUNTS = (10, 100, 1000, 5000)


def measure(run: Run) -> Iterator[Figure]:
    """Nanoseconds of CPU a tick."""
    ticks = run.size(2_000_000, 100_000)

    def of(count: int) -> Callable[[], Spent]:
        session = Session(ticks, count)
        columns = session.columns()
        return lambda: backtest(columns, session)[0]

    found = figure.in_turns(run.rounds, *map(of, COUNTS))
    cost = {count: figure.median(spents).cpu_s / ticks * 1e9 for count, spents in zip(COUNTS, found, strict=True)}
    few, many = COUNTS[0], COUNTS[-1]
    yield Figure(
        NAME, cost[many], "ns of CPU a tick", Goal(2, 1.5, "ratio", "less"),
        Limit(f"{few} symbols", cost[few]), peak_memory_mb(), cost[many] * ticks / 1e9,
        ", ".join(f"{count:,} symbols {cost[count]:.0f} ns" for count in COUNTS[1:-1]),
    )  # fmt: skip


if __name__ == "__main__":
    figure.main(NAME, measure)
