"""A sweep: many parameter sets over the same files, each with the numbers that a backtest with it gives."""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from quant_platform.adapters.ticks.file_schema import find_files
from quant_platform.adapters.ticks.files import FileTickSource
from quant_platform.domain.session import session_on
from quant_platform.hosts.options import SweepOptions
from quant_platform.hosts.results import in_rupees, peak_memory_mb
from quant_platform.hosts.strategies import load_strategy
from quant_platform.ports.ledger_store import RunSummary
from quant_platform.research import report, sweep_report
from quant_platform.research.cluster import ClusterWorkers
from quant_platform.research.feature_store import FeaturePass, Periods, scratch_folder
from quant_platform.research.feeding import fed_days, source_of, table_of
from quant_platform.research.grid import Grid, described, parameter_grid
from quant_platform.research.sweep_results import MONEY, NUMBERS, ResultsFile, SetResult, identity_of
from quant_platform.research.sweep_runs import BATCH, LocalWorkers, Market, Workers, chunks_of, default_workers

WRITES_A_SHARE = 20
"""Results are written when a chunk is done, and at most for one part in so many of the time."""

Advance = Callable[[str, int, int], None]
"""``(what, how much more, of how much)``."""


def run(options: SweepOptions) -> None:
    """Run what is not in the results yet, and print what was asked for.

    Raises:
        UsageError: a file, range, strategy or parameter is not usable.
        UnavailableError: no Dask cluster answers.
    """
    started = time.perf_counter()
    grid = parameter_grid(options.strategy, options.parameters, options.swept)
    if options.report is not None:
        report.check_folder(options.report)
    _tell(options, results_of(options, grid), grid, time.perf_counter() - started)


def results_of(options: SweepOptions, grid: Grid) -> "Swept":
    """What every set came to; those that are in the results file already are not run again.

    Raises:
        UsageError: a file or range is not usable.
        StrategyError: a strategy failed.
        UnavailableError: no Dask cluster answers.
    """
    identity = identity_of(options, find_files(options.data))
    path = options.results or options.home / "sweeps" / f"{Path(options.strategy).stem}-{identity[:12]}.parquet"
    results = ResultsFile(path, identity)
    parameters = [described(*load_strategy(options.strategy, each)) for each in grid.sets]
    missing = {place: grid.sets[place] for place, each in enumerate(parameters) if results.get(each) is None}
    if missing:
        with _progress(shown=not options.json) as advance:
            _run_missing(options, parameters, missing, results, advance)
    found = [result for each in parameters if (result := results.get(each)) is not None]
    return Swept(sweep_report.ranked(found), len(missing), path)


class Swept(NamedTuple):
    """What a sweep came to."""

    results: Sequence[SetResult]  # the best first
    ran: int  # sets that were run for it
    file: Path  # that holds the results


def _run_missing(
    options: SweepOptions,
    parameters: Sequence[Mapping[str, Any]],
    missing: Mapping[int, Mapping[str, str]],
    results: ResultsFile,
    advance: Advance,
) -> None:
    """Compute features once, run the sets, and keep every result as it comes."""
    periods = [Periods(each["rsi_period"], each["sma_period"]) for each in parameters]
    with _workers(options) as workers, scratch_folder() as folder:
        source = source_of(options)
        table, asked = table_of(source), {periods[place] for place in missing}
        features = FeaturePass(folder, table, asked, depth=source.has_depth)
        _compute(source, features, options, advance)
        market = Market(options.strategy, table.names, source.has_depth, options.capital, dict(features.counters))
        chunks = chunks_of(periods, missing, workers.count)
        next_save = 0.0
        try:
            for done in workers.run(market, features.days, chunks):
                for place, summary in zip(done.places, done.summaries, strict=True):
                    results.add(SetResult(parameters[place], summary))
                advance("sets", len(done.places), len(missing))
                began = time.monotonic()
                if began >= next_save:
                    results.write()
                    next_save = began + WRITES_A_SHARE * (time.monotonic() - began)
        finally:
            results.write()


@contextmanager
def _workers(options: SweepOptions) -> Iterator[Workers]:
    if options.cluster is None:
        yield LocalWorkers(options.workers or default_workers())
        return
    with closing(ClusterWorkers(options.cluster)) as cluster:
        yield cluster


def _compute(source: FileTickSource, features: FeaturePass, options: SweepOptions, advance: Advance) -> None:
    """Every day through admission and features, as a backtest feeds them."""

    def counted(ticks: int) -> None:
        advance("ticks", ticks, source.rows)

    for day in fed_days(source, features, options.first, BATCH, counted):
        session = session_on(day)
        features.end_day(None if session is None else session.last_close_ns)


@contextmanager
def _progress(*, shown: bool) -> Iterator[Advance]:
    """Bars on standard error, where a person watches."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not (shown and console.is_terminal)) as progress:
        tasks: dict[str, Any] = {}

        def advance(what: str, more: int, of: int) -> None:
            if what not in tasks:
                tasks[what] = progress.add_task(what, total=of)
            progress.advance(tasks[what], more)

        yield advance


def _tell(options: SweepOptions, swept: Swept, grid: Grid, seconds: float) -> None:
    """Write and print what was asked for."""
    results, ran, path = swept
    caption = f"{options.strategy} on {', '.join(Path(each).name for each in options.data)}"
    about = {
        "mode": "sweep",
        "strategy": options.strategy,
        "data": list(options.data),
        "sets": len(results),
        "ran": ran,
        "seconds": round(seconds, 3),
        "set_ticks_per_second": round(ran * results[0].summary.ticks / seconds),
        "peak_memory_mb": peak_memory_mb(),
        "results_file": str(path),
    }
    if options.report is not None:
        sweep_report.write(options.report, results, grid.axes, about, caption)
    if options.json:
        rows = [{"parameters": dict(each.parameters), **numbers_of(each.summary)} for each in results]
        print(json.dumps(about | {"results": rows}))
        return
    title = f"{caption}: {len(results):,} sets, {ran:,} of them run now in {seconds:.1f} s"
    sweep_report.print_table(Console(), results, sweep_report.varied(grid.axes), options.top, title)
    print(f"results in {path}")
    if options.report is not None:
        print(f"report written to {options.report}")


def numbers_of(summary: RunSummary) -> dict[str, Any]:
    """By the names and in the units of ``quant backtest --json``."""
    numbers = {name: getattr(summary, name) for name in NUMBERS}
    return numbers | {name: in_rupees(numbers[name]) for name in MONEY} | {"refusals": dict(summary.refusals)}
