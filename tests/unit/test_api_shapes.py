"""What the API makes of read models, and the cursors between its pages: nothing asked, nothing started."""

import base64
import json
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quant_platform.domain.errors import UsageError
from quant_platform.ports.ledger_views import EquityPlace, OrderPlace, OrderView, PositionView, ScanPlace
from quant_platform.services.api_gateway import shapes
from quant_platform.services.api_gateway.cursors import MAX_CURSOR, TickPlace, make_cursor, read_cursor

AT = datetime(2026, 8, 3, 3, 45, tzinfo=UTC)
NS = st.integers(1, 2**63 - 1)
NAMES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=200)
PLACES: st.SearchStrategy[tuple[Any, ...]] = st.one_of(
    st.builds(OrderPlace, NS, NAMES, st.integers(0, 2**31 - 1)),
    st.builds(EquityPlace, NS, NAMES),
    st.builds(ScanPlace, st.datetimes(timezones=st.just(UTC))),
    st.builds(TickPlace, NS, st.integers(0, 2**63 - 1)),
)
FILTERS = st.dictionaries(st.text(max_size=5), st.none() | st.text(max_size=5), max_size=3)


def forged(content: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")


@given(PLACES, FILTERS)
def test_a_cursor_gives_back_the_place_it_was_made_of(place: tuple[Any, ...], filters: dict[str, str | None]) -> None:
    cursor = make_cursor("orders", filters, place)
    assert cursor.isascii()
    assert not set(cursor) & set("+/=&?#% ")
    assert read_cursor(cursor, "orders", filters, type(place)) == place


def test_a_cursor_of_usual_names_is_shorter_than_what_is_accepted() -> None:
    cursor = make_cursor("orders", {"portfolio": "x" * 200}, OrderPlace(2**63 - 1, f"{'x' * 200}-1234", 2**31 - 1))
    assert len(cursor) < MAX_CURSOR


@given(FILTERS, FILTERS)
def test_a_cursor_is_refused_by_other_filters(made: dict[str, str | None], read: dict[str, str | None]) -> None:
    cursor = make_cursor("orders", made, ScanPlace(AT))
    if made != read:
        with pytest.raises(UsageError, match="belongs to other filters"):
            read_cursor(cursor, "orders", read, ScanPlace)
    with pytest.raises(UsageError, match="belongs to other filters"):
        read_cursor(cursor, "equity", made, ScanPlace)


DIGEST = msgspec.json.decode(base64.b64decode(make_cursor("orders", {}, (1,)) + "=="))[0]


@pytest.mark.parametrize(
    "place",
    [
        [0, "run", 1], [2**63, "run", 1], [10**30, "run", 1], [1, "", 1], [1, "r\0n", 1], [1, "run", 2**31],
        [1, "run", -1], [1.5, "run", 1], ["1", "run", 1], [1, "run"], [1, "run", 1, 1], {}, None, "x", [[[[]]]],
    ],
)  # fmt: skip
def test_a_forged_place_that_no_row_can_have_is_refused(place: object) -> None:
    assert read_cursor(forged([DIGEST, [1, "run", 1]]), "orders", {}, OrderPlace) == OrderPlace(1, "run", 1)
    with pytest.raises(UsageError, match="not one of ours"):
        read_cursor(forged([DIGEST, place]), "orders", {}, OrderPlace)


@given(st.text(max_size=60))
def test_any_other_text_is_no_cursor(text: str) -> None:
    with pytest.raises(UsageError):
        read_cursor(text, "orders", {}, OrderPlace)


def order(**changes: object) -> shapes.Order:
    known: dict[str, object] = {
        "order_id": "main-0001-1", "run_id": "main-0001", "portfolio": "main", "strategy": "momentum",
        "decided_at": AT, "symbol": "NSE_EQ:TCS", "side": "BUY", "quantity": 3, "price": 3_50_05, "reason": "x",
        "state": "filled", "refusal": "", "executed_at": AT, "value": 10_00_00, "charges": 1_05, "gross": 0,
        "pnl": -1, "closed_at_last_price": False,
    }  # fmt: skip
    return shapes.order(OrderView(**(known | changes)))  # type: ignore[arg-type]


def test_an_order_that_was_not_executed_has_no_amounts_and_no_time() -> None:
    pending = order(state="pending", executed_at=None, value=0, charges=0, gross=0, pnl=0)
    assert pending.price == 350.05
    for name in ("executed_at", "executed_price", "value", "charges", "gross", "pnl", "refusal"):
        assert getattr(pending, name) is None, name


def test_an_executed_order_has_all_its_amounts_even_those_of_zero() -> None:
    done = order()
    assert (done.value, done.charges, done.gross, done.pnl) == (1000.0, 1.05, 0.0, -0.01)
    assert done.executed_price == 333.3333
    assert done.executed_at is not None
    assert done.executed_at.isoformat() == "2026-08-03T09:15:00+05:30"


def test_a_price_per_share_is_rounded_halves_up_to_four_decimals() -> None:
    def average(value: int, quantity: int) -> float:
        return shapes.position(PositionView("main", "NSE_EQ:TCS", quantity, value, 0, AT, AT)).avg_price

    assert average(200, 3) == 0.6667
    assert average(1, 800) == 0.0  # 0.0000125
    assert average(1, 200) == 0.0001  # 0.00005
    assert average(12_345_678_901_234, 1) == 123_456_789_012.34


@given(st.integers(-(10**13), 10**13))
def test_rupees_survive_being_a_json_number(paise: int) -> None:
    text = json.dumps(order(pnl=paise).pnl)
    assert round(float(text) * 100) == paise
    assert len(text.rpartition(".")[2]) <= 2
