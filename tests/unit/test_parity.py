"""Orders of two modes, put side by side."""

from datetime import UTC, datetime, timedelta

from quant_platform.ports.ledger_views import OrderView
from quant_platform.research.parity import Difference, differences

AT = datetime(2026, 7, 31, 4, 0, tzinfo=UTC)


def order(number: int, run: str = "default-0001", **changes: object) -> OrderView:
    known = OrderView(
        order_id=f"{run}-{number}",
        run_id=run,
        portfolio=run.partition("-")[0],
        strategy="momentum",
        decided_at=AT + timedelta(seconds=number),
        symbol="NSE_EQ:TCS",
        side="BUY",
        quantity=10,
        price=3_500_00,
        reason="price 3500.00 above VWAP 3499.00",
        state="filled",
        refusal="",
        executed_at=AT + timedelta(seconds=number + 1),
        value=35_000_00,
        charges=12_34,
        gross=0,
        pnl=0,
        closed_at_last_price=False,
    )
    return known._replace(**changes)  # type: ignore[arg-type]


def test_orders_that_differ_in_names_only_are_alike() -> None:
    assert differences([order(1), order(2)], [order(1, "parity-0001"), order(2, "parity-0001")]) == []


def test_what_an_order_says_or_became_makes_it_another() -> None:
    ours = [order(number) for number in range(1, 5)]
    theirs = [
        order(1, executed_at=AT),
        order(2),
        order(3, charges=12_35),
        order(4, decided_at=AT + timedelta(microseconds=4_000_001)),
    ]
    assert differences(ours, theirs) == [Difference(place, ours[place - 1], theirs[place - 1]) for place in (1, 3, 4)]


def test_orders_that_only_one_side_has_are_told() -> None:
    assert differences([order(1)], []) == [Difference(1, order(1), None)]
    assert differences([order(1)], [order(1), order(2)]) == [Difference(2, None, order(2))]
