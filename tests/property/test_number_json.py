"""Numbers read by kernels are those that the schema reads, to the last bit."""

import math

import msgspec
import numpy as np
from hypothesis import example, given
from hypothesis import strategies as some

from quant_platform.domain.number_json import BAD, MOST_DIGITS, quotient, real, whole_number


def as_text(value: str) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
    return np.frombuffer(value.encode(), np.uint8)


@given(some.integers(0, 10**MOST_DIGITS - 1), some.integers(0, 18))
@example(2**53 + 1, 0)  # half-way between two floats
@example(9007199254740993, 3)
def test_a_quotient_that_is_certain_is_the_nearest_float(digits: int, decimals: int) -> None:
    value, is_certain = quotient(digits, decimals)
    if is_certain:
        assert value == digits / 10**decimals
    else:
        assert digits >= 2**53


@given(some.floats(-1e7, 1e7))
def test_what_our_services_write_comes_back_to_the_last_bit(value: float) -> None:
    text = msgspec.json.encode(value).decode()
    found, behind = real(as_text(text), 0, len(text))
    if behind == len(text):
        assert found == value
        assert math.copysign(1, found) == math.copysign(1, value)
    else:  # an exponent is left standing, for the caller to stumble over
        assert "e" in text or abs(value) * 10**15 >= 2**53


@given(some.text("0123456789.-e+n ", max_size=22))
def test_what_is_taken_is_a_number_of_json(text: str) -> None:
    found, behind = real(as_text(text), 0, len(text))
    if behind != BAD:
        assert found == msgspec.json.decode(text[:behind].encode(), type=float)
    whole, behind = whole_number(as_text(text), 0, len(text))
    if behind != BAD:
        assert whole == msgspec.json.decode(text[:behind].encode(), type=int)


def test_null_is_not_a_number() -> None:
    found, behind = real(as_text("null,"), 0, 5)
    assert math.isnan(found)
    assert behind == 4


def test_nearly_every_number_of_seventeen_digits_is_certain() -> None:
    chance = np.random.default_rng(1)
    digits = chance.integers(10**16, 10**17, 20_000)
    assert all(quotient(int(each), 13)[1] for each in digits)
