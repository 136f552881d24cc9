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


def test_rows_go_turns_later_and_what_is_earlier_goes_with_them() -> None:
    window = TimeWindow(turns=1, most=100)
    window.add(rows(10, 30))
    assert stamps(window.take()) == []
    window.end_turn()
    window.add(rows(40, 5, symbol="NSE_EQ:B"))
    window.add(rows(20))
    taken = window.take()
    assert stamps(taken) == [5, 10, 20, 30]
    assert taken is not None
    assert taken.symbol.texts() == ["NSE_EQ:B", "NSE_EQ:A", "NSE_EQ:A", "NSE_EQ:A"]
    assert taken.seq.tolist() == [50, 100, 200, 300]
    window.end_turn()
    assert stamps(window.take()) == [40]


def test_at_rest_everything_goes() -> None:
    window = TimeWindow(turns=3, most=100)
    window.add(rows(2, 1))
    assert stamps(window.take()) == []
    window.add(rows(3))
    assert stamps(window.take(everything=True)) == [1, 2, 3]
    assert stamps(window.take(everything=True)) == []


def test_no_more_than_so_many_wait() -> None:
    window = TimeWindow(turns=9, most=3)
    window.add(rows(5, 4, 3, 2, 1))
    assert stamps(window.take()) == [1, 2]
    window.add(rows(0))
    assert stamps(window.take()) == [0]


def test_rows_of_one_stamp_keep_their_order() -> None:
    window = TimeWindow(turns=0, most=9)
    window.add(rows(7, 7, symbol="NSE_EQ:B"))
    window.add(rows(7, symbol="NSE_EQ:A"))
    taken = window.take()
    assert taken is not None
    assert taken.symbol.texts() == ["NSE_EQ:B", "NSE_EQ:B", "NSE_EQ:A"]


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
        taken = stamps(window.take())
        assert taken == sorted(taken)
        gone += taken
        due = [stamp for old in added[: max(turn - turns + 1, 0)] for stamp in old]
        assert set(due) <= set(gone)
        assert sum(map(len, added)) - len(gone) <= 40
        window.end_turn()
    gone += stamps(window.take(everything=True))
    assert sorted(gone) == sorted(stamp for new in added for stamp in new)


def test_partitions_that_are_further_ahead_than_the_last_one_comes_in_some_turns_wait() -> None:
    abreast = Abreast(turns=2)

    def turn(**at: int) -> set[int]:
        for name, ts in at.items():
            abreast.saw(int(name[1:]), ts)
        return abreast.far_ahead()

    assert turn(p0=100, p1=150, p2=300) == set(), "nobody knows yet how fast the last one is"
    assert turn(p0=110, p1=150, p2=400) == {1, 2}
    assert turn(p0=120) == {1, 2}
    assert turn(p0=140) == {2}, "30 in two turns"
    assert turn(p0=200, p1=180) == {2}
    assert turn(p0=400, p1=410, p2=420) == set()


def test_one_that_is_last_and_stands_still_keeps_nobody_waiting() -> None:
    abreast = Abreast(turns=1)
    for ts in (10, 20, 30):
        abreast.saw(0, 5)
        abreast.saw(1, ts)
        assert abreast.far_ahead() == set()


def test_other_partitions_begin_anew() -> None:
    abreast = Abreast(turns=1)
    abreast.saw(0, 1)
    assert abreast.far_ahead() == set()
    abreast.saw(0, 2)
    abreast.saw(1, 9)
    assert abreast.far_ahead() == {1}
    abreast.forget()
    assert abreast.far_ahead() == set()
