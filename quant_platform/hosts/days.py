"""The calendar's side of a run: one session after another, its scans, its close, its files."""

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Protocol

from quant_platform.domain.errors import SafetyError
from quant_platform.domain.instruments import Instrument
from quant_platform.domain.session import Session, ist_date, midnight_ns, session_on
from quant_platform.domain.ticks import NS_PER_DAY, NS_PER_MINUTE
from quant_platform.hosts import scans
from quant_platform.hosts.market import MarketHost
from quant_platform.hosts.options import Source
from quant_platform.hosts.pace import Pace
from quant_platform.ports.clock import Clock
from quant_platform.services.strategy_runtime.schema import TradingSettings

AFTER_CLOSE_NS = 40 * NS_PER_MINUTE
"""How long after the last close a session's late prints are still waited for, where time is the wall's."""

SOURCE_FILE = "SOURCE"


class DayStore(Protocol):
    """Where a day's ticks are kept."""

    def flush(self) -> None:
        """Hand everything to the operating system."""
        ...

    def compact(self, day: date) -> None:
        """Make one file of the day."""
        ...

    def discard(self, day: date) -> None:
        """Forget the day."""
        ...


class TradingDays:
    """Runs sessions in order.

    Args:
        host: the market's side of the platform.
        pace: lets the market go on.
        clock: of the market.
        ticks: where ticks are stored.
        home: below which they stand.
        source: demo, replay or upstox.
        settings: when positions are squared off.
        scanned: whether the scanner picks what is subscribed.
        interval_min: minutes between scans.
        universe: what may be traded, for the time of the last square-off.
    """

    def __init__(
        self,
        host: MarketHost,
        pace: Pace,
        clock: Clock,
        ticks: DayStore,
        home: Path,
        source: Source,
        settings: TradingSettings,
        *,
        scanned: bool,
        interval_min: int,
        universe: list[Instrument],
    ) -> None:
        self._host = host
        self._pace = pace
        self._clock = clock
        self._ticks = ticks
        self._home = home
        self._source = source
        self._settings = settings
        self._scanned = scanned
        self._interval_min = interval_min
        self._claimed: date | None = None
        self._universe = universe

    async def run(self, day: date, resumed_at: int | None) -> None:
        """One date from where it stands to its end: ticks stored and compacted, every position closed.

        Args:
            day: IST date.
            resumed_at: moment that an interrupted run goes on from, ns UTC; None where it does not.
        """
        self.claim(day, resumed_at)
        await self._host.start_day(day, scanned=self._scanned)
        session = session_on(day)
        if session is not None:
            await self._run_session(session)
        await self._pace.until(end_of_day(day, session, to_midnight=self._source == "replay"))
        self._host.commit()
        self._ticks.compact(day)

    async def _run_session(self, session: Session) -> None:
        if self._scanned:
            moments = scans.moments_of(session, self._universe, self._settings, self._interval_min)
            last = self._host.last_scan_ns
            async for moment_ns in scans.due(moments, session.last_close_ns, last, self._pace, self._clock):
                await self._host.scan(moment_ns)
        await self._pace.until(session.last_close_ns)
        platform = self._host.platform
        platform.on_clock(session.last_close_ns)
        platform.runtime.mark_close(session.last_close_ns)
        self._host.commit()

    def claim(self, day: date, resumed_at: int | None) -> None:
        """Make the day's folder this run's, before anything is stored in it.

        A simulated day that starts over replaces the one before; a resumed one goes on. Done once a day.

        Raises:
            SafetyError: the folder holds real ticks, which a simulated day would replace.
        """
        if day == self._claimed:
            return
        self._claimed = day
        resumes_here = resumed_at is not None and ist_date(resumed_at) == day
        folder = self._home / "ticks" / f"date={day.isoformat()}"
        marker = folder / SOURCE_FILE
        before = marker.read_text(encoding="utf-8").strip() if marker.exists() else ""
        if before == "upstox" != self._source:
            raise SafetyError(f"{folder} holds real ticks of that day", "choose another --home for simulated days")
        if self._source != "upstox" and not resumes_here:
            self._ticks.discard(day)
        folder.mkdir(parents=True, exist_ok=True)
        marker.write_text(f"{self._source}\n", encoding="utf-8")


def end_of_day(day: date, session: Session | None, *, to_midnight: bool) -> int:
    """Ns UTC until which a date's prints are waited for.

    Args:
        day: IST date.
        session: its session, None where there is none.
        to_midnight: as files are replayed; where time is the wall's, nobody waits so long.
    """
    midnight = midnight_ns(day) + NS_PER_DAY
    if to_midnight or session is None:
        return midnight - 1
    return min(session.last_close_ns + AFTER_CLOSE_NS, midnight - 1)


def days_between(first_ns: int, last_ns: int) -> Iterator[date]:
    """Every IST date from one moment's to another's, closed days included: rows may be stamped on them."""
    day, last = ist_date(first_ns), ist_date(last_ns)
    while day <= last:
        yield day
        day += timedelta(days=1)
