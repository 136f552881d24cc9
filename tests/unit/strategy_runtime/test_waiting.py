"""Rows that wait: each comes back once under its number, in whatever order and company it is taken."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as some

from quant_platform.domain.ticks import LEVELS, EnrichedBatch, empty_ticks
from quant_platform.services.strategy_runtime.waiting import WaitingRows


def batch(first: int, rows: int) -> EnrichedBatch:
    """Rows whose columns tell their numbers."""
    ticks = empty_ticks(rows, LEVELS)
    ticks.ts[:] = np.arange(first, first + rows)
    ticks.ask_qty[:, 4] = ticks.ts
    features = [ticks.ts + float(number) for number in range(5)]
    return EnrichedBatch(ticks, *features, np.zeros(rows, np.uint8), np.zeros(rows, np.bool_))  # type: ignore[call-arg]


@given(some.lists(some.integers(1, 5), min_size=1, max_size=8), some.data())
def test_rows_come_back_in_the_order_in_which_they_are_taken(sizes: list[int], data: some.DataObject) -> None:
    waiting, left, following = WaitingRows(), list[int](), 0
    for size in sizes:
        assert waiting.add(batch(following, size)) == following
        left += range(following, following + size)
        following += size
        wanted = data.draw(some.lists(some.sampled_from(left), unique=True)) if left else []
        left = [number for number in left if number not in wanted]
        if wanted:
            require(waiting.take(wanted), wanted)
    if left:
        require(waiting.take(left), left)


def require(found: EnrichedBatch, numbers: list[int]) -> None:
    assert found.ticks.ts.tolist() == numbers
    assert found.ticks.ask_qty[:, 4].tolist() == numbers
    assert found.spread.tolist() == [number + 4.0 for number in numbers]
