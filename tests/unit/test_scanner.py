"""The scanner's score, its picks and its timetable."""

from datetime import date, time
from itertools import pairwise

import pytest

from quant_platform.domain.session import Session, ns_at, session_on
from quant_platform.domain.ticks import NS_PER_MINUTE
from quant_platform.ports.broker import Quote
from quant_platform.services.market_scanner.scanner import scan_times, score, top_picks

DAY = date(2026, 4, 24)


def quote(symbol: str, ltp: int, previous_close: int, volume: int) -> Quote:
    return Quote(f"NSE_EQ:{symbol}", ltp, previous_close, volume)


def session(day: date = DAY) -> Session:
    found = session_on(day)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("ltp", "previous_close", "volume", "expected"),
    [
        (102_00, 100_00, 1000, 2000.0),  # 2 % up
        (98_00, 100_00, 1000, 2000.0),  # a fall counts as much
        (100_00, 100_00, 1000, 0.0),
    ],
)
def test_the_score_is_percent_moved_times_volume(ltp: int, previous_close: int, volume: int, expected: float) -> None:
    assert score(quote("A", ltp, previous_close, volume)) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("case", [(100_00, 90_00, 0), (100_00, 0, 1000), (0, 100_00, 1000)])
def test_without_volume_previous_close_or_price_there_is_no_score(case: tuple[int, int, int]) -> None:
    assert score(quote("A", *case)) is None
    assert top_picks([quote("A", *case)]) == []


def test_the_five_highest_are_picked_highest_first() -> None:
    quotes = [quote(name, 100_00 + 10 * i, 100_00, 1000) for i, name in enumerate("ABCDEFG")]
    picks = top_picks(quotes)
    assert [pick.symbol for pick in picks] == [f"NSE_EQ:{name}" for name in "GFEDC"]
    assert (picks[0].ltp, picks[0].volume) == (100_60, 1000)
    assert picks[0].score == score(quotes[6])


def test_equal_scores_stand_by_symbol() -> None:
    quotes = [quote(name, 102_00, 100_00, 500) for name in ("C", "A", "F", "B", "E", "D")]
    assert [pick.symbol[-1] for pick in top_picks(quotes)] == ["A", "B", "C", "D", "E"]


def test_a_small_universe_gives_fewer_picks() -> None:
    assert len(top_picks([quote("A", 101_00, 100_00, 1)])) == 1


def test_scans_start_with_the_session_and_repeat_every_five_minutes_until_square_off() -> None:
    times = scan_times(session(), ns_at(DAY, time(15, 20)))
    assert times[0] == ns_at(DAY, time(9, 15))
    assert {later - earlier for earlier, later in pairwise(times)} == {5 * NS_PER_MINUTE}
    assert times[-1] == ns_at(DAY, time(15, 15))
    assert len(times) == 73


def test_no_scan_falls_into_the_pause_of_a_session_with_two_windows() -> None:
    morning = (ns_at(DAY, time(9, 15)), ns_at(DAY, time(10, 0)))
    noon = (ns_at(DAY, time(11, 30)), ns_at(DAY, time(12, 30)))
    halves = Session(DAY, "recovery test", (morning, noon), (morning, noon), closing_auction=False)
    times = scan_times(halves, ns_at(DAY, time(12, 20)))
    assert len(times) == 9 + 10
    assert ns_at(DAY, time(10, 0)) not in times
    assert times[9] == ns_at(DAY, time(11, 30))
