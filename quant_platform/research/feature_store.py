"""Ticks with their features, computed once and shared: columns in files that every worker maps into its memory."""

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
import psutil
from numpy.typing import NDArray

from quant_platform.domain.instruments import SymbolTable
from quant_platform.domain.ticks import EnrichedBatch, TickBatch
from quant_platform.ports.broker import Candle
from quant_platform.ports.tick_store import StoredBar
from quant_platform.services.feature_engine.engine import FeatureEngine
from quant_platform.services.ingestion.admit import Admission
from quant_platform.services.ingestion.history import bars_batch

DAYS_MAPPED = 64
"""Days that a process keeps mapped between one chunk of sets and the next."""


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A temporary folder for columns; those of processes that were killed are removed on the way."""
    for left in Path(tempfile.gettempdir()).glob("quant-sweep-*-*"):
        owner = left.name.split("-")[2]
        if owner.isdecimal() and not psutil.pid_exists(int(owner)):
            shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=f"quant-sweep-{os.getpid()}-") as folder:
        yield Path(folder)


class Periods(NamedTuple):
    """What features depend on: sets that share these share their features."""

    rsi: int
    sma: int


class StoredColumn(NamedTuple):
    """A column in a file."""

    path: str
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class StoredDay:
    """One trading day in files.

    Attributes:
        close_ns: its last continuous close, ns UTC; None where the exchange was closed.
        ticks: columns of the judged ticks; empty where there were none.
        features: the other columns of the enriched batch, by periods.
    """

    close_ns: int | None
    ticks: tuple[StoredColumn, ...]
    features: Mapping[Periods, tuple[StoredColumn, ...]]

    def batch(self, periods: Periods) -> EnrichedBatch | None:
        """The day as a batch over the files themselves, for whoever does not write to it; None without ticks."""
        return _mapped(self.ticks, self.features[periods]) if self.ticks else None


@lru_cache(DAYS_MAPPED)
def _mapped(ticks: tuple[StoredColumn, ...], features: tuple[StoredColumn, ...]) -> EnrichedBatch:
    return EnrichedBatch(TickBatch._make(map(_map, ticks)), *map(_map, features))


def _map(column: StoredColumn) -> NDArray[Any]:
    if 0 in column.shape:
        return np.zeros(column.shape, column.dtype)
    # "c": kernels are compiled for columns that may be written to, which these then are, privately.
    return np.asarray(np.memmap(column.path, column.dtype, "c", shape=column.shape))


class FeaturePass:
    """Admission and the feature engine over a run's ticks, once for all sets that share the periods.

    Args:
        folder: where the columns go; there must be room for about 160 bytes a tick with depth, 80 without, and 40
            more for every further pair of periods.
        table: the run's symbols.
        periods: all that the sets ask for.
        depth: whether the run's data has depth.

    Attributes:
        counters: ticks, late and duplicates so far, as the platform counts them.
        days: those that are finished.
    """

    def __init__(self, folder: Path, table: SymbolTable, periods: Iterable[Periods], *, depth: bool) -> None:
        self.table = table
        self.counters = {"ticks": 0, "late": 0, "duplicates": 0}
        self.days: list[StoredDay] = []
        self._folder = folder
        self._admission = Admission(table)
        self._engines = {each: FeatureEngine(each.rsi, each.sma, depth=depth) for each in periods}
        self._ticks = _Writer(folder / "0-ticks", TickBatch._fields)
        self._features = self._writers()

    def _writers(self) -> dict[Periods, "_Writer"]:
        number = len(self.days)
        names = EnrichedBatch._fields[1:]
        return {each: _Writer(self._folder / f"{number}-{each.rsi}-{each.sma}", names) for each in self._engines}

    def on_ticks(self, ticks: TickBatch) -> None:
        """Judge raw ticks in order, and store them with all their features."""
        admitted = self._admission.on_ticks(ticks)
        self.counters["ticks"] += ticks.ts.size
        self.counters["late"] += admitted.late
        self.counters["duplicates"] += admitted.duplicates
        if admitted.ticks.ts.size:
            self._ticks.append(admitted.ticks)
            for periods, engine in self._engines.items():
                self._features[periods].append(engine.on_ticks(admitted.ticks)[1:])

    def on_bars(self, symbol: str, kind: str, bars: Sequence[Candle], now_ns: int) -> None:
        """Warm a symbol up, or repair a gap of it, as the platform does; ``now_ns`` would only date stored bars."""
        if bars:
            batch = bars_batch(bars, self.table.number(symbol))
            for engine in self._engines.values():
                engine.on_bars(batch, anew=kind == "warm-up")

    def on_stored_bars(self, stored: StoredBar) -> None:
        """Bars that entered a recorded run at this place of its stream."""
        stored.bars.symbol[:] = self.table.number(stored.symbol)
        for engine in self._engines.values():
            engine.on_bars(stored.bars, anew=stored.kind == "warm-up")

    def end_day(self, close_ns: int | None) -> None:
        """Finish the day's files."""
        features = {periods: writer.close() for periods, writer in self._features.items()}
        self.days.append(StoredDay(close_ns, self._ticks.close(), features))
        self._ticks = _Writer(self._folder / f"{len(self.days)}-ticks", TickBatch._fields)
        self._features = self._writers()


class _Writer:
    """Columns of equal length, appended to a file each."""

    def __init__(self, stem: Path, names: Iterable[str]) -> None:
        self._paths = [stem.with_name(f"{stem.name}-{name}") for name in names]
        self._files: list[IO[bytes]] = []
        self._open = ExitStack()
        self._like: tuple[NDArray[Any], ...] = ()
        self._rows = 0

    def append(self, columns: tuple[NDArray[Any], ...]) -> None:
        if not self._files:
            self._files = [self._open.enter_context(path.open("wb")) for path in self._paths]
            self._like = tuple(column[:0] for column in columns)
        for column, file in zip(columns, self._files, strict=True):
            column.tofile(file)
        self._rows += columns[0].shape[0]

    def close(self) -> tuple[StoredColumn, ...]:
        self._open.close()
        return tuple(
            StoredColumn(str(path), like.dtype.str, (self._rows, *like.shape[1:]))
            for path, like in zip(self._paths if self._like else (), self._like, strict=True)
        )
