"""Rows waiting for the rest of their day: in memory up to a limit, beyond it in temporary files."""

import math
import tempfile
from collections import defaultdict
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import numpy as np

from quant_platform.adapters.ticks.file_columns import Columns

Place = tuple[int, int]
"""Where rows stand in the run's files: number of the file, first row."""


class _Part(NamedTuple):
    """Neighbouring rows of one day."""

    place: Place
    columns: Columns
    in_order: bool  # by time


class DayBuffer:
    """Collects the rows of many days and hands them out day by day, or by time within one, in the order of the files.

    Files whose rows stand by time need little of it; a file whose rows are shuffled over all its dates goes through
    temporary files, one a day, which are removed when the buffer is closed.

    Args:
        limit_bytes: rows kept in memory before all that waits is written out.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._waiting: dict[int, list[_Part]] = defaultdict(list)
        self._bytes = 0
        self._layout: Columns = {}
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._waiting.clear()
        if self._folder is not None:
            self._folder.cleanup()

    def add(self, day: int, place: Place, columns: Columns) -> None:
        """Take rows of a day; every call brings the same columns.

        Raises:
            OSError: the temporary folder is full or not writable.
        """
        if not self._layout:
            self._layout = {name: column[:0] for name, column in columns.items()}
        ts = columns["ts"]
        self._waiting[day].append(_Part(place, columns, bool((ts[1:] >= ts[:-1]).all())))
        self._bytes += _size(columns)
        if self._bytes > self._limit_bytes:
            self._write_out()

    def take(self, day: int, before_ts: int | None = None) -> list[Columns]:
        """Rows of a day in the order of the files, which are then forgotten.

        Args:
            day: days since the epoch.
            before_ts: only rows stamped earlier (ns UTC); None: all.

        Returns:
            In the pieces in which they came; none where there are none. Rows in temporary files come with the whole
            day only.
        """
        path = self._path(day)
        written = path is not None and path.exists()
        if before_ts is not None and written:
            return []
        parts = self._waiting.pop(day, [])
        self._bytes -= sum(_size(part.columns) for part in parts)
        if before_ts is not None:
            halves = [_split(part, before_ts) for part in parts]
            parts = [half for half, _ in halves if half.columns["ts"].size]
            later = [half for _, half in halves if half.columns["ts"].size]
            if later:
                self._waiting[day] = later
                self._bytes += sum(_size(part.columns) for part in later)
        if written:
            assert path is not None  # noqa: S101  # it exists
            parts = _read_parts(path, self._layout) + parts
            path.unlink()
        parts.sort(key=lambda part: part.place)
        return [part.columns for part in parts]

    def _path(self, day: int) -> Path | None:
        return Path(self._folder.name) / f"{day}.rows" if self._folder is not None else None

    def _write_out(self) -> None:
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="quant-days-")
        for day, parts in self._waiting.items():
            path = self._path(day)
            assert path is not None  # noqa: S101  # the folder was made above
            with path.open("ab") as file:
                for place, columns, in_order in parts:
                    rows = len(next(iter(columns.values())))
                    file.write(np.array([*place, in_order, rows], np.int64).tobytes())
                    for column in columns.values():
                        file.write(np.ascontiguousarray(column).data)
        self._waiting.clear()
        self._bytes = 0


def _size(columns: Columns) -> int:
    return sum(column.nbytes for column in columns.values())


def _split(part: _Part, before_ts: int) -> tuple[_Part, _Part]:
    """The rows stamped before, and the others; a copy where a view would keep many rows of the other half alive."""
    place, columns, in_order = part
    if in_order:
        cut = int(np.searchsorted(columns["ts"], before_ts))
        early = {name: column[:cut] for name, column in columns.items()}
        late = {name: column[cut:].copy() if cut else column for name, column in columns.items()}
    else:
        is_early = columns["ts"] < before_ts
        early = {name: column[is_early] for name, column in columns.items()}
        late = {name: column[~is_early] for name, column in columns.items()}
    return _Part(place, early, in_order), _Part(place, late, in_order)


def _read_parts(path: Path, layout: Columns) -> list[_Part]:
    """The parts that were written to a file, whose columns are of the types and widths of those in ``layout``."""
    parts: list[_Part] = []
    size = path.stat().st_size
    with path.open("rb") as file:
        while file.tell() < size:
            file_number, row, in_order, rows = np.fromfile(file, np.int64, 4).tolist()
            columns: Columns = {}
            for name, like in layout.items():
                shape = (rows, *like.shape[1:])
                columns[name] = np.fromfile(file, like.dtype, math.prod(shape)).reshape(shape)
            parts.append(_Part((file_number, row), columns, bool(in_order)))
    return parts
