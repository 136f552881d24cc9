"""Store ticks and bars as Arrow segments while a day runs, and as one Parquet file each afterwards."""

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from quant_platform.adapters.ticks.compaction import compact_folder
from quant_platform.adapters.ticks.segments import Segment, segments_in
from quant_platform.domain.money import PAISE_PER_RUPEE
from quant_platform.domain.ticks import AGGRESSOR_CODES, EnrichedBatch, TickBatch, join
from quant_platform.ports.tick_store import StoredBar

MAX_WAITING_ROWS = 16_384
"""More than this is written without waiting for a flush, so that memory stays flat."""

STAMP = pa.timestamp("ns", tz="Asia/Kolkata")
_AGGRESSORS = pa.array(AGGRESSOR_CODES)

TICK_KEY = ("timestamp", "symbol", "seq")
BAR_KEY = ("timestamp", "symbol", "before_seq", "kind")

StoredColumns = Callable[[EnrichedBatch], Mapping[str, NDArray[Any]]]
"""Makes the columns to store: numbers for symbol and aggressor, NaN for what is absent."""


def day_folder(root: Path, day: date) -> Path:
    """Where a day's files stand, under the name that the object store gives them too."""
    return root / "ticks" / f"date={day.isoformat()}"


class ArrowTickStore:
    """Ticks below ``root/ticks/date=YYYY-MM-DD/`` (:class:`~quant_platform.ports.tick_store.TickStore`).

    ``segments/`` and ``bars/segments/`` grow; :meth:`compact` turns them into ``ticks.parquet`` and
    ``bars/bars.parquet``. One process at a time may write below a root.

    Args:
        root: the home folder.
        columns: the persistor's row building.
    """

    def __init__(self, root: Path, columns: StoredColumns) -> None:
        self._root = root
        self._columns = columns
        self._day: date | None = None
        self._symbols: Sequence[str] = ()
        self._waiting: list[EnrichedBatch] = []
        self._waiting_rows = 0
        self._ticks: Segment | None = None
        self._bars: Segment | None = None

    def append(self, day: date, ticks: EnrichedBatch, symbols: Sequence[str]) -> None:
        """Take rows in order; they are written at the next :meth:`flush`, and must not be changed until then.

        Args:
            day: IST date of the session.
            ticks: rows of that date.
            symbols: name of every number in the batch.

        Raises:
            OSError: the disk is full or cannot be written.
        """
        levels = ticks.ticks.bid_price.shape[1]
        if self._day != day or (self._waiting and self._waiting[0].ticks.bid_price.shape[1] != levels):
            self._turn_to(day)
        self._symbols = symbols
        self._waiting.append(ticks)
        self._waiting_rows += ticks.ticks.ts.size
        if self._waiting_rows >= MAX_WAITING_ROWS:
            self.flush()

    def append_bars(self, day: date, bars: StoredBar) -> None:
        """Take warm-up or repair bars and write them at once.

        Raises:
            OSError: the disk is full or cannot be written.
        """
        if self._day != day:
            self._turn_to(day)
        batch = _bar_rows(bars)
        if self._bars is None:
            self._bars = Segment(day_folder(self._root, day) / "bars" / "segments", batch.schema)
        self._bars.write(batch)

    def flush(self) -> None:
        """Hand everything taken so far to the operating system: a kill of this process cannot lose it any more."""
        if not self._waiting:
            return
        batch = _tick_rows(self._columns(_joined(self._waiting)), self._symbols)
        if self._ticks is not None and self._ticks.schema != batch.schema:
            self._ticks.close()
            self._ticks = None
        if self._ticks is None:
            assert self._day is not None, "rows wait for a day"  # noqa: S101
            self._ticks = Segment(day_folder(self._root, self._day) / "segments", batch.schema)
        self._ticks.write(batch)
        self._waiting = []
        self._waiting_rows = 0

    def compact(self, day: date) -> None:
        """Turn the day's segments into one file each for ticks and bars, and drop them.

        Each tick is kept once by (timestamp, symbol, seq), the first that came, in that order. A file that is there
        already is taken in, so this may be done at any time and again; a kill at any moment loses nothing.

        Raises:
            OSError: the disk is full or cannot be written.
        """
        if self._day == day:
            self.close()
        folder = day_folder(self._root, day)
        compact_folder(folder / "segments", folder / "ticks.parquet", TICK_KEY, in_key_order=True)
        compact_folder(folder / "bars" / "segments", folder / "bars" / "bars.parquet", BAR_KEY, in_key_order=False)

    def leftovers(self) -> list[date]:
        """Days that still have segments, oldest first: a platform that was killed left them."""
        days = []
        for folder in sorted((self._root / "ticks").glob("date=*")):
            if segments_in(folder / "segments") or segments_in(folder / "bars" / "segments"):
                days.append(date.fromisoformat(folder.name.removeprefix("date=")))
        return days

    def discard(self, day: date) -> None:
        """Forget a day, for a simulated one that starts over: else its file would hold two different days."""
        self.close()
        folder = day_folder(self._root, day)
        for below in (folder, folder / "bars"):
            for path in (*segments_in(below / "segments"), *below.glob("*.parquet")):
                path.unlink()

    def close(self) -> None:
        """Flush, and let go of the files."""
        self.flush()
        for segment in (self._ticks, self._bars):
            if segment is not None:
                segment.close()
        self._ticks = self._bars = self._day = None

    def _turn_to(self, day: date) -> None:
        if self._day == day:
            self.flush()
        else:
            self.close()
            self._day = day


def _joined(batches: list[EnrichedBatch]) -> EnrichedBatch:
    if len(batches) == 1:
        return batches[0]
    ticks: TickBatch = join([batch.ticks for batch in batches])
    return EnrichedBatch(ticks, *(np.concatenate(columns) for columns in zip(*(b[1:] for b in batches), strict=True)))


def _tick_rows(columns: Mapping[str, NDArray[Any]], symbols: Sequence[str]) -> Any:
    texts = {"symbol": pa.array(symbols, pa.string()), "aggressor": _AGGRESSORS}
    arrays = {}
    for name, column in columns.items():
        if name in texts:
            arrays[name] = texts[name].take(pa.array(column))
        elif name == "timestamp":
            arrays[name] = pa.array(column, pa.int64()).cast(STAMP)
        else:  # an undefined number is NaN in memory and null at rest
            arrays[name] = pa.array(np.ascontiguousarray(column), from_pandas=column.dtype.kind == "f")
    return pa.record_batch(arrays)


def _bar_rows(stored: StoredBar) -> Any:
    bars = stored.bars
    prices = {name: getattr(bars, name) / float(PAISE_PER_RUPEE) for name in ("open", "high", "low", "close")}
    n = bars.ts.size
    return pa.record_batch(
        {
            "timestamp": pa.array(bars.ts, pa.int64()).cast(STAMP),
            "symbol": pa.repeat(stored.symbol, n),
            **{name: pa.array(column) for name, column in prices.items()},
            "volume": pa.array(bars.volume),
            "before_seq": pa.repeat(pa.scalar(stored.before_seq, pa.int64()), n),
            "kind": pa.repeat(stored.kind, n),
        }
    )
