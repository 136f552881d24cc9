"""The scanner's side of a session, whoever hosts it: when to look, and what a look finds."""

from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from quant_platform.domain.instruments import Instrument
from quant_platform.domain.session import Session
from quant_platform.hosts.pace import Pace
from quant_platform.ports.broker import Quote, QuoteSource
from quant_platform.ports.clock import Clock
from quant_platform.ports.ledger_views import ScanPick
from quant_platform.services.market_scanner.scanner import scan_times, top_picks
from quant_platform.services.strategy_runtime.schema import TradingSettings


@dataclass(slots=True)
class Scan:
    """What a look at the universe found: a quote of each symbol that the broker knows, and the best of them."""

    quotes: dict[str, Quote] = field(default_factory=dict)
    picks: list[ScanPick] = field(default_factory=list)


async def look(broker: QuoteSource, universe: Iterable[Instrument], picks: int) -> Scan:
    """Scan the universe as it stands now.

    Args:
        broker: gives the quotes.
        universe: what is scanned.
        picks: how many are wanted.

    Raises:
        BrokerError: the broker refused the request as a whole.
        UnavailableError: the broker cannot be reached.
    """
    quotes = await broker.quotes(list(universe))
    best = [ScanPick(*pick) for pick in top_picks(quotes, picks)]
    return Scan({quote.symbol: quote for quote in quotes}, best)


def moments_of(
    session: Session, universe: Iterable[Instrument], trading: TradingSettings, interval_min: int
) -> list[int]:
    """When a session is scanned, ns UTC: until the last square-off, after which no pick could be traded.

    Args:
        session: of the day.
        universe: what is scanned, at least one security.
        trading: when positions are squared off.
        interval_min: minutes from one scan to the next.
    """
    last_square_off = max(
        session.square_off_ns(closing_auction, trading.square_off, trading.square_off_lead_min)
        for closing_auction in {instrument.cas_eligible for instrument in universe}
    )
    return scan_times(session, last_square_off, interval_min)


async def due(
    moments: Sequence[int], until_ns: int, after_ns: int | None, pace: Pace, clock: Clock
) -> AsyncIterator[int]:
    """Each moment as it is reached; of those that were missed, only the newest is made up for.

    Args:
        moments: ns UTC, in order.
        until_ns: the last of them is not made up for from here on.
        after_ns: none up to this one is due any more; None where all are.
        pace: lets the market go on.
        clock: of the market.
    """
    for moment_ns, following_ns in pairwise([*moments, until_ns]):
        if (after_ns is not None and moment_ns <= after_ns) or following_ns <= clock.now_ns():
            continue
        await pace.until(moment_ns)
        yield moment_ns
