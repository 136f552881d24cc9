"""Square-off, closes and the turn of a session: stamped by the rule, whoever notices the time."""

from datetime import date, time, timedelta

import pytest

from quant_platform.domain.errors import CalendarError
from quant_platform.domain.orders import SELL

from .rig import DAY, Rig, T, Trade, stamp

MUHURAT = date(2024, 11, 1)
TWO_WINDOWS = date(2024, 5, 18)
AUCTION = date(2026, 8, 3)
AUCTION_EVE = date(2026, 7, 31)

TIMES = [
    # what, day, in the closing auction, settings, square-off, close
    ("by the clock", DAY, False, {}, "15:20:00", "15:30:00"),
    ("before the closing auction came", AUCTION_EVE, True, {}, "15:20:00", "15:30:00"),
    ("ahead of the closing auction", AUCTION, True, {}, "15:05:00", "15:15:00"),
    ("a stock outside of the auction", AUCTION, False, {}, "15:20:00", "15:30:00"),
    ("an earlier time by choice", AUCTION, True, {"square_off": time(14, 30)}, "14:30:00", "15:15:00"),
    ("a longer lead by choice", DAY, False, {"square_off_lead_min": 45}, "14:45:00", "15:30:00"),
    ("no lead: at the close itself", AUCTION, True, {"square_off_lead_min": 0}, "15:15:00", "15:15:00"),
    ("an evening session", MUHURAT, True, {}, "18:50:00", "19:00:00"),
    ("a session of two windows", TWO_WINDOWS, False, {}, "12:20:00", "12:30:00"),
]
OPENINGS = {MUHURAT: "18:10:00", TWO_WINDOWS: "09:20:00"}


@pytest.mark.parametrize(("what", "day", "cas", "settings", "square_off", "close"), TIMES)
def test_a_position_is_ordered_out_and_closed_by_the_rule(
    what: str, day: date, cas: bool, settings: dict[str, object], square_off: str, close: str
) -> None:
    rig = Rig(symbols={"A": cas}, **settings)
    opens = OPENINGS.get(day, "10:00:00")
    rig.play(T(opens, 10_000, "buy", day=day), T(opens + ".500", 10_040, day=day))
    rig.clock("23:59:59", day)
    assert rig.orders[1] == (square_off, "A", "square-off"), what
    assert rig.trades[1] == Trade(close, "SELL", "A", 20, 20 * 10_040), what
    assert [fill.at_last_price for fill in rig.runtime.journal.story.fills] == [False, True]


def test_tick_and_clock_notice_the_time_to_the_same_effect() -> None:
    def day(*, clock: bool, other: bool) -> Rig:
        rig = Rig(symbols={"A": False, "B": False})
        rig.play(T("10:00:00", 10_000, "buy"), T("10:00:01", 10_000))
        if clock:
            rig.clock("15:20:00").clock("15:20:00.050").clock("15:20:03")
        if other:
            rig.play(T("15:20:01", 500, symbol="B"))
        return rig.play(T("15:20:00.100" if not other else "15:20:02", 10_100), T("15:20:05", 10_200))

    for other in (False, True):
        by_tick, by_clock = day(clock=False, other=other), day(clock=True, other=other)
        assert by_tick.orders == by_clock.orders
        assert by_tick.trades == by_clock.trades
        assert by_tick.orders[1][0] == "15:20:00"


@pytest.mark.parametrize(
    ("latency", "at", "filled"),
    [(200, "15:20:00.199", False), (200, "15:20:00.200", True), (0, "15:20:00", True), (0, "15:20:07", True)],
)
def test_a_timers_order_may_fill_on_the_very_tick_that_noticed_the_time(latency: int, at: str, filled: bool) -> None:
    rig = Rig(latency_ms=latency).play(T("10:00:00", 10_000, "buy"), T("10:00:01", 10_000), T(at, 10_100))
    assert rig.trades[1:] == ([Trade(at, "SELL", "A", 20, 20 * 10_100)] if filled else [])


def test_a_pending_entry_is_cancelled_at_square_off() -> None:
    rig = Rig(latency_ms=5_000).play(T("15:19:59", 10_000, "buy"), T("15:20:04", 10_000))
    assert rig.ends == [("15:20:00", "cancelled")]
    assert rig.trades == []
    assert rig.runtime.refusals == {}


def test_an_exit_that_pends_at_square_off_goes_on() -> None:
    rig = Rig(latency_ms=5_000)
    rig.play(T("10:00:00", 10_000, "buy"), T("10:00:05", 10_000), T("15:19:58", 10_000, "sell"), T("15:20:03", 10_100))
    assert [why for *_, why in rig.orders] == ["wished at 100.00", "unwished at 100.00"]
    assert rig.trades[1] == Trade("15:20:03", "SELL", "A", 20, 20 * 10_100)


def test_the_last_price_of_a_close_is_that_of_the_session_without_slippage() -> None:
    rig = Rig(slippage_bps=100)
    rig.play(T("10:00:00", 10_000, "buy"), T("10:00:01", 10_000), T("15:20:00.100", 10_090))
    rig.play(T("15:30:00", 88_000, in_session=False)).clock("15:30:00")
    assert rig.trades[1].value == rig.trades[1].quantity * 10_090
    assert rig.runtime.journal.story.fills[1].at_last_price


def test_with_depth_an_exit_without_bids_waits_for_the_close() -> None:
    rig = Rig(depth=True)
    rig.play(T("10:00:00", 10_000, "buy", asks=[(10_000, 99)]), T("10:00:01", 10_000))
    rig.play(T("15:25:00", 9_900, asks=[(10_000, 9)])).clock("15:30:00")
    assert rig.trades[1] == Trade("15:30:00", "SELL", "A", 20, 20 * 9_900)


def test_a_position_of_an_earlier_session_is_closed_by_that_sessions_timers() -> None:
    rig = Rig(symbols={"A": False, "B": False})
    rig.play(T("10:00:00", 10_000, "buy"), T("10:00:01", 10_000))
    rig.play(T("09:15:00", 50_000, symbol="B", day=DAY + timedelta(days=1)))
    assert rig.orders[1] == ("15:20:00", "A", "square-off")
    fill = rig.runtime.journal.story.fills[1]
    assert (fill.ts, fill.side, fill.value) == (stamp("15:30:00"), SELL, 20 * 10_000)


def test_every_session_is_sized_by_the_equity_it_starts_with() -> None:
    rig = Rig()
    rig.play(T("10:00:00", 10_000, "buy"), T("10:00:01", 10_000), T("10:00:02", 15_000, "sell"), T("10:00:03", 15_000))
    rig.play(T("10:00:00", 10_000, "buy"), T("10:00:10", 10_000))
    next_day = DAY + timedelta(days=1)
    rig.play(T("10:00:00", 10_000, "buy", day=next_day), T("10:00:10", 10_000, day=next_day))
    assert [trade.quantity for trade in rig.trades if trade.side == "BUY"] == [20, 20, 20]
    richer = rig.runtime.cash + rig.trades[-1].value
    assert 10_000 * 20 <= richer * 1000 // 10_000 < 10_000 * 21


def test_entries_end_where_they_are_told_to() -> None:
    rig = Rig(symbols={"A": False, "B": False}, entry_until=time(10, 0))
    rig.play(T("09:59:59.999", 10_000, "buy"), T("10:00:00", 10_000, "buy", "B"))
    assert [symbol for _, symbol, _ in rig.orders] == ["A"]


def test_entries_end_at_square_off_where_they_are_told_a_later_time() -> None:
    rig = Rig(symbols={"A": True, "B": True}, entry_until=time(15, 10))
    rig.play(T("15:04:59", 10_000, "buy", day=AUCTION), T("15:05:00", 10_000, "buy", "B", day=AUCTION))
    assert [symbol for _, symbol, _ in rig.orders] == ["A"]


def test_an_order_pends_over_the_break_of_two_windows() -> None:
    rig = Rig(depth=True)
    rig.play(T("09:59:59.900", 10_000, "buy", bids=[(9_990, 9)], asks=[(10_010, 99)], day=TWO_WINDOWS))
    rig.play(T("11:30:00", 10_000, day=TWO_WINDOWS))
    assert rig.trades == [Trade("11:30:00", "BUY", "A", 20, 20 * 10_010)]


def test_timers_fire_by_time_and_then_by_name() -> None:
    rig = Rig(symbols={"C": False, "A": True, "B": False, "D": True}, position_size_bps=100)
    names = ("A", "B", "C", "D")
    rig.play(*(T("10:00:00", 1_000, "buy", name, day=AUCTION) for name in names))
    rig.play(*(T("10:00:01", 1_000, "", name, day=AUCTION) for name in names))
    rig.clock("15:30:00", AUCTION)
    assert [(at, symbol) for at, symbol, _ in rig.orders[4:]] == [
        ("15:05:00", "A"),
        ("15:05:00", "D"),
        ("15:20:00", "B"),
        ("15:20:00", "C"),
    ]
    assert [(t.at, t.symbol) for t in rig.trades[4:]] == [
        ("15:15:00", "A"),
        ("15:15:00", "D"),
        ("15:30:00", "B"),
        ("15:30:00", "C"),
    ]


def test_a_symbol_may_come_in_mid_run_wherever_its_name_sorts() -> None:
    rig = Rig(symbols={"M": False})
    rig.play(T("10:00:00", 1_000, "buy", "M"), T("10:00:01", 1_000, "", "M"))
    for name in ("Z", "A"):
        rig.add(name)
        rig.play(T("10:00:02", 1_000, "buy", name), T("10:00:03", 1_000, "", name))
    rig.clock("15:30:00")
    assert [trade.symbol for trade in rig.trades] == ["M", "Z", "A", "A", "M", "Z"]


@pytest.mark.parametrize("by_clock", [True, False])
def test_three_hundred_symbols_square_off_at_once(by_clock: bool) -> None:
    names = [f"S{n:03d}" for n in range(300)]
    rig = Rig(symbols={"A": False, **dict.fromkeys(names, False)}, position_size_bps=30, max_positions=300)
    rig.play(*(T("10:00:00", 100, "buy", name) for name in names))
    rig.play(*(T("10:00:01", 100, "", name) for name in names))
    if by_clock:
        rig.clock("15:30:00")
    else:
        rig.play(T("09:15:00", 100, symbol="A", day=DAY + timedelta(days=1)))
    assert len(rig.orders) == len(rig.trades) == 600
    assert {at for at, *_ in rig.orders[300:]} == {"15:20:00"}
    assert [trade.symbol for trade in rig.trades[300:]] == names


def test_a_batch_with_more_events_than_the_block_holds_loses_none() -> None:
    names = [f"S{n:02d}" for n in range(20)]
    rig = Rig(symbols=dict.fromkeys(names, False), latency_ms=0, position_size_bps=100, max_positions=20)
    ticks = [
        T(f"{10 + minute // 60}:{minute % 60:02d}:00", 1_000, ("buy", "", "sell", "")[minute % 4], name)
        for minute in range(240)
        for name in names
    ]
    rig.play(*ticks)
    assert len(rig.trades) == 20 * 240 // 4 * 2
    one_by_one = Rig(symbols=dict.fromkeys(names, False), latency_ms=0, position_size_bps=100, max_positions=20)
    for tick in ticks:
        one_by_one.play(tick)
    assert one_by_one.runtime.journal.story.fills == rig.runtime.journal.story.fills
    assert one_by_one.runtime.journal.story.equity == rig.runtime.journal.story.equity


def test_the_equity_curve_has_a_point_a_minute_that_had_ticks() -> None:
    rig = Rig().play(T("10:00:05", 10_000, "buy"), T("10:00:30", 10_000), T("10:01:10", 10_500), T("10:04:00", 9_900))
    points = [(row.ts, row.equity - rig.runtime.cash) for row in rig.runtime.journal.story.equity]
    assert points == [(stamp("10:01:00"), 20 * 10_000), (stamp("10:02:00"), 20 * 10_500)]


def test_a_tick_to_be_traded_on_a_closed_day_is_refused() -> None:
    with pytest.raises(CalendarError, match="2025-03-09"):
        Rig().play(T("10:00:00", 10_000, day=date(2025, 3, 9)))
