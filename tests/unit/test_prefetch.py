"""Loading records ahead: nothing changes by it, compiled or not, and few symbols are left alone."""

from typing import Any

import numpy as np
import pytest

from quant_platform.domain.prefetch import AHEAD, STAY, prefetch, ticks_ahead
from quant_platform.kernel import kernel

RECORD = np.dtype([("a", np.int64, 25), ("b", np.int64)])


@kernel
def load_every(records: Any) -> None:
    for number in range(records.size):
        prefetch(records, number)


@pytest.mark.parametrize("count", [1, 3, 1000])
def test_records_stay_as_they_are(count: int) -> None:
    records = np.zeros(count, RECORD)
    records["b"] = np.arange(count)
    before = records.copy()
    load_every(records)
    prefetch(records, count - 1)
    assert np.array_equal(records, before)


def test_only_records_that_do_not_fit_the_caches_are_loaded_ahead() -> None:
    assert ticks_ahead(np.zeros(STAY, RECORD)) == 0
    assert ticks_ahead(np.zeros(STAY + 1, RECORD)) == AHEAD
