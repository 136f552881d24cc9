"""Score the universe by how far and how heavily it moves, and say when to look again."""

from collections.abc import Iterable
from typing import NamedTuple

from quant_platform.domain.session import Session
from quant_platform.domain.ticks import NS_PER_MINUTE
from quant_platform.ports.broker import Quote

PICKS = 5
INTERVAL_MIN = 5


class Pick(NamedTuple):
    """A symbol worth watching, as it goes to ``scanner_results``."""

    symbol: str  # NSE_EQ:RELIANCE
    score: float
    ltp: int  # paise
    volume: int  # shares today


def score(quote: Quote) -> float | None:
    """|ltp / previous close − 1| × 100 × volume; None without volume, price or previous close."""
    if quote.volume <= 0 or quote.ltp <= 0 or quote.previous_close <= 0:
        return None
    return abs(quote.ltp / quote.previous_close - 1) * 100 * quote.volume


def top_picks(quotes: Iterable[Quote], count: int = PICKS) -> list[Pick]:
    """The highest scores, highest first; equal ones by symbol."""
    picks = [
        Pick(quote.symbol, scored, quote.ltp, quote.volume) for quote in quotes if (scored := score(quote)) is not None
    ]
    return sorted(picks, key=lambda pick: (-pick.score, pick.symbol))[:count]


def scan_times(session: Session, until_ns: int, interval_min: int = INTERVAL_MIN) -> list[int]:
    """The moments of a session's scans, ns UTC: its start and every few minutes after it.

    Args:
        session: whose windows are scanned in; nothing changes in a pause between two.
        until_ns: from here on a pick could not be traded any more: square-off, or the close.
        interval_min: minutes from one scan to the next.
    """
    windows = session.windows(True) + session.windows(False)
    start_ns = min(opens for opens, _ in windows)
    return [
        ts
        for ts in range(start_ns, until_ns, interval_min * NS_PER_MINUTE)
        if any(opens <= ts < closes for opens, closes in windows)
    ]
