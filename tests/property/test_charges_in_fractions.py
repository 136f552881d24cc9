"""Charges of any order on any day equal the rules computed with fractions."""

from datetime import date, timedelta
from fractions import Fraction
from math import floor

from hypothesis import given
from hypothesis import strategies as st

from quant_platform.domain.charges import CRORE_PAISE, charge_parts, rates_on, total_charges
from quant_platform.domain.orders import BUY, SELL

RUPEE = 100
CRORE = 10_000_000
LARGEST = 2**63 - 1

CHANGES = [
    "2019-04-01",
    "2020-06-01",
    "2021-01-01",
    "2021-04-01",
    "2023-04-01",
    "2024-04-01",
    "2024-10-01",
    "2025-01-01",
    "2026-03-01",
]
DAYS = st.one_of(
    st.dates(date(2015, 1, 1), date(2026, 12, 31)),
    st.sampled_from([date.fromisoformat(day) - timedelta(days=back) for day in CHANGES for back in (0, 1)]),
)
SIDES = st.sampled_from((BUY, SELL))
VALUES = st.one_of(
    st.integers(0, 100_000 * RUPEE),
    st.integers(0, 10**14),
    # About the broker's cap, at multiples of a crore, and at the very end.
    st.builds(lambda cap, off: cap + off, st.sampled_from((20_000_00, 40_000_00)), st.integers(-2_000, 2_000)),
    st.builds(lambda crores, off: crores * CRORE_PAISE + off, st.integers(1, 10**6), st.integers(-5, 5)),
    st.integers(LARGEST - 1000, LARGEST),
)


def in_force(day: date, first: str, *later: tuple[str, str]) -> Fraction:
    """The rate of a day out of a first one and (ISO date, rate) changes."""
    rate = first
    for since, changed in later:
        if day.isoformat() >= since:
            rate = changed
    return Fraction(rate)


def half_up(amount: Fraction) -> int:
    return floor(amount + Fraction(1, 2))


def by_the_rules(value: int, side: int, day: date) -> tuple[int, ...]:
    """Brokerage, STT, transaction, IPFT, SEBI, stamp duty and GST in paise, in the words of the rules."""
    percent = in_force(day, "0.05", ("2025-01-01", "0.1"))
    transaction = in_force(
        day,
        "325",
        ("2021-01-01", "345"),
        ("2023-04-01", "325"),
        ("2024-04-01", "322"),
        ("2024-10-01", "297"),
        ("2026-03-01", "306.99"),
    )
    ipft = in_force(day, "0.01", ("2023-04-01", "10"), ("2026-03-01", "0.01"))
    sebi = in_force(day, "15", ("2019-04-01", "10"), ("2020-06-01", "5"), ("2021-04-01", "10"))
    brokerage = half_up(min(value * percent / 100, Fraction(20 * RUPEE)))
    both_sides = [half_up(value * rate / CRORE) for rate in (transaction, ipft, sebi)]
    stt = half_up(value * Fraction("0.025") / 100) if side == SELL else 0
    stamp = half_up(value * Fraction("0.003") / 100) if side == BUY else 0
    gst = half_up((brokerage + sum(both_sides)) * Fraction(18, 100))
    return brokerage, stt, *both_sides, stamp, gst


@given(VALUES, SIDES, DAYS)
def test_charges_equal_the_rules_in_fractions(value: int, side: int, day: date) -> None:
    expected = by_the_rules(value, side, day)
    assert tuple(charge_parts(value, side, rates_on(day))) == expected
    assert total_charges(value, side, rates_on(day)) == sum(expected)


@given(VALUES, st.integers(0, 10**9), SIDES, DAYS)
def test_a_larger_order_never_costs_less(value: int, more: int, side: int, day: date) -> None:
    larger = min(value + more, LARGEST)
    assert total_charges(larger, side, rates_on(day)) >= total_charges(value, side, rates_on(day))
