"""When NSE's equities trade: sessions by date and security, square-off time, phases, and IST itself."""

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone
from enum import Enum
from functools import lru_cache
from typing import NamedTuple

from quant_platform.domain import nse_calendar as table
from quant_platform.domain.errors import CalendarError
from quant_platform.domain.ticks import IST_OFFSET_NS, NS_PER_DAY, NS_PER_MINUTE, NS_PER_SECOND, trading_day

IST = timezone(timedelta(hours=5, minutes=30), "IST")
"""Indian Standard Time; India keeps no summer time."""

_EPOCH = date(1970, 1, 1)
_EPOCH_TIME = datetime(1970, 1, 1, 5, 30, tzinfo=IST)

WindowsNs = tuple[tuple[int, int], ...]
"""Continuous trading as [open, close) pairs of ns UTC, in order."""


def day_number(day: date) -> int:
    """A date counted in days since the epoch, as :func:`~quant_platform.domain.ticks.trading_day` counts stamps."""
    return (day - _EPOCH).days


def date_of(number: int) -> date:
    """The date that :func:`day_number` counts as ``number``."""
    return _EPOCH + timedelta(days=number)


def ist_date(ts: int) -> date:
    """The IST date of a stamp in ns UTC."""
    return date_of(trading_day(ts))


def ist_time(ts: int) -> datetime:
    """The time in IST of a stamp in ns UTC, cut to microseconds."""
    return _EPOCH_TIME + timedelta(microseconds=ts // 1000)


def midnight_ns(day: date) -> int:
    """00:00 IST of a date, ns UTC."""
    return day_number(day) * NS_PER_DAY - IST_OFFSET_NS


def ns_at(day: date, at: time) -> int:
    """The stamp, ns UTC, of a time of day in IST."""
    seconds = (at.hour * 60 + at.minute) * 60 + at.second
    return midnight_ns(day) + seconds * NS_PER_SECOND + at.microsecond * 1000


class PhaseKind(Enum):
    """What the exchange takes and does in a phase of the day."""

    PRE_OPEN_ENTRY = "pre-open order entry"
    PRE_OPEN_LIMIT_ENTRY = "pre-open order entry, limit orders only"
    PRE_OPEN_MATCH = "pre-open matching"
    PRE_OPEN_BUFFER = "buffer before continuous trading"
    CONTINUOUS = "continuous trading"
    AUCTION_REFERENCE = "reference price of the closing auction, no order entry"
    AUCTION_ENTRY = "closing auction order entry"
    AUCTION_LIMIT_ENTRY = "closing auction order entry, limit orders only"
    AUCTION_MATCH = "closing auction matching"
    POST_CLOSE = "post-close trading at the closing price"


class Phase(NamedTuple):
    """A part of the exchange's day: ``start`` ≤ ts < ``end``."""

    kind: PhaseKind
    start: int  # ns UTC
    end: int  # ns UTC
    random_close_from: int | None = None  # ns UTC: the exchange ends the phase at random from here to ``end``


@dataclass(frozen=True, slots=True)
class Session:
    """One day of trading at NSE. Stocks of the closing auction may have other hours than the rest."""

    day: date
    name: str  # "regular", or what is special about it
    other_windows: WindowsNs
    auction_windows: WindowsNs  # of stocks with ``cas_eligible``; as the others' where no auction is held
    closing_auction: bool

    def windows(self, cas_eligible: bool) -> WindowsNs:
        """Continuous trading of a security, as [open, close) in ns UTC; one window or several."""
        return self.auction_windows if cas_eligible else self.other_windows

    def open_ns(self, cas_eligible: bool) -> int:
        """Start of the first window, ns UTC."""
        return self.windows(cas_eligible)[0][0]

    def close_ns(self, cas_eligible: bool) -> int:
        """The last continuous close, ns UTC."""
        return self.windows(cas_eligible)[-1][1]

    @property
    def last_close_ns(self) -> int:
        """The latest continuous close of any security, ns UTC."""
        return max(self.close_ns(True), self.close_ns(False))

    def square_off_ns(self, cas_eligible: bool, square_off: time, lead_min: int) -> int:
        """When positions of a security are closed, ns UTC.

        The earlier of ``square_off`` (IST) and ``lead_min`` minutes before the last continuous close; in a
        session that opens after ``square_off`` simply the latter.
        """
        before_close = self.close_ns(cas_eligible) - lead_min * NS_PER_MINUTE
        latest = ns_at(self.day, square_off)
        return before_close if self.open_ns(cas_eligible) > latest else min(latest, before_close)

    def phases(self, cas_eligible: bool) -> tuple[Phase, ...]:
        """The exchange's day for a security, in order; between phases it is idle.

        A call auction of fifteen minutes goes before every window of continuous trading. Post-close trading
        is known for regular hours only and left out of other sessions.
        """
        phases: list[Phase] = []
        for opens, closes in self.windows(cas_eligible):
            phases += _pre_open(self.day, opens)
            phases.append(Phase(PhaseKind.CONTINUOUS, opens, closes))
        if self.closing_auction and cas_eligible:
            phases += _closing_auction(self.close_ns(cas_eligible))
        if self.other_windows == _in_ns(self.day, table.REGULAR):
            starts = time(15, 50) if self.day >= table.CLOSING_AUCTION_FROM else time(15, 40)
            phases.append(Phase(PhaseKind.POST_CLOSE, ns_at(self.day, starts), ns_at(self.day, time(16, 0))))
        return tuple(phases)


def _pre_open(day: date, opens: int) -> list[Phase]:
    """The call auction of the fifteen minutes before ``opens``."""

    def minute(minutes: int) -> int:
        return opens - (15 - minutes) * NS_PER_MINUTE

    if day >= table.TWO_PHASE_PRE_OPEN_FROM:
        matching = minute(10)
        entry = [
            Phase(PhaseKind.PRE_OPEN_ENTRY, minute(0), minute(5)),
            Phase(PhaseKind.PRE_OPEN_LIMIT_ENTRY, minute(5), matching, minute(8)),
        ]
    else:
        matching = minute(8)
        entry = [Phase(PhaseKind.PRE_OPEN_ENTRY, minute(0), matching, minute(7))]
    return [
        *entry,
        Phase(PhaseKind.PRE_OPEN_MATCH, matching, minute(12)),
        Phase(PhaseKind.PRE_OPEN_BUFFER, minute(12), opens),
    ]


def _closing_auction(closes: int) -> list[Phase]:
    """The twenty minutes of the closing auction after continuous trading ``closes``."""

    def minute(minutes: int) -> int:
        return closes + minutes * NS_PER_MINUTE

    return [
        Phase(PhaseKind.AUCTION_REFERENCE, minute(0), minute(5)),
        Phase(PhaseKind.AUCTION_ENTRY, minute(5), minute(10)),
        Phase(PhaseKind.AUCTION_LIMIT_ENTRY, minute(10), minute(15), minute(13)),
        Phase(PhaseKind.AUCTION_MATCH, minute(15), minute(20)),
    ]


def _in_ns(day: date, windows: table.Windows) -> WindowsNs:
    return tuple((ns_at(day, opens), ns_at(day, closes)) for opens, closes in windows)


def covered() -> tuple[date, date]:
    """The first and the last date that the calendar covers."""
    return table.FIRST_DAY, table.LAST_DAY


def _require_covered(day: date) -> None:
    first, last = covered()
    if not first <= day <= last:
        raise CalendarError(
            f"{day} is not in the exchange calendar, which covers {first} to {last}",
            "choose a date within it, or update Quant Platform for a newer calendar",
        )


def _has_known_session(day: date) -> bool:
    special = table.SPECIAL_SESSIONS.get(day)
    if special is not None:
        return bool(special.windows)
    return day.weekday() < 5 and day not in table.HOLIDAYS


@lru_cache(maxsize=8192)
def session_on(day: date) -> Session | None:
    """The session of a date, None where the exchange is closed.

    Raises:
        CalendarError: the calendar does not cover the date, or does not know the hours of its session.
    """
    _require_covered(day)
    special = table.SPECIAL_SESSIONS.get(day)
    if special is not None and not special.windows:
        raise CalendarError(
            f"the hours of the {special.name} session on {day} are not in the exchange calendar",
            "leave that date out, or update Quant Platform for a newer calendar",
        )
    if not _has_known_session(day):
        return None
    if special is None:
        auction = day >= table.CLOSING_AUCTION_FROM
        auction_windows = table.REGULAR_WITH_AUCTION if auction else table.REGULAR
        return Session(day, "regular", _in_ns(day, table.REGULAR), _in_ns(day, auction_windows), auction)
    return Session(
        day,
        special.name,
        _in_ns(day, special.windows),
        _in_ns(day, special.auction_windows or special.windows),
        special.auction_windows is not None,
    )


def _nearest_session(day: date, step: int) -> date:
    """The nearest day with a known session, from ``day`` on, ``step`` days at a time."""
    while True:
        _require_covered(day)
        if _has_known_session(day):
            return day
        day += timedelta(days=step)


def latest_session(on_or_before: date) -> date:
    """The last day with a session up to and including a date; one whose hours are not known is passed over.

    Raises:
        CalendarError: the calendar does not cover the date, or no session before it.
    """
    return _nearest_session(on_or_before, -1)


def previous_session(day: date) -> date:
    """The last day with a session before a date, as :func:`latest_session` counts them."""
    return _nearest_session(day - timedelta(days=1), -1)


def next_session(day: date) -> date:
    """The first day with a session after a date, as :func:`latest_session` counts them."""
    return _nearest_session(day + timedelta(days=1), 1)
