"""The run's time: when markets are open, what a free-running clock may skip, and when the feed is cut."""

from collections.abc import Sequence
from datetime import date, time
from typing import NamedTuple

import numpy as np

from quant_platform.domain.instruments import Instrument
from quant_platform.domain.session import WindowsNs, ns_at, session_on
from quant_platform.domain.ticks import NS_PER_MINUTE, NS_PER_MS, NS_PER_SECOND

PRE_OPEN_NS = 15 * NS_PER_MINUTE
LEAD_IN_NS = NS_PER_MINUTE
"""A free-running clock shows this much of the pre-open."""

SHORTEST_OUTAGE_S, LONGEST_OUTAGE_S = 1, 120


class Cut(NamedTuple):
    """The feed breaks at ``at`` and cannot be connected before ``until``, ns UTC."""

    at: int
    until: int


def _merged(windows: Sequence[tuple[int, int]]) -> WindowsNs:
    joined: list[tuple[int, int]] = []
    for start, end in sorted(windows):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return tuple(joined)


class Timetable:
    """When the days of a run begin, trade and end.

    Args:
        days: IST dates, in order, at least one.
        instruments: whose continuous trading counts.
    """

    def __init__(self, days: Sequence[date], instruments: Sequence[Instrument]) -> None:
        classes = {instrument.cas_eligible for instrument in instruments}
        windows: list[tuple[int, int]] = []
        for day in days:
            session = session_on(day)
            if session is not None:
                windows += [window for eligible in classes for window in session.windows(eligible)]
        self.open_windows = _merged(windows)
        """Continuous trading of any security, over all days."""
        first, last = session_on(days[0]), session_on(days[-1])
        self.start_ns = first.open_ns(False) - PRE_OPEN_NS if first else ns_at(days[0], time(9, 0))
        """The first day's pre-open, ns UTC."""
        self.end_ns = last.last_close_ns if last else ns_at(days[-1], time(15, 30))
        """The last continuous close of the last day, ns UTC."""

    def worth_watching(self, ts: int) -> tuple[bool, int]:
        """Whether a free-running clock runs at its own speed at ``ts`` or skips, and until when.

        Returns:
            (runs, the moment at which that changes, ns UTC; after the last window the last close).
        """
        for opens, closes in self.open_windows:
            if ts < opens - LEAD_IN_NS:
                return False, opens - LEAD_IN_NS
            if ts < closes:
                return True, closes
        return False, self.end_ns

    def cuts(self, count: int, seed: int, after_ns: int) -> list[Cut]:
        """Cuts spread over the open market, seeded, each over before the next one comes.

        Moments lie between two milliseconds, so that no frame has the stamp of a cut.
        """
        length = sum(closes - opens for opens, closes in self.open_windows)
        if not count or not length:
            return []
        random = np.random.default_rng([seed, count])
        slot = length // count
        longest = min(LONGEST_OUTAGE_S * NS_PER_SECOND, slot // 2)
        made = []
        for number in range(count):
            offset = number * slot + int(random.uniform(0.0, 0.45) * slot)
            at = self._open_moment(offset) // NS_PER_MS * NS_PER_MS + NS_PER_MS // 2
            outage = random.uniform(min(SHORTEST_OUTAGE_S * NS_PER_SECOND, longest), longest)
            made.append(Cut(at, at + int(outage)))
        return [cut for cut in made if cut.at > after_ns]

    def _open_moment(self, offset: int) -> int:
        """The moment at which the market has been open for ``offset`` ns."""
        for opens, closes in self.open_windows:
            if offset < closes - opens:
                return opens + offset
            offset -= closes - opens
        return self.open_windows[-1][1]
