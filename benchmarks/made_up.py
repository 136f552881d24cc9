"""Made-up market data for the figures: the same on every machine, made on first use, kept in the user's cache.

    python -m benchmarks.made_up TICKS SYMBOLS [DAYS]      # make it now, and tell where it stands

A session is a random walk of 1.5 % a day for every symbol, on the exchange's grid of 5 paise, with five levels of depth
around the last price. It stands there twice: as columns (NumPy files) and as a file of ticks (Parquet, zstd).
"""

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from quant_platform.domain.instruments import EQUITY_SEGMENT, SymbolTable, nifty_100
from quant_platform.domain.session import session_on
from quant_platform.domain.ticks import LEVELS, TickBatch, empty_ticks

FIRST_DAY = date(2026, 1, 5)
SEED = 20260105
LAYOUT = 1
"""Counts the changes of what is made, so that none is taken for another."""

ROWS_A_GROUP = 1 << 20
GRID = 5  # paise
DAILY_VOLATILITY = 0.015


@dataclass(frozen=True, slots=True)
class Session:
    """Sessions of made-up ticks that stand in the cache.

    Attributes:
        ticks: rows of a day.
        symbols: how many symbols share them.
        days: how many trading days, from :data:`FIRST_DAY` on.
    """

    ticks: int
    symbols: int
    days: int = 1

    @property
    def folder(self) -> Path:
        """Where it stands; made in a process of its own, whose memory the caller's peak does not show."""
        folder = cache_folder() / f"v{LAYOUT}-{self.ticks}-{self.symbols}-{self.days}"
        if not folder.exists():
            sizes = map(str, (self.ticks, self.symbols, self.days))
            subprocess.run([sys.executable, "-m", __name__, *sizes], check=True, stdout=sys.stderr)
        return folder

    @property
    def parquet(self) -> Path:
        """All days in one file of ticks."""
        return self.folder / "ticks.parquet"

    def columns(self, day: int = 0) -> TickBatch:
        """One day in memory, as a source hands it out; the caller's own to write to."""
        return TickBatch._make(np.load(self.folder / f"{day}-{name}.npy") for name in TickBatch._fields)

    def table(self) -> SymbolTable:
        """The symbols, numbered as in :meth:`columns`."""
        table = SymbolTable()
        for name in names(self.symbols):
            table.add(name)
        return table


def cache_folder() -> Path:
    """``$XDG_CACHE_HOME/quant-platform/bench``, by default below ``~/.cache``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "quant-platform" / "bench"


@cache
def names(symbols: int) -> tuple[str, ...]:
    """Symbols in the order of their names: those of the NIFTY 100 first, then made-up ones."""
    known = [instrument.symbol for instrument in nifty_100()[:symbols]]
    return (*known, *(f"{EQUITY_SEGMENT}:ZZ{number:05}" for number in range(symbols - len(known))))


def trading_days(count: int) -> list[date]:
    """The first sessions from :data:`FIRST_DAY` on."""
    day, found = FIRST_DAY, list[date]()
    while len(found) < count:
        if session_on(day) is not None:
            found.append(day)
        day += timedelta(1)
    return found


def make_day(ticks: int, symbols: int, day: date, seed: int) -> TickBatch:
    """A session in the order of processing: by time, then symbol."""
    session = session_on(day)
    assert session is not None
    chance = np.random.default_rng(seed)
    batch = empty_ticks(ticks, LEVELS)
    opens, closes = session.windows(False)[0]
    batch.ts[:] = opens + chance.integers(0, (closes - opens) // 1000, ticks) * 1000
    batch.symbol[:] = chance.integers(0, symbols, ticks)
    order = np.lexsort((batch.symbol, batch.ts))
    batch.ts[:], batch.symbol[:] = batch.ts[order], batch.symbol[order]
    shares = np.maximum(chance.lognormal(3.0, 1.2, ticks).astype(np.int64), 1)
    start = np.exp(chance.uniform(np.log(100), np.log(3000), symbols))
    by_symbol = np.argsort(batch.symbol, kind="stable")
    ends = np.cumsum(np.bincount(batch.symbol, minlength=symbols))
    for rows, first in zip(np.split(by_symbol, ends[:-1]), start, strict=True):
        steps = chance.normal(0, DAILY_VOLATILITY / np.sqrt(max(rows.size, 1)), rows.size)
        price = np.maximum(np.rint(first * 100 / GRID * np.exp(np.cumsum(steps))), LEVELS + 4).astype(np.int32) * GRID
        batch.ltp[rows] = price
        batch.volume[rows] = np.cumsum(shares[rows])
        batch.seq[rows] = np.arange(1, rows.size + 1)
        batch.atp[rows] = np.round(np.cumsum(shares[rows] * price) / batch.volume[rows] / 100, 2)
    _fill_depth(batch, chance)
    return batch


def _fill_depth(batch: TickBatch, chance: np.random.Generator) -> None:
    """Levels 5 paise apart; the last trade was at the best bid or the best ask, one to three steps apart."""
    n = batch.ts.size
    spread = chance.integers(1, 4, n, np.int32) * GRID
    bought = chance.integers(0, 2, n, np.int32)
    best_ask = batch.ltp + (1 - bought) * spread
    for level in range(LEVELS):
        batch.ask_price[:, level] = best_ask + level * GRID
        batch.bid_price[:, level] = best_ask - spread - level * GRID
        for column in (batch.bid_qty, batch.ask_qty):
            column[:, level] = np.maximum(chance.lognormal(6.0, 1.0, n), 1)


def tables(batch: TickBatch, symbols: int) -> Iterator[Any]:
    """A day as Arrow tables in the form of the project's tick files, one a row group."""
    dictionary = pa.array(names(symbols), pa.string())
    for start in range(0, batch.ts.size, ROWS_A_GROUP):
        part = TickBatch._make(column[start : start + ROWS_A_GROUP] for column in batch)
        columns: dict[str, Any] = {
            "timestamp": pa.array(part.ts // 1000, pa.timestamp("us", "Asia/Kolkata")),
            "symbol": pa.DictionaryArray.from_arrays(part.symbol, dictionary).cast(pa.string()),
            "seq": part.seq,
            "ltp": _rupees(part.ltp),
            "volume": part.volume,
            "atp": part.atp,
        }
        for level in range(LEVELS):
            for side, price, quantity in (("bid", part.bid_price, part.bid_qty), ("ask", part.ask_price, part.ask_qty)):
                columns[f"{side}_price_{level + 1}"] = _rupees(price[:, level])
                columns[f"{side}_qty_{level + 1}"] = quantity[:, level].astype(np.int64)
        yield pa.table(columns)


def _rupees(paise: NDArray[np.int32]) -> NDArray[np.float64]:
    return paise / np.float64(100)


def write_ticks(path: Path, parts: Iterator[Any]) -> None:
    """A file of ticks, compressed by zstd."""
    first = next(parts)
    with pq.ParquetWriter(path, first.schema, compression="zstd") as writer:
        writer.write_table(first)
        for part in parts:
            writer.write_table(part)


def make(session: Session) -> Path:
    """Make a session's files; they appear whole or not at all."""
    target = cache_folder() / f"v{LAYOUT}-{session.ticks}-{session.symbols}-{session.days}"
    scratch = target.with_name(f".{target.name}.{os.getpid()}")
    scratch.mkdir(parents=True)
    try:
        write_ticks(scratch / "ticks.parquet", _made(session, scratch))
        if not target.exists():
            scratch.rename(target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return target


def _made(session: Session, folder: Path) -> Iterator[Any]:
    for number, day in enumerate(trading_days(session.days)):
        batch = make_day(session.ticks, session.symbols, day, SEED + number)
        for name, column in batch._asdict().items():
            np.save(folder / f"{number}-{name}.npy", column)
        yield from tables(batch, session.symbols)


def main() -> None:
    """Make one, and tell where it stands."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("ticks", type=int, help="of a day")
    parser.add_argument("symbols", type=int)
    parser.add_argument("days", type=int, nargs="?", default=1)
    options = parser.parse_args()
    print(make(Session(options.ticks, options.symbols, options.days)))


if __name__ == "__main__":
    main()
