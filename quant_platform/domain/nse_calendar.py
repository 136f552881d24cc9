"""The dated table of NSE's equity sessions: holidays, special sessions and the changes of the timetable.

Holidays are those of the exchange's yearly circulars with later additions (the municipal elections of
2026-01-15); special sessions are those of the circulars for Muhurat, Budget and disaster-recovery days. A
year becomes known to the platform by a line here. ``tests/unit/test_session.py`` compares every weekday with
an independent calendar.
"""

from datetime import date, time
from typing import NamedTuple

Windows = tuple[tuple[time, time], ...]
"""Continuous trading of a day, IST: [open, close) pairs in order, which do not touch."""

CLOSING_AUCTION_FROM = date(2026, 8, 3)
"""From here stocks with derivatives close in an auction, and all post-close trading moves to 15:50."""

TWO_PHASE_PRE_OPEN_FROM = date(2026, 9, 7)
"""From here order entry of the pre-open ends with a phase for limit orders only."""

REGULAR: Windows = ((time(9, 15), time(15, 30)),)
REGULAR_WITH_AUCTION: Windows = ((time(9, 15), time(15, 15)),)
"""Of a stock in the closing auction, from :data:`CLOSING_AUCTION_FROM`."""

_HOLIDAYS_BY_YEAR = {
    2015: "01-26 02-17 03-06 04-02 04-03 04-14 05-01 09-17 09-25 10-02 10-22 11-12 11-25 12-25",
    2016: "01-26 03-07 03-24 03-25 04-14 04-15 04-19 07-06 08-15 09-05 09-13 10-11 10-12 10-31 11-14",
    2017: "01-26 02-24 03-13 04-04 04-14 05-01 06-26 08-15 08-25 10-02 10-20 12-25",
    2018: "01-26 02-13 03-02 03-29 03-30 05-01 08-15 08-22 09-13 09-20 10-02 10-18 11-08 11-23 12-25",
    2019: "03-04 03-21 04-17 04-19 04-29 05-01 06-05 08-12 08-15 09-02 09-10 10-02 10-08 10-21 10-28 11-12 12-25",
    2020: "02-21 03-10 04-02 04-06 04-10 04-14 05-01 05-25 10-02 11-16 11-30 12-25",
    2021: "01-26 03-11 03-29 04-02 04-14 04-21 05-13 07-21 08-19 09-10 10-15 11-05 11-19",
    2022: "01-26 03-01 03-18 04-14 04-15 05-03 08-09 08-15 08-31 10-05 10-26 11-08",
    2023: "01-26 03-07 03-30 04-04 04-07 04-14 05-01 06-29 08-15 09-19 10-02 10-24 11-14 11-27 12-25",
    2024: "01-22 01-26 03-08 03-25 03-29 04-11 04-17 05-01 05-20 06-17 07-17 08-15 10-02 11-15 11-20 12-25",
    2025: "02-26 03-14 03-31 04-10 04-14 04-18 05-01 08-15 08-27 10-02 10-22 11-05 12-25",
    2026: "01-15 01-26 03-03 03-26 03-31 04-03 04-14 05-01 05-28 06-26 09-14 10-02 10-20 11-10 11-24 12-25",
}
"""Weekdays without any session; Muhurat days, which are holidays with an hour of trading, stand below."""

HOLIDAYS = frozenset(
    date.fromisoformat(f"{year}-{day}") for year, days in _HOLIDAYS_BY_YEAR.items() for day in days.split()
)
FIRST_DAY = date(min(_HOLIDAYS_BY_YEAR), 1, 1)
LAST_DAY = date(max(_HOLIDAYS_BY_YEAR), 12, 31)


class SpecialSession(NamedTuple):
    """A session on a day that would have none, or at other times than usual."""

    name: str
    windows: Windows  # empty: announced, but its times are not known to this table
    auction_windows: Windows | None = None  # of stocks that close in an auction; None: none is held


def _muhurat(opens: time) -> SpecialSession:
    return SpecialSession("Muhurat", ((opens, opens.replace(hour=opens.hour + 1)),))


_BUDGET = SpecialSession("Union Budget", REGULAR)
_RECOVERY = SpecialSession("disaster recovery", ((time(9, 15), time(10, 0)), (time(11, 30), time(12, 30))))

SPECIAL_SESSIONS = {
    date(2015, 2, 28): _BUDGET,
    date(2015, 11, 11): _muhurat(time(17, 45)),
    date(2016, 10, 30): _muhurat(time(18, 30)),
    date(2017, 10, 19): _muhurat(time(18, 30)),
    date(2018, 11, 7): _muhurat(time(17, 30)),
    date(2019, 10, 27): _muhurat(time(18, 15)),
    date(2020, 2, 1): _BUDGET,
    date(2020, 11, 14): _muhurat(time(18, 15)),
    # Both links to the exchange failed: halted at 11:40, resumed at 15:45.
    date(2021, 2, 24): SpecialSession(
        "resumed after an outage", ((time(9, 15), time(11, 40)), (time(15, 45), time(17, 0)))
    ),
    date(2021, 11, 4): _muhurat(time(18, 15)),
    date(2022, 10, 24): _muhurat(time(18, 15)),
    date(2023, 11, 12): _muhurat(time(18, 15)),
    date(2024, 1, 20): SpecialSession("in place of 2024-01-22", REGULAR),
    date(2024, 3, 2): _RECOVERY,
    date(2024, 5, 18): _RECOVERY,
    date(2024, 11, 1): _muhurat(time(18, 0)),
    date(2025, 2, 1): _BUDGET,
    date(2025, 10, 21): _muhurat(time(13, 45)),
    date(2026, 2, 1): _BUDGET,
    date(2026, 11, 8): SpecialSession("Muhurat", ()),
}
