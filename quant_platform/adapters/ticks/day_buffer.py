"""Rows waiting for the rest of their day: in memory up to a limit, beyond it in temporary files."""

import math
import tempfile
from collections import defaultdict
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from quant_platform.adapters.ticks.file_columns import Columns

Place = tuple[int, int]
"""Where rows stand in the run's files: number of the file, first row."""


class DayBuffer:
    """Collects the rows of many days and hands out one day at a time, in the order of the files.

    Files whose rows stand by date need little of it; a file whose rows are shuffled over all its dates goes through
    temporary files, one a day, which are removed when the buffer is closed.

    Args:
        limit_bytes: rows kept in memory before all that waits is written out.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._waiting: dict[int, list[tuple[Place, Columns]]] = defaultdict(list)
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
        self._waiting[day].append((place, columns))
        self._bytes += _size(columns)
        if self._bytes > self._limit_bytes:
            self._write_out()

    def take(self, day: int) -> Columns | None:
        """All rows of a day in the order of the files, which are then forgotten; None where there are none."""
        parts = self._waiting.pop(day, [])
        self._bytes -= sum(_size(columns) for _, columns in parts)
        path = self._path(day)
        if path is not None and path.exists():
            parts = _read_parts(path, self._layout) + parts
            path.unlink()
        if not parts:
            return None
        parts.sort(key=lambda part: part[0])
        if len(parts) == 1:
            return parts[0][1]
        return {name: np.concatenate([columns[name] for _, columns in parts]) for name in parts[0][1]}

    def _path(self, day: int) -> Path | None:
        return Path(self._folder.name) / f"{day}.rows" if self._folder is not None else None

    def _write_out(self) -> None:
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="quant-days-")
        for day, parts in self._waiting.items():
            path = self._path(day)
            assert path is not None  # noqa: S101  # the folder was made above
            with path.open("ab") as file:
                for place, columns in parts:
                    rows = len(next(iter(columns.values())))
                    file.write(np.array([*place, rows], np.int64).tobytes())
                    for column in columns.values():
                        file.write(np.ascontiguousarray(column).data)
        self._waiting.clear()
        self._bytes = 0


def _size(columns: Columns) -> int:
    return sum(column.nbytes for column in columns.values())


def _read_parts(path: Path, layout: Columns) -> list[tuple[Place, Columns]]:
    """The parts that were written to a file, whose columns are of the types and widths of those in ``layout``."""
    parts: list[tuple[Place, Columns]] = []
    size = path.stat().st_size
    with path.open("rb") as file:
        while file.tell() < size:
            file_number, row, rows = np.fromfile(file, np.int64, 3).tolist()
            columns: Columns = {}
            for name, like in layout.items():
                shape = (rows, *like.shape[1:])
                columns[name] = np.fromfile(file, like.dtype, math.prod(shape)).reshape(shape)
            parts.append(((file_number, row), columns))
    return parts
