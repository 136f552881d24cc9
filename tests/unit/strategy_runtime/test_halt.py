"""What the owner orders: no entries, out of everything, and to trade again; however the stream is cut."""

from itertools import pairwise

import pytest

from quant_platform.domain.commands import Halt

from .rig import DAY, Rig, T, Trade, stamp

TWO = {"A": False, "B": False}


def order(rig: Rig, halt: Halt, at: str) -> Rig:
    rig.runtime.obey(halt, stamp(at))
    return rig


def holding_a_wishing_b() -> Rig:
    """A is held since 10:00:01, an entry of B waits since 10:00:02."""
    rig = Rig(symbols=TWO)
    return rig.play(T("10:00:00", 10_000, "buy"), T("10:00:01", 10_000), T("10:00:02", 5_000, "buy", "B"))


@pytest.mark.parametrize("halt", [Halt.NO_ENTRIES, Halt.OUT])
def test_entries_that_wait_are_cancelled_at_once_and_their_cash_and_place_are_free(halt: Halt) -> None:
    rig = order(holding_a_wishing_b(), halt, "10:00:02")
    assert rig.ends == [("10:00:02", "cancelled")]
    rig.play(T("10:00:03", 5_000, symbol="B"))
    assert [trade.symbol for trade in rig.trades] == ["A"]
    account = rig.runtime._account[0]
    assert (account["held"], account["slots"]) == (0, 1)


def test_a_halted_portfolio_refuses_entries_and_goes_on_with_exits() -> None:
    rig = order(holding_a_wishing_b(), Halt.NO_ENTRIES, "10:00:02")
    rig.play(T("10:00:03", 5_000, "buy", "B"), T("10:00:04", 5_000, "buy", "B"), T("10:01:00", 5_000, "buy", "B"))
    assert rig.runtime.refusals == {"halted": 3}
    told = [(refusal.symbol, refusal.reason) for refusal in rig.runtime.journal.story.refusals]
    assert told == [("NSE_EQ:B", "halted")] * 2, "one a symbol and minute"
    rig.play(T("10:02:00", 10_100, "sell"), T("10:02:01", 10_100))
    assert rig.trades[1:] == [Trade("10:02:01", "SELL", "A", 20, 202_000)]


def test_a_halt_comes_before_every_other_reason() -> None:
    rig = order(Rig(balance=1), Halt.NO_ENTRIES, "09:14:00")
    rig.play(T("10:00:00", 10_000, "buy"))
    assert rig.runtime.refusals == {"halted": 1}


@pytest.mark.parametrize("halt", [Halt.NO_ENTRIES, Halt.OUT])
def test_a_stop_and_the_square_off_still_work(halt: Halt) -> None:
    stopped = order(Rig().play(T("10:00:00", 10_000, "buy"), T("10:00:01", 10_000)), Halt.NO_ENTRIES, "10:00:01")
    stopped.play(T("10:00:02", 8_000), T("10:00:03", 8_000))
    assert [reason for *_, reason in stopped.orders][1:] == ["stop"]
    rig = order(Rig().play(T("10:00:00", 10_000, "buy"), T("10:00:01", 10_000)), halt, "10:00:01").clock("15:30:00")
    assert len(rig.trades) == 2
    assert rig.runtime.open_positions() == []


def test_out_of_everything_sells_what_is_held_stamped_with_the_moment_of_the_order() -> None:
    rig = order(holding_a_wishing_b(), Halt.OUT, "10:00:02.500")
    assert rig.orders[-1] == ("10:00:02.500", "A", "squared off by command")
    rig.play(T("10:00:02.600", 9_900), T("10:00:02.700", 9_950), T("10:00:04", 5_000, "buy", "B"))
    assert rig.trades[1:] == [Trade("10:00:02.700", "SELL", "A", 20, 199_000)]
    assert rig.runtime.refusals == {"halted": 1}


def test_an_exit_that_waits_is_not_ordered_twice() -> None:
    rig = Rig().play(T("10:00:00", 10_000, "buy"), T("10:00:01", 10_000), T("10:00:02", 10_000, "sell"))
    order(rig, Halt.OUT, "10:00:02").play(T("10:00:03", 10_000))
    assert [trade.side for trade in rig.trades] == ["BUY", "SELL"]
    assert len(rig.orders) == 2


def test_timers_that_are_due_by_then_come_first() -> None:
    rig = order(Rig().play(T("15:19:00", 10_000, "buy"), T("15:19:01", 10_000)), Halt.OUT, "15:21:00")
    assert rig.orders[1:] == [("15:20:00", "A", "square-off")]


def test_a_second_order_of_the_same_changes_nothing_and_a_resumed_portfolio_buys_again() -> None:
    rig = order(holding_a_wishing_b(), Halt.NO_ENTRIES, "10:00:02")
    before = rig.runtime.snapshot()
    assert not rig.runtime.obey(Halt.NO_ENTRIES, stamp("10:00:05"))
    assert rig.runtime.snapshot() == before
    assert rig.runtime.obey(Halt.NONE, stamp("10:00:06"))
    rig.play(T("10:00:07", 5_000, "buy", "B"), T("10:00:08", 5_000, symbol="B"))
    assert rig.trades[-1] == Trade("10:00:08", "BUY", "B", 40, 200_000)


def test_an_order_before_the_first_tick_leaves_no_point_of_the_equity_curve() -> None:
    rig = order(Rig(), Halt.OUT, "09:00:00")
    rig.play(T("10:00:00", 10_000), T("10:01:00", 10_000))
    assert [point.ts for point in rig.runtime.journal.story.equity] == [stamp("10:01:00")]


def test_the_cut_of_the_stream_and_a_restart_make_no_difference() -> None:
    ticks = [
        *(T("10:00:00", 10_000, "buy"), T("10:00:00", 5_000, "buy", "B"), T("10:00:01", 10_000)),
        *(T("10:00:02", 5_000, symbol="B"), T("10:00:03", 10_050, "sell"), T("10:00:03", 5_000, "buy", "B")),
        *(T("10:00:04", 10_050), T("10:00:05", 5_010, "sell", "B"), T("10:00:06", 10_000, "buy")),
        *(T("10:00:07", 4_990, symbol="B"), T("10:00:08", 10_000), T("10:00:09", 10_020)),
    ]
    moments = {2: (Halt.NO_ENTRIES, "10:00:01"), 6: (Halt.NONE, "10:00:04"), 10: (Halt.OUT, "10:00:08")}

    def played(step: int, *, restart: bool) -> tuple[object, ...]:
        rig = Rig(symbols=TWO)
        trades, ends, orders = [], [], []
        places = sorted({*range(0, len(ticks), step), *(at + 1 for at in moments), len(ticks)})
        for start, stop in pairwise(places):
            rig.play(*ticks[start:stop])
            if stop - 1 in moments:
                order(rig, *moments[stop - 1])
            if restart:
                trades += rig.trades
                ends += rig.ends
                orders += rig.orders
                rig.runtime.journal.clear()
                state, rig = rig.runtime.snapshot(), Rig(symbols=TWO)
                rig.runtime.restore(state)
        return trades + rig.trades, ends + rig.ends, orders + rig.orders, rig.runtime.cash, rig.runtime.refusals

    whole = played(len(ticks), restart=False)
    assert len(whole[0]) == 4  # type: ignore[arg-type]
    assert all(played(step, restart=restart) == whole for step in (1, 2, 3, 5) for restart in (False, True)), DAY
