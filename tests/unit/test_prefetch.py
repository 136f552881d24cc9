"""Loading ahead: nothing changes by it, compiled or not, and few symbols are left alone."""

from typing import Any

import numpy as np
import pytest

from quant_platform.domain.prefetch import AHEAD, STAY, prefetch, prefetch_element, prefetch_levels, ticks_ahead
from quant_platform.kernel import kernel

RECORD = np.dtype([("a", np.int64, 25), ("b", np.int64)])
SIZE = RECORD.itemsize


@kernel
def load_every(records: Any) -> None:
    for number in range(records.size):
        prefetch(records, number, SIZE)


@kernel
def load_every_row(columns: Any) -> None:
    for row in range(-1, columns[0].shape[0]):
        prefetch_levels(columns, row)


@kernel
def load_every_element(matrix: Any) -> None:
    for row in range(matrix.shape[0]):
        for column in range(matrix.shape[1]):
            prefetch_element(matrix, row, column)


@pytest.mark.parametrize("count", [1, 3, 1000])
def test_records_stay_as_they_are(count: int) -> None:
    records = np.zeros(count, RECORD)
    records["b"] = np.arange(count)
    before = records.copy()
    load_every(records)
    prefetch(records, count - 1, SIZE)
    assert np.array_equal(records, before)


def test_elements_stay_as_they_are() -> None:
    matrix = np.arange(1000 * 19).reshape(1000, 19)
    before = matrix.copy()
    load_every_element(matrix)
    assert np.array_equal(matrix, before)


@pytest.mark.parametrize("levels", [0, 5])
def test_rows_of_depth_stay_as_they_are(levels: int) -> None:
    columns = tuple(np.full((100, levels), side, np.int32) for side in range(4))
    before = [column.copy() for column in columns]
    load_every_row(columns)
    assert all(np.array_equal(column, kept) for column, kept in zip(columns, before, strict=True))


def test_only_records_that_do_not_fit_the_caches_are_loaded_ahead() -> None:
    assert ticks_ahead(np.zeros(STAY, RECORD)) == 0
    assert ticks_ahead(np.zeros(STAY + 1, RECORD)) == AHEAD
