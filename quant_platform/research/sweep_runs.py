"""The runs of a sweep: chunks of parameter sets over shared features, on this machine's cores or on a Dask cluster."""

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing.process import BaseProcess
from types import FrameType
from typing import NamedTuple, Protocol

from quant_platform.domain.errors import QuantError
from quant_platform.domain.instruments import SymbolTable
from quant_platform.domain.ticks import EnrichedBatch, cut
from quant_platform.hosts.strategies import load_strategy
from quant_platform.hosts.warm import warm_kernels
from quant_platform.ports.ledger_store import RunSummary
from quant_platform.research.counting import CountingJournal
from quant_platform.research.feature_store import Periods, StoredDay
from quant_platform.services.strategy_runtime.runtime import StrategyRuntime

BATCH = 65_536
"""Ticks that all sets of a chunk take before the next ones: their columns stay in the processor's cache."""

MOST_IN_A_CHUNK = 16
LOOK_EVERY_S = 0.5


@dataclass(frozen=True, slots=True)
class Market:
    """What all sets of a sweep share beside the features.

    Attributes:
        strategy: name or file.
        symbols: by number.
        depth: whether the data has depth.
        capital: starting balance, paise.
        counters: ticks, late and duplicates of the data.
    """

    strategy: str
    symbols: tuple[str, ...]
    depth: bool
    capital: int
    counters: Mapping[str, int]


class Chunk(NamedTuple):
    """Parameter sets that one worker runs side by side."""

    periods: Periods
    places: tuple[int, ...]  # of the sets in the sweep
    sets: tuple[Mapping[str, str], ...]


class Done(NamedTuple):
    """What a chunk came to."""

    places: tuple[int, ...]
    summaries: tuple[RunSummary, ...]


class DayColumns(NamedTuple):
    """One day in memory, as it travels to another machine."""

    close_ns: int | None
    batch: EnrichedBatch | None


class Workers(Protocol):
    """Whoever runs chunks.

    Attributes:
        count: how many run at a time.
    """

    count: int

    def run(self, market: Market, days: Sequence[StoredDay], chunks: Sequence[Chunk]) -> Iterator[Done]:
        """The chunks' results, in the order in which they are there."""
        ...


def chunks_of(periods: Sequence[Periods], sets: Mapping[int, Mapping[str, str]], workers: int) -> list[Chunk]:
    """Sets with the same features together, in chunks small enough that all workers end at about the same time.

    Args:
        periods: of every set of the sweep.
        sets: those to run, by place.
        workers: how many share them.
    """
    size = max(1, min(MOST_IN_A_CHUNK, len(sets) // (4 * workers)))
    chunks = []
    for shared in dict.fromkeys(periods[place] for place in sets):
        places = [place for place in sets if periods[place] == shared]
        for start in range(0, len(places), size):
            part = tuple(places[start : start + size])
            chunks.append(Chunk(shared, part, tuple(sets[place] for place in part)))
    return chunks


def run_chunk(market: Market, days: Iterable[DayColumns], chunk: Chunk) -> Done:
    """Every set over every day, as a backtest with its settings would go.

    Raises:
        StrategyError: a strategy failed.
    """
    table = _table(market.symbols)
    runs = [_Run(market, table, parameters) for parameters in chunk.sets]
    for close_ns, day in days:
        for piece in () if day is None else _pieces(day):
            for run in runs:
                run.runtime.on_ticks(piece)
        if close_ns is not None:
            for run in runs:
                run.runtime.on_clock(close_ns)
                run.runtime.mark_close(close_ns)
    return Done(chunk.places, tuple(run.summary() for run in runs))


@lru_cache(1)
def _table(symbols: tuple[str, ...]) -> SymbolTable:
    table = SymbolTable()
    for symbol in symbols:
        table.add(symbol)
    return table


def _pieces(day: EnrichedBatch) -> Iterator[EnrichedBatch]:
    for start in range(0, day.ticks.ts.size, BATCH):
        stop = start + BATCH
        yield EnrichedBatch._make((cut(day.ticks, start, stop), *(column[start:stop] for column in day[1:])))


class _Run:
    """One set's portfolio."""

    def __init__(self, market: Market, table: SymbolTable, parameters: Mapping[str, str]) -> None:
        strategy, settings = load_strategy(market.strategy, parameters)
        self._market = market
        self._journal = CountingJournal(table.name, market.capital)
        self.runtime = StrategyRuntime(strategy, settings, table, depth=market.depth, balance=market.capital)
        self.runtime.journal = self._journal

    def summary(self) -> RunSummary:
        journal, tally = self._journal, self._journal.tally
        tally.check("of a sweep", self.runtime.cash)
        return RunSummary(
            run_id="",
            ticks=self._market.counters["ticks"],
            late=self._market.counters["late"],
            duplicates=self._market.counters["duplicates"],
            orders=journal.orders,
            fills=tally.fills,
            cancelled=journal.cancelled,
            round_trips=tally.round_trips,
            gross_pnl=tally.gross,
            charges=tally.charges,
            net_pnl=tally.net,
            starting_balance=self._market.capital,
            ending_balance=tally.balance,
            max_drawdown=self.runtime.max_drawdown,
            refusals=self.runtime.refusals,
            ledger_sha256=tally.sha256,
        )


class LocalWorkers:
    """Processes of this machine, which map the features' files.

    Args:
        count: how many.
    """

    def __init__(self, count: int) -> None:
        self.count = count

    def run(self, market: Market, days: Sequence[StoredDay], chunks: Sequence[Chunk]) -> Iterator[Done]:
        """Run chunks, one a process at a time.

        Raises:
            QuantError: a process was killed; as a rule for want of memory.
        """
        if sys.platform == "linux":
            warm_kernels()  # loaded once here, and there for every process at its fork
        start = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
        pool = ProcessPoolExecutor(min(self.count, len(chunks)), start, _follow_the_parent)
        try:
            with _interrupts_noted() as interrupted:
                waiting = {pool.submit(_run_stored, market, days, chunk) for chunk in chunks}
                while waiting:
                    done, waiting = wait(waiting, LOOK_EVERY_S, FIRST_COMPLETED)
                    if interrupted.is_set():
                        raise KeyboardInterrupt
                    for finished in done:
                        yield finished.result()
        except BrokenProcessPool as error:
            raise QuantError("a worker of the sweep was killed", "give fewer --workers, or more memory") from error
        except BaseException:
            for process in multiprocessing.active_children():
                process.terminate()
            raise
        finally:
            pool.shutdown(cancel_futures=True)


@contextmanager
def _interrupts_noted() -> Iterator[threading.Event]:
    """An event that Ctrl-C sets besides interrupting, which gets lost where Python is just calling a destructor."""
    noted = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield noted
        return

    def note(number: int, frame: FrameType | None) -> None:
        noted.set()
        signal.default_int_handler(number, frame)

    before = signal.signal(signal.SIGINT, note)
    try:
        yield noted
    finally:
        signal.signal(signal.SIGINT, before)


def _follow_the_parent() -> None:
    """Leave Ctrl-C to the parent, and end with it however it ends: siblings keep the queue between them open."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_after, args=(parent,), daemon=True).start()


def _end_after(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)


def _run_stored(market: Market, days: Sequence[StoredDay], chunk: Chunk) -> Done:
    return run_chunk(market, (DayColumns(day.close_ns, day.batch(chunk.periods)) for day in days), chunk)


def default_workers() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
