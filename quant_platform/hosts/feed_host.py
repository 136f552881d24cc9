"""The feed's side of a host: connections, subscriptions, warm-up and repaired gaps, wherever the ticks go."""

import gc
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial
from typing import Protocol

import structlog

from quant_platform.domain.errors import BrokerError, UnavailableError
from quant_platform.domain.instruments import Instrument
from quant_platform.domain.session import day_number, ist_date, session_on
from quant_platform.domain.ticks import NS_PER_SECOND, trading_day
from quant_platform.ports.broker import Candle, HistorySource
from quant_platform.ports.clock import Clock
from quant_platform.services.ingestion.history import WARM_UP_BARS, repair, warm_up
from quant_platform.services.ingestion.normalise import SetAside
from quant_platform.services.ingestion.subscriptions import Subscriptions

HISTORY_SPANS_DAYS = (4, 30, 120)
"""How far back a warm-up looks, further where the days before held too few bars."""
RETRY_FIRST_S = 1.0
RETRY_LONGEST_S = 30.0

_log = structlog.get_logger(__name__)


class Subscriber(Protocol):
    """The feed, as far as the host steers it."""

    async def subscribe(self, keys: Sequence[str]) -> None:
        """Add instrument keys."""
        ...

    async def unsubscribe(self, keys: Sequence[str]) -> None:
        """Take instrument keys out."""
        ...


class FrameTaker(Protocol):
    """What becomes of the frames."""

    def on_frame(self, payload: bytes, received_ns: int) -> None:
        """One frame, received at ``received_ns`` of ``time.perf_counter_ns``."""
        ...

    def take_set_aside(self) -> list[SetAside]:
        """Entries of frames that cannot be true, since the last call."""
        ...


class BarTaker(Protocol):
    """What becomes of bars from history."""

    def on_bars(self, symbol: str, kind: str, bars: Sequence[Candle], now_ns: int) -> None:
        """Warm a symbol up (``warm-up``), or repair a gap of it (``repair``), before its next tick."""
        ...


@dataclass(slots=True)
class FeedNumbers:
    """What became of the feed, over all of a run's processes."""

    reconnects: int = 0
    gaps: int = 0
    scans: int = 0


class FeedHost:
    """Listens to the feed (:class:`~quant_platform.ports.broker.FeedHandler`) and steers it.

    Args:
        frames: takes the frames.
        bars: takes warm-up and repair.
        history: where bars come from.
        clock: of the market.
        universe: what may be subscribed.
    """

    def __init__(
        self, frames: FrameTaker, bars: BarTaker, history: HistorySource, clock: Clock, universe: Sequence[Instrument]
    ) -> None:
        self._frames = frames
        self._bars = bars
        self._history = history
        self._clock = clock
        self._instruments = {instrument.symbol: instrument for instrument in universe}
        self.on_frame = frames.on_frame
        self._subscriptions = Subscriptions()
        self._feed: Subscriber | None = None
        self._lost_before_start: int | None = None
        self._connected_before = False
        self.feed_state = "not connected yet"
        self.connected = False
        self.stopping = False
        self.numbers = FeedNumbers()

    @property
    def universe(self) -> Sequence[Instrument]:
        """What is scanned and may be subscribed."""
        return list(self._instruments.values())

    @property
    def subscribed(self) -> Sequence[str]:
        """Symbols that the feed was asked for."""
        return self._subscriptions.symbols

    def attach(self, feed: Subscriber) -> None:
        """Name the feed that this host listens to."""
        self._feed = feed

    def resume(self, subscriptions: bytes, numbers: FeedNumbers, lost_since_ns: int | None) -> None:
        """Go on from what an earlier process knew.

        Args:
            subscriptions: snapshot of them.
            numbers: so far.
            lost_since_ns: from when on frames were missed (ns UTC), which the first connection repairs; None for none.
        """
        self._subscriptions.restore(subscriptions)
        self.numbers = numbers
        self.lost_since(lost_since_ns)

    def lost_since(self, ts: int | None) -> None:
        """Have the first connection repair what was missed from a moment (ns UTC) on; None for nothing."""
        self._lost_before_start = ts

    def subscriptions(self) -> bytes:
        """Snapshot of the subscriptions."""
        return self._subscriptions.snapshot()

    def add_subscribed(self, symbols: Sequence[str]) -> None:
        """Take in symbols whose bars an earlier process sent already; the feed is asked when one begins."""
        self._subscriptions.add(symbols)

    # The feed's side.

    def tell_set_aside(self) -> None:
        """Say what was implausible and why, since the last call."""
        for entry in self._frames.take_set_aside():
            _log.warning("an implausible tick was set aside", symbol=entry.symbol, ts=entry.ts, reason=entry.reason)

    async def on_connected(self, lost_since_ns: int | None) -> None:
        """Count and repair the gap, if there was one; frames wait meanwhile."""
        if not self._connected_before:
            self._connected_before = True
            _spare_what_stays()
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
        intraday = await self._patiently("intraday candles", instrument, partial(self._history.intraday, instrument))
        now_ns = self._clock.now_ns()
        bars = repair(intraday, since_ns, now_ns, instrument.cas_eligible)
        self._bars.on_bars(instrument.symbol, "repair", bars, now_ns)
        return len(bars)

    # Subscriptions and warm-up.

    async def start_day(self, day: date, *, scanned: bool) -> None:
        """Start a session: what the scanner picked in the one before is let go, anything else is kept."""
        symbols = self._subscriptions.symbols
        gone = self._subscriptions.begin(day_number(day))
        if not scanned:
            self._subscriptions.add(symbols)
        elif gone and self._feed is not None:
            await self._feed.unsubscribe([self._instruments[symbol].instrument_key for symbol in gone])

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
            intraday = await self._patiently(
                "intraday candles", instrument, partial(self._history.intraday, instrument)
            )
        bars: Sequence[Candle] = ()
        yesterday = today - timedelta(days=1)
        for days in HISTORY_SPANS_DAYS:
            ask = partial(self._history.history, instrument, today - timedelta(days=days), yesterday)
            history = await self._patiently("history", instrument, ask)
            bars = warm_up(history, intraday, self._clock.now_ns(), instrument.cas_eligible, WARM_UP_BARS)
            if len(bars) >= WARM_UP_BARS:
                break
        self._bars.on_bars(instrument.symbol, "warm-up", bars, self._clock.now_ns())
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


def _spare_what_stays() -> None:
    """Let no garbage collection in the middle of a frame visit the hundred thousands of objects of the start."""
    gc.collect()
    gc.freeze()


def _in_session(ts: int) -> bool:
    session = session_on(ist_date(ts))
    return session is not None and any(opens <= ts < closes for opens, closes in session.windows(False))
