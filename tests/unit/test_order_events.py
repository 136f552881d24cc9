"""What ``orders.events`` tells of a committed block."""

from dataclasses import replace

from quant_platform.domain.orders import BUY, SELL, order_id
from quant_platform.domain.records import OrderEvent, Reader, encode
from quant_platform.hosts.distributed.order_events import order_events
from quant_platform.ports.ledger_store import FillRow, LedgerBlock, OrderEndRow, OrderRow, RefusalRow

NOON = 1_785_479_400 * 10**9
LATER = NOON + 10**9
TCS, INFY, SBIN = "NSE_EQ:TCS", "NSE_EQ:INFY", "NSE_EQ:SBIN"

BLOCK = LedgerBlock(
    orders=[
        OrderRow(1, NOON, TCS, BUY, 2, 1_400_05, "price above VWAP"),
        OrderRow(2, NOON, INFY, BUY, 1, 1_500_00, "price above VWAP"),
        OrderRow(3, LATER, TCS, SELL, 2, 1_405_00, "below VWAP"),
    ],
    fills=[FillRow(1, LATER, TCS, BUY, 2, 2_800_11, 70, 0, 0, "price above VWAP", False)],
    ends=[OrderEndRow(2, LATER, INFY, "refused_at_fill", "insufficient_cash")],
    refusals=[RefusalRow(NOON, SBIN, "max_positions", 800_00)],
    balance=0,
    moment=LATER,
)


def lives(events: list[OrderEvent], symbol: str) -> list[str]:
    return [event.what for event in events if event.symbol == symbol]


def test_every_order_is_told_from_its_intent_to_its_end() -> None:
    events = order_events(BLOCK, "main", "run")
    assert lives(events, SBIN) == ["intended", "refused"]
    assert lives(events, INFY) == ["intended", "accepted", "refused_at_fill"]
    assert lives(events, TCS) == ["intended", "accepted", "filled", "intended", "accepted"]
    assert [event.ts for event in events] == sorted(event.ts for event in events)


def test_of_one_moment_an_order_that_is_done_comes_before_a_new_one_and_never_before_its_own_acceptance() -> None:
    closing = replace(
        BLOCK,
        orders=[*BLOCK.orders, OrderRow(4, LATER, SBIN, SELL, 1, 800_00, "square-off")],
        fills=[*BLOCK.fills, FillRow(4, LATER, SBIN, SELL, 1, 800_00, 50, 0, 0, "square-off", True)],
    )
    told = [(event.what, event.order_id) for event in order_events(closing, "main", "run") if event.ts == LATER]
    bought, gone, sold, closed = (order_id("run", number) for number in (1, 2, 3, 4))
    assert told == [
        ("filled", bought),
        ("refused_at_fill", gone),
        ("intended", None),
        ("accepted", sold),
        ("intended", None),
        ("accepted", closed),
        ("filled", closed),
    ]


def test_an_order_is_known_from_its_acceptance_on_and_names_the_tick_that_brought_each_step_about() -> None:
    intended, accepted, filled, *_ = (event for event in order_events(BLOCK, "main", "run") if event.symbol == TCS)
    assert (intended.order_id, intended.quantity, intended.transaction_type) == (None, None, "BUY")
    assert (intended.price, intended.reason, intended.tick) == (1_400.05, "price above VWAP", f"{TCS}@{NOON}")
    assert (accepted.order_id, accepted.quantity, accepted.tick) == (order_id("run", 1), 2, f"{TCS}@{NOON}")
    assert (filled.order_id, filled.price, filled.tick) == (order_id("run", 1), 1_400.055, f"{TCS}@{LATER}")


def test_a_refusal_says_why_and_has_no_order() -> None:
    intended, refused = (event for event in order_events(BLOCK, "main", "run") if event.symbol == SBIN)
    assert (refused.order_id, refused.reason, refused.price, refused.transaction_type) == (
        None, "max_positions", 800.0, "BUY",
    )  # fmt: skip
    assert (intended.reason, intended.price) == ("", 800.0)


def test_every_event_is_read_as_it_was_written() -> None:
    read = Reader(OrderEvent).read
    for event in order_events(BLOCK, "main", "run"):
        assert read(encode(event)) == event
