"""Instruments: the universe, spellings, made-up securities, tick sizes, and symbols as numbers."""

import csv
import re
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quant_platform.domain.errors import DataError
from quant_platform.domain.instruments import (
    SymbolTable,
    full_symbol,
    instrument_for,
    nifty_100,
    tick_size_on,
)

BROKERS_KEY = re.compile(r"[A-Z]+_[A-Z]+\|[A-Za-z0-9_ ]+")


def isin_check_digit(isin: str) -> int:
    """ISO 6166: letters as two digits, then Luhn."""
    digits = [int(d) for d in "".join(str(int(c, 36)) for c in isin[:-1])]
    doubled = [sum(divmod(2 * d, 10)) for d in digits[::-1][::2]]
    return -(sum(doubled) + sum(digits[::-1][1::2])) % 10


def test_the_universe_is_a_hundred_distinct_stocks_in_order() -> None:
    universe = nifty_100()
    assert len(universe) == 100
    assert [i.symbol for i in universe] == sorted({i.symbol for i in universe})
    assert len({i.isin for i in universe}) == 100
    for stock in universe:
        assert stock.symbol.startswith("NSE_EQ:")
        assert stock.instrument_key == f"NSE_EQ|{stock.isin}"
        assert stock.cas_eligible
        assert stock.lot_size == 1
        assert stock.name
        assert stock.industry
        assert stock.reference_price % stock.tick_size == 0
        assert stock.reference_price > 0


def test_every_isin_of_the_universe_carries_its_check_digit() -> None:
    wrong = [i.symbol for i in nifty_100() if len(i.isin) != 12 or int(i.isin[-1]) != isin_check_digit(i.isin)]
    assert wrong == []


def test_the_universe_is_the_published_list(shared_data: Path) -> None:
    with (shared_data / "nifty100.csv").open(encoding="utf-8") as lines:
        published = {f"NSE_EQ:{row['symbol']}": row for row in csv.DictReader(lines)}
    assert {i.symbol: i.instrument_key for i in nifty_100()} == {
        symbol: row["instrument_key"] for symbol, row in published.items()
    }
    for stock in nifty_100():
        if close := published[stock.symbol]["close"]:
            assert stock.reference_price / 100 == pytest.approx(float(close), rel=0.06)


def test_renamed_companies_go_by_todays_symbols() -> None:
    symbols = {i.symbol for i in nifty_100()}
    assert {"NSE_EQ:TMPV", "NSE_EQ:TMCV", "NSE_EQ:LTM"} <= symbols
    assert not {"NSE_EQ:TATAMOTORS", "NSE_EQ:LTIM"} & symbols
    assert instrument_for("TMPV").isin == "INE155A01022"


def test_both_spellings_name_the_same_instrument() -> None:
    assert full_symbol("RELIANCE") == full_symbol("NSE_EQ:RELIANCE") == "NSE_EQ:RELIANCE"
    assert instrument_for("M&M") is instrument_for("NSE_EQ:M&M")
    assert instrument_for("RELIANCE").instrument_key == "NSE_EQ|INE002A01018"


def test_an_unknown_symbol_gets_an_instrument_that_claims_nothing() -> None:
    made_up = instrument_for("NSE_EQ:TATAMOTORS")
    assert made_up.symbol == "NSE_EQ:TATAMOTORS"
    assert made_up.isin == ""
    assert made_up.industry == ""
    assert made_up.reference_price == 0
    assert not made_up.cas_eligible
    assert BROKERS_KEY.fullmatch(made_up.instrument_key)


NAMES = st.text("ABZabz019&-._", min_size=1, max_size=20)


@given(NAMES, NAMES)
def test_made_up_keys_have_the_brokers_form_and_are_distinct(one: str, other: str) -> None:
    keys = [instrument_for(name).instrument_key for name in (one, other)]
    assert all(BROKERS_KEY.fullmatch(key) for key in keys)
    assert (keys[0] == keys[1]) == (one == other)


def test_a_symbol_spelled_like_anothers_escape_keeps_a_key_of_its_own() -> None:
    assert instrument_for("L&T").instrument_key != instrument_for("L_26T").instrument_key


def test_a_symbol_that_looks_like_an_isin_does_not_take_its_key() -> None:
    assert instrument_for("NSE_EQ:INE002A01018").instrument_key != instrument_for("RELIANCE").instrument_key


@pytest.mark.parametrize(
    "symbol",
    [
        "",
        " ",
        "NSE_EQ:",
        ":RELIANCE",
        "NSE_EQ|INE002A01018",
        "NSE_EQ:A:B",
        "TWO WORDS",
        "NSE:TCS",
        "TCS\n",
        "₹",
        "A" * 51,
    ],
)
def test_a_malformed_symbol_is_refused_with_the_right_spelling(symbol: str) -> None:
    with pytest.raises(DataError, match="is not a symbol — write it like NSE_EQ:RELIANCE"):
        instrument_for(symbol)


@pytest.mark.parametrize(
    ("day", "steps"),
    [
        (date(2024, 6, 9), {1_00: 5, 249_99: 5, 1_500_00: 5, 30_000_00: 5}),
        (date(2024, 6, 10), {249_99: 1, 250_00: 5, 1_500_00: 5, 30_000_00: 5}),
        (date(2025, 4, 14), {249_99: 1, 250_00: 5, 30_000_00: 5}),
        (
            date(2025, 4, 15),
            {
                249_99: 1,
                250_00: 5,
                1_000_00: 5,
                1_000_01: 10,
                5_000_00: 10,
                5_000_01: 50,
                10_000_00: 50,
                10_000_01: 100,
                20_000_00: 100,
                20_000_01: 500,
            },
        ),
    ],
)
def test_tick_size_goes_by_price_band_and_date(day: date, steps: dict[int, int]) -> None:
    assert {price: tick_size_on(day, price) for price in steps} == steps


@pytest.mark.parametrize("price", [0, -5])
def test_what_is_not_a_price_has_no_tick_size(price: int) -> None:
    with pytest.raises(ValueError, match="is not a price"):
        tick_size_on(date(2026, 1, 1), price)


def test_numbers_are_given_in_order_and_never_change() -> None:
    table = SymbolTable()
    assert table.add("NSE_EQ:TCS") == 0
    assert table.add(instrument_for("INFY")) == 1
    assert table.add("TCS") == 0
    assert table.add("PLATFORMA") == 2
    assert table.add("NSE_EQ:INFY") == 1
    assert len(table) == 3
    assert table.names == ("NSE_EQ:TCS", "NSE_EQ:INFY", "NSE_EQ:PLATFORMA")
    assert [table.name(n) for n in range(3)] == list(table.names)
    assert [table.number(name) for name in table.names] == [0, 1, 2]
    assert "NSE_EQ:TCS" in table
    assert table.get("NSE_EQ:WIPRO") is None
    with pytest.raises(KeyError):
        table.number("NSE_EQ:WIPRO")
    with pytest.raises(IndexError):
        table.name(3)


def test_a_refused_symbol_leaves_the_table_as_it_was() -> None:
    table = SymbolTable()
    with pytest.raises(DataError):
        table.add("not a symbol")
    assert len(table) == 0
    assert table.add("TCS") == 0


@given(st.lists(NAMES, max_size=12))
def test_ranks_are_places_in_the_alphabet_at_every_size(names: list[str]) -> None:
    table = SymbolTable()
    for name in names:
        table.add(name)
        assert table.rank.dtype == np.int32
        assert [table.names[n] for n in np.argsort(table.rank)] == sorted(table.names)


def test_closing_auction_follows_the_instrument_unless_told_otherwise() -> None:
    table = SymbolTable()
    table.add("TCS")
    table.add("PLATFORMA")
    table.add("PLATFORMB", cas_eligible=True)
    table.add("INFY", cas_eligible=False)
    assert table.cas_eligible.dtype == np.uint8
    assert table.cas_eligible.tolist() == [1, 0, 1, 0]


def test_arrays_taken_before_a_growth_stay_as_they_were() -> None:
    table = SymbolTable()
    table.add("TCS")
    rank, eligible = table.rank, table.cas_eligible
    table.add("ABB")
    assert (rank.tolist(), eligible.tolist()) == ([0], [1])
    assert table.rank.tolist() == [1, 0]
