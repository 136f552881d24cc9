"""Enriched ticks that no clock has let go yet, as columns: the merge moves their numbers about, not the ticks."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from quant_platform.domain.ticks import EnrichedBatch, TickBatch


class WaitingRows:
    """Rows under numbers that only grow. A batch is given up with the last of its rows."""

    def __init__(self) -> None:
        self._batches: list[EnrichedBatch] = []
        self._starts: list[int] = []  # each batch's first number
        self._left: list[int] = []  # rows of each batch that were not taken
        self._next = 0

    def add(self, batch: EnrichedBatch) -> int:
        """Keep a batch of at least one row; gives the number of its first one, which the others follow."""
        first, self._next = self._next, self._next + batch.ticks.ts.size
        self._batches.append(batch)
        self._starts.append(first)
        self._left.append(batch.ticks.ts.size)
        return first

    def take(self, numbers: Sequence[int]) -> EnrichedBatch:
        """The rows of these numbers, at least one, in this order; each can be taken once."""
        wanted = np.array(numbers, np.int64)
        starts = np.array(self._starts, np.int64)
        which = np.searchsorted(starts, wanted, side="right") - 1
        counts = np.bincount(which, minlength=starts.size)
        used = np.flatnonzero(counts)
        sizes = np.array([self._batches[number].ticks.ts.size for number in used], np.int64)
        joined_at = np.zeros(starts.size, np.int64)
        joined_at[used] = np.cumsum(sizes) - sizes
        found = rows_of(_joined([self._batches[number] for number in used]), wanted - starts[which] + joined_at[which])
        self._forget(counts)
        return found

    def _forget(self, counts: NDArray[np.intp]) -> None:
        self._left = [left - count for left, count in zip(self._left, counts.tolist(), strict=True)]
        keep = [number for number, left in enumerate(self._left) if left]
        self._batches = [self._batches[number] for number in keep]
        self._starts = [self._starts[number] for number in keep]
        self._left = [self._left[number] for number in keep]


def rows_of(batch: EnrichedBatch, rows: slice | NDArray[np.int64]) -> EnrichedBatch:
    """Some rows of a batch; a slice copies nothing."""
    ticks = TickBatch._make(column[rows] for column in batch.ticks)
    return EnrichedBatch._make((ticks, *(column[rows] for column in batch[1:])))


def _joined(batches: Sequence[EnrichedBatch]) -> EnrichedBatch:
    if len(batches) == 1:
        return batches[0]
    ticks = TickBatch._make(
        np.concatenate(columns) for columns in zip(*(batch.ticks for batch in batches), strict=True)
    )
    rest = (np.concatenate(columns) for columns in zip(*(batch[1:] for batch in batches), strict=True))
    return EnrichedBatch._make((ticks, *rest))
