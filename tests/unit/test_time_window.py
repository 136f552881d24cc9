"""Rows of several turns in order of time, each there once, and none kept for longer than promised."""

import random

import numpy as np

from quant_platform.hosts.distributed.time_window import Abreast, TimeWindow
from quant_platform.ports.series_store import Labels, TickRows


def rows(*stamps: int, symbol: str = "NSE_EQ:A") -> TickRows:
    n = len(stamps)
    numbers = np.arange(n, dtype=np.float64)
    codes = np.zeros(n, np.int32)
    return TickRows(
        timestamp=np.array(stamps, np.int64),
        symbol=Labels(codes, (symbol,)),
        seq=np.array(stamps, np.int64) * 10,
        ltp=numbers,
        volume=np.arange(n),
        vwap=numbers,
        rsi=numbers,
        obi=numbers,
        sma=numbers,
        spread=numbers,
        aggressor=Labels(codes, ("N",)),
        flags=np.zeros(n, np.uint8),
    )


def stamps(taken: TickRows | None) -> list[int]:
    return [] if taken is None else taken.timestamp.tolist()


NOTHING_YET = 0


def test_rows_go_when_nothing_earlier_can_come() -> None:
    window = TimeWindow(turns=9, most=100)
    window.add(rows(10, 30))
    assert stamps(window.take(complete=9)) == []
    window.add(rows(40, 5, symbol="NSE_EQ:B"))
    window.add(rows(20))
    taken = window.take(complete=20)
    assert stamps(taken) == [5, 10, 20]
    assert taken is not None
    assert taken.symbol.texts() == ["NSE_EQ:B", "NSE_EQ:A", "NSE_EQ:A"]
    assert taken.seq.tolist() == [50, 100, 200]
    assert stamps(window.take(complete=100)) == [30, 40]


def test_rows_go_turns_later_at_most_and_what_is_earlier_goes_with_them() -> None:
    window = TimeWindow(turns=1, most=100)
    window.add(rows(10, 30))
    assert stamps(window.take(NOTHING_YET)) == []
    assert window.end_turn() == 0
    window.add(rows(40, 5))
    window.add(rows(20))
    assert stamps(window.take(NOTHING_YET)) == [5, 10, 20, 30]
    assert window.end_turn() == 1
    assert stamps(window.take(NOTHING_YET)) == [40]
    assert window.end_turn() == 3


def test_at_rest_everything_goes() -> None:
    window = TimeWindow(turns=3, most=100)
    window.add(rows(2, 1))
    assert stamps(window.take(NOTHING_YET)) == []
    window.add(rows(3))
    assert stamps(window.take(NOTHING_YET, everything=True)) == [1, 2, 3]
    assert stamps(window.take(NOTHING_YET, everything=True)) == []
    assert window.end_turn() == 1


def test_no_more_than_so_many_wait() -> None:
    window = TimeWindow(turns=9, most=3)
    window.add(rows(5, 4, 3, 2, 1))
    assert stamps(window.take(NOTHING_YET)) == [1, 2]
    window.add(rows(0))
    assert stamps(window.take(NOTHING_YET)) == [0]


def test_rows_of_one_stamp_keep_their_order() -> None:
    window = TimeWindow(turns=0, most=9)
    window.add(rows(7, 7, symbol="NSE_EQ:B"))
    window.add(rows(7, symbol="NSE_EQ:A"))
    taken = window.take(NOTHING_YET)
    assert taken is not None
    assert taken.symbol.texts() == ["NSE_EQ:B", "NSE_EQ:B", "NSE_EQ:A"]


def test_a_turn_of_which_rows_were_not_offered_has_not_gone() -> None:
    window = TimeWindow(turns=0, most=9)
    window.add(rows(1))
    assert window.end_turn() == 0
    assert stamps(window.take(NOTHING_YET)) == [1]
    assert window.end_turn() == 2


def test_every_row_goes_once_and_in_time() -> None:
    chance = random.Random(7)
    window, turns = TimeWindow(turns=2, most=40), 2
    gone: list[int] = []
    added: list[list[int]] = []
    for turn in range(200):
        new = [turn * 50 + chance.randrange(400) * 100_000 + place for place in range(chance.randrange(30))]
        added.append(new)
        for start in range(0, len(new), 7):
            window.add(rows(*new[start : start + 7]))
        assert window.fresh == len(new)
        complete = chance.randrange(200) * 100_000
        taken = stamps(window.take(complete))
        assert taken == sorted(taken)
        gone += taken
        due = [stamp for old in added[: max(turn - turns + 1, 0)] for stamp in old]
        assert {*due, *(stamp for old in added for stamp in old if stamp <= complete)} <= set(gone)
        assert sum(map(len, added)) - len(gone) <= 40
        all_gone = window.end_turn()
        assert {stamp for old in added[:all_gone] for stamp in old} <= set(gone)
        assert all_gone == turn + 1 or not set(added[all_gone]) <= set(gone)
    gone += stamps(window.take(NOTHING_YET, everything=True))
    assert sorted(gone) == sorted(stamp for new in added for stamp in new)


def saw(abreast: Abreast, *ts: int) -> set[int]:
    """One turn, in which the partitions came to these moments."""
    for partition, moment in enumerate(ts):
        abreast.saw(partition, moment)
    return abreast.far_ahead()


def test_partitions_that_are_further_ahead_than_all_come_in_some_turns_wait() -> None:
    abreast = Abreast(turns=2)
    assert saw(abreast, 100, 150, 350) == set(), "nobody knows yet how fast they come on"
    assert saw(abreast, 120, 180, 390) == {1, 2}, "30 on average"
    assert saw(abreast, 150, 190, 410) == {2}, "50 in two turns"
    assert saw(abreast, 350, 360, 410) == set()


def test_a_leap_of_the_last_one_lets_nobody_run_ahead() -> None:
    abreast = Abreast(turns=1)
    saw(abreast, 0, 2000, 2000, 2000)
    assert saw(abreast, 1900, 2000, 2000, 3000) == {3}, "the average came 725 further, the last one 1900"


def test_one_that_is_last_and_stands_still_keeps_nobody_waiting() -> None:
    abreast = Abreast(turns=1)
    for ts in (10, 20, 30):
        assert saw(abreast, 5, ts) == set()


def test_what_all_partitions_have_come_to_is_complete() -> None:
    abreast = Abreast(turns=1)
    assert abreast.complete == 0
    abreast.begin([0, 1, 2])
    saw(abreast, 10, 20)
    assert abreast.complete == 0, "of one nothing is known"
    assert abreast.far_ahead() == set(), "it keeps nobody waiting: it may be empty"
    saw(abreast, 30, 40, 25)
    assert abreast.complete == 25


def test_other_partitions_begin_anew() -> None:
    abreast = Abreast(turns=1)
    saw(abreast, 1, 10)
    assert saw(abreast, 2, 19) == {1}
    abreast.begin([0, 1])
    assert abreast.far_ahead() == set()
    assert abreast.complete == 0
