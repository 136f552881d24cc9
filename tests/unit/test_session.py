"""Sessions: the whole calendar against an independent one, and the timetable by date and security."""

from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import pandas_market_calendars
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from quant_platform.domain import nse_calendar
from quant_platform.domain.errors import CalendarError
from quant_platform.domain.session import (
    IST,
    PhaseKind,
    Session,
    covered,
    ist_date,
    ist_time,
    latest_session,
    next_session,
    ns_at,
    previous_session,
    session_on,
)

DEFAULT_SQUARE_OFF = (time(15, 20), 10)

REGULAR_HOURS = ["09:15:00-15:30:00"]
RECOVERY_HOURS = ["09:15:00-10:00:00", "11:30:00-12:30:00"]
WEEKEND_SESSIONS = {
    # The independent calendar makes its days from Monday to Friday and so has none of these.
    date(2015, 2, 28): ("Union Budget", REGULAR_HOURS),
    date(2016, 10, 30): ("Muhurat", ["18:30:00-19:30:00"]),
    date(2019, 10, 27): ("Muhurat", ["18:15:00-19:15:00"]),
    date(2020, 2, 1): ("Union Budget", REGULAR_HOURS),
    date(2020, 11, 14): ("Muhurat", ["18:15:00-19:15:00"]),
    date(2023, 11, 12): ("Muhurat", ["18:15:00-19:15:00"]),
    date(2024, 1, 20): ("in place of 2024-01-22", REGULAR_HOURS),
    date(2024, 3, 2): ("disaster recovery", RECOVERY_HOURS),
    date(2024, 5, 18): ("disaster recovery", RECOVERY_HOURS),
    date(2025, 2, 1): ("Union Budget", REGULAR_HOURS),
    date(2026, 2, 1): ("Union Budget", REGULAR_HOURS),
}
HOURS_UNKNOWN = date(2026, 11, 8)


def session(day: date) -> Session:
    found = session_on(day)
    assert found is not None
    return found


def clock(ts: int) -> str:
    return datetime.fromtimestamp(ts / 1e9, IST).strftime("%H:%M:%S")


def clocks(windows: tuple[tuple[int, int], ...]) -> list[str]:
    return [f"{clock(opens)}-{clock(closes)}" for opens, closes in windows]


def covered_days() -> list[date]:
    first, last = covered()
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]


def independent_windows(first: date, last: date) -> dict[date, list[str]]:
    """Continuous trading of every weekday session, as pandas_market_calendars has it."""
    calendar = pandas_market_calendars.get_calendar("NSE")
    schedule = calendar.schedule(str(first), str(last), tz=IST, interruptions=True)
    windows = {}
    for day, row in schedule.iterrows():
        times = [row["market_open"], row["market_close"]]
        if "interruption_start_1" in row and row["interruption_start_1"] == row["interruption_start_1"]:
            times[1:1] = [row["interruption_start_1"], row["interruption_end_1"]]
        spelled = [f"{at:%H:%M:%S}" for at in times]
        windows[day.date()] = [f"{a}-{b}" for a, b in zip(spelled[::2], spelled[1::2], strict=True)]
    return windows


def test_every_weekday_agrees_with_an_independent_calendar() -> None:
    theirs = independent_windows(*covered())
    weekdays = [day for day in covered_days() if day.weekday() < 5]
    assert len(weekdays) > 3000
    different = {}
    for day in weekdays:
        found = session_on(day)
        ours = clocks(found.windows(cas_eligible=False)) if found else None
        if ours != theirs.get(day):
            different[day] = (ours, theirs.get(day))
    assert different == {}


def test_weekends_hold_exactly_the_listed_special_sessions() -> None:
    weekend_days = [day for day in covered_days() if day.weekday() >= 5 and day != HOURS_UNKNOWN]
    sessions = [found for day in weekend_days if (found := session_on(day)) is not None]
    assert {s.day: (s.name, clocks(s.windows(cas_eligible=True))) for s in sessions} == WEEKEND_SESSIONS
    assert all(s.windows(cas_eligible=True) == s.windows(cas_eligible=False) for s in sessions)


def test_no_date_is_both_a_holiday_and_a_session_and_no_holiday_is_on_a_weekend() -> None:
    assert not nse_calendar.HOLIDAYS & set(nse_calendar.SPECIAL_SESSIONS)
    assert all(day.weekday() < 5 for day in nse_calendar.HOLIDAYS)


def test_windows_are_in_order_and_do_not_touch() -> None:
    for day in covered_days():
        if day == HOURS_UNKNOWN or (found := session_on(day)) is None:
            continue
        for cas_eligible in (True, False):
            edges = [edge for window in found.windows(cas_eligible) for edge in window]
            assert edges == sorted(set(edges))
            assert {ist_date(edge) for edge in edges} == {day}


@pytest.mark.parametrize(
    ("day", "cas_eligible", "windows", "square_off"),
    [
        (date(2026, 7, 31), True, ["09:15:00-15:30:00"], "15:20:00"),
        (date(2026, 7, 31), False, ["09:15:00-15:30:00"], "15:20:00"),
        (date(2026, 8, 3), True, ["09:15:00-15:15:00"], "15:05:00"),
        (date(2026, 8, 3), False, ["09:15:00-15:30:00"], "15:20:00"),
        # The hour of trading on the evening, or the afternoon, of Diwali.
        (date(2023, 11, 12), True, ["18:15:00-19:15:00"], "19:05:00"),
        (date(2024, 11, 1), False, ["18:00:00-19:00:00"], "18:50:00"),
        (date(2025, 10, 21), True, ["13:45:00-14:45:00"], "14:35:00"),
        (date(2024, 3, 2), False, ["09:15:00-10:00:00", "11:30:00-12:30:00"], "12:20:00"),
        (date(2021, 2, 24), False, ["09:15:00-11:40:00", "15:45:00-17:00:00"], "15:20:00"),
        (date(2026, 2, 1), True, ["09:15:00-15:30:00"], "15:20:00"),
    ],
)
def test_windows_and_square_off(day: date, cas_eligible: bool, windows: list[str], square_off: str) -> None:
    found = session(day)
    assert clocks(found.windows(cas_eligible)) == windows
    assert clock(found.open_ns(cas_eligible)) == windows[0].split("-")[0]
    assert clock(found.close_ns(cas_eligible)) == windows[-1].split("-")[1]
    assert clock(found.square_off_ns(cas_eligible, *DEFAULT_SQUARE_OFF)) == square_off


@pytest.mark.parametrize(
    ("square_off", "lead_min", "expected"),
    [
        (time(15, 0), 10, "15:00:00"),
        (time(15, 20), 0, "15:15:00"),
        (time(15, 20), 30, "14:45:00"),
        (time(9, 15), 10, "09:15:00"),  # at the open itself: the session does not open after it
        (time(9, 14, 59), 10, "15:05:00"),
    ],
)
def test_square_off_is_the_earlier_of_the_time_and_the_lead(square_off: time, lead_min: int, expected: str) -> None:
    assert clock(session(date(2026, 8, 3)).square_off_ns(True, square_off, lead_min)) == expected


def test_last_close_is_the_latest_of_both_classes() -> None:
    found = session(date(2026, 8, 4))
    assert clock(found.last_close_ns) == "15:30:00"
    assert found.last_close_ns == found.close_ns(False) > found.close_ns(True)


def test_a_special_session_holds_a_closing_auction_only_where_its_table_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    evening = ((time(18, 15), time(19, 15)),)
    shorter = ((time(18, 15), time(19, 0)),)
    without, holding = date(2026, 10, 3), date(2026, 10, 4)
    monkeypatch.setitem(nse_calendar.SPECIAL_SESSIONS, without, nse_calendar.SpecialSession("evening", evening))
    monkeypatch.setitem(
        nse_calendar.SPECIAL_SESSIONS, holding, nse_calendar.SpecialSession("evening", evening, shorter)
    )
    uncached = session_on.__wrapped__
    plain, auction = uncached(without), uncached(holding)
    assert clocks(plain.windows(True)) == ["18:15:00-19:15:00"]
    assert plain.phases(True)[-1].kind is PhaseKind.CONTINUOUS
    assert clocks(auction.windows(True)) == ["18:15:00-19:00:00"]
    assert clocks(auction.windows(False)) == ["18:15:00-19:15:00"]
    assert clock(auction.phases(True)[-1].end) == "19:20:00"
    assert auction.phases(True)[-1].kind is PhaseKind.AUCTION_MATCH


PRE_OPEN_OLD = [
    ("PRE_OPEN_ENTRY", "09:00:00", "09:08:00", "09:07:00"),
    ("PRE_OPEN_MATCH", "09:08:00", "09:12:00", None),
    ("PRE_OPEN_BUFFER", "09:12:00", "09:15:00", None),
]
PRE_OPEN_NEW = [
    ("PRE_OPEN_ENTRY", "09:00:00", "09:05:00", None),
    ("PRE_OPEN_LIMIT_ENTRY", "09:05:00", "09:10:00", "09:08:00"),
    ("PRE_OPEN_MATCH", "09:10:00", "09:12:00", None),
    ("PRE_OPEN_BUFFER", "09:12:00", "09:15:00", None),
]
CLOSING_AUCTION = [
    ("CONTINUOUS", "09:15:00", "15:15:00", None),
    ("AUCTION_REFERENCE", "15:15:00", "15:20:00", None),
    ("AUCTION_ENTRY", "15:20:00", "15:25:00", None),
    ("AUCTION_LIMIT_ENTRY", "15:25:00", "15:30:00", "15:28:00"),
    ("AUCTION_MATCH", "15:30:00", "15:35:00", None),
    ("POST_CLOSE", "15:50:00", "16:00:00", None),
]
NO_AUCTION = [("CONTINUOUS", "09:15:00", "15:30:00", None)]


@pytest.mark.parametrize(
    ("day", "cas_eligible", "expected"),
    [
        (
            date(2026, 7, 31),
            True,
            [*PRE_OPEN_OLD, *NO_AUCTION, ("POST_CLOSE", "15:40:00", "16:00:00", None)],
        ),
        (
            date(2026, 8, 3),
            False,
            [*PRE_OPEN_OLD, *NO_AUCTION, ("POST_CLOSE", "15:50:00", "16:00:00", None)],
        ),
        (date(2026, 8, 3), True, [*PRE_OPEN_OLD, *CLOSING_AUCTION]),
        (date(2026, 9, 4), True, [*PRE_OPEN_OLD, *CLOSING_AUCTION]),
        (date(2026, 9, 7), True, [*PRE_OPEN_NEW, *CLOSING_AUCTION]),
        (
            date(2025, 10, 21),
            True,
            [
                ("PRE_OPEN_ENTRY", "13:30:00", "13:38:00", "13:37:00"),
                ("PRE_OPEN_MATCH", "13:38:00", "13:42:00", None),
                ("PRE_OPEN_BUFFER", "13:42:00", "13:45:00", None),
                ("CONTINUOUS", "13:45:00", "14:45:00", None),
            ],
        ),
    ],
)
def test_phases_of_the_exchange_by_date_and_security(
    day: date, cas_eligible: bool, expected: list[tuple[str, str, str, str | None]]
) -> None:
    phases = session(day).phases(cas_eligible)
    told = [
        (
            p.kind.name,
            clock(p.start),
            clock(p.end),
            clock(p.random_close_from) if p.random_close_from else None,
        )
        for p in phases
    ]
    assert told == expected


def test_every_window_of_a_recovery_day_has_its_own_pre_open() -> None:
    phases = session(date(2024, 5, 18)).phases(False)
    entries = [clock(p.start) for p in phases if p.kind is PhaseKind.PRE_OPEN_ENTRY]
    assert entries == ["09:00:00", "11:15:00"]
    assert [p.start for p in phases] == sorted(p.start for p in phases)


@pytest.mark.parametrize("day", [date(2014, 12, 31), date(2027, 1, 1), date(2027, 1, 4)])
def test_a_date_the_table_does_not_cover_is_refused(day: date) -> None:
    with pytest.raises(CalendarError, match=rf"{day} is not in .* 2015-01-01 to 2026-12-31 — choose"):
        session_on(day)
    with pytest.raises(CalendarError, match=str(day)):
        latest_session(day)


def test_a_session_whose_hours_are_unknown_is_refused_by_name() -> None:
    with pytest.raises(CalendarError, match=r"hours of the Muhurat session on 2026-11-08 .* — leave that date out"):
        session_on(HOURS_UNKNOWN)


@pytest.mark.parametrize("day", [date(2026, 1, 15), date(2021, 4, 14), date(2024, 1, 22), date(2026, 11, 7)])
def test_holidays_and_weekends_have_no_session(day: date) -> None:
    assert session_on(day) is None


def test_neighbouring_sessions_pass_over_closed_days_and_unknown_hours() -> None:
    assert latest_session(date(2026, 11, 20)) == date(2026, 11, 20)
    assert latest_session(date(2026, 11, 22)) == date(2026, 11, 20)
    assert latest_session(HOURS_UNKNOWN) == date(2026, 11, 6)
    assert previous_session(date(2026, 11, 9)) == date(2026, 11, 6)
    assert next_session(date(2026, 11, 6)) == date(2026, 11, 9)
    assert next_session(date(2026, 11, 9)) == date(2026, 11, 11)
    assert previous_session(date(2025, 2, 3)) == date(2025, 2, 1)
    with pytest.raises(CalendarError, match="2014-12-31"):
        previous_session(date(2015, 1, 1))
    with pytest.raises(CalendarError, match="2027-01-01"):
        next_session(date(2026, 12, 31))


def test_ist_dates_turn_at_1830_utc() -> None:
    midnight = datetime(2026, 8, 2, 18, 30, tzinfo=UTC)
    ts = int(midnight.timestamp()) * 1_000_000_000
    assert ist_date(ts) == date(2026, 8, 3)
    assert ist_date(ts - 1) == date(2026, 8, 2)
    assert ns_at(date(2026, 8, 3), time(0, 0)) == ts
    assert ns_at(date(2026, 8, 3), time(9, 15, 0, 250_000)) == ts + (9 * 60 + 15) * 60 * 10**9 + 250_000_000


def test_the_real_candles_stand_on_days_with_a_session(shared_data: Path) -> None:
    table = pq.read_table(shared_data / "candles_1m_2021-03-30_2021-05-07.parquet", columns=["timestamp"])
    stamps = pc.unique(table["timestamp"]).cast(pa.timestamp("ns", "UTC")).cast("int64").to_pylist()
    days = {ist_date(ts) for ts in stamps}
    first, last = min(days), max(days)
    assert days == {day for day in covered_days() if first <= day <= last and session_on(day) is not None}
    assert all(session(ist_date(ts)).open_ns(True) <= ts < session(ist_date(ts)).close_ns(True) for ts in stamps)


def test_a_stamp_is_the_time_that_it_was_made_of() -> None:
    day, at = date(2026, 7, 31), time(23, 59, 59, 999_999)
    assert ist_time(ns_at(day, at) + 999) == datetime.combine(day, at, IST)
    assert ist_time(ns_at(day, at) + 1000) == datetime.combine(date(2026, 8, 1), time(), IST)
