"""Five columns of a file become one column of levels, as each of them would alone."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from quant_platform.domain.depth_levels import price_levels, quantity_levels
from quant_platform.domain.money import prices_to_paise
from quant_platform.domain.ticks import LEVELS, MAX_LEVEL_QUANTITY

ODD = (1.005, 21_474_836.47, 21_474_836.48, float("nan"), float("inf"), -float("inf"))
rows = st.integers(0, 20)
numbers = st.one_of(st.floats(0, 40_000), st.floats(-1e12, 1e12), st.sampled_from(ODD))


@given(data=st.data(), size=rows)
def test_prices_are_those_of_the_wire_and_never_below_zero(data: st.DataObject, size: int) -> None:
    columns = [np.array(data.draw(st.lists(numbers, min_size=size, max_size=size)), float) for _ in range(LEVELS)]
    levels = price_levels(*columns)
    assert levels.dtype == np.int32
    assert levels.tolist() == np.maximum(prices_to_paise(np.array(columns)), 0).T.tolist()


@given(data=st.data(), size=rows)
def test_quantities_are_held_between_zero_and_the_most_that_fits(data: st.DataObject, size: int) -> None:
    whole = st.lists(st.integers(-(2**62), 2**62), min_size=size, max_size=size)
    columns = [np.array(data.draw(whole), np.int64) for _ in range(LEVELS)]
    levels = quantity_levels(*columns)
    assert levels.dtype == np.int32
    assert levels.tolist() == np.clip(columns, 0, MAX_LEVEL_QUANTITY).T.reshape(size, LEVELS).tolist()


def test_columns_that_may_be_written_and_those_that_lie_apart_are_read_alike() -> None:
    table = np.arange(12.0).reshape(2, 6)
    assert price_levels(*(table[:, level] for level in range(LEVELS))).tolist() == (table[:, :5] * 100).tolist()
