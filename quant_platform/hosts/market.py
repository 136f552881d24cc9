"""The market's side of the platform: frames, subscriptions, warm-up, gaps and scans, whoever paces them."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import partial
from typing import Any, Protocol

import structlog

from quant_platform.domain.errors import BrokerError, UnavailableError
from quant_platform.domain.instruments import Instrument
from quant_platform.domain.session import day_number, ist_date, session_on
from quant_platform.domain.ticks import LEVELS, NS_PER_SECOND, trading_day
from quant_platform.hosts.embedded import EmbeddedPlatform, FrameIntake
from quant_platform.ports.broker import Candle, HistorySource, Quote, QuoteSource
from quant_platform.ports.clock import Clock
from quant_platform.ports.ledger_views import ScanPick
from quant_platform.services.ingestion.history import WARM_UP_BARS, repair, warm_up
from quant_platform.services.ingestion.normalise import Normaliser
from quant_platform.services.ingestion.subscriptions import Subscriptions
from quant_platform.services.market_scanner.scanner import top_picks

HISTORY_SPANS_DAYS = (4, 30, 120)
"""How far back a warm-up looks, further where the days before held too few bars."""
RETRY_FIRST_S = 1.0
RETRY_LONGEST_S = 30.0

_log = structlog.get_logger(__name__)


class Broker(QuoteSource, HistorySource, Protocol):
    """What the host asks of the broker besides the feed."""


class Subscriber(Protocol):
    """The feed, as far as the host steers it."""

    async def subscribe(self, keys: Sequence[str]) -> None:
        """Add instrument keys."""
        ...

    async def unsubscribe(self, keys: Sequence[str]) -> None:
        """Take instrument keys out."""
        ...


@dataclass(slots=True)
class FeedNumbers:
    """What became of the feed, over all of a run's processes."""

    reconnects: int = 0
    gaps: int = 0
    scans: int = 0


@dataclass(slots=True)
class LastScan:
    """The newest scan, for the view."""

    quotes: dict[str, Quote] = field(default_factory=dict)
    picks: list[ScanPick] = field(default_factory=list)


class MarketHost:
    """Listens to the feed (:class:`~quant_platform.ports.broker.FeedHandler`) and steers it.

    Args:
        platform: the cores.
        broker: quotes and history.
        clock: of the market.
        universe: what is scanned and may be subscribed; each a symbol of the platform's table.
        depth: whether frames carry a book.
        live: whether time is the wall's, so that a stamp in the future is implausible.
        picks: how many a scan gives.
        save_scan: where a scan's result goes.
    """

    def __init__(
        self,
        platform: EmbeddedPlatform,
        broker: Broker,
        clock: Clock,
        universe: Sequence[Instrument],
        *,
        depth: bool,
        live: bool,
        picks: int,
        save_scan: Callable[[int, Sequence[ScanPick]], None],
    ) -> None:
        self.platform = platform
        self._broker = broker
        self._clock = clock
        self._instruments = {instrument.symbol: instrument for instrument in universe}
        keys = {i.instrument_key: platform.table.number(i.symbol) for i in universe}
        normaliser = Normaliser(platform.table, keys, LEVELS if depth else 0)
        self.intake = FrameIntake(platform, normaliser, clock.now_ns if live else None, self.commit)
        self.on_frame = self.intake.on_frame
        self._live = live
        self._picks = picks
        self._save_scan = save_scan
        self._subscriptions = Subscriptions()
        self._feed: Subscriber | None = None
        self._lost_before_start: int | None = None
        self.feed_state = "not connected yet"
        self.connected = False
        self.stopping = False
        self.numbers = FeedNumbers()
        self.last_scan_ns: int | None = None
        self.last_scan = LastScan()

    @property
    def universe(self) -> Sequence[Instrument]:
        """What is scanned and may be subscribed."""
        return list(self._instruments.values())

    def attach(self, feed: Subscriber) -> None:
        """Name the feed that this host listens to."""
        self._feed = feed

    # The feed's side.

    def tell_set_aside(self) -> None:
        """Say what was implausible and why, since the last call."""
        for entry in self.intake.take_set_aside():
            _log.warning("an implausible tick was set aside", symbol=entry.symbol, ts=entry.ts, reason=entry.reason)

    async def on_connected(self, lost_since_ns: int | None) -> None:
        """Count and repair the gap, if there was one; frames wait meanwhile."""
        self.connected, self.feed_state = True, "live"
        if lost_since_ns is not None:
            self.numbers.reconnects += 1
        since, self._lost_before_start = lost_since_ns or self._lost_before_start, None
        if since is not None:
            await self._mend(since)

    def on_disconnected(self, reason: str) -> None:
        """Show it; the feed reconnects by itself."""
        self.connected, self.feed_state = False, f"down: {reason}"
        if not self.stopping:
            _log.warning("the feed is down", reason=reason)

    async def _mend(self, since_ns: int) -> None:
        now_ns = self._clock.now_ns()
        if _in_session(since_ns) or _in_session(now_ns):
            self.numbers.gaps += 1
        symbols = self._subscriptions.symbols
        bars = 0
        for symbol in symbols:
            bars += await self._mend_symbol(self._instruments[symbol], since_ns)
        _log.warning(
            "gap in the feed",
            seconds=round((now_ns - since_ns) / NS_PER_SECOND, 3),
            symbols=len(symbols),
            repaired_bars=bars,
        )

    async def _mend_symbol(self, instrument: Instrument, since_ns: int) -> int:
        if trading_day(since_ns) != trading_day(self._clock.now_ns()):
            return await self._warm_up(instrument)
        intraday = await self._patiently("intraday candles", instrument, partial(self._broker.intraday, instrument))
        now_ns = self._clock.now_ns()
        bars = repair(intraday, since_ns, now_ns, instrument.cas_eligible)
        self.platform.on_bars(instrument.symbol, "repair", bars, now_ns)
        return len(bars)

    # Subscriptions and warm-up.

    async def begin_day(self, day: date) -> None:
        """Start a session: what the scanner picked in the one before is let go."""
        gone = self._subscriptions.begin(day_number(day))
        if gone and self._feed is not None:
            await self._feed.unsubscribe([self._instruments[symbol].instrument_key for symbol in gone])

    async def keep_day(self, day: date) -> None:
        """Start a session with the subscriptions of the one before."""
        symbols = self._subscriptions.symbols
        self._subscriptions.begin(day_number(day))
        self._subscriptions.add(symbols)

    async def subscribe(self, symbols: Sequence[str]) -> None:
        """Warm new symbols up from history, then ask the feed for them."""
        known = set(self._subscriptions.symbols)
        new = [symbol for symbol in symbols if symbol not in known]
        for symbol in new:
            await self._warm_up(self._instruments[symbol])
        self._subscriptions.add(new)  # only now: a state committed meanwhile has no symbol without its bars
        await self._ask_for(new)

    async def subscribe_again(self) -> None:
        """Ask a new feed for what a resumed run had subscribed; its bars are in the restored state."""
        await self._ask_for(self._subscriptions.symbols)

    async def _ask_for(self, symbols: Sequence[str]) -> None:
        if self._feed is not None and symbols:
            await self._feed.subscribe([self._instruments[symbol].instrument_key for symbol in symbols])

    async def _warm_up(self, instrument: Instrument) -> int:
        """Feed the last closed bars before now; returns how many there were."""
        today = ist_date(self._clock.now_ns())
        intraday: Sequence[Candle] = ()
        if session_on(today) is not None:
            intraday = await self._patiently("intraday candles", instrument, partial(self._broker.intraday, instrument))
        bars: Sequence[Candle] = ()
        yesterday = today - timedelta(days=1)
        for days in HISTORY_SPANS_DAYS:
            ask = partial(self._broker.history, instrument, today - timedelta(days=days), yesterday)
            history = await self._patiently("history", instrument, ask)
            bars = warm_up(history, intraday, self._clock.now_ns(), instrument.cas_eligible, WARM_UP_BARS)
            if len(bars) >= WARM_UP_BARS:
                break
        self.platform.on_bars(instrument.symbol, "warm-up", bars, self._clock.now_ns())
        return len(bars)

    async def _patiently(
        self, what: str, instrument: Instrument, call: Callable[[], Awaitable[Sequence[Candle]]]
    ) -> Sequence[Candle]:
        """Candles as soon as the broker can be reached; none where it refuses them for this symbol."""
        pause = RETRY_FIRST_S
        while True:
            try:
                candles: Sequence[Candle] = await call()
            except UnavailableError as error:
                _log.warning(f"waiting for {what}", symbol=instrument.symbol, reason=str(error))
                await self._clock.sleep(pause)
                pause = min(2 * pause, RETRY_LONGEST_S)
            except BrokerError as error:
                _log.warning(f"no {what}", symbol=instrument.symbol, reason=str(error))
                return ()
            else:
                return candles

    # Scans.

    async def scan(self, moment_ns: int) -> None:
        """Pick, store and subscribe; a broker that does not answer is tried again at the next scan."""
        try:
            quotes = await self._broker.quotes(list(self._instruments.values()))
        except (BrokerError, UnavailableError) as error:
            _log.warning("a scan had no quotes", reason=str(error))
            return
        picks = [ScanPick(*pick) for pick in top_picks(quotes, self._picks)]
        self.last_scan = LastScan({quote.symbol: quote for quote in quotes}, picks)
        self._save_scan(moment_ns, picks)
        await self.subscribe([pick.symbol for pick in picks])
        self.numbers.scans += 1
        self.last_scan_ns = moment_ns

    # State.

    def commit_orders(self) -> None:
        """Commit orders that no fill has taken along yet; in lockstep, where nobody watches, they wait for it."""
        if self.platform.runtime.journal.has_orders:
            self.commit()

    def commit(self) -> None:
        """Commit what happened with the state to go on from."""
        beside = {
            "intake": self.intake.snapshot(),
            "subscriptions": self._subscriptions.snapshot(),
            "last_scan": self.last_scan_ns,
            "numbers": [self.numbers.reconnects, self.numbers.gaps, self.numbers.scans],
        }
        self.platform.commit(self.platform.snapshot(beside))

    def restore(self, beside: Mapping[str, Any]) -> None:
        """Go on from what :meth:`commit` stored beside the cores' state."""
        self.intake.restore(beside["intake"])
        self._subscriptions.restore(beside["subscriptions"])
        self.last_scan_ns = beside["last_scan"]
        self.numbers = FeedNumbers(*beside["numbers"])
        if self._live:
            self._lost_before_start = self.platform.moment


def _in_session(ts: int) -> bool:
    session = session_on(ist_date(ts))
    return session is not None and any(opens <= ts < closes for opens, closes in session.windows(False))
