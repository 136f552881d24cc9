"""Money: paise in and out, Indian grouping, and rounding."""

from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quant_platform.domain.money import (
    divide_half_up,
    format_rupees,
    paise_from_rupees,
    prices_to_paise,
    rupees,
)


@pytest.mark.parametrize(
    ("amount", "paise"),
    [
        (1402.10, 140210),
        ("20000", 2_000_000),
        (Decimal("0.01"), 1),
        (0.125, 13),
        (0.124999, 12),
        (-0.125, -13),
        (1.005, 101),  # as written, not as the binary fraction below it
        (0, 0),
    ],
)
def test_rupees_become_exact_paise_with_halves_away_from_zero(amount: float | Decimal | str, paise: int) -> None:
    assert paise_from_rupees(amount) == paise


@pytest.mark.parametrize("amount", [float("nan"), float("inf"), "-Infinity"])
def test_an_amount_that_is_not_finite_is_refused(amount: float | str) -> None:
    with pytest.raises(ValueError, match="not an amount of rupees"):
        paise_from_rupees(amount)


@given(st.integers(-(10**18), 10**18))
def test_paise_survive_the_way_to_rupees_and_back(paise: int) -> None:
    assert paise_from_rupees(rupees(paise)) == paise
    assert rupees(paise).as_tuple().exponent == -2


@pytest.mark.parametrize(
    ("paise", "text"),
    [
        (0, "₹0.00"),
        (5, "₹0.05"),
        (99_999, "₹999.99"),
        (100_000, "₹1,000.00"),
        (1_23_456_70, "₹1,23,456.70"),
        (12_34_56_789_01, "₹12,34,56,789.01"),
        (-1_00_000_00, "-₹1,00,000.00"),
    ],
)
def test_amounts_are_written_with_lakh_and_crore(paise: int, text: str) -> None:
    assert format_rupees(paise) == text


def test_prices_become_paise_column_by_column() -> None:
    prices = np.array([[1402.1, 0.05, np.nan], [36690.0, 1115.3, np.inf]])
    paise = prices_to_paise(prices)
    assert paise.dtype == np.int32
    assert paise.tolist() == [[140210, 5, 0], [3669000, 111530, 0]]


@given(st.integers(0, 2**31 - 1))
def test_every_price_of_two_decimals_is_read_exactly(paise: int) -> None:
    assert prices_to_paise(np.array([paise / 100]))[0] == paise


def test_a_price_beyond_32_bits_is_held_at_the_limit() -> None:
    assert prices_to_paise(np.array([1e12])).tolist() == [2**31 - 1]


@given(st.integers(0, 10**15), st.integers(1, 10**9))
def test_division_rounds_halves_up(numerator: int, denominator: int) -> None:
    exact = Fraction(numerator, denominator)
    assert divide_half_up(numerator, denominator) == (exact + Fraction(1, 2)).__floor__()


@pytest.mark.parametrize(("numerator", "denominator", "expected"), [(1, 2, 1), (3, 2, 2), (49, 100, 0), (0, 7, 0)])
def test_division_at_and_below_the_half(numerator: int, denominator: int, expected: int) -> None:
    assert divide_half_up(numerator, denominator) == expected
